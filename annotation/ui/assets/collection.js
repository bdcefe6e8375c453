// The collections, what is known of each, and the label sets of the open one. Importing, documents, embedders, taking
// out and bringing in follow in files of their own and share this scope.

const root = element.querySelector(".era-panel");
let view = null;
let setupDraft = null; // how judging is to be set up, while it is being changed
let isSetupOpen = false;
let typed = null; // a name being written; a new answer from the server must not take it away
let asked = 0; // counts what was asked for
const awaited = new Map(); // kind of answer -> number of the latest question; only its answer is shown
const unfolded = new Set(); // names of what is unfolded
const drafts = new Map(); // what is being typed, by the name of its field

const pageBox = h("div", { class: "era-page" });
const pickersBox = h("div", { hidden: true });
const newBox = h("section", { class: "era-part", "aria-label": "New collection" });
const jobsBox = h("section", { class: "era-part", "aria-label": "Imports" });
const documentsBox = h("div", { class: "era-section" });
const embeddersBox = h("div", { class: "era-section" });
const takeOutBox = h("div", { class: "era-section" });
const bringInBox = h("div", { class: "era-section" });

const ids = () => ({ collection_id: view.page.collection_id, label_set_id: view.page.label_set_id });
const button = (label, onclick, attributes = {}) => h("button", { type: "button", class: "era-button", onclick, ...attributes }, label);
const link = (label, onclick, attributes = {}) => h("button", { type: "button", class: "era-link", onclick, ...attributes }, label);
const field = (label, control, title) => h("label", { class: "era-field" }, h("span", { class: "era-label", title: title || null }, label), control);
const quiet = (...words) => h("p", { class: "era-quiet" }, ...words);
const busy = (words) => h("p", { class: "era-busy", role: "status" }, words);

// Ask the server; the answer comes as `kind`, and only the one to the latest question is heard.
function ask(event, kind, data = {}) {
  asked += 1;
  awaited.set(kind, asked);
  askServer(`collection.${event}`, { ...ids(), ...data, ask: asked });
}

// No one waits for the answer any more; what the server reads for it ends.
function giveUp(kind) {
  if (awaited.delete(kind)) askServer("collection.forget", { ...ids(), given_up: kind });
}

function answered(kind, listener) {
  hear(kind, (answer) => {
    if (!view || answer.ask !== awaited.get(kind)) return;
    awaited.delete(kind);
    listener(answer);
  });
}

// A field that keeps what is being typed when the page around it is drawn anew.
function draftField(name, label, initial, attributes = {}, tag = "input") {
  return h(tag, { name, "aria-label": label, ...attributes, value: drafts.get(name) ?? initial, oninput: (event) => drafts.set(name, event.target.value) });
}

function fold(name, summary, ...children) {
  return h("details", { class: "era-advanced era-section", open: unfolded.has(name), ontoggle: (event) => (event.target.open ? unfolded.add(name) : unfolded.delete(name)) },
    h("summary", { "data-hold": `fold ${name}` }, summary), ...children);
}

const nameOfNode = (node) => node.dataset.hold || node.getAttribute("aria-label") || node.textContent;

// Draw a part anew without taking the focus away.
function refill(box, ...children) {
  const active = document.activeElement;
  const held = active && box !== active && box.contains(active) ? [active.tagName, nameOfNode(active), active.selectionStart, active.selectionEnd] : null;
  fill(box, ...children);
  if (!held || (document.activeElement === active && active.isConnected)) return;
  const again = [...box.querySelectorAll(held[0])].find((node) => nameOfNode(node) === held[1]);
  if (!again) return;
  again.focus({ preventScroll: true });
  if (again.matches("input[type=text], input:not([type]), textarea") && held[2] !== null && held[2] !== undefined) again.setSelectionRange(held[2], held[3]);
}

const facts = (pairs) => h("dl", { class: "era-facts" }, pairs.map(([name, value, meaning]) => [h("dt", { title: meaning || null }, name), h("dd", {}, value)]));

function card(collection) {
  return h("section", { class: `era-collection${collection.is_open ? " era-is-open" : ""}`, "aria-label": collection.name },
    h("div", { class: "era-row" }, h("h2", { class: "era-grow" }, collection.name),
      collection.is_open ? h("span", { class: "era-state" }, "open")
        : !collection.is_archived && h("button", { type: "button", class: "era-button", "aria-label": `Open ${collection.name}`, onclick: () => askServer("collection.open", { collection_id: collection.id }) }, "Open")),
    collection.description && h("p", { class: "era-lines" }, collection.description),
    facts(collection.facts),
    collection.is_open && [labelSets(), people(), deskSetup(), documentsBox, embeddersBox, takeOutBox, bringInBox],
    managing(collection));
}

function labelSets() {
  return h("div", {},
    h("h3", {}, "Label sets"),
    h("p", { class: "era-quiet" }, "A label set holds the marks that one training run learns from. Starting an empty one leaves the others as they are."),
    h("ul", { class: "era-label-sets" }, view.label_sets.map((set) => h("li", { class: "era-row" },
      h("span", { class: "era-grow" }, h("strong", {}, set.name), h("span", { class: "era-quiet" }, `  ${set.counts}`)),
      set.is_open ? h("span", { class: "era-state" }, "open")
        : h("button", { type: "button", class: "era-button", "aria-label": `Use the label set ${set.name}`, onclick: () => askServer("collection.use", { collection_id: view.page.collection_id, label_set_id: set.id }) }, "Use")))),
    view.can_write && h("form", { class: "era-row", onsubmit: (event) => {
      event.preventDefault();
      typed = null;
      askServer("collection.begin", { collection_id: view.page.collection_id, label_set_id: view.page.label_set_id, name: event.target.elements.name.value });
    } },
      h("input", { name: "name", class: "era-grow", maxlength: 60, "aria-label": "Name of the new label set", placeholder: "Name", value: typed ?? view.suggested_name,
        oninput: (event) => { typed = event.target.value; } }),
      h("button", { type: "submit", class: "era-button" }, "Start an empty label set")));
}

