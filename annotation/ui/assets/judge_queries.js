// The judging desk, queries: the list with its filters, what is left to settle, and the import of many.

let listed = { queries: [] };
let listAsked = 0; // counts how often the list was asked for; only the answer to the latest is shown
const progressHeard = new Map(); // query id -> { progress, asOf }: what came with the marks, which may be newer than the list
let nAgain = 0; // marks that deserve a second look
let wanted = ""; // words in the filter box
let isListOpen = false;

const KINDS = {
  all: () => true,
  mine: (query) => query.is_mine,
  open: (query) => query.state === "open",
  begun: (query) => query.state === "begun",
  done: (query) => query.state === "done",
  conflicts: (query) => query.n_conflicts > 0,
};
let kind = storage.getItem("era-query-filter");
if (!(kind in KINDS)) kind = "all";

function askList() {
  askServer("judge.list", { ...ids(), ask: (listAsked += 1) });
}

// To find marks that deserve a second look takes longer than to list the queries, so that is asked for by itself.
const askLooks = () => askServer("judge.looks", ids());

hear("looks", (answer) => {
  if (answer.error || !view || answer.label_set_id !== view.page.label_set_id) return;
  nAgain = answer.n;
  drawCounts();
});

hear("queries", (answer) => {
  if (answer.error || (view && answer.label_set_id !== view.page.label_set_id) || (answer.ask && answer.ask !== listAsked)) return;
  listed = { queries: answer.list };
  if (settings) listed.queries.forEach((query) => learnInstruction(query.instruction));
  for (const query of listed.queries) {
    const heard = progressHeard.get(query.id);
    if (heard?.asOf > answer.as_of) Object.assign(query, heard.progress);
  }
  if (view) drawQueries();
});

function updateProgress(queryId, progress, asOf) {
  if (progressHeard.get(queryId)?.asOf > asOf) return;
  progressHeard.set(queryId, { progress, asOf });
  const query = listed.queries.find((each) => each.id === queryId);
  if (!query) return;
  Object.assign(query, progress);
  const node = queries.querySelector(`[data-query="${queryId}"]`);
  if (node) node.replaceWith(queryItem(query));
  drawHeading();
  drawCounts();
}

function queryItem(query) {
  const isOpen = view.query.id === query.id;
  return h("li", { "data-query": query.id }, h("button", {
    type: "button", class: "era-query-item", "aria-current": isOpen ? "true" : null,
    title: query.instruction ? `${query.text}\n\n${query.instruction}` : query.text,
    onclick: () => { isListOpen = false; openQuery(query.id); },
  }, h("span", { class: "era-query-text" }, query.text),
    h("span", { class: "era-count" },
      h("span", { class: "era-yes", title: t("queries.relevant_title") }, `${query.n_relevant} \u2713`), " ",
      h("span", { class: "era-no", title: t("queries.not_relevant_title") }, `${query.n_not_relevant} \u2715`),
      query.n_imported ? h("span", { title: t("queries.imported_title", { n: query.n_imported }) }, " \u2193") : null,
      query.n_conflicts ? h("span", { class: "era-warn", title: t("queries.conflicts_title") }, ` ${query.n_conflicts} \u2260`) : null,
      query.state === "open" ? null : h("span", { class: "era-mine", title: t(`queries.${query.state}_title`, { n: query.n_mine }) },
        query.state === "done" ? " \u25cf" : " \u25d0"))));
}

const matching = () => {
  const words = wanted.toLocaleLowerCase();
  return listed.queries.filter((query) => KINDS[kind](query) && (!words || query.text.toLocaleLowerCase().includes(words)
    || query.instruction.toLocaleLowerCase().includes(words)));
};

const counts = h("div", { class: "era-lists" });
const list = h("ol", { class: "era-query-list" });
const heading = h("div", { class: "era-row" });
const filterBox = h("input", { type: "search", name: "filter", placeholder: t("queries.filter"), "aria-label": t("queries.filter"),
  oninput: () => { wanted = filterBox.value; drawList(); } });
const kindBox = select(t("queries.show"), Object.keys(KINDS).map((name) => [name, t(`queries.kind.${name}`)]), kind, (name) => {
  kind = name;
  storage.setItem("era-query-filter", name);
  drawList();
});
const body = h("div", { class: "era-drawer-body" }, h("div", { class: "era-row era-filters" }, filterBox, kindBox), list, counts);
queries.append(heading, body);

function drawList() {
  const shown = matching();
  fill(list, shown.map(queryItem), shown.length ? null : h("li", { class: "era-quiet era-none" }, listed.queries.length ? t("queries.none_match") : t("queries.none")));
}

function drawCounts() {
  const nConflicts = listed.queries.reduce((sum, query) => sum + query.n_conflicts, 0);
  const item = (name, n) => n ? h("button", { type: "button", class: "era-link", "aria-pressed": String(view.view === name), title: t(`${name}.title`), onclick: () => { isListOpen = false; openView(name); } }, t(`${name}.link`, { n })) : null;
  fill(counts, item("again", nAgain), view.may_settle && item("conflicts", nConflicts),
    view.can_write && h("button", { type: "button", class: "era-link", title: t("import.title"), onclick: openImport }, t("import.link")));
}

