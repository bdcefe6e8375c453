// A new collection: from files or from the Hugging Face Hub, looked at first, then named, then imported in the background.

let wizard = null; // { state fields of the chooser, hub, config, token, preview, spec } while one is being made
let isReadingNew = false;

function openWizard() {
  wizard = { picker: {}, source: "files", hub: "", config: "", error: "", preview: null, choices: {}, embedders: startingEmbedders() };
  drawNew();
  newBox.querySelector("[data-hold='new choose']")?.focus();
}

function closeWizard() {
  forgetSent();
  forgetLook();
  wizard = null;
  drawNew();
}

// What was sent is not needed any more; an import that is starting takes it by itself.
function forgetSent() {
  stopSending(wizard.picker);
  if (wizard.token && !isStartingImport) ask("forget", "forgotten", { token: wizard.token });
  wizard.token = "";
}

// What is imported is what was looked at; of another source, nothing was yet.
function forgetLook() {
  for (const kind of ["new-preview", "import-costs"]) giveUp(kind);
  isReadingNew = false;
  Object.assign(wizard, { preview: null, choices: {}, needsEncoding: false, isUsable: false, error: "", refused: "", isCounting: false, costs: null });
}

function lookAtNew(data) {
  isReadingNew = true;
  forgetCosts();
  wizard.error = "";
  choose(wizard, data);
  drawNew();
  const about = wizard.source === "hub" ? { hub: wizard.hub, config: wizard.config } : { token: wizard.token || "" };
  ask("preview", "new-preview", { ...about, ...asChosen(wizard), ...data });
}

answered("new-preview", (answer) => {
  isReadingNew = false;
  if (!wizard) return;
  if (answer.token) wizard.token = answer.token;
  wizard.error = answer.error || "";
  wizard.needsEncoding = Boolean(answer.needs_encoding);
  if (answer.preview) wizard.preview = answer.preview;
  wizard.isUsable = Boolean(answer.preview) && !answer.error;
  drawNew();
});

// No one waited for this answer; what was sent for it goes.
hear("new-preview", (answer) => { if (view && answer.token && answer.token !== wizard?.token) ask("forget", "forgotten", { token: answer.token }); });

let isStartingImport = false;

// An endpoint is paid for what it reads: how much that is gets counted first, and has to be agreed to.
const isPaidFor = ({ spec }) => [spec.strong, spec.light].some((each) => each.kind === "openai");

function startImport(event) {
  event.preventDefault();
  const { elements } = event.target;
  const request = { kind: "new", token: wizard.token || "", hub: wizard.source === "hub" ? wizard.hub : "", config: wizard.config, ...asChosen(wizard),
    name: elements.name.value, description: elements.description.value, embedders: chosenSpec(wizard.embedders) };
  wizard.refused = "";
  if (isPaidFor(wizard.embedders) && !wizard.costs) {
    wizard.isCounting = true;
    ask("count-costs", "import-costs", request);
  } else {
    isStartingImport = true;
    ask("import", "import-started", request);
  }
  drawNew();
}

answered("import-costs", (answer) => {
  if (!wizard) return;
  Object.assign(wizard, { isCounting: false, costs: answer.costs || null, refused: answer.error || "" });
  drawNew();
});

function forgetCosts() {
  giveUp("import-costs");
  if (!wizard.costs && !wizard.isCounting) return;
  Object.assign(wizard, { isCounting: false, costs: null });
  drawNew();
}

answered("import-started", (answer) => {
  isStartingImport = false;
  if (answer.error) {
    if (wizard) wizard.refused = answer.error;
    if (documents.begun) { documents.begun = false; documents.error = answer.error; }
  } else {
    if (answer.import_kind === "new") { if (wizard) stopSending(wizard.picker); wizard = null; for (const name of ["name", "description"]) drafts.delete(name); }
    else if (documents.begun) forgetDocuments();
    takeJobs(answer.jobs);
  }
  drawNew();
  drawDocuments();
  drawJobs();
  if (!answer.error) jobsBox.scrollIntoView({ block: "nearest" });
});

