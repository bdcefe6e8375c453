// Compare, reasons: why a document moved against the first side, as shares that add up to the change of its score.

let reasons = null; // the answer for the open document, or { doc_id, isAsked } until it comes

function askWhy(docId) {
  opened = docId;
  reasons = { doc_id: docId, isAsked: true };
  drawOne();
  oneBox.querySelector(".era-opened")?.scrollIntoView({ block: "nearest" });
  askServer("compare.why", { ...lookedAt(), doc_id: docId });
}

hear("why", (answer) => {
  if (!view || answer.query_id !== view.query_id || reasons?.doc_id !== (answer.doc_id ?? reasons?.doc_id)) return;
  reasons = { ...answer, doc_id: reasons.doc_id };
  drawOne();
});

const MARK_WORDS = (mark) => `${mark.grade > 0 ? "\u2713" : "\u2715"} ${mark.title}`;

// The shape says which way an amount moves the document, the colour whether that helps.
function bar(amount, largest, row) {
  const width = largest ? (Math.abs(amount) / largest) * 100 : 0;
  const way = amount < 0 ? "era-bar-down" : "era-bar-up";
  return h("span", { class: "era-bar", "aria-hidden": "true" }, h("span", { class: `${way} ${EFFECTS[effectOf(row, amount)].css}`, style: `width: ${width.toFixed(1)}%` }));
}

function sideReasons(side) {
  const row = findRow(reasons.doc_id);
  const { change } = side;
  const amounts = change ? [...change.parts, ...change.more] : [];
  const largest = Math.max(...amounts.map(({ amount }) => Math.abs(amount)), 0);
  const place = (rank) => (rank === null ? "below 100" : `place ${rank}`);
  const name = (part) => (part.query_id ? link(part.query, () => choose({ query_id: part.query_id }), { class: "era-link era-left", title: part.instruction || "Open this query" }) : part.label);
  return h("div", { class: "era-reasons" },
    h("h4", {}, side.label, change && h("span", { class: "era-quiet", title: `Score and place in \u201c${labelOf(view.sides[0])}\u201d, and here` },
      ` ${decimals(change.before)} (${place(side.rank_before)}) \u2192 ${decimals(change.after)} (${place(side.rank_after)})`)),
    side.text !== reasons.words && h("p", {}, side.text),
    amounts.length ? h("ul", { class: "era-shares" },
      amounts.map((part) => h("li", {},
        h("span", { class: "era-share-label" }, name(part), part.marks?.length ? h("span", { class: "era-quiet" }, part.marks.map(MARK_WORDS).join(" \u00b7 ")) : null),
        h("span", { class: "era-number" }, signed(part.amount, 3)), bar(part.amount, largest, row))),
      h("li", { class: "era-share-total" }, h("span", { class: "era-share-label" }, "together: the change of its score"), h("span", { class: "era-number" }, signed(change.total, 3)))) : null);
}

function whyLines() {
  if (reasons.isAsked) return h("p", { class: "era-busy", role: "status" }, "Finding out why \u2026");
  if (reasons.error) return notice(reasons.error);
  return h("div", { class: "era-why-answer", role: "status" },
    h("p", {}, h("strong", {}, reasons.words)),
    reasons.sides.map(sideReasons),
    reasons.sides.some((side) => side.change) && h("p", { class: "era-quiet" },
      "These are shares of the change of its score, not causes. They add up exactly, but training again without a query took away only about two thirds of its share "
      + "in our measurements, in single runs a quarter to all of it. The share of a query is what the marks on it add to the score of this document, less what they add "
      + "on average to all documents near the top; what these have in common moves none of them, so it stands by itself."));
}
