// Compare, one query: the rankings side by side, where each document went, and the document that is open.

const ROW = 44; // height of a row, in px, for the connecting lines
const SHOWN = 10; // rows of a side
const FILTERS = [
  ["changed", "only changed", (row) => knownRanks(row).some((rank) => rank !== row.rank)],
  ["judged", "only judged", (row) => standingOf(row).grade !== null || standingOf(row).isUnsure],
  ["relevant", "only relevant", (row) => standingOf(row).grade > 0],
];
const filters = new Set(); // names of the filters switched on
let opened = null; // id of the document whose text is shown
let current = null; // { side, doc }: the row that the keys act on

const rowsOf = (side) => side.results.filter((row) => FILTERS.every(([name, , isMatch]) => !filters.has(name) || isMatch(row)));
const knownRanks = (row) => row.ranks.filter((_, i) => view.one.sides[i].results.length); // without sides that never ranked the query

// The row of a document on the side that is acted on, or else on one that shows it.
function findRow(docId) {
  const sides = view.one?.sides || [];
  return [sides[current?.side] || sides.at(-1), ...sides].flatMap((side) => side?.results || []).find((row) => row.doc_id === docId);
}

function forgetDocument() {
  opened = null;
  current = null;
  reasons = null;
}

function measuresOf(side) {
  const known = view.measures.filter(([name]) => name in side.measures);
  if (!known.length) {
    return h("p", { class: "era-quiet era-measures" }, view.one.is_part_hidden
      ? "Nothing that you may see is marked relevant for this query, so there is nothing to measure yet."
      : "Nothing is marked relevant for this query, so there is nothing to measure.");
  }
  return h("p", { class: "era-measures" }, known.map(([name, meaning]) =>
    h("span", {}, h("strong", {}, side.measures[name].toFixed(2)), " ", h("abbr", { title: meaning }, name))));
}

// Whether a move helps: a relevant document that rises does, and one that falls that is not relevant. Shape and words say
// so besides the colour.
const EFFECTS = {
  helps: { css: "era-helps", signs: ["\u25b2", "\u25bc"], words: "that helps" },
  hurts: { css: "era-hurts", signs: ["\u25b3", "\u25bd"], words: "that hurts" },
  neutral: { css: "era-neutral", signs: ["\u2191", "\u2193"], words: "it is not judged" },
};

// `by` is greater than 0 where the document rises.
function effectOf(row, by) {
  const grade = row ? standingOf(row).grade : null;
  if (grade === null || by === 0) return "neutral";
  return (grade > 0) === (by > 0) ? "helps" : "hurts";
}

function moved(row, by, label, about) {
  const { css, signs, words } = EFFECTS[effectOf(row, by)];
  const said = `${about}; ${words}`;
  return h("span", { class: `era-move ${css}`, role: "img", "aria-label": said, title: said }, `${signs[by > 0 ? 0 : 1]} ${label}`);
}

// Where a document was on the first side; on the first side, whether it is on none of the others.
function movement(row, i) {
  const unmoved = (title = null, sign = "") => h("span", { class: "era-move", title }, sign);
  if (i === 0) {
    const others = knownRanks(row).slice(1);
    if (others.length && others.every((rank) => rank === row.rank)) return unmoved("same place on every side", "=");
    const isGone = others.length > 0 && others.every((rank) => rank === null || rank > SHOWN);
    return isGone ? moved(row, -1, "out", `fell out of the first ${SHOWN}`) : unmoved();
  }
  if (!view.one.sides[0].results.length) return unmoved();
  const before = row.ranks[0];
  if (before === row.rank) return unmoved(`same place as in \u201c${view.one.sides[0].label}\u201d`, "=");
  if (before === null) return moved(row, 1, "new", "was not among the first 100");
  const by = before - row.rank;
  return moved(row, by, String(Math.abs(by)), `was at place ${before}${before > SHOWN ? ", so it entered the first ten" : ""}`);
}

const moveLegend = () => h("p", { class: "era-quiet era-move-legend" },
  [["helps", "helps: a relevant document up, or one that is not relevant down"], ["hurts", "hurts"], ["neutral", "not judged"]].map(([effect, words]) =>
    h("span", {}, h("span", { class: EFFECTS[effect].css, "aria-hidden": "true" }, EFFECTS[effect].signs.join(" ")), ` ${words}`)));