const headingCount = h("span", { class: "era-quiet" });

function drawHeading() {
  const nDone = listed.queries.filter(KINDS.done).length;
  const nImported = listed.queries.filter((query) => query.n_imported).length;
  headingCount.title = t("queries.done_heading");
  fill(headingCount, ` ${t("queries.done", { done: nDone, of: listed.queries.length })}`, nImported ? ` \u00b7 ${t("queries.imported", { n: nImported })}` : null);
}

function drawQueries() {
  drawHeading();
  fill(heading,
    h("button", { type: "button", class: "era-drawer", "aria-expanded": String(isListOpen), onclick: () => { isListOpen = !isListOpen; drawQueries(); } },
      h("strong", {}, t("queries.title")), headingCount),
    h("button", { type: "button", class: "era-link", onclick: newQuery }, t("queries.new")));
  body.classList.toggle("era-is-open", isListOpen);
  const scroll = list.scrollTop;
  drawList();
  drawCounts();
  list.scrollTop = scroll;
}

// Another query is open: the list itself is the same.
function showCurrent() {
  if (!heading.firstChild) return drawQueries();
  list.querySelectorAll("[aria-current]").forEach((node) => node.removeAttribute("aria-current"));
  queries.querySelector(`[data-query="${view.query.id}"] button`)?.setAttribute("aria-current", "true");
  body.classList.toggle("era-is-open", isListOpen);
  heading.querySelector(".era-drawer").setAttribute("aria-expanded", String(isListOpen));
  drawCounts();
}

function nextQuery() {
  const shown = matching().length ? matching() : listed.queries;
  const here = shown.findIndex((query) => query.id === view.query.id);
  const order = [...shown.slice(here + 1), ...shown.slice(0, Math.max(here, 0))];
  const next = order.find(KINDS.open) || order.find(KINDS.begun) || order.find((query) => query.n_mine) || order[0];
  if (next) openQuery(next.id);
}

// --- many queries at once

const importDialog = h("dialog", { class: "era-dialog", "aria-label": t("import.title") });
root.append(importDialog);
let importFile = null; // { name, content } of the file looked at

function openImport() {
  importFile = null;
  drawImport({});
  importDialog.showModal();
}

function drawImport(answer) {
  const chooser = h("input", { type: "file", "aria-label": t("import.choose"), accept: ".csv,.tsv,.jsonl,.json,.txt,.xml,.topics,.parquet,.xlsx", onchange: async () => {
    const [file] = chooser.files;
    if (!file) return;
    if (file.size > 5e6) return drawImport({ error: t("import.too_large") });
    const bytes = new Uint8Array(await file.arrayBuffer());
    let text = "";
    for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
    importFile = { name: file.name, content: btoa(text) };
    fill(outcome, h("p", { class: "era-busy" }, t("import.reading")));
    askServer("judge.import", { ...ids(), ...importFile, is_sure: false });
  } });
  const outcome = h("div", { role: "status" },
    answer.error ? h("p", { class: "era-notice era-lines", role: "alert" }, answer.error) : null,
    answer.n_new !== undefined && !answer.is_done ? [
      h("p", {}, t("import.found", { n: answer.n_new, known: answer.n_known })),
      h("ol", { class: "era-examples" }, answer.examples.map((each) => h("li", {}, each.text, each.instruction ? h("span", { class: "era-quiet" }, ` \u2014 ${each.instruction}`) : null))),
      answer.n_new ? h("button", { type: "button", class: "era-button era-primary", onclick: () => askServer("judge.import", { ...ids(), ...importFile, is_sure: true }) }, t("import.do", { n: answer.n_new })) : null] : null,
    answer.is_done ? h("p", {}, t("import.done", { n: answer.n_new })) : null,
    answer.remarks?.length ? h("ul", { class: "era-remarks" }, answer.remarks.map((remark) => h("li", {}, remark))) : null);
  fill(importDialog,
    h("h2", {}, t("import.title")), h("p", { class: "era-quiet" }, t("import.formats")), chooser, outcome,
    h("form", { method: "dialog" }, h("button", { class: "era-button" }, t("dialog.close"))));
}

hear("import", (answer) => {
  drawImport(answer);
  if (answer.is_done) askList();
});

// --- what other panels say, and a new payload

hear("ready", () => {
  if (view && view.query.id && !view.cards.length) openQuery(view.query.id);
  if (view) { askList(); askLooks(); }
});

hear("settle", () => view && openView("conflicts"));
hear("settle-coverage", ({ view: compared }) => view && openView("coverage", { ...compared, query_id: null }));

// Whether a list may be laid out anew unasked: it is out of sight, nothing is being typed, and it can be asked for as it is.
const mayReopen = () => root.offsetParent === null && view.query.id && !writing.size
  && form.querySelector("textarea[name=query]").value === view.query.text
  && (view.view === "pool" || (view.view === "ranking" && !view.phrase));

