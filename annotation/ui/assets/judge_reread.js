// The judging desk, the strong model: it reads the documents on top of a ranking and orders them anew.

let wantsReread = false; // the person switched it on; it stays on from one query to the next
let isReading = false; // documents are being read for the open query
let unread = null; // what is unread on top of the shown ranking: { n, seconds, is_paid, n_tokens, dollars } or { error }

const rankerOf = (key) => settings.rankers.find((ranker) => ranker.key === key || ranker.reread === key); // `reread`: the same with its top read anew
const isReread = (key) => rankerOf(key)?.reread === key;
const firstRanking = (key) => rankerOf(key)?.key ?? key;
const rereadOf = (key) => rankerOf(key)?.reread ?? key;

// What a ranking is asked for as: reread where that is switched on. The server leaves that out while something is unread.
const asSwitched = (key) => (wantsReread ? rereadOf(key) : key);

function rereadSwitch() {
  if (!view.can_write || !view.query.id) return null;
  return h("label", { class: "era-reread", title: t("reread.title") },
    h("input", { type: "checkbox", name: "reread", checked: wantsReread, onchange: (event) => switchReread(event.target.checked) }),
    ` ${t("reread.label", { top: view.n_reread })}`,
    h("span", { class: isReading ? "era-busy" : "era-quiet", role: "status" }, rereadWords()));
}

function rereadWords() {
  if (!unread) return "";
  if (unread.error) return ` \u00b7 ${unread.error}`;
  if (isReading) return ` \u00b7 ${t("reread.reading", { n: unread.n })}`;
  if (!unread.n) return "";
  const { n, is_paid: isPaid, n_tokens: tokens } = unread;
  const what = isPaid ? t("reread.sends", { n, tokens }) : t("reread.price", { n });
  return ` \u00b7 ${[what, isPaid ? costWords() : timeWords()].filter(Boolean).join(", ")}`;
}

function timeWords() {
  if (unread.seconds === null) return "";
  const seconds = Math.ceil(unread.seconds);
  return seconds <= 90 ? t("reread.seconds", { n: seconds }) : t("reread.minutes", { n: Math.round(seconds / 60) });
}

function costWords() {
  if (unread.dollars === null) return "";
  return unread.dollars < 0.01 ? t("reread.cent") : t("reread.cost", { dollars: unread.dollars.toFixed(2) });
}

function switchReread(isOn) {
  wantsReread = isOn;
  isReading = false;
  if (!isOn && isReread(view.ranker)) return openView("ranking", { ranker: firstRanking(view.ranker) });
  if (isOn && unread && !unread.error) goOn(true);
  else if (isOn) askUnread(false);
  return drawCards();
}

function askUnread(isSure) {
  askServer("judge.reread", { ...ids(), query_id: view.query.id, ranker: view.ranker, is_sure: isSure });
}

// Read on until nothing is unread, then show the ranking. What is paid for is read only where it was just switched on.
function goOn(isSure) {
  if (!unread.n) {
    isReading = false;
    openView("ranking", { ranker: rereadOf(view.ranker), phrase: view.phrase });
  } else if (unread.is_paid && !isSure) {
    wantsReread = false;
  } else {
    isReading = true;
    askUnread(true);
  }
}

// Another ranking or query is about to be shown.
function meetRanking() {
  isReading = false;
  unread = null;
  if (view.view !== "ranking" || !view.query.id || !view.can_write) return;
  if (isReread(view.ranker)) wantsReread = true;
  else askUnread(false);
}

hear("reread", (answer) => {
  if (!view || view.view !== "ranking" || isReread(view.ranker)) return;
  if (answer.query_id !== view.query.id || answer.label_set_id !== view.page.label_set_id || (answer.ranker ?? view.ranker) !== view.ranker) return;
  const wasReading = isReading;
  unread = answer;
  if (answer.error) wantsReread = isReading = false;
  else if (wantsReread && !isSearching) goOn(wasReading);
  drawUnfolded();
});
