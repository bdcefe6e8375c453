// The judging desk, marks: one shows at once, is "saved" only when the database has it, and is sent again until then.

let undoable = []; // acts, the latest at the end: [{ client_id, sequence, query_id, doc_id, before, is_adjudication }]
const settlements = []; // acts likewise that settled conflicts since the page was opened, whatever list came after them
let othersWaiting = 0; // marks of other people that wait in this browser
let lastSaved = null; // which document was marked how, "" if it is not shown any more; null before the first mark
let wasTrouble = false; // whether marks were slow to be saved when the status was drawn last
const SILENT = { grade: null, unsure: false, note: "" };

// Whether what is pressed on a document settles it for all; the card says so.
const cardOf = (queryId, docId) => view.cards.find((card) => card.query_id === queryId && card.doc_id === docId);
const isSettling = (queryId, docId) => view.view === "conflicts" || (view.view === "again" && Boolean(cardOf(queryId, docId)?.is_adjudication));
const waitingOf = (queryId, docId) => outbox.last(view.page.label_set_id, queryId, docId, isSettling(queryId, docId));
const saidOf = (queryId, docId) => {
  const entry = waitingOf(queryId, docId);
  if (entry) return { grade: entry.grade, unsure: entry.unsure, note: entry.note };
  return (isSettling(queryId, docId) ? view.settled : view.said)[queryId]?.[docId] || SILENT;
};
const hasSaid = (said) => said.grade !== null || said.unsure;
// Asked to look at a mark again, the same grade, given again, is an answer: it keeps the mark, also for another text.
const isAskedAgain = (card) => view.view === "again" && !card.is_answered;
const isSame = (a, b) => a.grade === b.grade && a.unsure === b.unsure && a.note === b.note;

// Say something of the documents that a card stands for, in one act. A mark belongs to the query that its card was drawn
// for; a card that has gone, or is about to, takes none.
function mark(drawn, change) {
  const place = drawn ? placeOf(drawn) : -1;
  if (place < 0 || isGoing()) return false;
  const card = view.cards[place];
  if (!view.can_write) return complain(t("marks.sign_in"));
  if (view.must_acknowledge) return showGuidelines(true), false;
  const seconds = Math.max(0, Math.min((Date.now() - focusedAt) / 1000, 600)); // a clock may be set back
  const docs = [card, ...card.duplicates];
  const act = [];
  for (const doc of docs) {
    const before = saidOf(card.query_id, doc.doc_id);
    const now = { ...before, ...change };
    if (isSame(before, now) && !(isAskedAgain(card) && "grade" in change && hasSaid(now))) continue;
    const isLead = doc === card;
    const entry = outbox.add({
      ...ids(), person: view.person, made_at: Date.now(), query_id: card.query_id, query_hash: card.query_hash, doc_id: doc.doc_id, ...now,
      rank: isLead ? card.rank : null, ranker: card.why?.code === "drawn" ? "again-drawn" : listName(), seconds: isLead && card.query_id ? seconds : null,
      together_with: isLead ? "" : card.doc_id, is_adjudication: isSettling(card.query_id, doc.doc_id), content_hash: doc.content_hash,
    });
    const { client_id, sequence, is_adjudication, label_set_id, person } = entry;
    act.push({ client_id, sequence, query_id: card.query_id, doc_id: doc.doc_id, before, is_adjudication, label_set_id, person });
  }
  if (!act.length) return false;
  if (act[0].is_adjudication) settlements.push(act);
  if (view.view !== "conflicts") undoable.push(act);
  card.is_answered = true;
  focusedAt = Date.now();
  redrawCard(place);
  drawStatus();
  return true;
}

const listName = () => (view.view === "ranking" ? view.ranker : view.view);

// What `u` takes back here: on the list of conflicts what was settled, also before another list was looked at.
function latestAct() {
  if (view.view !== "conflicts") return undoable.at(-1);
  return settlements.findLast(([each]) => each.label_set_id === view.page.label_set_id && each.person === view.person);
}

function forgetActs(isGone) {
  undoable = undoable.filter((act) => !isGone(act));
  settlements.splice(0, settlements.length, ...settlements.filter((act) => !isGone(act)));
}

function undo() {
  const act = latestAct();
  if (!act) return;
  forgetActs((each) => each === act);
  for (const { client_id, sequence, query_id, doc_id, before, is_adjudication } of act) {
    outbox.add({ ...ids(), person: view.person, made_at: Date.now(), query_id, doc_id, ...before, rank: null, ranker: listName(),
      seconds: null, together_with: "", is_adjudication: Boolean(is_adjudication), undoes: [client_id, sequence] });
    const place = view.cards.findIndex((card) => card.query_id === query_id && card.doc_id === doc_id);
    if (place >= 0) { view.cards[place].is_answered = false; redrawCard(place); setFocus(place, true); }
  }
  drawStatus();
}

function complain(text) {
  view.error = text;
  drawCards();
  return false;
}

