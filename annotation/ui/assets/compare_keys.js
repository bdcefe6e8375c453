// Compare, keys: they act on the row that has the focus, sleep while somebody types, and leave buttons their own.

const KEY_STEPS = { ArrowDown: [0, 1], j: [0, 1], ArrowUp: [0, -1], k: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

function focusRow(side, docId) {
  const node = [...oneBox.querySelectorAll(`.era-ranking[data-side="${side}"] li[data-doc]`)].find((each) => each.dataset.doc === docId);
  if (!node) return;
  oneBox.querySelectorAll(`.era-ranking[data-side="${side}"] .era-title`).forEach((title) => { title.tabIndex = -1; });
  const title = node.querySelector(".era-title");
  title.tabIndex = 0;
  title.focus({ preventScroll: true });
  node.scrollIntoView({ block: "nearest", inline: "nearest" });
}

// In its own list one row up or down; into the neighbouring list at the same document, or else at the same height.
function stepRow(across, down) {
  const { side, doc } = current;
  const here = rowsOf(view.one.sides[side]);
  const place = here.findIndex((row) => row.doc_id === doc);
  const target = side + across;
  if (!view.one.sides[target]) return;
  const rows = rowsOf(view.one.sides[target]);
  const next = across ? rows.find((row) => row.doc_id === doc) || rows[Math.min(place, rows.length - 1)] : rows[place + down];
  if (!next) return;
  if (opened && opened !== next.doc_id) openDocument(next.doc_id);
  focusRow(target, next.doc_id);
}

document.addEventListener("keydown", (event) => {
  if (!view || root.offsetParent === null || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.isComposing) return;
  const { key } = event;
  if (isTyping()) {
    if (key === "Escape") document.activeElement.blur();
    return;
  }
  if (keepDialog.open) return;
  const act = (action) => { event.preventDefault(); if (!event.repeat || key in KEY_STEPS) action(); };
  if (isBlind) {
    const action = blindKeys()[key];
    if (action) act(action);
    return;
  }
  if (key === "[") return act(() => stepQuery(-1));
  if (key === "]") return act(() => stepQuery(1));
  if (!view.one) return;
  const active = document.activeElement;
  const isOnRow = Boolean(active?.closest?.(".era-ranking li"));
  const isInDocument = Boolean(active?.closest?.(".era-opened"));
  if (key === "Escape" && opened) {
    return act(() => { const back = current; openDocument(null); if (back) focusRow(back.side, back.doc); });
  }
  if (!isOnRow && !isInDocument) {
    const rows = rowsOf(view.one.sides.at(-1));
    if ((key === "j" || key === "k") && rows.length) act(() => focusRow(view.one.sides.length - 1, rows[0].doc_id));
    return;
  }
  if (isOnRow && current && KEY_STEPS[key]) return act(() => stepRow(...KEY_STEPS[key]));
  const docId = isInDocument ? opened : current?.doc;
  const row = docId && findRow(docId);
  if (!row) return;
  if (key === "w") return act(() => askWhy(docId));
  if (key === "o") return act(() => openDocument(opened === docId ? null : docId));
  if (key === "s") return act(() => markHere(row, { grade: null, unsure: true }));
  if (key === "c") return act(() => markHere(row, { grade: null, unsure: false }));
  if (/^\d$/.test(key) && Number(key) < view.grades.length) act(() => markHere(row, { grade: Number(key), unsure: false }));
});
