// Compare: which rankings, which query, and the frame that the other parts draw into. They follow in files of their own
// and share this scope.

const root = element.querySelector(".era-panel");
let view = null; // the latest payload
let isBusy = false; // a comparison was asked for and is not here yet
let asked = 0; // counts what was asked for; only the answer to the latest is shown
let askedFor = null; // the latest, and when it was asked for
let isOverallOld = false; // a mark changed what all queries measure, and the new measures are not here yet
let isRefreshDue = false; // the same happened while the tab was being opened
let isBlind = false; // the blind round takes the whole width
let draft = ""; // a query that is being typed and was not compared yet

const controlsBox = h("div", { class: "era-controls" });
const noticeBox = h("div");
const extremesBox = h("nav", { "aria-label": "Where to look first" });
const oneBox = h("section", { "aria-label": "One query" });
const keepBox = h("section", { class: "era-keeping", "aria-label": "Keep and hand on" });
const overallBox = h("section", { class: "era-overall", "aria-label": "All queries" });
const comparing = h("div", { class: "era-page era-wide" }, controlsBox, noticeBox, extremesBox, oneBox, overallBox, keepBox);

const ids = () => ({ collection_id: view.page.collection_id, label_set_id: view.page.label_set_id });
const lookedAt = () => ({ ...ids(), sides: view.sides, query_id: view.query_id, measures: view.measure_names,
  threshold: view.threshold, is_in_sample: view.is_in_sample });
const rankerOf = (key) => view.rankers.find((ranker) => ranker.key === key || ranker.reread === key); // `reread`: the same with its top read anew
const isRun = (key) => Boolean(rankerOf(key)?.is_run);
const isKept = (key) => Boolean(rankerOf(key)?.is_kept);
const firstRanking = (key) => rankerOf(key)?.key || key;
const labelOf = (key) => view.labels[key] || rankerOf(key)?.label || key;
const decimals = (x, digits = 3) => (x === null || x === undefined ? "\u2013" : figure(x, digits));

// --- asking

const PATIENCE_MS = 20000; // after which a question is asked again

function ask(event, data) {
  asked += 1;
  askedFor = { event, data: { ...data, ask: asked }, at: Date.now() };
  send();
}

function send() {
  if (askedFor.event === "try") askServer("compare.try", askedFor.data);
  else askServer("compare.choose", askedFor.data);
}

window.eraCompareAsked = () => { asked += 1; askedFor = null; isListOld = true; return asked; }; // the tab itself asks when it is opened

function choose(change) {
  const isQueryOnly = Object.keys(change).join() === "query_id" && view.overall && !view.isMeasuring && !isBusy && !isOverallOld;
  const isFlatteryOver = change.sides && (!change.sides.some(isRun) || view.sides.every(isKept));
  isBusy = true;
  if ("query_id" in change) forgetDocument();
  Object.assign(view, change, isFlatteryOver ? { is_in_sample: false } : null);
  draw();
  ask("choose", { ...lookedAt(), is_query_only: Boolean(isQueryOnly) });
}

// Ask for the same again because a mark changed what is measured; nothing on the page moves meanwhile. What was asked for
// and is not here yet is asked for again in its place.
function refresh() {
  isOverallOld = true;
  if (!isBusy) ask("choose", lookedAt());
  else if (askedFor) ask(askedFor.event, { ...askedFor.data, is_query_only: false });
  else isRefreshDue = true;
}

function tryQuery(event) {
  event.preventDefault();
  const text = draft.trim();
  if (!text) return event.target.elements.text.focus();
  isBusy = true;
  forgetDocument();
  draw();
  ask("try", { ...lookedAt(), text, instruction: view.instruction });
}

hear("ready", () => view && !view.one && choose({})); // the documents can be ranked now

// Another collection or label set was opened: nothing that was asked, shown or begun before belongs to it.
hear("opened", (ids_) => {
  window.eraCompareAsked();
  view = null;
  isOverallOld = isRefreshDue = false;
  forgetDocument();
  forgetCollection();
  clearDraft();
  isBusy = root.offsetParent !== null;
  fill(root, isBusy && h("p", { class: "era-busy", role: "status" }, "Ranking \u2026"));
  if (isBusy) ask("choose", ids_);
});

hear("compare", () => { if (view) { isBusy = true; draw(); } }); // another comparison was written into the address

// --- drawing: a part is drawn anew without taking the focus, what is being typed, or the place scrolled to

