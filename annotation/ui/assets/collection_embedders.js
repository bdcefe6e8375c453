// Which embedders a collection uses: presets or one's own choice for either side, and what a change would mean.

const EMBEDDER_KINDS = [["sentence-transformers", "a sentence-transformers model"], ["openai", "an endpoint (OpenAI protocol)"], ["bundled-strong", "bundled: all-MiniLM-L6-v2"], ["bundled-light", "bundled: WordLlama 256"]];
const SIDES = [["strong", "Query side", "Reads your queries and, once, a thousand documents. Changing it leaves the index as it is."], ["light", "Document side", "Reads every document once. Changing it builds a new index."]];
const NUMBERS = ["max_length", "batch_size", "truncate_dimension", "price_per_million_tokens"];
const SPEC_FIELDS = {
  "sentence-transformers": ["revision", "query_prompt", "document_prompt", "max_length", "truncate_dimension", "batch_size", "dtype"],
  openai: ["query_prompt", "document_prompt", "max_length", "truncate_dimension", "batch_size"],
};
const ENDPOINT_FIELDS = ["base_url", "price_per_million_tokens"]; // asked for at once
const FIELD_WORDS = {
  revision: ["Revision", "the newest", "Commit, branch or tag on the Hub"],
  query_prompt: ["Before a query", "the model's own", "Written before a query that has no instruction"],
  document_prompt: ["Before a document", "the model's own", "Written before every document"],
  max_length: ["Tokens read", "the model's own", "Of a longer text only this beginning is read"],
  truncate_dimension: ["Numbers kept", "all", "Of each vector, for models that were trained for it (Matryoshka)"],
  batch_size: ["Texts at once", "what suits the device", ""],
  base_url: ["Address", "OpenAI's own", "Of a server that speaks the OpenAI protocol, such as http://localhost:8000/v1"],
  price_per_million_tokens: ["Dollars per million tokens", "unknown", "Only to say beforehand what reading costs"],
};

const copyOf = (spec) => JSON.parse(JSON.stringify(spec));
const startingEmbedders = () => ({ preset: view.presets[0].key, spec: copyOf(view.presets[0].spec) });
const currentEmbedders = () => ({ preset: view.embedders.preset, spec: copyOf(view.embedders.spec) });
const chosenSpec = (state) => state.spec;

function specFields(name, side, spec, changed) {
  const kind = spec.kind;
  const set = (field_name) => (event) => {
    const value = event.target.value.trim();
    if (value === "") delete spec[field_name];
    else spec[field_name] = NUMBERS.includes(field_name) ? Number(value) : field_name.endsWith("_prompt") ? event.target.value : value;
    changed();
  };
  const input = (field_name) => {
    const [label, empty, title] = FIELD_WORDS[field_name];
    const isNumber = NUMBERS.includes(field_name);
    return field(label, h("input", { type: isNumber ? "number" : "text", min: isNumber ? 0 : null, step: field_name.startsWith("price") ? "any" : null, placeholder: empty, "aria-label": `${side}: ${label}`, name: `${name} ${side} ${field_name}`, value: spec[field_name] ?? "", oninput: set(field_name) }), title);
  };
  if (!SPEC_FIELDS[kind]) return null;
  const dtype = () => field("Number format", select(`${side}: Number format`, [["", "as stored"], ["float32", "float32"], ["float16", "float16"], ["bfloat16", "bfloat16"]], spec.dtype || "", (value) => { if (value) spec.dtype = value; else delete spec.dtype; changed(); }));
  const model = h("input", { name: `${name} ${side} name`, required: true, "aria-label": `${side}: name of the model`, placeholder: kind === "openai" ? "text-embedding-3-small" : "BAAI/bge-small-en-v1.5", value: spec.name || "", oninput: set("name") });
  return [
    kind === "openai" ? h("div", { class: "era-fields" }, field("Model, as the server calls it", model), ENDPOINT_FIELDS.map(input))
      : field(view.may_give_paths ? "Name on the Hub, or a folder" : "Name on the Hub", model),
    fold(`${name} ${side} more`, "More settings", h("div", { class: "era-fields" }, SPEC_FIELDS[kind].map((each) => (each === "dtype" ? dtype() : input(each))))),
  ];
}

