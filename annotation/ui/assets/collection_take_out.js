// Taking out what was made here: judgments, rankings, training triplets, adapters, and the adapted model.

let taking = null; // { what: the file being made, error, taken: { name, url, remarks }, pushing }

function forgetTakingOut() { taking = { what: "", error: "", taken: null, place: "", push: null }; }

// A list whose choice stays when the page is drawn anew.
const chosen = (name, options, label) => {
  const value = options.some(([key]) => key === drafts.get(name)) ? drafts.get(name) : options[0][0];
  drafts.set(name, value);
  return select(label, options, value, (key) => { drafts.set(name, key); drawTakeOut(); }, { "data-hold": name });
};

function takeOut(place, data) {
  Object.assign(taking, { what: place, error: "", taken: null, place });
  drawTakeOut();
  ask("take-out", "taken-out", { what: place, ...data });
}

answered("taken-out", (answer) => {
  Object.assign(taking, { what: "", error: answer.error || "", taken: answer.error ? null : answer });
  if (!answer.error) {
    const anchor = h("a", { href: answer.url, download: answer.name });
    document.body.append(anchor);
    anchor.click();
    anchor.remove();
  }
  drawTakeOut();
});

function outcomeOf(place) {
  if (taking.place !== place) return null;
  if (taking.what === place) return busy(place === "model" ? "Packing the model \u2026" : "Making the file \u2026");
  if (taking.error) return notice(taking.error);
  if (!taking.taken) return null;
  return h("div", { role: "status" },
    h("p", {}, "Your browser is saving ", h("a", { href: taking.taken.url, download: taking.taken.name, class: "era-download" }, taking.taken.name), ` (${taking.taken.size}).`),
    taking.taken.remarks.length ? h("ul", { class: "era-remarks" }, taking.taken.remarks.map((remark) => h("li", {}, remark))) : null);
}

const isMaking = () => Boolean(taking.what);
const outButton = (label, place, data) => button(label, () => takeOut(place, data()), { disabled: isMaking(), "data-hold": `out ${place}` });

function judgmentsOut() {
  const whose = [["agreed", "what was agreed"], ["everybody", "what everybody said"], ...view.people.work.map((each) => [each.author, `what ${each.author} said`])];
  const notes = h("input", { type: "checkbox", checked: drafts.get("out notes") === true, onchange: (event) => drafts.set("out notes", event.target.checked), "data-hold": "out notes" });
  return h("div", { class: "era-form" }, h("h3", {}, "Judgments"),
    h("div", { class: "era-row" }, chosen("out format", view.out_formats, "Format of the judgments"), chosen("out whose", whose, "Whose judgments"),
      drafts.get("out format") !== "qrels" && h("label", {}, notes, " with notes"),
      outButton("Take out the judgments", "judgments", () => ({ format: drafts.get("out format"), who: drafts.get("out whose"), with_notes: drafts.get("out notes") === true }))),
    outcomeOf("judgments"));
}

function rankingOut() {
  const depth = h("input", { type: "number", min: 1, max: 1000, value: drafts.get("out depth") ?? 100, "aria-label": "Documents for each query", "data-hold": "out depth", oninput: (event) => drafts.set("out depth", event.target.value) });
  return h("div", { class: "era-form" }, h("h3", {}, "A ranking, as a TREC run"),
    h("div", { class: "era-row" }, chosen("out ranker", view.rankers.map((each) => [each.key, each.label]), "Which ranking"),
      h("label", { class: "era-row" }, "the first", depth),
      outButton("Take out the ranking", "run", () => ({ ranker: drafts.get("out ranker"), depth: Number(drafts.get("out depth") ?? 100) }))),
    outcomeOf("run"));
}

function tripletsOut() {
  return h("div", { class: "era-form" }, h("h3", {}, "Training triplets"),
    quiet("JSON Lines with anchor, positive and negative, as sentence-transformers and ", h("code", {}, "datasets"), " read them."),
    h("div", { class: "era-row" }, outButton("Take out the triplets", "triplets", () => ({}))), outcomeOf("triplets"));
}