hear("saved", (saved) => {
  if (!view || !String(saved.batch).startsWith(clientId)) return;
  const sent = outbox.underWay?.batch === saved.batch ? outbox.underWay.entries : [];
  const latest = sent.at(-1);
  const isHere = latest?.label_set_id === view.page.label_set_id; // if not, nothing on this desk has changed
  const refused = outbox.answered(saved);
  sent.filter((entry) => saved.stored?.includes(nameOf(entry))).forEach(forgetSaved);
  if (saved.error || !(isHere || refused.length)) return void drawStatus();
  if (isHere) {
    Object.assign(view.said, saved.said);
    for (const [queryId, settled] of Object.entries(saved.settled || {})) view.settled[queryId] = { ...view.settled[queryId], ...settled };
    if (view.view !== "conflicts") Object.assign(view.revealed, saved.revealed);
  }
  if (saved.stored?.length) {
    if (isNewHere) { isNewHere = false; storage.setItem("era-has-judged", "yes"); form.querySelector(".era-intro")?.remove(); }
    const isShown = latest && view.cards.some((card) => card.query_id === latest.query_id && docsOf(card).includes(latest.doc_id));
    lastSaved = isShown ? `${titleOf(latest.query_id, latest.doc_id)} ${inWords(latest)}` : "";
  }
  if (refused.length) {
    const undone = new Set(refused.map(nameOf));
    forgetActs((act) => act.some((each) => undone.has(nameOf(each))));
    for (const entry of refused) {
      const card = cardOf(entry.query_id, entry.doc_id);
      if (card) card.is_answered = false;
    }
    view.error = t("marks.refused", { reason: refused[0].reason, title: titleOf(refused[0].query_id, refused[0].doc_id) });
    drawCards();
  }
  const wasFinished = view.is_finished;
  if (isHere && saved.finished && view.query.id in saved.finished) view.is_finished = saved.finished[view.query.id];
  for (const [queryId, progress] of Object.entries((isHere && saved.progress) || {})) updateProgress(Number(queryId), progress, saved.as_of);
  if (view.is_finished !== wasFinished) {
    drawCards();
    results.querySelector(".era-finished")?.scrollIntoView({ block: "nearest" });
  } else view.cards.forEach((card, place) => saved.said?.[card.query_id] && redrawCard(place));
  drawStatus();
  if (isHere) afterSaving(saved);
});

// A mark made on another tab goes the same way as the desk's own; who made it is told what became of it.
const elsewhere = new Map(); // name of a delivery -> { query_id, doc_id, turn }
const tellElsewhere = (about, state, reason = "") => say("marked-elsewhere", { ...about, state, reason });

hear("mark-elsewhere", ({ collection_id, label_set_id, query_id, query_hash, doc_id, grade, unsure, note, rank, ranker, turn }) => {
  const about = { query_id, doc_id, turn };
  if (!view || !view.can_write) return tellElsewhere(about, "refused", t("marks.sign_in"));
  if (view.must_acknowledge) return tellElsewhere(about, "refused", t("guidelines.read_once"));
  const before = label_set_id === view.page.label_set_id ? saidOf(query_id, doc_id) : SILENT;
  const entry = outbox.add({ collection_id, label_set_id, person: view.person, made_at: Date.now(), query_id, query_hash, doc_id, grade, unsure, note,
    rank, ranker, seconds: null, together_with: "", is_adjudication: false });
  elsewhere.set(nameOf(entry), about);
  if (query_id === view.query.id && view.view !== "conflicts") undoable.push([{ client_id: entry.client_id, sequence: entry.sequence, query_id, doc_id, before }]);
  const place = view.cards.findIndex((card) => card.query_id === query_id && card.doc_id === doc_id);
  if (place >= 0) redrawCard(place);
  drawStatus();
  tellElsewhere(about, "waiting");
});

hear("saved", (saved) => {
  for (const name of saved.stored || []) if (elsewhere.has(name)) tellElsewhere(elsewhere.get(name), "saved");
  for (const [name, reason] of Object.entries(saved.refused || {})) if (elsewhere.has(name)) tellElsewhere(elsewhere.get(name), "refused", reason);
  for (const name of [...(saved.stored || []), ...Object.keys(saved.refused || {})]) elsewhere.delete(name);
});

const titleOf = (queryId, docId) =>
  view.cards.flatMap((card) => [card, ...card.duplicates]).find((doc) => doc.doc_id === docId)?.title || docId;

function inWords(said) {
  if (said.unsure) return t("marks.unsure");
  return said.grade === null ? t("marks.taken_back") : gradeName(said.grade);
}

function drawStatus() {
  if (!view) return;
  const { n, nMarked, nRelevant } = countDocuments(view.cards);
  const nWaiting = outbox.waiting.length;
  drawLead();
  const isOffline = navigator.onLine === false;
  let words = "";
  if (nWaiting && isOffline) words = t("status.offline", { n: nWaiting });
  else if (nWaiting && outbox.problem) words = t("status.problem", { n: nWaiting, reason: outbox.problem });
  else if (outbox.isSlow) words = t("status.slow", { n: nWaiting });
  else if (nWaiting) words = t("status.saving");
  else if (lastSaved !== null) words = `${t("status.saved")}  ${lastSaved}`;
  const isTrouble = Boolean(nWaiting && (isOffline || outbox.problem || outbox.isSlow));
  if (isTrouble !== wasTrouble) { // the cards say it too
    wasTrouble = isTrouble;
    view.cards.forEach((card, place) => waitingOf(card.query_id, card.doc_id) && redrawCard(place));
  }
  fill(status,
    h("span", { class: isTrouble ? "era-warn" : "" }, words),
    latestAct() ? h("button", { type: "button", class: "era-link", onclick: undo, title: t("keys.undo") }, `${t("marks.undo")} u`) : null,
    h("span", { class: "era-grow" }),
    othersWaiting ? h("span", { class: "era-warn" }, t("status.others_waiting", { n: othersWaiting })) : null,
    n ? h("span", {}, t("status.marked", { done: nMarked, n, relevant: nRelevant })) : null,
  );
}

window.addEventListener("beforeunload", (event) => {
  if (outbox.waiting.length && !isStorageReal) event.preventDefault(); // nowhere to keep them
});
