// The judging desk: what is asked, and what the whole desk knows. The cards, marks, keys and lists follow in files of
// their own; they share this scope.

const root = element.querySelector(".era-panel");
let view = null; // the latest payload, with the settings
let settings = null; // what is sent once, and again when it has changed: guidelines, rankings, ...
let focused = 0; // the card that keys act on
let focusedAt = Date.now(); // since when, for how long it was looked at
let wantsFocus = false; // the person asked for something: give the keys to the cards
let isSearching = false;
let isNeedOpen = false;
let isNewHere = !storage.getItem("era-has-judged"); // the introduction goes once a mark was saved

const form = h("form", { class: "era-query", onsubmit: (event) => (event.preventDefault(), search()), oninput: () => drawLead() });
const about = h("div", { class: "era-about" });
const results = h("section", { class: "era-results", "aria-label": t("desk.documents") });
const status = h("div", { class: "era-status", role: "status", "aria-live": "polite" });
const queries = h("aside", { class: "era-queries", "aria-label": t("queries.title") });
root.append(h("div", { class: "era-desk" }, h("div", { class: "era-column" }, form, about, results, status), queries));

const ids = () => ({ collection_id: view.page.collection_id, label_set_id: view.page.label_set_id });

// --- asking

function search() {
  const text = form.querySelector("textarea[name=query]").value;
  ask("search", { text, instruction: chosenInstruction(), view: view.view === "ranking" ? "ranking" : "pool", ranker: view.ranker });
}

const OVER_QUERIES = ["again", "conflicts", "coverage"]; // lists that belong to no single query
const NO_QUERY = { id: null, text: "", instruction: "", need: "", need_tree: [] };
const WAIT_MS = 10000; // after which an answer is said to be missing
let asked = 0; // counts what was asked for; only the answer to the latest is shown
let askedFor = null; // the latest, to be asked again: { event, data, at }
let lastQuery = null; // to come back to from a list over several queries

// Ask for a list. The documents of a query that is left go at once; other cards stay until the answer comes.
function ask(event, data) {
  const isOverQueries = OVER_QUERIES.includes(data.view);
  if (isOverQueries || event === "search" || data.query_id !== view.query.id) {
    const known = isOverQueries ? null : listed.queries.find((query) => query.id === data.query_id);
    lastQuery = isOverQueries ? view.query.id || lastQuery : data.query_id ?? null;
    leaveQuery({ text: data.text ?? known?.text ?? "", instruction: data.instruction ?? known?.instruction ?? "" }, data.view);
    if (known) drawForm();
  }
  asked += 1;
  askedFor = { event, data: { ...ids(), ...data, settings: settings.version, ask: asked }, at: Date.now() };
  isSearching = true;
  wantsFocus = true;
  send();
}

function send() {
  const { event, data } = askedFor;
  askedFor.at = Date.now();
  setTimeout(() => isSearching && data.ask === asked && drawCards(), WAIT_MS + 50);
  drawCards();
  if (event === "search") askServer("judge.search", data);
  else askServer("judge.open", data);
}

const isAnswerMissing = () => isSearching && Date.now() - askedFor.at >= WAIT_MS;
const isGoing = () => isSearching && !isAnswerMissing(); // the cards that are still there take no marks

const openQuery = (queryId) =>
  ask("open", { query_id: queryId, view: view.view === "ranking" ? "ranking" : "pool", ranker: view.ranker });
const openView = (name, more = {}) =>
  ask("open", { query_id: view.query.id || lastQuery, view: name, ranker: view.ranker, ...more });

// The open query is left: its documents go at once, and what is still to come for it is not heard.
function leaveQuery(next, name) {
  if (reader.open) reader.close();
  asked += 1;
  isSearching = false;
  view = { ...view, query: { ...NO_QUERY, ...next }, view: name, cards: [], said: {}, settled: {}, revealed: {}, undoable: [], error: "",
    phrase: "", n_by_others: 0, is_finished: false };
  undoable = [];
  lastSaved = null;
  useful = null;
  isAskingUseful = false;
  isNeedOpen = false;
  focused = 0;
  writing.clear();
  drawAbout();
  drawCards();
  showCurrent();
}

function newQuery() {
  leaveQuery({ instruction: view.query.instruction }, view.view === "ranking" ? "ranking" : "pool");
  lastQuery = null;
  rememberInUrl({ query: null, view: null, by: null });
  const box = form.querySelector("textarea[name=query]");
  box.value = "";
  box.focus();
}

// Whether the form says something else than the query whose documents are shown.
function isUnsent() {
  const words = (text) => text.trim().split(/\s+/).join(" ");
  const box = form.querySelector("textarea[name=query]");
  return Boolean(view.query.id && box) && (words(box.value) !== words(view.query.text) || words(chosenInstruction()) !== words(view.query.instruction));
}

function chosenInstruction() {
  const chosen = form.querySelector("select[name=instruction]").value;
  return chosen === "other" ? form.querySelector("textarea[name=instruction]").value : view.instructions[Number(chosen)] || "";
}

function duplicateQuery() {
  const choice = form.querySelector("select[name=instruction]");
  const custom = form.querySelector("textarea[name=instruction]");
  choice.value = "other";
  custom.hidden = false;
  custom.value = view.query.instruction;
  drawLead();
  custom.focus();
  custom.select();
}