function learnedOut() {
  if (!view.training_runs.length) return h("div", { class: "era-form" }, h("h3", {}, "What was learned"), quiet("The adapter and the adapted model of a training run can be taken out here, once there is one."));
  const runId = () => ({ training_run_id: Number(drafts.get("out training run")) });
  return h("div", { class: "era-form" }, h("h3", {}, "What was learned"),
    h("div", { class: "era-row" }, chosen("out training run", view.training_runs.map((each) => [String(each.id), each.label]), "Which training run"),
      outButton("Take out the adapter", "adapter", runId), outButton("Take out the model", "model", runId)),
    quiet("The adapter comes in again here or elsewhere. The model is a standard sentence-transformers model with its card; no app is needed to use it."),
    outcomeOf("adapter"), outcomeOf("model"),
    view.may_push && pushing(runId));
}

function collectionOut() {
  return h("div", { class: "era-form" }, h("h3", {}, "The whole collection"),
    quiet("Documents, index, queries and agreed judgments in one folder, which the library and the command line open as it is."),
    h("div", { class: "era-row" }, outButton("Take out the collection", "collection", () => ({}))), outcomeOf("collection"));
}

function pushing(runId) {
  const state = taking.push || {};
  const send = (is_dry_run) => {
    taking.push = { isAsking: true, words: is_dry_run ? "Looking what would be sent \u2026" : "Sending to the Hub \u2026", plan: is_dry_run ? null : state.plan };
    drawTakeOut();
    ask("push", "pushed", { ...runId(), repo_id: drafts.get("out repository") || "", is_private: drafts.get("out public") !== true, is_dry_run });
  };
  const isPublic = h("input", { type: "checkbox", checked: drafts.get("out public") === true, onchange: (event) => { drafts.set("out public", event.target.checked); taking.push = null; drawTakeOut(); }, "data-hold": "out public" });
  return fold("push", "Put the model on the Hugging Face Hub",
    h("form", { class: "era-form", onsubmit: (event) => { event.preventDefault(); send(true); } },
      field("Repository", h("input", { name: "out repository", required: true, placeholder: "your-name/model-name", "aria-label": "Repository on the Hub", value: drafts.get("out repository") || "", oninput: (event) => { drafts.set("out repository", event.target.value); if (taking.push?.plan) { taking.push = null; drawTakeOut(); } } })),
      h("label", {}, isPublic, " visible to everybody"),
      h("div", { class: "era-row" }, h("button", { type: "submit", class: "era-button", disabled: Boolean(state.isAsking), "data-hold": "push look" }, "Show what would be sent"))),
    state.isAsking && busy(state.words), notice(state.error),
    state.plan && h("div", { class: "era-plan", role: "status" }, h("p", {}, state.plan.said), h("ul", {}, [...state.plan.files, ...state.plan.remarks].map((each) => h("li", {}, each))),
      h("div", { class: "era-row" }, button("Send it now", () => send(false), { class: "era-button era-primary", disabled: Boolean(state.isAsking), "data-hold": "push send" }))),
    state.sent && h("p", { role: "status" }, state.sent.said, " ", /^https:/.test(state.sent.url) && h("a", { href: state.sent.url, class: "era-download", target: "_blank", rel: "noreferrer" }, state.sent.url)));
}

answered("pushed", (answer) => {
  taking.push = answer.error ? { error: answer.error, plan: taking.push?.plan } : answer.is_dry_run ? { plan: answer } : { sent: answer };
  drawTakeOut();
});

function drawTakeOut() {
  if (!taking) forgetTakingOut();
  refill(takeOutBox, fold("take out", "Take out",
    quiet("Judgments, rankings and adapters come in again under \u201cBring in\u201d. What is hidden from you while you judge stays hidden in these files."),
    judgmentsOut(), rankingOut(), tripletsOut(), learnedOut(), collectionOut()));
}