function hubForm() {
  const set = (name) => (event) => {
    wizard[name] = event.target.value;
    const hasLooked = wizard.preview || isReadingNew || wizard.error;
    forgetLook();
    if (hasLooked) drawNew();
  };
  return h("form", { class: "era-row era-fields", onsubmit: (event) => {
    event.preventDefault();
    forgetLook();
    lookAtNew({ format: "", mapping: {} });
  } },
    field("Name on the Hub", h("input", { name: "hub", required: true, placeholder: "mteb/scifact", "aria-label": "Name on the Hub", value: wizard.hub, oninput: set("hub") })),
    field("Configuration", h("input", { name: "config", placeholder: "usually none", "aria-label": "Configuration", value: wizard.config, oninput: set("config") }), "Which part of the data set, where it has several"),
    h("button", { type: "submit", class: "era-button", "data-hold": "new look" }, "Look at it"));
}

function sourceStep() {
  const isHub = wizard.source === "hub";
  const turn = (source) => () => {
    if (source === wizard.source) return;
    forgetSent();
    forgetLook();
    wizard.source = source;
    drawNew();
  };
  return [
    h("div", { class: "era-views", role: "group", "aria-label": "Where the documents come from" },
      h("button", { type: "button", class: "era-view", "aria-pressed": String(!isHub), "data-hold": "new files", onclick: turn("files") }, "Files"),
      h("button", { type: "button", class: "era-view", "aria-pressed": String(isHub), "data-hold": "new hub", onclick: turn("hub") }, "Hugging Face Hub")),
    isHub ? hubForm() : chooser("new", wizard.picker, drawNew, (files) => { forgetLook(); lookAtNew({ files, token: "", format: "", mapping: {} }); }, { hasFolder: true }),
    !isHub && !wizard.preview && quiet("CSV, TSV, JSON, JSONL, Parquet, Excel; BEIR, TREC and MAIR folders; folders of text, Markdown, HTML and PDF files; or a zip of any of them."),
  ];
}

const importWords = () => (isStartingImport ? "Starting \u2026" : wizard.isCounting ? "Counting what would be sent \u2026" : wizard.costs ? "Import, and send the texts" : isPaidFor(wizard.embedders) ? "What does it cost?" : "Import");

function nameStep() {
  return h("form", { class: "era-form", onsubmit: startImport },
    field("Name", draftField("name", "Name of the new collection", wizard.preview.name, { required: true, maxlength: 80 })),
    field("Description", draftField("description", "Description of the new collection", "", { rows: 2, maxlength: 800, placeholder: "What is in it, where it comes from" }, "textarea")),
    h("h3", {}, "Embedders"),
    embedderChoice("new", wizard.embedders, drawNew, forgetCosts),
    wizard.costs && h("p", { role: "status" }, wizard.costs.text),
    notice(wizard.refused),
    h("div", { class: "era-row" }, h("button", { type: "submit", class: "era-button era-primary", "data-hold": "new import", disabled: isStartingImport || isReadingNew || wizard.isCounting }, importWords()),
      h("span", { class: "era-quiet" }, "It runs in the background; you can go on judging or leave.")));
}

let isWizardWanted = false; // before there is anything to show it in
hear("bring", () => { if (view) openWizard(); else isWizardWanted = true; });

function drawNew() {
  if (isWizardWanted) { isWizardWanted = false; return openWizard(); }

  if (!view.can_write) return refill(newBox, quiet("Sign in to bring in documents of your own."));
  if (!wizard) {
    return refill(newBox, h("div", { class: "era-row" },
      h("p", { class: "era-intro era-grow" }, view.is_first ? "Bring your own documents: files, a folder, a zip, or a data set by name." : ""),
      button("New collection", openWizard, { class: "era-button era-primary", "data-hold": "new collection" })));
  }
  refill(newBox,
    h("div", { class: "era-row" }, h("h2", { class: "era-grow" }, "New collection"), link("close", closeWizard, { "aria-label": "Close the new collection", "data-hold": "new collection" })),
    sourceStep(),
    isReadingNew && busy("Reading the first documents \u2026"),
    previewOf("new", wizard, (change) => lookAtNew(change)),
    wizard.isUsable && nameStep());
}
