// The judging desk, keys: they sleep while somebody types, and leave buttons and links their own.

document.addEventListener("keydown", (event) => {
  if (!view || root.offsetParent === null || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.isComposing) return;
  if (isTyping()) {
    if (event.key === "Escape") document.activeElement.blur();
    return;
  }
  if (guidelinesDialog.open || importDialog.open) return;
  const isOnButton = document.activeElement?.closest?.("button, a, summary, [role=tab]");
  if (event.key === "Enter" && isOnButton) return;
  const judgeHere = (change) => {
    if (isGoing()) return;
    if (!mark(view.cards[focused], change) && !hasSaid(saidOf(view.cards[focused]?.query_id, view.cards[focused]?.doc_id))) return;
    const isReviewed = OVER_QUERIES.includes(view.view); // there the next card may be judged already
    const next = isReviewed ? focused + 1 : firstOpen(focused + 1);
    if (next !== null) setFocus(next, !reader.open);
    else focusCard();
    if (reader.open) openReader(focused);
  };
  const step = (by) => { setFocus(focused + by, !reader.open); if (reader.open) openReader(focused); };
  const actions = {
    s: () => judgeHere({ grade: null, unsure: true }),
    c: () => { mark(view.cards[focused], { grade: null, unsure: false }); if (reader.open) drawReader(); },
    j: () => step(1), k: () => step(-1),
    o: () => (reader.open ? closeReader() : openReader(focused)),
    n: () => { if (reader.open) closeReader(); openNote(view.cards[focused]); },
    u: () => { undo(); if (reader.open) drawReader(); },
    m: askUseful, Enter: nextQuery,
    "/": () => form.querySelector("textarea[name=query]").focus(),
    "?": toggleHelp,
  };
  view.setup.grades.forEach((_, grade) => { actions[String(grade)] = () => judgeHere({ grade, unsure: false }); });
  const action = actions[event.key];
  if (!action || (reader.open && ["m", "Enter", "/", "?"].includes(event.key))) return;
  event.preventDefault();
  if (event.repeat && event.key !== "j" && event.key !== "k") return; // a key held down is one mark
  action();
});