const nameOfNode = (node) => node.dataset.hold || node.getAttribute("aria-label") || node.textContent;

function refill(box, ...children) {
  const active = document.activeElement;
  const held = active && box !== active && box.contains(active) ? [active.tagName, nameOfNode(active)] : null;
  const isText = held && active.matches("input:not([type=checkbox]), textarea");
  const typed = isText ? [active.value, active.selectionStart, active.selectionEnd] : null;
  const scrolled = [...box.querySelectorAll("[data-scroll]")].map((node) => [node.dataset.scroll, node.scrollLeft, node.scrollTop]);
  fill(box, ...children);
  for (const [name, left, top] of scrolled) {
    const node = [...box.querySelectorAll("[data-scroll]")].find((each) => each.dataset.scroll === name);
    if (node) { node.scrollLeft = left; node.scrollTop = top; }
  }
  if (!held) return;
  const again = [...box.querySelectorAll(held[0])].find((node) => nameOfNode(node) === held[1]);
  if (!again) return;
  again.focus({ preventScroll: true });
  if (typed) { again.value = typed[0]; again.setSelectionRange?.(typed[1], typed[2]); }
}

const unfolded = new Set(); // names of what is unfolded

function fold(name, summary, ...children) {
  return h("details", { class: "era-fold", open: unfolded.has(name), ontoggle: (event) => (event.target.open ? unfolded.add(name) : unfolded.delete(name)) },
    h("summary", { "data-hold": `fold ${name}` }, summary), ...children);
}

const button = (label, onclick, attributes = {}) => h("button", { type: "button", class: "era-button", onclick, ...attributes }, label);
const link = (label, onclick, attributes = {}) => h("button", { type: "button", class: "era-link", onclick, ...attributes }, label);

// --- what is compared

const SIDE_NAMES = ["Before", "After", "Third"];

function rankerSelect(i) {
  const groups = [...new Set(view.rankers.map((ranker) => ranker.group || ""))];
  const chosen = firstRanking(view.sides[i]);
  const option = ({ key, label }) => h("option", { value: key, selected: key === chosen }, label);
  const of = (group) => view.rankers.filter((ranker) => (ranker.group || "") === group).map(option);
  const isListed = view.rankers.some((ranker) => ranker.key === chosen);
  const control = h("select", { "aria-label": SIDE_NAMES[i], onchange: () => chooseSide(i, control.value) },
    isListed ? null : h("option", { value: chosen, selected: true }, `${labelOf(chosen)} (not there any more)`),
    groups.map((group) => (group ? h("optgroup", { label: group }, of(group)) : of(group))));
  return h("div", { class: "era-compared-side" },
    h("label", { class: "era-choice" }, h("span", { class: "era-label" }, SIDE_NAMES[i]), control), rankerOf(chosen)?.reread && rereadSwitch(i));
}

// A ranking that is chosen twice changes places with the one that was there.
function chooseSide(i, key) {
  const sides = [...view.sides];
  const there = sides.indexOf(key);
  if (there >= 0) sides[there] = sides[i];
  sides[i] = key;
  choose({ sides });
}

function addThird() {
  const key = [...view.usual, ...view.rankers.map((ranker) => ranker.key)].find((each) => !view.sides.includes(each));
  if (key) choose({ sides: [...view.sides, key] });
}

function stepQuery(by) {
  const place = view.queries.findIndex((query) => query.id === view.query_id);
  const next = view.queries[place < 0 ? 0 : place + by];
  if (next) choose({ query_id: next.id });
}

// Equal texts under different instructions are different queries, so there the instruction is said too.
function namesOfQueries() {
  const counts = new Map();
  for (const { text } of view.queries) counts.set(text, (counts.get(text) || 0) + 1);
  const shortened = (text) => (text.length > 48 ? `${text.slice(0, 47).trimEnd()}\u2026` : text);
  const under = ({ text, instruction }) => (counts.get(text) > 1 && instruction !== undefined ? ` \u2014 ${shortened(instruction) || "no instruction"}` : "");
  return view.queries.map((query) => [String(query.id), `${query.relevant ? "\u2713 " : "   "}${query.text}${under(query)}`]);
}