function signOf(row) {
  const { grade, isUnsure, state, reason } = standingOf(row);
  const name = isUnsure ? "unsure" : grade === null ? "" : nameOfGrade(grade);
  const kind = isUnsure ? "unsure" : grade > 0 ? "yes" : "no";
  const words = { waiting: "saving \u2026", refused: `not saved: ${reason}` }[state];
  return h("span", { class: "era-sign" },
    name && h("span", { class: `era-${kind}`, role: "img", "aria-label": name, title: `judged ${name}` }, isUnsure ? "?" : signOfGrade(grade)),
    words && h("span", { class: state === "refused" ? "era-warn" : "era-quiet", title: words }, state === "refused" ? " !" : " \u2026"));
}

function trace(docId) {
  oneBox.querySelectorAll("[data-doc]").forEach((node) => node.classList.toggle("era-traced", node.dataset.doc === docId));
}

function ranking(side, i) {
  const rows = rowsOf(side);
  const reachable = current && rows.find((row) => row.doc_id === current.doc) ? current.doc : rows[0]?.doc_id;
  return h("ol", { class: "era-ranking", "data-side": i, "aria-label": side.label }, rows.map((row) => {
    const { grade } = standingOf(row);
    const judged = grade === null ? "" : grade > 0 ? " era-is-yes" : " era-is-no";
    return h("li", { "data-doc": row.doc_id, class: `${judged}${opened === row.doc_id ? " era-is-open" : ""}`,
      onmouseenter: () => trace(row.doc_id), onmouseleave: () => trace(opened),
      onfocusin: () => { current = { side: i, doc: row.doc_id }; trace(row.doc_id); }, onfocusout: () => trace(opened) },
      h("span", { class: "era-rank" }, String(row.rank)),
      h("button", { type: "button", class: "era-title", "aria-expanded": String(opened === row.doc_id), "data-hold": `${i} ${row.doc_id}`, title: row.title,
        tabindex: row.doc_id === reachable ? "0" : "-1", onclick: () => openDocument(opened === row.doc_id ? null : row.doc_id) }, row.title || row.text.slice(0, 90)),
      link("why?", () => askWhy(row.doc_id), { class: "era-link era-why-link", tabindex: "-1", "aria-label": `Why is ${row.title} here?`, title: "Why did it move? Key w" }),
      signOf(row), movement(row, i));
  }), rows.length ? null : h("li", { class: "era-quiet era-none" }, side.results.length ? "Nothing here fits what is ticked below." : "Nothing was found."));
}

function connectors(left, right) {
  const height = ROW * Math.max(left.length, right.length, 1);
  const places = new Map(right.map((row, i) => [row.doc_id, [i, row.rank]]));
  return h("svg", { class: "era-lines", viewBox: `0 0 64 ${height}`, width: 64, height, preserveAspectRatio: "none", "aria-hidden": "true" },
    left.filter((row) => places.has(row.doc_id)).map((row) => {
      const [place, rank] = places.get(row.doc_id);
      const [from, to] = [left.indexOf(row), place].map((at) => (at + 0.5) * ROW);
      return h("path", { d: `M0 ${from} C 32 ${from}, 32 ${to}, 64 ${to}`, "data-doc": row.doc_id, class: EFFECTS[effectOf(row, row.rank - rank)].css });
    }));
}

function columns(one) {
  const lists = one.sides.map(rowsOf);
  const tracks = one.sides.map(() => "minmax(0, 1fr)").join(one.sides.length > 2 ? " 40px " : " 64px ");
  return h("div", { class: "era-sides", style: `--era-tracks: ${tracks}`, "data-scroll": "sides", onscroll: tellSide }, one.sides.flatMap((side, i) => [
    i ? connectors(lists[i - 1], lists[i]) : null,
    h("div", { class: "era-side" },
      h("div", { class: "era-side-head" }, h("h2", {}, side.label), measuresOf(side), side.note && h("p", { class: "era-quiet" }, side.note)),
      ranking(side, i)),
  ]));
}

// Where the screen is narrow the lists are swiped; this line says so and leads to each.
function sideSwitch(one) {
  return h("div", { class: "era-side-switch", role: "group", "aria-label": "Lists to swipe" }, h("span", { class: "era-quiet" }, "Swipe, or go to"),
    one.sides.map((side, i) => button(side.label, () => showSide(i), { "data-hold": `list ${i}`, "aria-pressed": String(i === 0) })));
}

const edgesOf = (box) => [...box.querySelectorAll(".era-side")].map((node) => node.getBoundingClientRect().left - box.getBoundingClientRect().left);

function showSide(i) {
  const box = oneBox.querySelector(".era-sides");
  box.scrollLeft += edgesOf(box)[i];
}

