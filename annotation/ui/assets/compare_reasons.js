// Compare, reasons: why a document moved, as shares of the queries that the training run learned from.

let reasons = null; // the answer for the open document, or { doc_id, isAsked } until it comes

function askWhy(docId) {
  opened = docId;
  reasons = { doc_id: docId, isAsked: true };
  drawOne();
  oneBox.querySelector(".era-opened")?.scrollIntoView({ block: "nearest" });
  trigger("why", { ...lookedAt(), doc_id: docId });
}

hear("why", (answer) => {
  if (!view || answer.query_id !== view.query_id || reasons?.doc_id !== (answer.doc_id ?? reasons?.doc_id)) return;
  reasons = { ...answer, doc_id: reasons.doc_id };
  drawOne();
});

const MARK_WORDS = (mark) => `${mark.grade > 0 ? "\u2713" : "\u2715"} ${mark.title}`;

function bar(amount, largest) {
  const width = largest ? (Math.abs(amount) / largest) * 100 : 0;
  return h("span", { class: "era-bar", "aria-hidden": "true" }, h("span", { class: amount < 0 ? "era-bar-down" : "era-bar-up", style: `width: ${width.toFixed(1)}%` }));
}

function share(label, amount, largest, more = null) {
  return h("li", {}, h("span", { class: "era-share-label" }, label, more),
    h("span", { class: "era-number" }, signed(amount, 3)), bar(amount, largest));
}

function sideReasons(side) {
  const parts = side.parts || [];
  const rest = [["the parts of the query counting differently", side.weighing], ["matching words", side.words], ["all other queries together", side.others]]
    .filter(([, amount]) => typeof amount === "number" && Math.abs(amount) >= 0.0005);
  const largest = Math.max(...parts.map((part) => Math.abs(part.amount)), ...rest.map(([, amount]) => Math.abs(amount)), 0);
  const place = (rank) => (rank === null || rank === undefined ? "below 100" : `place ${rank}`);
  return h("div", { class: "era-reasons" },
    h("h4", {}, side.label, typeof side.after === "number" && h("span", { class: "era-quiet", title: "Score and place by the aligned ranking, and here" },
      ` ${decimals(side.before)} (${place(side.rank_before)}) \u2192 ${decimals(side.after)} (${place(side.rank_after)})`)),
    side.text && side.text !== reasons.words && h("p", {}, side.text),
    parts.length + rest.length ? h("ul", { class: "era-shares" },
      parts.map((part) => share(
        part.query_id ? link(part.query, () => choose({ query_id: part.query_id }), { class: "era-link era-left", title: part.instruction || "Open this query" }) : part.query,
        part.amount, largest,
        part.marks?.length ? h("span", { class: "era-quiet" }, part.marks.map(MARK_WORDS).join(" \u00b7 ")) : null)),
      rest.map(([label, amount]) => share(label, amount, largest))) : null);
}

function whyLines() {
  if (reasons.isAsked) return h("p", { class: "era-busy", role: "status" }, "Finding out why \u2026");
  if (reasons.error) return notice(reasons.error);
  return h("div", { class: "era-why-answer", role: "status" },
    h("p", {}, h("strong", {}, reasons.words)),
    reasons.sides.map(sideReasons),
    reasons.sides.some((side) => side.parts?.length) && h("p", { class: "era-quiet" },
      "Each amount is what the marks of that query add to the score of this document, compared with the other documents near the top. "
      + "So the amounts are relative to those documents, and need not add up to the change of the score."));
}
