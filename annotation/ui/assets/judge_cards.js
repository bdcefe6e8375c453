// The judging desk, documents: the cards, which list they are, and where the keys act.

let isHelpOpen = false;
let offered = null; // a ranking that became available meanwhile
const keyOf = (card) => `${card.query_id} ${card.doc_id}`;
const placeOf = (card) => view.cards.findIndex((each) => keyOf(each) === keyOf(card));
const docsOf = (card) => [card, ...card.duplicates].map((doc) => doc.doc_id);

// The documents on some cards: how many there are, how many this person has marked, and how many of those as relevant.
function countDocuments(cards) {
  const said = cards.flatMap((card) => docsOf(card).map((docId) => saidOf(card.query_id, docId)));
  return { n: said.length, nMarked: said.filter(hasSaid).length, nRelevant: said.filter((each) => each.grade > 0).length };
}

const gradeName = (grade) => view.setup.grades[Math.min(Math.round(grade), view.setup.grades.length - 1)];
const rankerName = ({ base, has_words: hasWords, run }) => {
  const name = run ? t("ranker.run", { run }) : t(`ranker.${base}`);
  if (base === "light") return hasWords ? t("ranker.with_words", { name }) : name;
  return hasWords ? name : t("ranker.without_words", { name });
};
const kindOf = (said) => (said.unsure ? "unsure" : said.grade === null ? null : said.grade > 0 ? "yes" : "no");
const signOf = (grade) => (grade === 0 ? "\u2715" : view.setup.grades.length === 2 ? "\u2713" : "\u2713".repeat(grade));

const termsOf = (card) => card.terms || view.terms;

function markButtons(card, place) {
  const said = saidOf(card.query_id, card.doc_id);
  const button = (is, kind, sign, name, key, change) => h("button", {
    type: "button", class: `era-mark era-${kind}`, "aria-pressed": String(is), "aria-label": `${name}: ${card.title}`,
    title: t("marks.key", { name, key }), disabled: !view.can_write || isGoing(), "data-key": key,
    onclick: (event) => { event.stopPropagation(); setFocus(place); mark(card, is && !isAskedAgain(card) ? { grade: null, unsure: false } : change); },
  }, sign, h("span", { class: "era-key", "aria-hidden": "true" }, key));
  const grades = view.setup.grades.map((name, grade) =>
    button(said.grade === grade, grade > 0 ? "yes" : "no", signOf(grade), name, String(grade), { grade, unsure: false }));
  return [...grades.reverse(), button(said.unsure, "unsure", "?", t("marks.unsure"), "s", { grade: null, unsure: true })];
}

// What speaks against a mark would sway the person, so that shows once they have looked again; an earlier text shows until then.
const isReasonShown = (card) => view.view !== "again" || isAskedAgain(card) === (card.why.code === "text-changed");

function reasons(card) {
  const isTakenBack = card.why?.code === "settled" && !hasSaid(saidOf(card.query_id, card.doc_id));
  const why = isTakenBack ? { code: "conflict" } : card.why || {};
  const lines = [];
  if (card.query_text) lines.push(h("p", { class: "era-for" }, h("span", { class: "era-label" }, t("card.for_query")), card.query_text,
    h("button", { type: "button", class: "era-link", onclick: () => openQuery(card.query_id) }, t("card.open_query"))));
  if (why.code && isReasonShown(card)) lines.push(h("p", { class: "era-why" }, t(`why.${why.code}`, {
    rank: why.rank, other: why.other, grade: why.other_grade === null || why.other_grade === undefined ? "" : gradeName(why.other_grade),
    chance: why.chance })));
  return lines;
}

function revealedLine(card) {
  const revealed = view.revealed[card.query_id]?.[card.doc_id];
  if (!revealed || isAskedAgain(card)) return null; // what others say would tell what speaks against the mark
  const alone = revealed.sources.filter((source) => source.is_alone);
  const told = alone.length ? alone : revealed.sources; // what is done beside says little
  const sources = told.map(({ base, has_words: hasWords, is_run: isRun, rank }) => {
    const run = settings.rankers.find((ranker) => ranker.base === base)?.run;
    const vectors = run ? t("source.run", { run }) : t(`source.${isRun ? "lost" : base}`);
    const name = hasWords ? t("ranker.with_words", { name: vectors }) : vectors;
    return rank === null ? name : t("source.at", { name, rank });
  });
  const opinions = revealed.opinions.map((each) =>
    h("span", { class: `era-opinion era-${each.grade > 0 ? "yes" : "no"}`, title: each.note || null },
      `${each.role === "reference" ? t("people.reference") : each.author}: ${gradeName(each.grade)}${each.note ? " \u201c" + each.note + "\u201d" : ""}`));
  return h("p", { class: "era-revealed" },
    sources.length ? h("span", { title: t("source.title") }, sources.join(" \u00b7 ")) : null, opinions);
}

