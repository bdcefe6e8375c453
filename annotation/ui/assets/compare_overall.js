// Compare, all queries: the measures of each part apart, what they rest on, and every query by itself.

const COLUMNS = [ // of a table of measures: name, and what it means
  ["difference", "After minus before, averaged over the queries"],
  ["95 % interval", "If the same was done with other queries of this kind, the difference would lie in here 95 times out of 100 (Student\u2019s t; near-copies of a query count once)"],
  ["p", "How often a difference at least this large would come about by chance alone (paired randomisation test of the main measure; adjusted for all rankings by max-T and for all parts by Holm)"],
  ["effect", "Of the main measure: the mean difference in units of its spread between queries (Cohen\u2019s d of pairs): by a rule of thumb 0.2 is small, 0.5 medium, 0.8 large"],
];
const OVERLAPS = [["rbo", "RBO"], ["jaccard", "Jaccard"], ["tau", "Kendall\u2019s tau"]];
const PART_NAMES = { test: "kept for testing", learned: "learned from", unseen: "never learned from", in_sample: "in-sample", plain: "" };

let against = 1; // the side that the picture and the changes are about
let sorted = { column: "change", isDown: true };
let part = ""; // only queries of this part
let words = ""; // only queries with these words

function forgetCollection() {
  own = {};
  sent.clear();
  part = "";
  words = "";
  snapshots = null;
  shareAnswer = null;
  blindPair = null;
  isBlind = false;
}

// --- how it is measured

let refused = null; // the list of measures that was sent last, while it is the reason of an error

function measuring() {
  const hasRun = view.sides.some(isRun);
  const isChanged = view.threshold !== null || (view.is_in_sample && hasRun) || Boolean(view.url.measures);
  if (!view.error) refused = null;
  const grades = view.grades.map((name, grade) => [grade, name]).slice(2);
  return fold("measures", `How it is measured${isChanged ? " (changed)" : ""}`,
    h("form", { class: "era-row", onsubmit: (event) => { event.preventDefault(); refused = event.target.elements.measures.value; choose({ measure_names: refused }); } },
      h("label", { class: "era-grow era-choice" }, h("span", { class: "era-label", title: "Names as ir-measures writes them, with commas between; the first one is the main one" }, "Measures"),
        h("input", { name: "measures", class: "era-grow", "aria-label": "Measures", value: refused ?? view.measure_names, spellcheck: "false" })),
      h("button", { type: "submit", class: "era-button" }, "Change measures")),
    grades.length ? h("label", { class: "era-choice" }, h("span", { class: "era-label", title: "For measures that only know relevant and not relevant" }, "Counts as relevant"),
      select("Counts as relevant", [["", `everything above \u201c${view.grades[0]}\u201d`], ...grades.map(([grade, name]) => [String(grade), `\u201c${name}\u201d (${grade})${grade < view.grades.length - 1 ? " and better" : ""}`])],
        view.threshold === null ? "" : String(view.threshold), (value) => choose({ threshold: value === "" ? null : Number(value) }))) : null,
    hasRun || view.is_in_sample ? h("label", {}, h("input", { type: "checkbox", checked: view.is_in_sample, "aria-label": "In-sample", onchange: (event) => choose({ is_in_sample: event.target.checked }) }),
      " in-sample: let a run rank the queries that taught it ",
      h("span", { class: "era-warn" }, "This flatters the run: it has seen the answers. Use it to look for mistakes, never to report.")) : null);
}

// --- one part

function partTable(each, label) {
  return h("div", { class: "era-scroll", tabindex: "0", role: "region", "aria-label": label, "data-scroll": label }, h("table", { class: "era-table" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "mean over queries"), ["before", "after"].map((name) => h("th", { scope: "col", class: "era-number" }, name)),
      COLUMNS.map(([name, meaning]) => h("th", { scope: "col", class: "era-number" }, h("abbr", { title: meaning }, name))))),
    h("tbody", {}, each.rows.map((row) => h("tr", { class: row.measure === view.overall.main ? "era-main" : "" },
      h("th", { scope: "row" }, h("abbr", { title: row.meaning }, row.measure)),
      row.cells.map((cell) => h("td", { class: "era-number" }, cell)))))));
}

