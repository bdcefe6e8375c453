// The judging desk, continued. A mark shows at once, is "saved" only when the database has it, and is sent again until then.

function mark(place, grade) {
  const result = view.results[place];
  if (!result || !view.query.id) return;
  if (!view.can_write) return void ((view.error = "Sign in to save marks; searching and comparing work without."), drawResults());
  const before = markOf(result.doc_id);
  if (before === grade) return;
  undoable.push({ query: view.query.id, doc: result.doc_id, grade: before });
  send(result.doc_id, grade, result.rank);
}

function send(docId, grade, rank) {
  sequence += 1;
  const earlier = pending.get(docId);
  const entry = { grade, sequence, before: earlier ? earlier.before : markOf(docId), tries: 0,
    event: { ...ids(), query_id: view.query.id, doc_id: docId, grade, rank, ranker: view.shown_ranker, client_id: clientId, sequence } };
  pending.set(docId, entry);
  deliver(entry);
  redrawCard(docId);
  drawStatus();
}

function deliver(entry) {
  entry.tries += 1;
  entry.sentAt = Date.now();
  trigger("judge", entry.event);
}

setInterval(() => {
  for (const entry of pending.values()) {
    if (Date.now() - entry.sentAt > 4000) {
      deliver(entry);
      redrawCard(entry.event.doc_id);
      drawStatus();
    }
  }
}, 1000);

hear("saved", (saved) => {
  if (!view || saved.client_id !== clientId) return;
  if (saved.error) {
    const entry = pending.get(saved.doc_id);
    if (entry && entry.sequence === saved.sequence) {
      pending.delete(saved.doc_id);
      view.error = `${saved.error} (${saved.doc_id} was not marked.)`;
      drawResults();
    }
    return;
  }
  isNewHere = false;
  localStorage.setItem("era-has-judged", "yes");
  const isCurrent = saved.query_id === view.query.id;
  if (isCurrent) view.marks = saved.grades;
  for (const [docId, entry] of [...pending]) {
    if (entry.event.query_id === saved.query_id && (saved.sequences[docId] || 0) >= entry.sequence) {
      pending.delete(docId);
      lastSaved = { doc: docId, grade: entry.grade };
    }
    if (isCurrent) redrawCard(docId);
  }
  const listed = view.queries.find((query) => query.id === saved.query_id);
  if (listed) {
    listed.relevant = Object.values(saved.grades).filter((grade) => grade > 0).length;
    listed.not_relevant = Object.keys(saved.grades).length - listed.relevant;
    drawQueries();
  }
  drawStatus();
});

function undo() {
  const last = undoable.pop();
  if (!last) return;
  if (last.query !== view.query.id) return void (undoable = []);
  const result = view.results.find((r) => r.doc_id === last.doc);
  send(last.doc, last.grade, result ? result.rank : null);
  if (result) setFocus(result.rank - 1);
}

function drawStatus() {
  const grades = Object.fromEntries(Object.entries(view.marks));
  for (const [docId, entry] of pending) if (entry.event.query_id === view.query.id) grades[docId] = entry.grade;
  const values = Object.values(grades).filter((grade) => grade !== null);
  const nRelevant = values.filter((grade) => grade > 0).length;
  const slow = [...pending.values()].some((entry) => entry.tries > 1);
  const what = lastSaved && (gradeOf(lastSaved.grade)?.name || "mark taken back");
  fill(status,
    h("span", { class: slow ? "era-warn" : "" },
      slow ? "Not saved yet, trying again. Keep this page open."
        : pending.size ? "saving \u2026" : lastSaved ? `saved \u2713  ${lastSaved.doc} ${what}` : ""),
    undoable.length && undoable[undoable.length - 1].query === view.query.id
      ? h("button", { type: "button", class: "era-link", onclick: undo, title: "Undo the last mark (u)" }, "undo u") : null,
    h("span", { class: "era-grow" }),
    view.query.id && h("span", {}, `${values.length} judged \u00b7 ${nRelevant} relevant`,
      nRelevant ? " \u00b7 enough to learn from this query" : values.length ? " \u00b7 one relevant document makes it count" : ""),
  );
}