function duplicatesLine(card, place) {
  if (!card.duplicates.length) return null;
  return h("p", { class: "era-duplicates" }, t("duplicates.together", { several: 1 + card.duplicates.length }), " ",
    h("span", {}, docsOf(card).join(", ")), " ",
    h("button", { type: "button", class: "era-link", title: t("duplicates.split_title"), onclick: () => {
      const [first, ...rest] = [card, ...card.duplicates];
      view.cards.splice(place, 1, { ...first, duplicates: [] }, ...rest.map((each) => ({ ...card, ...each, duplicates: [], rank: null, score: null })));
      drawCards();
    } }, t("duplicates.split")));
}

function cardNode(card, place) {
  const said = saidOf(card.query_id, card.doc_id);
  const kind = kindOf(said);
  const waiting = docsOf(card).some((docId) => waitingOf(card.query_id, docId));
  return h("li", {
    class: `era-card${kind ? " era-is-" + kind : ""}${place === focused ? " era-focused" : ""}`, "data-place": place, "data-doc": card.doc_id, "data-query": card.query_id,
    tabindex: place === focused ? "0" : "-1", "aria-current": place === focused ? "true" : null,
    "aria-label": t("card.label", { place: place + 1, n: view.cards.length, title: card.title }),
    onclick: () => setFocus(place), onfocus: () => focused !== place && setFocus(place),
  },
    h("div", { class: "era-rank", title: card.rank === null ? t("card.no_rank") : t("card.rank") }, card.rank === null ? "\u00b7" : String(card.rank),
      card.moved ? h("span", { class: "era-moved era-neutral", title: t("live.moved") },
        card.moved === "new" ? t("live.new") : `${card.moved > 0 ? "\u2191" : "\u2193"}${Math.abs(card.moved)}`) : null),
    h("div", { class: "era-body" },
      reasons(card),
      h("h3", {}, h("button", { type: "button", class: "era-title-button", title: t("keys.open"), onclick: (event) => { event.stopPropagation(); setFocus(place); openReader(place); } },
        textWithTerms(card.title, termsOf(card)))),
      h("p", { class: "era-text" }, textWithTerms(card.text, termsOf(card))),
      h("div", { class: "era-tools" },
        h("button", { type: "button", class: "era-link era-more", hidden: true, onclick: () => toggleText(place) }, t("card.more")),
        view.query.id && h("button", { type: "button", class: "era-link", title: t("similar.title"), onclick: () => openView("similar", { doc_id: card.doc_id }) }, t("similar.show")),
        view.can_write && !said.note && noteDraft(card) === null && h("button", { type: "button", class: "era-link", title: t("keys.note"), onclick: () => openNote(card) }, t("note.add")),
        card.score === null ? null : h("span", { class: "era-score", title: t("card.score_title") }, t("card.score", { score: card.score.toFixed(3) }))),
      duplicatesLine(card, place), noteLine(card), revealedLine(card)),
    h("div", { class: "era-marks", role: "group", "aria-label": t("marks.group") }, markButtons(card, place),
      h("span", { class: "era-saved" }, waiting ? (wasTrouble ? t("status.not_yet") : "\u2026") : hasSaid(said) ? t("status.saved_short") : "")),
  );
}

const lead = h("span", { class: "era-quiet era-grow" }); // what this list is, and how much of it is left

