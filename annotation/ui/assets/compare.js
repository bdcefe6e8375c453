// Two rankings of one query side by side, and what changed over all labelled queries.

const root = element.querySelector(".era-panel");
const ROW = 44; // height of a row and its gap, in px, for the connecting lines
let view = null;
let isOnlyChanges = false;
let isBusy = false;
let opened = null; // document whose text is shown

const ids = () => ({ collection_id: view.page.collection_id, label_set_id: view.page.label_set_id });

function choose(change) {
  isBusy = true;
  const wanted = { before: view.before, after: view.after, query_id: view.query_id, ...change };
  Object.assign(view, wanted);
  draw();
  trigger("choose", { ...ids(), ...wanted });
}

hear("compare", (wanted) => view && choose(wanted));

function tryQuery(event) {
  event.preventDefault();
  isBusy = true;
  const form = event.target;
  trigger("try", { ...ids(), before: view.before, after: view.after, text: form.elements.text.value, instruction: view.instruction });
}

function controls() {
  const rankers = view.rankers.map((r) => [r.key, r.label]);
  const place = view.queries.findIndex((query) => query.id === view.query_id);
  const step = (by) => view.queries[place + by] && choose({ query_id: view.queries[place + by].id });
  return [
    h("div", { class: "era-row era-choices" },
      h("label", {}, h("span", { class: "era-label" }, "Before"), select("Before", rankers, view.before, (key) => choose({ before: key }))),
      h("label", {}, h("span", { class: "era-label" }, "After"), select("After", rankers, view.after, (key) => choose({ after: key }))),
      h("label", { class: "era-grow" }, h("span", { class: "era-label" }, "Query"),
        select("Query", view.queries.map((q) => [String(q.id), (q.relevant ? "\u2713 " : "   ") + q.text]), String(view.query_id), (id) => choose({ query_id: Number(id) }))),
      h("span", { class: "era-steps" },
        h("button", { type: "button", class: "era-button", "aria-label": "Previous query", title: "Previous query", disabled: place <= 0, onclick: () => step(-1) }, "\u25c2"),
        h("button", { type: "button", class: "era-button", "aria-label": "Next query", title: "Next query", disabled: place < 0 || place >= view.queries.length - 1, onclick: () => step(1) }, "\u25b8"))),
    h("form", { class: "era-row", onsubmit: tryQuery },
      h("input", { name: "text", class: "era-grow", "aria-label": "Try another query", placeholder: "Or try any other query, under the same instruction", value: view.tried || "" }),
      h("button", { type: "submit", class: "era-button" }, "Compare")),
  ];
}

function measures(side) {
  if (!Object.keys(side.measures).length) return h("p", { class: "era-quiet" }, "No relevant document is marked for this query, so there is nothing to measure.");
  return h("p", { class: "era-measures" }, view.measures.map(([name, meaning]) =>
    h("span", {}, h("strong", {}, side.measures[name].toFixed(2)), " ", h("abbr", { title: meaning }, name))));
}

function movement(row, isAfter) {
  if (row.other_rank === row.rank) return h("span", { class: "era-move", title: "same place on both sides" }, "=");
  if (!isAfter) return h("span", { class: "era-move era-quiet" }, row.other_rank === null || row.other_rank > 10 ? "left" : "");
  if (row.other_rank === null) return h("span", { class: "era-move era-up", title: "was not among the first 100" }, "new");
  const by = row.other_rank - row.rank;
  return h("span", { class: `era-move ${by > 0 ? "era-up" : "era-down"}`, title: `was at place ${row.other_rank}` }, `${by > 0 ? "\u25b2" : "\u25bc"} ${Math.abs(by)}`);
}

function trace(docId, isOn) {
  root.querySelectorAll("[data-doc]").forEach((node) => node.classList.toggle("era-traced", isOn && node.dataset.doc === docId));
}

function rows(side, isAfter) {
  return h("ol", { class: "era-ranking" }, side.results.map((row) => {
    const grade = gradeOf(row.grade);
    return h("li", {
      "data-doc": row.doc_id, class: `${grade ? "era-is-" + grade.kind : ""}${isOnlyChanges && row.rank === row.other_rank ? " era-faded" : ""}`,
      onmouseenter: () => trace(row.doc_id, true), onmouseleave: () => trace(row.doc_id, false),
    },
      h("span", { class: "era-rank" }, String(row.rank)),
      h("button", { type: "button", class: "era-title", "aria-expanded": String(opened === row.doc_id), title: "Show the text",
        onclick: () => { opened = opened === row.doc_id ? null : row.doc_id; draw(); } }, row.title || row.text.slice(0, 90)),
      grade && h("span", { class: `era-sign era-${grade.kind}`, role: "img", "aria-label": grade.name, title: `judged ${grade.name}` }, grade.sign),
      movement(row, isAfter));
  }));
}

function lines(before, after) {
  const height = ROW * Math.max(before.results.length, after.results.length);
  const places = new Map(after.results.map((row) => [row.doc_id, row.rank]));
  return h("svg", { class: "era-lines", viewBox: `0 0 64 ${height}`, width: 64, height, "aria-hidden": "true" },
    before.results.filter((row) => places.has(row.doc_id)).map((row) => {
      const from = (row.rank - 0.5) * ROW, to = (places.get(row.doc_id) - 0.5) * ROW;
      const grade = gradeOf(row.grade);
      return h("path", { d: `M0 ${from} C 32 ${from}, 32 ${to}, 64 ${to}`, "data-doc": row.doc_id,
        class: `${grade ? "era-is-" + grade.kind : ""}${from === to ? " era-straight" : ""}` });
    }));
}