function partSection(each) {
  return h("section", { class: "era-part", "data-kind": each.kind },
    h("h3", {}, each.title), each.explanation && h("p", { class: each.kind === "in_sample" ? "era-warn" : "era-quiet" }, each.explanation),
    each.against.map((other) => h("div", {},
      each.against.length > 1 && h("h4", {}, `${view.one?.sides[0].label || labelOf(view.sides[0])} \u2192 ${other.label}`),
      h("p", {}, h("strong", {}, `${other.better} better \u00b7 ${other.same} same \u00b7 ${other.worse} worse. `), other.verdict, other.effect && h("span", { class: "era-quiet" }, ` ${other.effect}`)),
      other.estimated && h("p", { class: "era-quiet era-estimated" }, other.estimated),
      other.bounds && h("p", { class: "era-quiet era-bounds" }, other.bounds),
      partTable(other, `${each.title}: ${other.label}`))));
}

// --- how alike the rankings are, and what has been judged of them

function overlaps(o) {
  if (!o.overlaps.length) return null;
  return h("p", { class: "era-overlaps" }, h("span", { class: "era-quiet" }, "How alike the first ten are: "), o.overlaps.map((each) => h("span", { class: "era-overlap" },
    o.overlaps.length > 1 && `${each.label}: `,
    OVERLAPS.map(([name, label]) => [h("abbr", { title: o.overlap_meanings?.[name] || label }, label), ` ${decimals(each[name], 2)} `]))));
}

function coverage(o) {
  if (!o.coverage) return null;
  return h("div", { class: "era-coverage" }, h("p", { class: "era-quiet" }, o.coverage.text),
    o.coverage.n_documents && view.can_write ? button(`Judge the ${many(o.coverage.n_documents, "document")} that would settle it`, () => {
      say("settle-coverage", { view: lookedAt() });
      openTab("Judge");
      window.scrollTo({ top: 0 });
    }) : null);
}

// --- every query

const TABLE = [ // name, title, value to sort by
  ["text", "query", (query) => query.text.toLocaleLowerCase()],
  ["relevant", "relevant", (query) => query.relevant],
  ["part", "part", (query) => PART_NAMES[query.part] ?? query.part],
  ...[0, 1, 2].map((i) => [`side${i}`, SIDE_NAMES[i].toLowerCase(), (query) => (query.hidden ? null : query.values[i])]),
  ["change", "change", (query) => changeOf(query)],
  ["judged", "judged", (query) => (query.hidden ? null : Math.min(...query.judged))],
];
const changeOf = (query) => (query.hidden ? null : query.values[against] - query.values[0]);
const countSides = (o) => o.parts[0].against.length + 1; // of what is measured; other sides may have been chosen since
const TITLES = { relevant: "Documents marked relevant", judged: "Share of the first ten that somebody judged, on the side where it is least", change: "After minus before", part: "Whether a compared run learned from the query" };

const matching = (o) => o.queries.filter((query) => (!part || query.part === part) && query.text.toLocaleLowerCase().includes(words.toLocaleLowerCase()));

function inOrder(queries) {
  const value = TABLE.find(([name]) => name === sorted.column)[2];
  const compared = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
  const hasNone = (query) => value(query) === null; // those stay below, whichever way the others go
  return [...queries].sort((a, b) => hasNone(a) - hasNone(b) || (sorted.isDown ? -1 : 1) * compared(value(a), value(b)) || a.id - b.id);
}

function openHere(queryId) {
  choose({ query_id: queryId });
  oneBox.scrollIntoView({ block: "start" });
}

function sortBy(column) {
  sorted = { column, isDown: sorted.column === column ? !sorted.isDown : !["text", "part"].includes(column) };
  drawOverall();
}