function drawLead() {
  const { n, nMarked } = countDocuments(view.cards);
  const nOpen = view.cards.filter((card) => !hasSaid(saidOf(card.query_id, card.doc_id))).length;
  const nDrawn = view.cards.filter((card) => card.why?.code === "drawn").length;
  const minutes = Math.max(1, Math.round((nOpen * (view.seconds_per_document || 10)) / 60)); // a card is read once
  let words = "";
  if (isUnsent()) words = t("query.unsent", { text: view.query.text.length > 40 ? `${view.query.text.slice(0, 39).trimEnd()}\u2026` : view.query.text });
  else if (view.view === "pool" && n) words = n > nMarked && !view.is_finished ? t("pool.budget", { n: n - nMarked, minutes }) : t("pool.done");
  else if (view.view === "ranking" && n) words = t("ranking.counted", { n, of: view.n_documents, ms: Math.max(1, Math.round(view.took_ms ?? 1)) });
  else if (view.view === "similar") words = t("similar.lead", { title: view.like_title });
  else if (view.view === "again") words = [t("again.lead", { n }), nDrawn ? ` ${t("again.drawn", { n: nDrawn })}` : null];
  else if (view.view === "conflicts") words = t("conflicts.lead", { n: view.cards.filter((card) => card.why.code === "conflict").length });
  else if (view.view === "coverage") words = t("coverage.lead", { n });
  fill(lead, isSearching ? searchingLine() : words);
}

function searchingLine() {
  if (!isAnswerMissing()) return h("span", { class: "era-busy" }, t("desk.searching"));
  return [t("desk.no_answer"), " ", h("button", { type: "button", class: "era-link", onclick: send }, t("desk.try_again"))];
}

function toolbar() {
  const tab = (name, label, title) => h("button", { type: "button", class: "era-view", "aria-pressed": String(view.view === name), title, disabled: !(view.query.id || lastQuery || view.query.text),
    onclick: () => view.view !== name && openView(name) }, label);
  const isRanking = view.view === "ranking";
  return [
    h("div", { class: "era-row era-toolbar" },
      h("div", { class: "era-views", role: "group", "aria-label": t("views.label") },
        tab("pool", t("views.pool"), t("views.pool_title")), tab("ranking", t("views.ranking"), t("views.ranking_title"))),
      lead,
      offered && view.query.id && isRanking && h("button", { type: "button", class: "era-link",
        onclick: () => openView("ranking", { ranker: asSwitched(offered.key) }) }, t("ranking.better", { name: rankerName(offered) })),
      view.query.id && view.can_write && view.cards.length && (view.view === "pool" || isRanking) ? h("button", { type: "button", class: "era-link", title: t("useful.title"), onclick: askUseful }, t("useful.show"), " m") : null,
      h("button", { type: "button", class: "era-link", "aria-expanded": String(isHelpOpen), onclick: toggleHelp }, `${t("keys.show")} ?`)),
    isRanking && h("div", { class: "era-row era-toolbar" },
      h("label", {}, h("span", { class: "era-label" }, t("ranking.by")),
        select(t("ranking.by"), view.rankers.map((r) => [r.key, rankerName(r)]), firstRanking(view.ranker), (key) => openView("ranking", { ranker: asSwitched(key) }))),
      h("form", { class: "era-phrase", onsubmit: (event) => { event.preventDefault(); openView("ranking", { phrase: event.target.elements.phrase.value }); } },
        h("label", {}, h("span", { class: "era-label" }, t("phrase.label")), h("input", { name: "phrase", type: "search", value: view.phrase, placeholder: t("phrase.hint"), title: t("phrase.title") }))),
      rereadSwitch(), liveSwitch()),
    view.view === "pool" && view.cards.length ? h("p", { class: "era-quiet" },
      view.setup.is_blind ? t("pool.blind") : t("pool.open"), view.n_by_others ? ` ${t("pool.by_others", { n: view.n_by_others })}` : "") : null,
  ];
}

const toggleHelp = () => { isHelpOpen = !isHelpOpen; drawCards(); };

function help() {
  const grades = view.setup.grades.map((name, grade) => [String(grade), name]).reverse();
  const keys = [...grades, ["s", t("keys.unsure")], ["c", t("keys.clear")], ["j k", t("keys.move")], ["o", t("keys.open")], ["n", t("keys.note")],
    ["u", t("keys.undo")], ["m", t("keys.useful")], ["Enter", t("keys.next")], ["/", t("keys.query")], ["?", t("keys.help")]];
  return h("dl", { class: "era-keys" }, keys.map(([key, what]) => h("div", {}, h("dt", {}, key), h("dd", {}, what))));
}

