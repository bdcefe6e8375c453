// Compare, blind: two unnamed lists for one query after the other, and which of them a person prefers.

let blindPair = null; // the two sides that are judged blind
let pairAt = null; // the lists on the screen, as the server answered
let pairSince = 0; // when they were shown
let skipped = []; // queries put off in this round
let blindState = ""; // "asking", "saving" or ""
let blindError = "";
let results = null; // what has been preferred so far
let areResultsOpen = false;
let blindTurn = 0; // of the latest question or answer of a round; what is said to an earlier one is ignored
let resultsTurn = 0; // of the latest question for results
let nTurns = 0;
const unanswered = new Map(); // turn -> { event, data, at, patience } what the server has not answered yet
const BLIND_PATIENCE_MS = 10000; // after which a message is sent again, and later after twice as long
const CHOICES = [["left", "A is better", "a"], ["tie", "equally good", "t"], ["right", "B is better", "b"], ["neither", "both bad", "x"]];

// A preference is sent until it is stored, even after leaving: sent twice it counts once, since the latest counts. Of
// questions only the latest matters.
function sendBlind(event, data) {
  if (event !== "prefer") forgetAsked(event);
  nTurns += 1;
  const message = { event, data: { ...data, ask: nTurns }, at: Date.now(), patience: BLIND_PATIENCE_MS };
  unanswered.set(nTurns, message);
  passOn(message);
  return nTurns;
}

function forgetAsked(event) {
  for (const [turn, each] of unanswered) if (each.event === event) unanswered.delete(turn);
}

function passOn({ event, data }) {
  if (event === "prefer") askServer("compare.prefer", data);
  else if (event === "blind") askServer("compare.blind", data);
  else askServer("compare.preferences", data);
}

setInterval(() => {
  for (const message of unanswered.values()) {
    if (Date.now() - message.at < message.patience) continue;
    message.at = Date.now();
    message.patience *= 2;
    passOn(message);
  }
}, 1000);

// What was learned from is never ranked by what learned from it here, whatever the page shows.
function blindView() {
  const { is_in_sample: _, ...looked } = lookedAt();
  return { ...looked, sides: blindPair };
}

function openBlind() {
  blindPair = [view.sides[0], view.sides.at(-1)];
  isBlind = true;
  skipped = [];
  results = null;
  areResultsOpen = false;
  askPair();
  root.scrollIntoView({ block: "start" });
}

function closeBlind() {
  isBlind = false;
  pairAt = null;
  ["blind", "preferences"].forEach(forgetAsked);
  draw();
  controlsBox.querySelector("[data-hold=blind]")?.focus({ preventScroll: true });
}

function askPair() {
  blindState = "asking";
  blindError = "";
  drawBlind();
  blindTurn = sendBlind("blind", { ...blindView(), skip: skipped });
}

function prefer(choice) {
  if (blindState || !pairAt?.token) return;
  blindState = "saving";
  drawBlind();
  blindTurn = sendBlind("prefer", { ...blindView(), token: pairAt.token, choice, seconds: Math.max(0, Math.min((Date.now() - pairSince) / 1000, 3600)) });
}

function skipPair() {
  if (blindState || !pairAt?.query_id) return;
  skipped.push(pairAt.query_id);
  askPair();
}

hear("blind", (answer) => {
  unanswered.delete(answer.ask);
  if (!isBlind || answer.ask !== blindTurn || answer.label_set_id !== view.page.label_set_id) return;
  blindState = "";
  blindError = answer.error || "";
  if (!answer.error) { pairAt = answer; pairSince = Date.now(); }
  drawBlind();
  if (answer.is_over) askResults();
});

hear("prefer", (answer) => {
  unanswered.delete(answer.ask);
  if (!isBlind || answer.ask !== blindTurn) return;
  blindState = "";
  if (!answer.error) {
    if (areResultsOpen) resultsTurn = sendBlind("preferences", blindView()); // the earlier ones stay until these are there
    return askPair();
  }
  blindError = answer.error;
  drawBlind();
});

function askResults() {
  areResultsOpen = true;
  results = null;
  drawBlind();
  resultsTurn = sendBlind("preferences", blindView());
}

hear("preferences", (answer) => {
  unanswered.delete(answer.ask);
  if (!isBlind || answer.ask !== resultsTurn) return;
  results = answer;
  drawBlind();
});

const blindKeys = () => ({ Escape: closeBlind, n: skipPair, ...Object.fromEntries(CHOICES.map(([choice, , key]) => [key, () => prefer(choice)])) });