// Another ranking is in use. Documents never move under the eyes of someone who is judging: then a better one is only
// offered. A ranking chosen here stays, unless the other one is known to be better.
hear("in-use", ({ key, ranker, was, better_than }) => {
  if (!view || firstRanking(view.ranker) === firstRanking(key)) return;
  const isBetter = better_than.includes(view.ranker);
  if (!isBetter && firstRanking(view.ranker) !== firstRanking(was)) return;
  if (!rankerOf(key)) settings.rankers.splice(2, 0, ranker);
  if (!view.rankers.includes(rankerOf(key))) view.rankers.splice(2, 0, rankerOf(key));
  if (mayReopen()) ask("open", { query_id: view.query.id, view: view.view, ranker: asSwitched(key) });
  else if (view.view !== "ranking") view.ranker = asSwitched(key);
  else if (isBetter) { offered = rankerOf(key); drawCards(); }
  askLooks();
});

// Marks still under way can be undone as well, and those whose undoing is under way cannot; the server knows of neither.
function withWaiting(acts) {
  const here = outbox.waiting.filter((entry) => entry.label_set_id === view.page.label_set_id && entry.query_id === view.query.id && !entry.is_adjudication);
  const undone = new Set(here.filter((entry) => entry.undoes).map((entry) => entry.undoes.join(":")));
  const found = acts.filter((act) => !act.some((each) => undone.has(nameOf(each))));
  const known = new Set(found.flat().map(nameOf));
  for (const entry of here) {
    if (entry.undoes || undone.has(nameOf(entry)) || known.has(nameOf(entry))) continue;
    const each = { ...entry, before: view.said[entry.query_id]?.[entry.doc_id] || SILENT };
    if (entry.together_with && found.at(-1)?.[0].doc_id === entry.together_with) found.at(-1).push(each);
    else found.push([each]);
  }
  return found;
}

function takeSettings(fresh) {
  const usual = { "not relevant": "none", relevant: "relevant", related: "related", perfect: "perfect" };
  settings = fresh;
  settings.setup.grades = settings.setup.grades.map((name) => (usual[name] ? t(`grade.${usual[name]}`) : name));
}

// Instructions that came into use since the settings were sent; the last one is always none.
function learnInstruction(instruction) {
  if (!settings.instructions.includes(instruction)) settings.instructions.splice(-1, 0, instruction);
}

function receive(fresh) {
  if (!fresh || !fresh.page || !window.eraPage.isOpen(fresh.page)) return;
  if (fresh.ask && fresh.ask !== asked) return; // something else was asked for since
  if (fresh.settings) takeSettings(fresh.settings);
  if (settings?.version !== fresh.version) { // the answer that brought them was overtaken by this one
    if (!fresh.ask) return;
    askedFor.data.settings = "";
    return send();
  }
  if (!fresh.ask) asked += 1; // another collection or label set: what was asked before is over
  if (reader.open) reader.close();
  const isFirst = view === null || view.page.label_set_id !== fresh.page.label_set_id || view.person !== fresh.person;
  const isSameQuery = view && view.query.id === fresh.query.id && view.page.label_set_id === fresh.page.label_set_id;
  const draft = view && fresh.error ? form.querySelector("textarea[name=query]")?.value : null;
  view = { ...settings, ...fresh };
  learnInstruction(view.query.instruction);
  view.query.may_describe = Boolean(view.query.id)
    && (settings.may_describe.includes("all") || (view.query.is_mine && settings.may_describe.includes("own")));
  const shown = [view.ranker, settings.in_use].map(firstRanking);
  view.rankers = settings.rankers.filter((ranker) => ranker.is_usual || shown.includes(ranker.key));
  for (const card of view.cards) card.moved = 0;
  isSearching = false;
  useful = null;
  isAskingUseful = false;
  if (offered && offered.key === firstRanking(view.ranker)) offered = null;
  if (!isSameQuery) { lastSaved = null; isNeedOpen = false; writing.clear(); }
  if (isFirst) progressHeard.clear();
  if (view.query.id) lastQuery = view.query.id;
  if (isFirst && view.person) othersWaiting = outbox.adopt(view.person);
  undoable = withWaiting(view.undoable);
  focused = firstOpen() ?? 0;
  focusedAt = Date.now();
  meetRanking();
  drawForm();
  drawAbout();
  if (draft !== null && draft !== undefined) form.querySelector("textarea[name=query]").value = draft;
  drawCards();
  showCurrent();
  if (isFirst || view.view === "again") askLooks();
  if (isFirst || (view.query.id && !listed.queries.some((query) => query.id === view.query.id))) askList();
  if (wantsFocus && !view.error && root.offsetParent !== null) { document.activeElement?.blur(); focusCard(); }
  wantsFocus = false;
  rememberInUrl(view.url);
  if (isLive) askLive();
}

// A page that the browser kept while another one was open is shown as it was left: what it shows is asked for anew.
window.addEventListener("pageshow", (event) => {
  if (!event.persisted || !view) return;
  askList();
  if (view.query.id && !writing.size && ["pool", "ranking"].includes(view.view)) openView(view.view, { phrase: view.phrase });
});

shows("judge", receive);
