// Other documents for the open collection: adding and changing from files, making it equal to files, taking some away.

let documents = null; // { picker, mode, token, preview, plan, ... } while they are being changed

const MODES = [["add", "Add, and change those whose text differs"], ["replace", "Make the collection equal to the files: what they lack is removed"]];

function forgetDocuments() {
  documents = { picker: documents?.picker || {}, mode: documents?.mode || "add", token: "", preview: null, choices: {}, needsEncoding: false, plan: null, error: "", isReading: false, isPlanning: false, begun: false, removal: null };
}

function lookAtDocuments(data) {
  giveUp("documents-plan"); // of what was chosen before
  Object.assign(documents, { isReading: true, isPlanning: false, error: "", plan: null });
  choose(documents, data);
  drawDocuments();
  ask("preview-documents", "documents-preview", { token: documents.token, ...asChosen(documents), ...data });
}

answered("documents-preview", (answer) => {
  Object.assign(documents, { isReading: false, error: answer.error || "", needsEncoding: Boolean(answer.needs_encoding), token: answer.token || documents.token, preview: answer.preview || documents.preview });
  if (!answer.error) return planDocuments();
  drawDocuments();
});

function planDocuments() {
  Object.assign(documents, { isPlanning: true, plan: null, error: "" });
  drawDocuments();
  ask("plan-documents", "documents-plan", documentsRequest());
}

const documentsRequest = () => ({ kind: documents.mode, token: documents.token, ...asChosen(documents) });

answered("documents-plan", (answer) => {
  Object.assign(documents, { isPlanning: false, error: answer.error || "", plan: answer.plan || null });
  drawDocuments();
});

function changeDocuments() {
  documents.begun = true;
  drawDocuments();
  ask("import", "import-started", documentsRequest());
}

// --- taking some away

const idsTyped = () => [...new Set((drafts.get("removed ids") || "").split(/\r?\n/).map((line) => line.trim()).filter(Boolean))];

function removal() {
  const doc_ids = idsTyped();
  const state = documents.removal || {};
  const confirm = state.isSure && doc_ids.length;
  return h("form", { class: "era-form", onsubmit: (event) => {
    event.preventDefault();
    documents.removal = confirm ? { isAsking: true } : { isSure: true, error: doc_ids.length ? "" : "Write at least one id, each on a line of its own." };
    drawDocuments();
    if (confirm) ask("take-away", "documents-taken", { doc_ids });
  } },
    field("Take documents away by their ids, one a line", h("textarea", { name: "removed ids", "aria-label": "Ids of documents to take away", rows: 3, value: drafts.get("removed ids") || "",
      oninput: (event) => { drafts.set("removed ids", event.target.value); if (documents.removal?.isSure) { documents.removal = null; drawDocuments(); } } })),
    notice(state.error), state.said && h("p", { role: "status" }, state.said),
    confirm ? h("p", {}, `Judgments of ${doc_ids.length === 1 ? "this document" : "these documents"} stay stored, but count neither in training nor in measures.`) : null,
    h("div", { class: "era-row" }, h("button", { type: "submit", class: `era-button${confirm ? " era-danger" : ""}`, disabled: Boolean(state.isAsking), "data-hold": "documents remove" },
      state.isAsking ? "Taking them away \u2026" : confirm ? `Yes, take ${many(doc_ids.length, "document")} away` : "Take away")));
}

answered("documents-taken", (answer) => {
  documents.removal = { error: answer.error || "", said: answer.said || "" };
  if (!answer.error) { drafts.delete("removed ids"); askServer("collection.refresh", ids()); }
  drawDocuments();
});

// --- the whole

function planOfDocuments(plan) {
  return h("div", { class: "era-plan", role: "status" },
    facts(plan.facts),
    h("ul", {}, plan.sentences.map((sentence) => h("li", {}, sentence))),
    plan.is_change && h("div", { class: "era-row" }, button(documents.begun ? "Starting \u2026" : plan.button, changeDocuments, { class: "era-button era-primary", disabled: documents.begun, "data-hold": "documents change" })));
}

function drawDocuments() {
  if (!documents) forgetDocuments();
  if (view.why_fixed) return fill(documentsBox);
  const state = documents;
  refill(documentsBox, fold("documents", "Documents: add, change, take away",
    quiet("Only new and changed texts are read again. Judgments stay; where a judged text has changed, the desk asks to look again."),
    select("What to do with the files", MODES, state.mode, (mode) => { state.mode = mode; if (state.token && state.preview) planDocuments(); else drawDocuments(); }, { "data-hold": "documents mode" }),
    chooser("documents", state.picker, drawDocuments, (files) => { state.preview = null; lookAtDocuments({ files, token: "", format: "", mapping: {} }); }, { hasFolder: true }),
    state.isReading && busy("Reading the first documents \u2026"),
    previewOf("documents", state, lookAtDocuments),
    state.isPlanning && busy("Comparing with the documents that are here \u2026"),
    state.plan && planOfDocuments(state.plan),
    removal()));
}