function drawCards() {
  const active = document.activeElement;
  const hadFocus = results.contains(active) && active.classList.contains("era-card");
  const typing = active?.dataset?.note ? [active.dataset.note, active.selectionStart, active.selectionEnd] : null;
  const cards = view.cards.map(cardNode);
  fill(results, notice(view.error), toolbar(), isHelpOpen && help(), usefulLine(),
    cards.length ? h("ol", { class: "era-list", "aria-busy": String(isSearching) }, cards) : !view.error && h("p", { class: "era-empty" }, emptyWords()),
    finishedLine());
  results.querySelectorAll(".era-card").forEach((node) => {
    const text = node.querySelector(".era-text");
    if (text.scrollHeight > text.clientHeight + 2) node.querySelector(".era-more").hidden = false;
  });
  if (hadFocus) focusCard();
  if (typing) {
    const box = [...results.querySelectorAll("[data-note]")].find((each) => each.dataset.note === typing[0]);
    box?.focus({ preventScroll: true });
    box?.setSelectionRange(typing[1], typing[2]);
  }
  drawStatus();
}

function emptyWords() {
  if (isSearching) return searchingLine();
  if (view.view === "again") return t("again.empty");
  if (view.view === "conflicts") return t("conflicts.empty");
  if (view.view === "coverage") return t("coverage.empty");
  if (view.view === "ranking" && view.phrase) return t("phrase.empty", { phrase: view.phrase });
  if (view.view === "pool" && view.n_by_others) return t("pool.all_by_others", { n: view.n_by_others });
  return t("desk.empty");
}

function finishedLine() {
  if (view.view !== "pool" || !view.is_finished) return null;
  return h("p", { class: "era-finished", role: "status" }, t("pool.finished", { n: countDocuments(view.cards).nRelevant }), " ",
    h("button", { type: "button", class: "era-button era-primary", title: t("keys.next"), onclick: nextQuery }, t("pool.next"), " \u23ce"));
}

function redrawCard(place) {
  const old = results.querySelector(`[data-place="${place}"]`);
  if (!old) return;
  const active = document.activeElement;
  const isHeld = active === old;
  const held = !isHeld && old.contains(active) ? active.getAttribute("aria-label") || active.textContent : null;
  if (writing.has(keyOf(view.cards[place])) && old.querySelector(".era-note-form")?.contains(active)) return; // somebody is writing there
  const hasMore = !old.querySelector(".era-more").hidden;
  const fresh = cardNode(view.cards[place], place);
  fresh.querySelector(".era-more").hidden = !hasMore;
  if (old.classList.contains("era-open")) openText(fresh);
  old.replaceWith(fresh);
  if (isHeld) fresh.focus({ preventScroll: true });
  else if (held) [...fresh.querySelectorAll("button")].find((b) => (b.getAttribute("aria-label") || b.textContent) === held)?.focus({ preventScroll: true });
}

function openText(node) {
  const isOpen = node.classList.toggle("era-open");
  node.querySelector(".era-more").textContent = isOpen ? t("card.less") : t("card.more");
}

const toggleText = (place) => openText(results.querySelector(`[data-place="${place}"]`));

// Let the keys act on a card; `isKey` when a key brought us here, which moves the focus of the page too.
function setFocus(place, isKey = false) {
  const next = Math.min(Math.max(place, 0), Math.max(view.cards.length - 1, 0));
  if (next !== focused) focusedAt = Date.now();
  focused = next;
  results.querySelectorAll(".era-card").forEach((node, i) => {
    node.classList.toggle("era-focused", i === focused);
    node.tabIndex = i === focused ? 0 : -1;
    if (i === focused) node.setAttribute("aria-current", "true");
    else node.removeAttribute("aria-current");
  });
  if (isKey) focusCard(true);
}

function focusCard(scroll = false) {
  const node = results.querySelector(".era-card.era-focused");
  if (!node) return;
  node.focus({ preventScroll: true });
  if (scroll) node.scrollIntoView({ block: "nearest" });
}

function firstOpen(from = 0) {
  for (let step = 0; step < view.cards.length; step++) {
    const place = (from + step) % view.cards.length;
    if (!hasSaid(saidOf(view.cards[place].query_id, view.cards[place].doc_id))) return place;
  }
  return null;
}
