// Compare, the strong model: it reads the documents on top of a side and orders them anew.

let isReading = false; // documents are being read for what is compared

function rereadSwitch(i) {
  const { key, reread } = rankerOf(view.sides[i]);
  return h("label", { class: "era-reread", title: `The strong model reads the first ${view.n_reread} documents of this ranking and orders them anew. What it has read is kept, so it reads each document once` },
    h("input", { type: "checkbox", "aria-label": `${SIDE_NAMES[i]}: strong model reads the top ${view.n_reread}`, checked: view.sides[i] === reread,
      onchange: (event) => chooseSide(i, event.target.checked ? reread : key) }), ` strong model reads the top ${view.n_reread}`);
}

function rereadLine() {
  const { n } = view.unread;
  if (!n) return null;
  if (isReading) return h("div", { class: "era-row" }, h("p", { class: "era-busy era-grow", role: "status" }, `The strong model reads; ${many(n, "document")} left.`),
    link("Stop", stopReading, { title: "What was read so far is kept" }));
  return h("p", { class: "era-quiet" }, `The strong model has to read ${many(n, "document")} on top of what is compared, for the open query and all judged ones; ${priceOf(view.unread)}. `,
    view.can_write ? link("Let it read them", readOn) : "Sign in to let it read them.");
}

function priceOf({ seconds, is_paid: isPaid, n_tokens: nTokens, dollars }) {
  if (!isPaid) {
    if (seconds === null) return "how long that takes is not known yet";
    return `that takes about ${seconds <= 90 ? many(Math.ceil(seconds), "second") : many(Math.round(seconds / 60), "minute")}`;
  }
  const cost = dollars === null ? "" : dollars < 0.01 ? ", less than a cent" : `, about $${dollars.toFixed(2)}`;
  return `the endpoint is sent about ${many(nTokens, "token")}${cost}`;
}

function readOn() {
  isReading = true;
  drawControls();
  askServer("compare.reread", lookedAt());
}

function stopReading() {
  isReading = false;
  drawControls();
}

hear("reread-sides", (answer) => {
  if (!view || !isReading || answer.label_set_id !== view.page.label_set_id) return;
  if (answer.error) { view.error = answer.error; drawNotice(); return stopReading(); }
  if (answer.sides.join("~") !== view.sides.join("~")) return stopReading();
  const isOpenReady = view.unread.n_first && !answer.n_first;
  view.unread = answer;
  if (answer.n) readOn();
  else stopReading();
  if (isOpenReady || !answer.n) refresh(); // what can be ranked by now is shown
});