let coverage = null; // how much of the first ten is judged, once it was asked for

function people() {
  const { work, agreement, pairs, with_imported, n_conflicts, hidden_note } = view.people;
  const listed = (title, all, second) => (all.length ? h("details", { class: "era-advanced" }, h("summary", {}, title), h("ul", {}, all.map((each) =>
    h("li", {}, `${each.first} and ${second(each)}: the same relevance for ${Math.round(100 * each.share)} % of ${many(each.n, "document")}`)))) : null);
  const when = (time) => new Date(time).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const columns = [["Person", ""], ["Graded", "documents that this person graded"], ["Can't tell", "documents that this person looked at without being able to tell"], ["Queries", "with a document that this person marked"],
    ["Relevant", "share of the grades that say relevant"],
    ["Kept", "of the marks drawn at random under \u201cLook again\u201d, how many this person left as they were; the earlier mark was in view"], ["Seconds", "median time with a document"], ["Last mark", ""]];
  return h("div", { class: "era-people" },
    h("h3", {}, "People"),
    work.length ? h("div", { class: "era-scroll" }, h("table", { class: "era-table" },
      h("thead", {}, h("tr", {}, columns.map(([name, meaning], i) => h("th", { scope: "col", class: i ? "era-number" : null }, meaning ? h("abbr", { title: meaning }, name) : name)))),
      h("tbody", {}, work.map((each) => h("tr", {},
        h("th", { scope: "row" }, each.author), h("td", { class: "era-number" }, number(each.n_graded)), h("td", { class: "era-number" }, number(each.n_unsure)),
        h("td", { class: "era-number" }, number(each.n_queries)),
        h("td", { class: "era-number" }, each.share_relevant === null ? "\u2013" : `${Math.round(100 * each.share_relevant)} %`),
        h("td", { class: "era-number" }, each.kept || "\u2013"),
        h("td", { class: "era-number" }, each.median_seconds === null ? "\u2013" : each.median_seconds.toFixed(1)),
        h("td", { class: "era-number", title: `first mark ${when(each.first_at)}` }, when(each.last_at)))))))
      : h("p", { class: "era-quiet" }, "Who judged how much will be listed here, after the first mark."),
    agreement ? h("p", {}, h("abbr", { title: agreement.title }, agreement.text)) : h("p", { class: "era-quiet" }, "How well people agree shows as soon as two of them have judged some of the same documents."),
    listed("Two by two", pairs, (each) => each.second),
    listed("Beside imported marks", with_imported, (each) => `the marks imported by ${each.second}`),
    hidden_note && quiet(hidden_note),
    n_conflicts && view.may_settle ? h("p", {}, `${many(n_conflicts, "document")} people disagree about. Until somebody settles it, an even split is left out of training. `,
      h("button", { type: "button", class: "era-link", onclick: () => { say("settle"); openTab("Judge"); } }, "Settle disagreements")) : null,
    coverage ? h("p", { role: "status" }, coverage) : h("button", { type: "button", class: "era-button", onclick: (event) => {
      event.target.disabled = true;
      event.target.textContent = "Counting \u2026";
      askServer("collection.measure", { collection_id: view.page.collection_id, label_set_id: view.page.label_set_id });
    } }, "How much of the first ten is judged?"));
}

// A mark that was under way when this tab was opened is saved now, and counts.
hear("saved", (saved) => { if (view && saved.stored?.length && root.offsetParent !== null) askServer("collection.refresh", ids()); });

hear("coverage", (answer) => {
  if (!view || answer.label_set_id !== view.page.label_set_id) return;
  coverage = answer.text;
  draw();
});

function receive(fresh) {
  if (!fresh || !fresh.collections || !window.eraPage.isOpen(fresh.page)) return;
  const isElsewhere = !view || view.page.collection_id !== fresh.page.collection_id;
  if (!view || view.page.label_set_id !== fresh.page.label_set_id) { coverage = null; setupDraft = null; forgetBringingIn(); }
  if (fresh.is_arranged) setupDraft = null;
  if (fresh.is_managed) forgetManaging();
  view = fresh;
  if (isElsewhere) leaveCollection();
  if (fresh.jobs) takeJobs(fresh.jobs);
  draw();
  if (root.offsetParent !== null) rememberInUrl(view.url);
}

// What was begun for one collection is not carried over to another.
function leaveCollection() {
  for (const kind of ["documents-preview", "documents-plan"]) giveUp(kind);
  for (const kind of ["documents-taken", "embedders-plan", "embedders-changed", "taken-out", "pushed"]) awaited.delete(kind);
  drafts.delete("removed ids");
  if (documents) stopSending(documents.picker);
  forgetDocuments();
  forgetEmbedders();
  forgetTakingOut();
  forgetBringingIn();
}

function draw() {
  if (pageBox.parentNode !== root) fill(root, pageBox, pickersBox);
  drawNew();
  drawJobs();
  drawDocuments();
  drawEmbedders();
  drawTakeOut();
  drawBringIn();
  const shown = view.collections.filter((each) => !each.is_archived || each.is_open);
  const archived = view.collections.filter((each) => each.is_archived && !each.is_open);
  refill(pageBox, notice(view.error), newBox, jobsBox, shown.map(card),
    archived.length ? fold("archived", `Archived collections (${archived.length})`, archived.map(card)) : null);
}