function controls() {
  const place = view.queries.findIndex((query) => query.id === view.query_id);
  const third = view.sides.length > 2;
  return [
    h("div", { class: "era-row era-choices" }, view.sides.map((_, i) => rankerSelect(i)),
      third ? link("remove the third", () => choose({ sides: view.sides.slice(0, 2) }))
        : view.rankers.length > 2 && link("add a third", addThird)),
    h("div", { class: "era-row era-choices" },
      h("label", { class: "era-grow" }, h("span", { class: "era-label" }, "Query"),
        select("Query", namesOfQueries(), String(view.query_id), (id) => choose({ query_id: Number(id) }))),
      h("span", { class: "era-steps" },
        button("\u25c2", () => stepQuery(-1), { "aria-label": "Previous query", title: "Previous query, key [", disabled: place <= 0 }),
        button("\u25b8", () => stepQuery(1), { "aria-label": "Next query", title: "Next query, key ]", disabled: place < 0 || place >= view.queries.length - 1 })),
      button("Judge blind", () => openBlind(), { disabled: !view.can_write || !view.queries.length, "data-hold": "blind",
        title: view.can_write ? "Two unnamed lists for each query: say which is better, without knowing where it comes from" : "Sign in to say which list is better" })),
    h("form", { class: "era-row", onsubmit: tryQuery },
      h("input", { name: "text", class: "era-grow", "aria-label": "Try another query", placeholder: "Or try any other query, under the same instruction", value: draft,
        oninput: (event) => { draft = event.target.value; } }),
      h("button", { type: "submit", class: "era-button" }, "Compare")),
    strongLine(),
    rereadLine(),
  ];
}

// --- every document read by the strong model

let isStrongAsked = false;
const isPending = () => view.strong?.state === "building";

function strongLine() {
  const strong = view.strong;
  if (!strong || strong.state === "ready") return null;
  if (strong.state === "building") return h("div", { class: "era-row" }, h("p", { class: "era-busy era-grow", role: "status" }, strong.text),
    strong.may_stop && link("Stop", () => askServer("compare.read-none", ids()), { title: "What was read so far is dropped" }));
  return h("p", { class: "era-quiet" }, strong.text, " ",
    view.can_write && link(isStrongAsked ? "Starting \u2026" : "Read every document with the strong model",
      () => { isStrongAsked = true; drawControls(); askServer("compare.read-all", ids()); }, { disabled: isStrongAsked }));
}

hear("strong", (answer) => {
  if (!view || answer.label_set_id !== view.page.label_set_id) return;
  isStrongAsked = false;
  const wasBuilding = isPending();
  if (answer.error) { view.error = answer.error; drawNotice(); } else view.strong = { state: answer.state, text: answer.text, may_stop: answer.may_stop };
  drawControls();
  if (wasBuilding && view.strong.state === "ready") refresh(); // it can be chosen now
});

setInterval(() => {
  const isAwaited = isBusy || (isOverallOld && !view.isMeasuring);
  if (isAwaited && askedFor && Date.now() - askedFor.at > PATIENCE_MS) { askedFor.at = Date.now(); send(); }
  if (view && isPending() && root.offsetParent !== null) askServer("compare.strong", ids());
}, 3000);

// --- the whole

const drawControls = () => refill(controlsBox, view.intro && h("p", { class: "era-intro" }, view.intro), controls());
const drawNotice = () => fill(noticeBox, notice(view.error));

function draw() {
  if (isBlind) return drawBlind();
  if (comparing.parentNode !== root) fill(root, comparing);
  drawControls();
  drawNotice();
  drawOne();
  drawOverall();
  drawKeeping();
}

function clearDraft() {
  const field = controlsBox.querySelector("input[name=text]");
  draft = "";
  if (field) field.value = "";
}

function receive(fresh) {
  if (!fresh || !fresh.rankers || !window.eraPage.isOpen(fresh.page)) return;
  if ((fresh.ask || 0) !== asked) return;
  if (fresh.query_id !== view?.query_id) forgetDocument();
  const isTried = isBusy && askedFor?.event === "try" && !fresh.tried && draft.trim() === askedFor.data.text;
  if (isTried) clearDraft();
  fresh.isMeasuring = fresh.overall === "pending";
  if (fresh.isMeasuring || fresh.overall === "same") fresh.overall = view ? view.overall : null; // the earlier one stays until the new one is there
  else isOverallOld = false;
  view = fresh;
  isBusy = false;
  takeInMarks();
  draw();
  if (isRefreshDue) { isRefreshDue = false; refresh(); }
  if (root.offsetParent !== null) rememberInUrl({ ...view.url, before: null, after: null, v: null });
}