function drawForm() {
  const templates = new Map((view.setup.templates || []).map((each) => [each.instruction, each.name]));
  const option = (text, i) => h("option", { value: String(i), selected: text === view.query.instruction },
    templates.has(text) ? `${templates.get(text)}: ${text}` : text || t("query.no_instruction"));
  const place = view.instructions.indexOf(view.query.instruction);
  const custom = h("textarea", {
    name: "instruction", rows: 2, hidden: place >= 0, "aria-label": t("query.your_instruction"),
    placeholder: t("query.instruction_hint"), value: place >= 0 ? "" : view.query.instruction,
  });
  const box = h("textarea", {
    name: "query", rows: 2, "aria-label": t("query.query"), value: view.query.text, placeholder: t("query.hint"),
    onkeydown: (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        search();
      }
    },
  });
  const named = view.instructions.map((text, i) => [text, i]);
  const group = (label, of) => of.length ? h("optgroup", { label }, of.map(([text, i]) => option(text, i))) : null;
  const choice = h("select", { name: "instruction", "aria-label": t("query.instruction"),
    onchange: () => { custom.hidden = choice.value !== "other"; if (!custom.hidden) custom.focus(); } },
    group(t("query.templates"), named.filter(([text]) => templates.has(text))),
    templates.size ? group(t("query.used_before"), named.filter(([text]) => !templates.has(text))) : named.map(([text, i]) => option(text, i)),
    h("option", { value: "other", selected: place < 0 }, t("query.write_another")));
  fill(form,
    isNewHere && h("p", { class: "era-intro" }, t("desk.intro")),
    box,
    h("div", { class: "era-row" },
      h("label", { class: "era-grow" }, h("span", { class: "era-label" }, t("query.instruction")), choice),
      h("button", { class: "era-button era-primary", type: "submit", title: t("query.search_hint") }, t("query.search")),
    ),
    custom,
  );
}

// --- what is meant: the information need of the query, and the guidelines of the collection

function drawAbout() {
  const { guidelines } = view.setup;
  const parts = [];
  if (view.query.id && view.can_write) {
    parts.push(h("button", { type: "button", class: "era-link", title: t("query.another_title"), onclick: duplicateQuery }, t("query.another")));
  }
  if (view.query.id && (view.query.need.length || view.query.may_describe)) {
    parts.push(h("button", { type: "button", class: "era-link", "aria-expanded": String(isNeedOpen), title: t("need.title"),
      onclick: () => { isNeedOpen = !isNeedOpen; drawAbout(); } },
      view.query.need ? t("need.show") : t("need.add"), needDraft() === null ? null : ` (${t("note.draft")})`));
  }
  if (guidelines.length) parts.push(h("button", { type: "button", class: "era-link", onclick: () => showGuidelines(false) }, t("guidelines.show")));
  fill(about, parts.length ? h("div", { class: "era-row" }, parts) : null,
    isNeedOpen && view.query.id && h("div", { class: "era-need" },
      view.query.need && h("div", { class: "era-markdown" }, tree(view.query.need_tree)),
      view.query.may_describe && h("form", { onsubmit: (event) => {
        event.preventDefault();
        askServer("judge.need", { ...ids(), query_id: view.query.id, need: event.target.elements.need.value });
      } },
        h("textarea", { name: "need", rows: 3, "aria-label": t("need.label"), placeholder: t("need.hint"), value: needDraft() ?? view.query.need,
          oninput: (event) => keepDraft(needName(view.query.id), event.target.value, view.query.need) }),
        h("button", { type: "submit", class: "era-button" }, t("need.save")))));
}

hear("need", (answer) => {
  if (!view || answer.query_id !== view.query.id) return;
  if (answer.error) view.error = answer.error;
  else {
    storage.removeItem(needName(answer.query_id));
    Object.assign(view.query, { need: answer.need, need_tree: answer.need_tree });
    isNeedOpen = Boolean(answer.need);
  }
  drawAbout();
  if (answer.error) drawCards();
});

// Build elements from [tag, attributes, children]; the server makes the tree from Markdown and lets no other tag through.
function tree(nodes) {
  return nodes.map((node) => (typeof node === "string" ? node : h(node[0], node[1], tree(node[2]))));
}

const guidelinesDialog = h("dialog", { class: "era-dialog", "aria-label": t("guidelines.title") });
root.append(guidelinesDialog);

function showGuidelines(mustRead) {
  fill(guidelinesDialog,
    h("h2", {}, t("guidelines.title")),
    mustRead && h("p", { class: "era-quiet" }, t("guidelines.read_once")),
    h("div", { class: "era-markdown" }, tree(view.setup.guidelines)),
    h("form", { method: "dialog", onsubmit: () => {
      if (mustRead) { settings.must_acknowledge = view.must_acknowledge = false; askServer("judge.acknowledge", { ...ids(), text_hash: view.setup.guidelines_hash }); }
    } }, h("button", { class: "era-button era-primary", autofocus: true }, mustRead ? t("guidelines.agree") : t("dialog.close"))));
  if (!guidelinesDialog.open) guidelinesDialog.showModal();
}
