// The judging desk, drafts: a text that is being written stays in this browser until it is saved or discarded.

const writing = new Set(); // cards whose note is open for writing
const draftName = (person, ...about) => `era-draft-${JSON.stringify([person, ...about])}`;
const noteName = ({ person, label_set_id, query_id, doc_id }) => draftName(person, label_set_id, query_id, doc_id);
const needName = (queryId) => draftName(view.person, "need", queryId);
const nameOfNote = (card) => noteName({ ...card, person: view.person, label_set_id: view.page.label_set_id });

// Keep what is written, unless it is what is saved already.
function keepDraft(name, text, saved) {
  if (text.trim() === saved) storage.removeItem(name);
  else storage.setItem(name, text);
}

function draftUnlike(name, saved) {
  const text = storage.getItem(name);
  return text === null || text.trim() === saved ? null : text;
}

// What is written and not saved; null if there is nothing.
const noteDraft = (card) => draftUnlike(nameOfNote(card), saidOf(card.query_id, card.doc_id).note);
const needDraft = () => draftUnlike(needName(view.query.id), view.query.need);

// The database has a note: the draft it was is no longer needed.
function forgetSaved(entry) {
  if (storage.getItem(noteName(entry))?.trim() === entry.note) storage.removeItem(noteName(entry));
}

function noteLine(card) {
  const { note } = saidOf(card.query_id, card.doc_id);
  const draft = noteDraft(card);
  if (writing.has(keyOf(card))) return noteForm(card, draft ?? note);
  const edit = view.can_write && h("button", { type: "button", class: "era-link", onclick: () => openNote(card) }, t("note.edit"));
  return [
    note ? h("p", { class: "era-own-note" }, note, draft === null && edit) : null,
    draft === null || !view.can_write ? null : h("p", { class: "era-own-note era-draft" }, h("span", { class: "era-label" }, `${t("note.draft")} `), draft.trim() || t("note.draft_empty"),
      h("button", { type: "button", class: "era-link", onclick: () => saveNote(card) }, t("note.save")), edit,
      h("button", { type: "button", class: "era-link", onclick: () => discardNote(card) }, t("note.discard"))),
  ];
}

function noteForm(card, text) {
  const box = h("textarea", { rows: 2, maxlength: 2000, "data-note": keyOf(card), "aria-label": t("note.label", { title: card.title }), placeholder: t("note.hint"),
    value: text, oninput: () => keepDraft(nameOfNote(card), box.value, saidOf(card.query_id, card.doc_id).note),
    onkeydown: (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); saveNote(card); }
      if (event.key === "Escape") { event.stopPropagation(); closeNote(card); }
    } });
  return h("div", { class: "era-note-form" }, box, h("div", { class: "era-row" },
    h("button", { type: "button", class: "era-button", onclick: () => saveNote(card) }, t("note.save")),
    h("button", { type: "button", class: "era-link", onclick: () => discardNote(card) }, t("note.discard")),
    h("span", { class: "era-quiet" }, t("note.keys"))));
}

function openNote(card) {
  if (!card || !view.can_write) return;
  writing.add(keyOf(card));
  redrawCard(placeOf(card));
  const box = results.querySelector(`[data-place="${placeOf(card)}"] .era-note-form textarea`);
  box?.focus();
  box?.setSelectionRange(box.value.length, box.value.length);
}

function closeNote(card) {
  writing.delete(keyOf(card));
  redrawCard(placeOf(card));
  focusCard();
}

// The draft goes once the database has the note, so that a note that is refused is still there.
function saveNote(card) {
  const draft = noteDraft(card);
  writing.delete(keyOf(card));
  if (draft === null || !mark(card, { note: draft.trim() })) redrawCard(placeOf(card));
  focusCard();
}

function discardNote(card) {
  storage.removeItem(nameOfNote(card));
  closeNote(card);
}