// `state` keeps { preset, spec }; `draw` shows it; `changed` hears every change.
function embedderChoice(name, state, draw, changed = () => {}) {
  const preset = view.presets.find((each) => each.key === state.preset);
  const choose = (key) => {
    const chosen = view.presets.find((each) => each.key === key);
    Object.assign(state, { preset: key, spec: copyOf(chosen ? chosen.spec : state.spec) });
    changed();
    draw();
  };
  const chooseKind = (side) => (kind) => { state.spec[side] = { kind }; changed(); draw(); };
  return h("div", { class: "era-form" },
    select("Embedders", [...view.presets.map((each) => [each.key, each.label]), ["own", "Your own choice for either side"]], state.preset, choose, { "data-hold": `${name} preset` }),
    preset && h("p", {}, preset.words),
    preset && quiet(preset.needs),
    state.preset === "own" && SIDES.map(([side, label, meaning]) => h("fieldset", { class: "era-side-choice" }, h("legend", {}, label), quiet(meaning),
      select(`${label}: kind`, EMBEDDER_KINDS.filter(([kind]) => kind !== "openai" || view.may_use_endpoints), state.spec[side].kind, chooseKind(side), { "data-hold": `${name} ${side} kind` }),
      specFields(name, label, state.spec[side], changed))),
    state.preset === "own" && [state.spec.strong, state.spec.light].some((each) => each.kind === "openai")
      && quiet("The key is taken from OPENAI_API_KEY where the app was started; it is never asked for here. Texts are sent to that server."));
}

// --- changing those of the open collection

let embedders = null; // { preset, spec, plan, error, said, isAsking, isChanging } while they are being looked at

function forgetEmbedders() { embedders = null; }

function planEmbedders() {
  embedders.isAsking = true;
  Object.assign(embedders, { plan: null, error: "", said: "" });
  drawEmbedders();
  ask("plan-embedders", "embedders-plan", { embedders: chosenSpec(embedders) });
}

answered("embedders-plan", (answer) => {
  if (!embedders) return;
  Object.assign(embedders, { isAsking: false, error: answer.error || "", plan: answer.plan || null });
  drawEmbedders();
});

function changeEmbedders() {
  embedders.isChanging = true;
  embedders.error = "";
  drawEmbedders();
  ask("change-embedders", "embedders-changed", { embedders: chosenSpec(embedders) });
}

answered("embedders-changed", (answer) => {
  if (!embedders) return;
  Object.assign(embedders, { isChanging: false, error: answer.error || "", said: answer.said || "" });
  if (!answer.error) {
    embedders.plan = null;
    if (answer.jobs) { takeJobs(answer.jobs); drawJobs(); }
    askServer("collection.refresh", ids());
  }
  drawEmbedders();
});

function planWords(plan) {
  return h("div", { class: "era-plan", role: "status" },
    h("p", {}, plan.text),
    plan.facts.length ? facts(plan.facts) : null,
    plan.is_change && h("div", { class: "era-row" },
      button(embedders.isChanging ? "Working on it \u2026" : plan.button, changeEmbedders, { class: "era-button era-primary", disabled: embedders.isChanging, "data-hold": "embedders change" })));
}

function drawEmbedders() {
  const state = embedders || (embedders = currentEmbedders());
  const changed = () => {
    if (state.isAsking) { awaited.delete("embedders-plan"); state.isAsking = false; drawEmbedders(); } // what is done is what was planned
    if (!state.plan && !state.said) return;
    Object.assign(state, { plan: null, said: "" });
    embeddersBox.querySelector(".era-plan")?.remove();
  };
  refill(embeddersBox, fold("embedders", "Embedders",
    h("p", {}, "Now: ", view.embedders.words),
    view.why_fixed ? quiet(view.why_fixed) : h("form", { class: "era-form", onsubmit: (event) => { event.preventDefault(); planEmbedders(); } },
      embedderChoice("change", state, drawEmbedders, changed),
      h("div", { class: "era-row" }, h("button", { type: "submit", class: "era-button", disabled: Boolean(state.isAsking), "data-hold": "embedders plan" }, state.isAsking ? "Looking \u2026" : "What would change?"))),
    notice(state.error),
    state.said && h("p", { role: "status" }, state.said),
    state.plan && planWords(state.plan),
    state.isChanging && busy("Loading the embedders; the first time they are downloaded. Leaving the page does not stop it.")));
}