function queryTable(o) {
  const hasParts = new Set(o.queries.map((query) => query.part)).size > 1;
  const columns_ = TABLE.filter(([name]) => (name !== "part" || hasParts) && (!name.startsWith("side") || Number(name.slice(4)) < countSides(o)));
  const cells = (query) => columns_.slice(1).map(([name, , value]) => {
    if (name === "part") return h("td", {}, value(query));
    if (name === "change") return h("td", { class: `era-number ${{ better: "era-up", worse: "era-down" }[query.kinds[against]] || ""}` }, query.changes[against]);
    if (name === "judged") return h("td", { class: "era-number", title: query.judged.map((share_, i) => `${SIDE_NAMES[i].toLowerCase()} ${Math.round(share_ * 100)} %`).join(", ") }, `${Math.round(value(query) * 100)} %`);
    if (name === "relevant") return h("td", { class: "era-number" }, String(value(query)));
    return h("td", { class: "era-number", title: Object.entries(query.measures || {}).map(([measure, of]) => `${measure} ${figure(of[Number(name.slice(4))])}`).join("\n") }, figure(value(query)));
  });
  const shown = inOrder(matching(o));
  return h("div", { class: "era-scroll", tabindex: "0", role: "region", "aria-label": "Every query", "data-scroll": "queries" }, h("table", { class: "era-table era-sortable" },
    h("thead", {}, h("tr", {}, columns_.map(([name, title]) => h("th", { scope: "col", class: ["text", "part"].includes(name) ? "" : "era-number", title: TITLES[name] || null,
      "aria-sort": sorted.column === name ? (sorted.isDown ? "descending" : "ascending") : "none" },
      h("button", { type: "button", class: "era-sort", "data-hold": `sort ${name}`, onclick: () => sortBy(name) }, title,
        h("span", { class: "era-arrow", "aria-hidden": "true" }, sorted.column === name ? (sorted.isDown ? " \u25be" : " \u25b4") : " \u2195")))))),
    h("tbody", {}, shown.map((query) => h("tr", { "data-query": query.id, class: query.id === view.query_id ? "era-here" : "" },
      h("td", { class: "era-query-cell" }, h("button", { type: "button", class: "era-link era-left", "data-hold": `query ${query.id}`, "aria-current": query.id === view.query_id ? "true" : null, onclick: () => openHere(query.id) }, query.text)),
      query.hidden ? h("td", { colspan: columns_.length - 1, class: "era-quiet" }, query.hidden) : cells(query))),
      shown.length ? null : h("tr", {}, h("td", { colspan: columns_.length, class: "era-quiet" }, "No query fits.")))));
}

function everyQuery(o) {
  const kinds = [...new Set(o.queries.map((query) => query.part))];
  against = Math.min(against, countSides(o) - 1);
  const drawLater = (change) => { change(); drawOverall(); };
  return h("section", { class: "era-every" },
    h("h3", {}, `Every query, in ${o.main}`),
    h("div", { class: "era-row" },
      countSides(o) > 2 && h("label", {}, h("span", { class: "era-label" }, "against"), select("Against", view.sides.map((key, i) => [String(i), `${SIDE_NAMES[i]}: ${labelOf(key)}`]).slice(1), String(against), (i) => drawLater(() => { against = Number(i); }))),
      kinds.length > 1 && h("label", {}, h("span", { class: "era-label" }, "show"), select("Part", [["", "all"], ...kinds.map((kind) => [kind, PART_NAMES[kind] || kind])], part, (kind) => drawLater(() => { part = kind; }))),
      h("input", { type: "search", "aria-label": "Queries with these words", placeholder: "Queries with these words", value: words, oninput: (event) => drawLater(() => { words = event.target.value; }) })),
    o.without_relevant_note && h("p", { class: "era-quiet" }, o.without_relevant_note),
    o.hidden_note && h("p", { class: "era-quiet era-hidden-note" }, o.hidden_note),
    h("div", { class: "era-every-parts" }, scatter(matching(o).filter((query) => !query.hidden), against, o.main, openHere), queryTable(o)));
}

// --- where to look first

function extremes(o) {
  const figures = (query) => `${figure(query.values[0])} \u2192 ${figure(query.values.at(-1))}`;
  const one = (name, query) => query && h("span", { class: "era-extreme" }, h("span", { class: "era-quiet" }, `${name}: `),
    link(`\u201c${query.text}\u201d`, () => choose({ query_id: query.id }), { class: "era-link era-left", "aria-current": query.id === view.query_id ? "true" : null, "data-hold": name, "aria-label": `${name}: ${query.text}` }),
    h("span", { class: "era-extreme-figures", title: `${o.main} in \u201c${labelOf(view.sides[0])}\u201d and in \u201c${labelOf(view.sides.at(-1))}\u201d` }, ` ${figures(query)}`));
  const { improved, worsened, words: said } = o.extremes;
  return [said && h("span", {}, said), one("Most improved", improved), one("One that got worse", worsened)];
}

function drawOverall() {
  const o = view.overall;
  const isOld = view.isMeasuring || isBusy;
  refill(extremesBox, o && h("div", { class: `era-row era-extremes${isOld ? " era-faded" : ""}` }, extremes(o)));
  refill(overallBox,
    h("div", { class: "era-row" }, h("h2", {}, "All labelled queries"),
      view.isMeasuring && h("span", { class: "era-busy", role: "status" }, "Measuring all labelled queries \u2026")),
    measuring(),
    o ? h("div", { class: isOld ? "era-faded" : "", "aria-busy": String(isOld) }, h("p", { class: "era-quiet" }, o.rule, " ", o.looks), o.parts.map(partSection), overlaps(o), coverage(o), o.queries.length ? everyQuery(o) : null)
      : !view.isMeasuring && !view.unread.n && h("p", { class: "era-empty" }, "Mark relevant documents for a query, and the rankings will be measured here."));
}