function tellSide({ target }) {
  const edges = edgesOf(target).map(Math.abs);
  const nearest = edges.indexOf(Math.min(...edges));
  oneBox.querySelectorAll(".era-side-switch button").forEach((node, i) => node.setAttribute("aria-pressed", String(i === nearest)));
}

const KEYS = [["\u2191 \u2193 j k", "move"], ["\u2190 \u2192", "other list"], ["Enter", "open"], ["w", "why"], ["[ ]", "query"]];

function underneath(one) {
  return [
    moveLegend(),
    h("div", { class: "era-row" },
      one.sides.every((side) => side.results.length) && h("span", { class: "era-quiet" },
        `${one.n_shared} of the first ten ${one.n_shared === 1 ? "is" : "are"} on ${one.sides.length > 2 ? "all" : "both"} sides.`),
      FILTERS.map(([name, label]) => h("label", {}, h("input", { type: "checkbox", "aria-label": label, checked: filters.has(name),
        onchange: (event) => { if (event.target.checked) filters.add(name); else filters.delete(name); drawOne(); } }), ` ${label}`))),
    h("dl", { class: "era-keys" }, [...KEYS, ...(view.can_write ? [[`0\u2013${view.grades.length - 1} s`, "mark"]] : [])].map(([key, what]) =>
      h("div", {}, h("dt", {}, key), h("dd", {}, what)))),
  ];
}

// --- the document that is open

function openDocument(docId) {
  opened = docId;
  if (reasons && reasons.doc_id !== docId) reasons = null;
  drawOne();
  if (docId) oneBox.querySelector(".era-opened")?.scrollIntoView({ block: "nearest" });
}

function placesOf(row, one) {
  return h("table", { class: "era-table era-places" },
    h("thead", {}, h("tr", {}, ["where it stands", "place", "score"].map((name, i) => h("th", { scope: "col", class: i ? "era-number" : "",
      title: i === 2 ? "Cosine similarity, plus what matching words and the strong model add where they count. Scores of two rankings are not on one scale, places are." : null }, name)))),
    h("tbody", {}, one.sides.map((side, i) => {
      const here = side.results.find((each) => each.doc_id === row.doc_id);
      return h("tr", {}, h("th", { scope: "row" }, side.label),
        h("td", { class: "era-number" }, !side.results.length ? "\u2013" : row.ranks[i] === null ? "below 100" : String(row.ranks[i])),
        h("td", { class: "era-number" }, here ? here.score.toFixed(3) : "\u2013"));
    })));
}

function document_() {
  const row = opened && findRow(opened);
  if (!row) return null;
  return h("section", { class: "era-opened", "aria-label": `Document ${row.title}` },
    h("div", { class: "era-row" }, h("h3", { class: "era-grow" }, textWithTerms(row.title || row.doc_id, view.one.terms)),
      link("close", () => { const back = current; openDocument(null); if (back) focusRow(back.side, back.doc); }, { title: "Key Escape", "aria-label": "Close the document" })),
    h("p", { class: "era-full-text" }, textWithTerms(row.text, view.one.terms)),
    markLine(row),
    placesOf(row, view.one),
    reasons?.doc_id === row.doc_id ? whyLines() : link("Why did it move?", () => askWhy(row.doc_id), { class: "era-link era-left", title: "Key w" }));
}

function drawOne() {
  const one = view.one;
  if (!one) {
    return refill(oneBox, isBusy ? h("p", { class: "era-busy", role: "status" }, "Ranking \u2026")
      : view.isMeasuring ? h("p", { class: "era-busy", role: "status" }, "Looking for the query that improved most \u2026")
      : view.error || view.unread.n ? null : h("p", { class: "era-empty" }, "Write a query above, or search for something under Judge, and the rankings will stand side by side here."));
  }
  oneBox.setAttribute("aria-busy", String(isBusy));
  refill(oneBox,
    h("p", { class: "era-compared" }, one.text, one.instruction && h("span", { class: "era-quiet" }, ` \u2014 ${one.instruction}`),
      isBusy && h("span", { class: "era-busy", role: "status" }, " Ranking \u2026")),
    one.hidden_note && h("p", { class: "era-quiet era-hidden-note" }, one.hidden_note),
    one.explanation && h("p", { class: "era-quiet" }, one.explanation),
    h("div", { class: isBusy ? "era-faded" : "" }, sideSwitch(one), columns(one), underneath(one)),
    document_());
  if (opened) trace(opened);
}