function unnamed(name, rows) {
  return h("div", { class: "era-side" }, h("h3", { class: "era-side-head" }, name),
    !rows.length && h("p", { class: "era-quiet" }, "This list is empty: nothing was found."),
    h("ol", { class: "era-unnamed" }, rows.map((row, i) => h("li", {},
      h("span", { class: "era-rank" }, String(i + 1)),
      h("details", {}, h("summary", {}, h("span", { class: "era-unnamed-title" }, row.title || row.doc_id), h("span", { class: "era-unnamed-start era-quiet" }, row.text.slice(0, 400))),
        h("p", { class: "era-full-text" }, row.text))))));
}

function resultLines() {
  if (!areResultsOpen) return link("Results", askResults, { "aria-expanded": "false", title: "They tell which list is preferred, so look when you are done" });
  if (!results) return h("p", { class: "era-busy", role: "status" }, "Counting \u2026");
  if (results.error) return notice(results.error);
  const line = (name, each) => h("tr", {}, h("th", { scope: "row" }, name), ["first", "second", "tie", "neither", "n"].map((key) => h("td", { class: "era-number" }, each[key] === undefined ? "" : String(each[key]))));
  return h("section", { class: "era-results-of", "aria-label": "Results" },
    h("h3", {}, "Results"), h("p", { role: "status" }, results.words),
    typeof results.share === "number" && h("p", { class: "era-quiet" }, `Share of the queries that went to \u201c${labelOf(blindPair[1])}\u201d: `,
      h("abbr", { title: "Undecided queries count among all; the interval is Wilson\u2019s, for 95 times out of 100" }, `${Math.round(results.share * 100)} % (${Math.round(results.low * 100)} to ${Math.round(results.high * 100)} %)`)),
    h("div", { class: "era-scroll" }, h("table", { class: "era-table" },
      h("thead", {}, h("tr", {}, ["", labelOf(blindPair[0]), labelOf(blindPair[1]), "equally good", "both bad", "all"].map((name, i) => h("th", { scope: "col", class: i ? "era-number" : "" }, name)))),
      h("tbody", {}, line("everybody", results), (results.by_person || []).map((each) => line(each.person ?? each.author ?? "", each))))),
    h("div", { class: "era-row" },
      button("Download as CSV", () => download({ name: "preferences.csv", mime: "text/csv", content: results.csv, is_base64: false }), { disabled: !results.csv }),
      link("hide", () => { areResultsOpen = false; drawBlind(); })));
}

function pairLines() {
  if (!pairAt) return blindError ? null : h("p", { class: "era-busy", role: "status" }, "Getting two lists \u2026");
  if (pairAt.is_over) return h("p", { class: "era-lead", role: "status" }, skipped.length ? "Nothing is left but what you put off." : "Nothing is left to prefer here: every query is done.", " ",
    skipped.length ? button("Look at those again", () => { skipped = []; askPair(); }) : null);
  const isWaiting = blindState !== "";
  return h("div", { class: isWaiting ? "era-faded" : "", "aria-busy": String(isWaiting) },
    h("p", { class: "era-compared" }, pairAt.text, pairAt.instruction && h("span", { class: "era-quiet" }, ` \u2014 ${pairAt.instruction}`)),
    h("div", { class: "era-sides era-pair", "data-scroll": "pair" }, unnamed("A", pairAt.left), unnamed("B", pairAt.right)));
}

function drawBlind() {
  const canChoose = pairAt && !pairAt.is_over;
  refill(root, h("div", { class: "era-page era-wide era-blind" },
    h("div", { class: "era-row era-blind-head" }, h("h2", { class: "era-grow" }, "Which list would have served you better?"),
      pairAt && !pairAt.is_over && h("span", { class: "era-quiet" }, `${many(pairAt.n_done, "done", "done")} \u00b7 ${number(pairAt.n_left_to_do)} left`),
      button("Leave", closeBlind, { title: "Key Escape" })),
    notice(blindError),
    canChoose && h("div", { class: "era-row era-preferring", role: "group", "aria-label": "Your preference" },
      CHOICES.map(([choice, label, key]) => button([label, h("kbd", {}, key)], () => prefer(choice), { title: `Key ${key}`, "data-hold": choice, "aria-disabled": blindState ? "true" : null })),
      link(["put off", h("kbd", {}, "n")], skipPair, { title: "Key n" }),
      blindState === "saving" && h("span", { class: "era-busy", role: "status" }, "Saving \u2026")),
    pairLines(), resultLines()));
}