function text(before, after) {
  const row = [...after.results, ...before.results].find((r) => r.doc_id === opened);
  if (!row) return null;
  const other = after.results.includes(row) ? before.results.find((r) => r.doc_id === opened) : null;
  return h("section", { class: "era-opened" },
    h("h3", {}, row.title || row.doc_id), h("p", {}, row.text),
    h("p", { class: "era-quiet", title: "Cosine similarity, plus what matching words add where they count; scores of two rankings are not on one scale, places are" },
      other ? `score before ${other.score.toFixed(3)}, after ${row.score.toFixed(3)}` : `score ${row.score.toFixed(3)}`));
}

function comparison() {
  const c = view.comparison;
  if (!c) return isBusy ? h("p", { class: "era-busy", role: "status" }, "Ranking \u2026") : null;
  return h("section", { "aria-busy": String(isBusy), class: isBusy ? "era-faded" : "" },
    h("p", { class: "era-compared" }, c.text, c.instruction && h("span", { class: "era-quiet" }, ` \u2014 ${c.instruction}`)),
    c.explanation && h("p", { class: "era-quiet" }, c.explanation),
    h("div", { class: "era-sides" },
      h("div", { class: "era-side" }, h("h2", {}, "Before"), measures(c.before)),
      h("div", { class: "era-gap" }),
      h("div", { class: "era-side" }, h("h2", {}, "After"), measures(c.after)),
      h("div", { class: "era-side" }, rows(c.before, false)),
      lines(c.before, c.after),
      h("div", { class: "era-side" }, rows(c.after, true))),
    h("div", { class: "era-row" },
      h("span", { class: "era-quiet" }, `${c.n_shared} of the first ten are on both sides.`),
      h("label", {}, h("input", { type: "checkbox", checked: isOnlyChanges, onchange: (event) => { isOnlyChanges = event.target.checked; draw(); } }), " fade what stayed")),
    text(c.before, c.after));
}

function overall() {
  if (view.overall === "pending") return h("p", { class: "era-busy", role: "status" }, "Measuring all labelled queries \u2026");
  const o = view.overall;
  if (!o) return h("p", { class: "era-empty" }, "Mark relevant documents for a query, and the two rankings will be measured here.");
  return h("section", { class: "era-overall" },
    h("h2", {}, `All ${many(o.n, "labelled query", "labelled queries")}: ${o.n_better} better \u00b7 ${o.n_same} same \u00b7 ${o.n_worse} worse`),
    h("p", {}, o.verdict),
    h("div", { class: "era-scroll" }, h("table", { class: "era-table" },
      h("thead", {}, h("tr", {}, ["mean over queries", "before", "after", "difference", "95 % interval", "p"].map((name, i) =>
        h("th", { scope: "col", class: i ? "era-number" : "", title: view.column_meanings[name] || null }, name)))),
      h("tbody", {}, o.rows.map((row) => h("tr", {}, h("th", { scope: "row" }, h("abbr", { title: row.meaning }, row.measure)),
        [row.before.toFixed(3), row.after.toFixed(3), signed(row.difference, 3), `${signed(row.low, 3)} to ${signed(row.high, 3)}`, row.p].map((cell) =>
          h("td", { class: "era-number" }, cell))))))),
    o.coverage && h("p", { class: "era-advice" }, o.coverage),
    h("details", {}, h("summary", {}, "Every query, from the largest gain to the largest loss"),
      h("div", { class: "era-scroll" }, h("table", { class: "era-table" },
        h("thead", {}, h("tr", {}, ["query", "before", "after", "nDCG@10"].map((name, i) => h("th", { scope: "col", class: i ? "era-number" : "" }, name)))),
        h("tbody", {}, o.queries.map((q) => h("tr", {},
          h("td", {}, h("button", { type: "button", class: "era-link era-left", onclick: () => { choose({ query_id: q.id }); root.scrollIntoView({ block: "start" }); } }, q.text)),
          h("td", { class: "era-number" }, q.before.toFixed(3)), h("td", { class: "era-number" }, q.after.toFixed(3)),
          h("td", { class: `era-number ${q.change > 0 ? "era-up" : q.change < 0 ? "era-down" : ""}` }, q.change ? signed(q.change, 3) : "="))))))));
}

function draw() {
  const held = document.activeElement && root.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  const isDetailOpen = root.querySelector(".era-overall details")?.open;
  fill(root, h("div", { class: "era-page era-wide" }, view.intro && h("p", { class: "era-intro" }, view.intro),
    controls(), notice(view.error), comparison(), overall()));
  if (isDetailOpen && root.querySelector(".era-overall details")) root.querySelector(".era-overall details").open = true;
  if (held) [...root.querySelectorAll("[aria-label]")].find((n) => n.getAttribute("aria-label") === held)?.focus({ preventScroll: true });
}

function receive() {
  const fresh = props.value;
  if (!fresh || !fresh.rankers) return;
  if (!view || fresh.query_id !== view.query_id) opened = null;
  view = fresh;
  isBusy = false;
  draw();
  if (root.offsetParent !== null) rememberInUrl(view.url);
}

watch("value", receive);
receive();
