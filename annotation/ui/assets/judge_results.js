// The judging desk, continued: the documents found.

function markOf(docId) {
  const waiting = pending.get(docId);
  if (waiting) return waiting.grade;
  const grade = view.marks[docId];
  return grade === undefined ? null : grade;
}

function textWithTerms(text) {
  if (!view.terms.length) return [text];
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}])(?:${view.terms.join("|")})[\\p{L}\\p{N}]{0,3}(?![\\p{L}\\p{N}])`, "giu");
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    parts.push(text.slice(end, match.index), h("mark", {}, match[0]));
    end = match.index + match[0].length;
  }
  return [...parts, text.slice(end)];
}

function card(result, place) {
  const grade = gradeOf(markOf(result.doc_id));
  const waiting = pending.get(result.doc_id);
  const text = h("p", { class: "era-text" }, textWithTerms(result.text));
  const more = h("button", { type: "button", class: "era-link era-more", hidden: true, onclick: () => toggleText(place) }, "more");
  const button = (value, key) =>
    h("button", {
      type: "button", class: `era-mark era-${GRADES[value].kind}`, "aria-pressed": String(grade === GRADES[value]),
      "aria-label": `${GRADES[value].name}: ${result.title}`, title: `${GRADES[value].name} (key ${key}; again to take it back)`,
      disabled: !view.can_write, onclick: () => (setFocus(place), mark(place, grade === GRADES[value] ? null : value)),
    }, GRADES[value].sign);
  return h("li", {
    class: `era-card${grade ? " era-is-" + grade.kind : ""}`, "data-place": place, "data-doc": result.doc_id,
    onclick: () => setFocus(place),
  },
    h("div", { class: "era-rank", title: "rank" }, String(result.rank)),
    h("div", { class: "era-body" },
      h("h3", {}, textWithTerms(result.title)), text, more,
      h("span", { class: "era-score", title: "Cosine similarity of query and document, plus what matching words add where they count" }, `score ${result.score.toFixed(3)}`),
    ),
    h("div", { class: "era-marks" }, button(1, "1"), button(0, "0"),
      h("span", { class: "era-saved" }, waiting ? (waiting.tries > 1 ? "not saved yet" : "\u2026") : grade ? "saved" : "")),
  );
}

function drawResults() {
  const busy = isSearching ? h("span", { class: "era-busy" }, "Searching \u2026") : null;
  const cards = view.results.map(card);
  fill(results,
    notice(view.error),
    h("div", { class: "era-row era-toolbar" },
      h("label", {}, h("span", { class: "era-label" }, "Ranked by "),
        select("Ranked by", view.rankers.map((r) => [r.key, r.label]), view.ranker, (key) => {
          view.ranker = key;
          if (view.query.id) ask("open", { query_id: view.query.id, ranker: key });
        })),
      h("span", { class: "era-quiet" }, busy || (view.results.length
        ? `${view.results.length} of ${number(view.n_documents)}${view.took_ms === null ? "" : `, ${Math.max(1, Math.round(view.took_ms))} ms`}` : "")),
      offered && view.query.id && h("button", { type: "button", class: "era-link",
        onclick: () => ask("open", { query_id: view.query.id, ranker: offered.key }) }, `Better ranking ready: ${offered.label}. Show it`),
      h("button", { type: "button", class: "era-link", "aria-expanded": String(isHelpOpen), onclick: () => { isHelpOpen = !isHelpOpen; drawResults(); } }, "keys ?"),
    ),
    isHelpOpen && h("dl", { class: "era-keys" },
      [["1", "relevant"], ["0", "not relevant"], ["c", "take the mark back"], ["s", "skip"], ["j k", "next, previous document"], ["o", "open the text"],
        ["u", "undo"], ["n", "next query with open results"], ["/", "to the query box"], ["?", "show or hide this"]].map(([key, what]) => [h("dt", {}, key), h("dd", {}, what)])),
    cards.length ? h("ol", { class: "era-list", "aria-busy": String(isSearching) }, cards)
      : !view.error && h("p", { class: "era-empty" }, "The documents found will be listed here. Write a query above and press Search."),
  );
  results.querySelectorAll(".era-card").forEach((node) => {
    const text = node.querySelector(".era-text");
    if (text.scrollHeight > text.clientHeight + 2) node.querySelector(".era-more").hidden = false;
  });
  showFocus();
  drawStatus();
}

function redrawCard(docId) {
  const place = view.results.findIndex((result) => result.doc_id === docId);
  const old = place >= 0 && results.querySelector(`[data-place="${place}"]`);
  if (!old) return;
  const isOpen = old.classList.contains("era-open");
  const held = document.activeElement && old.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  const hasMore = !old.querySelector(".era-more").hidden;
  const fresh = card(view.results[place], place);
  fresh.querySelector(".era-more").hidden = !hasMore;
  old.replaceWith(fresh);
  if (isOpen) toggleText(place);
  if (held) [...fresh.querySelectorAll("button")].find((b) => b.getAttribute("aria-label") === held)?.focus({ preventScroll: true });
  showFocus();
}

function toggleText(place) {
  const node = results.querySelector(`[data-place="${place}"]`);
  const isOpen = node.classList.toggle("era-open");
  node.querySelector(".era-more").textContent = isOpen ? "less" : "more";
}

function setFocus(place) {
  focused = Math.min(Math.max(place, 0), Math.max(view.results.length - 1, 0));
  showFocus();
}

function showFocus(scroll = false) {
  results.querySelectorAll(".era-card").forEach((node, place) => {
    node.classList.toggle("era-focused", place === focused);
    if (place === focused) node.setAttribute("aria-current", "true");
    else node.removeAttribute("aria-current");
    if (place === focused && scroll) node.scrollIntoView({ block: "nearest" });
  });
}

function firstOpen(from = 0) {
  for (let step = 0; step < view.results.length; step++) {
    const place = (from + step) % view.results.length;
    if (markOf(view.results[place].doc_id) === null) return place;
  }
  return null;
}
