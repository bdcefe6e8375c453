// The judging desk, one document in full: text with the query's words and the sentence closest to the query, and facts.

const reader = h("dialog", { class: "era-dialog era-reader" });
root.append(reader);
let lastRead = null; // what the server found out: { doc_id, closest: [start, end] | null, metadata }

const readOf = (card) => (lastRead?.doc_id === card.doc_id && lastRead.query_id === card.query_id ? lastRead : null);

function openReader(place) {
  const card = view.cards[place];
  if (!card) return;
  if (!readOf(card)) {
    askServer("judge.read", { ...ids(), query_id: card.query_id, doc_id: card.doc_id, ranker: view.ranker });
  }
  drawReader();
  if (!reader.open) reader.showModal();
  reader.scrollTop = 0;
}

function fullText(card) {
  const range = readOf(card)?.closest;
  if (!range) return textWithTerms(card.text, termsOf(card));
  const [start, end] = range;
  return [...textWithTerms(card.text.slice(0, start), termsOf(card)),
    h("span", { class: "era-closest", title: t("reader.closest") }, textWithTerms(card.text.slice(start, end), termsOf(card))),
    ...textWithTerms(card.text.slice(end), termsOf(card))];
}

function drawReader() {
  const card = view.cards[focused];
  if (!card) return;
  const facts = [[t("reader.id"), card.doc_id], ...Object.entries(readOf(card)?.metadata || {})];
  reader.setAttribute("aria-label", card.title);
  fill(reader,
    h("div", { class: "era-row" }, h("h2", { class: "era-grow" }, textWithTerms(card.title, termsOf(card))),
      h("button", { type: "button", class: "era-link", "aria-label": t("dialog.close"), onclick: closeReader }, "\u2715 Esc")),
    h("p", { class: "era-quiet" }, card.query_text || view.query.text),
    h("div", { class: "era-row era-reader-marks" }, h("div", { class: "era-marks", role: "group", "aria-label": t("marks.group") }, markButtons(card, focused)),
      h("span", { class: "era-quiet" }, t("reader.keys"))),
    h("p", { class: "era-full-text" }, fullText(card)),
    readOf(card)?.closest && h("p", { class: "era-quiet" }, h("span", { class: "era-closest" }, "\u00a0\u00a0\u00a0"), ` ${t("reader.closest")}`),
    h("dl", { class: "era-facts" }, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
  reader.querySelectorAll("[data-key]").forEach((button) => button.addEventListener("click", drawReader));
}

const closeReader = () => reader.close();
reader.addEventListener("close", () => focusCard(true)); // also when Escape closed it

hear("document", (answer) => {
  if (answer.error) return;
  lastRead = answer;
  if (reader.open && view?.cards[focused] && readOf(view.cards[focused])) {
    drawReader();
    reader.querySelector(".era-full-text .era-closest")?.scrollIntoView({ block: "nearest" });
  }
});
