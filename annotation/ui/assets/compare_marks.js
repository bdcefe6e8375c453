// Compare, marks: a mark made here goes through the judging desk, which keeps it until the database has it.

let own = {}; // document id -> { grade, unsure, note }: what this person said of the open query
let ownOf = null; // the query that `own` is of
let nMarks = 0; // marks made here so far; each is known by its place in them
const sent = new Map(); // "query document" -> { turn, grade, unsure, note, state, reason }: the latest mark made here

const nameOfGrade = (grade) => view.grades[Math.min(Math.round(grade), view.grades.length - 1)];
const signOfGrade = (grade) => (grade > 0 ? "\u2713".repeat(view.grades.length === 2 ? 1 : Math.min(Math.round(grade), 3)) : "\u2715");
const shownQuery = () => view.one?.query_id; // whose rows are drawn; another may have been asked for already
const sentOf = (docId) => sent.get(`${shownQuery()} ${docId}`);

// The rows are about to go: they take no marks.
const isLeaving = () => shownQuery() !== view.query_id || (isBusy && askedFor?.event === "try");

// What this person said, and what the row shows: the mark under way, else what counts, else that one is unsure.
const ownSaid = (docId) => sentOf(docId) || (ownOf === shownQuery() && own[docId]) || { grade: null, unsure: false, note: "" };

function standingOf(row) {
  const mine = sentOf(row.doc_id);
  const grade = mine && mine.state !== "refused" ? mine.grade : row.grade;
  return { grade: grade ?? null, isUnsure: grade === null && ownSaid(row.doc_id).unsure, state: mine?.state, reason: mine?.reason };
}

// A payload that was asked for after a mark was saved knows it.
function takeInMarks() {
  for (const [key, mark] of sent) if (mark.state === "saved") sent.delete(key);
  if (view.query_id && view.can_write) askServer("compare.own", { ...ids(), query_id: view.query_id });
}

hear("own", (answer) => {
  if (answer.error || !view || answer.query_id !== view.query_id || answer.label_set_id !== view.page.label_set_id) return;
  own = answer.said;
  ownOf = answer.query_id;
  drawOne();
});

// The side that a mark is made on: the one acted on if the document is ranked there, else one that shows it.
function sideOf(row) {
  const { sides } = view.one;
  const actedOn = current?.side in sides ? current.side : sides.length - 1;
  return row.ranks[actedOn] !== null ? actedOn : sides.findIndex((side) => side.results.some((each) => each.doc_id === row.doc_id));
}

function markHere(row, change) {
  if (!view.can_write || !shownQuery() || isLeaving()) return;
  const { grade, unsure, note } = { ...ownSaid(row.doc_id), ...change };
  const turn = nMarks += 1;
  const side = sideOf(row);
  sent.set(`${shownQuery()} ${row.doc_id}`, { turn, grade, unsure, note, state: "waiting" });
  drawOne();
  say("mark-elsewhere", { ...ids(), query_id: shownQuery(), query_hash: view.one.query_hash, doc_id: row.doc_id, title: row.title, grade, unsure, note, turn,
    rank: row.ranks[side], ranker: view.one.sides[side].key });
}

hear("marked-elsewhere", ({ query_id, doc_id, turn, state, reason }) => {
  const mark = sent.get(`${query_id} ${doc_id}`);
  if (!mark || !view || mark.turn !== turn) return; // of an earlier mark on the same document
  Object.assign(mark, { state, reason });
  if (state === "refused") { view.error = `This mark was not saved: ${reason}`; drawNotice(); }
  drawOne();
  if (state === "saved" && ![...sent.values()].some((each) => each.state === "waiting")) refresh();
});

function markLine(row) {
  const said = ownSaid(row.doc_id);
  const choice = (is, kind, sign, name, key, change) => h("button", {
    type: "button", class: `era-mark era-${kind}`, "aria-pressed": String(is), "aria-label": `${name}: ${row.title}`, title: `${name}, key ${key}`,
    "data-key": key, disabled: !view.can_write || isLeaving(), onclick: () => markHere(row, is ? { grade: null, unsure: false } : change),
  }, sign, h("span", { class: "era-key", "aria-hidden": "true" }, key));
  const { state, reason } = sentOf(row.doc_id) || {};
  const words = { waiting: "saving \u2026", saved: "saved", refused: `not saved: ${reason}` }[state] || (said.grade !== null || said.unsure ? "saved" : "");
  return h("div", { class: "era-marks", role: "group", "aria-label": "Your mark" },
    view.grades.map((name, grade) => choice(said.grade === grade, grade ? "yes" : "no", signOfGrade(grade), name, String(grade), { grade, unsure: false })).reverse(),
    choice(said.unsure, "unsure", "?", "unsure", "s", { grade: null, unsure: true }),
    h("span", { class: `era-saved${state === "refused" ? " era-warn" : ""}`, role: "status" }, words));
}
