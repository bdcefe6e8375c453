// What there is to learn from, the Train button, live progress, and the training runs so far.

const root = element.querySelector(".era-panel");
let view = null;
let shown = null;
let isAdvancedOpen = false;
let recipe = null;
let seed = "0";
let isStarting = false;

const ids = () => ({ collection_id: view.page.collection_id, label_set_id: view.page.label_set_id });
const STEPS = ["embedding", "alignment", "adaptation", "evaluation"];
const STEP_WORDS = { embedding: "reading", alignment: "aligning", adaptation: "adapting", evaluation: "checking on unseen queries" };

function outlook() {
  const o = view.outlook;
  return h("p", { class: "era-lead" },
    `You have ${many(o.n_queries, "query", "queries")} with something relevant, ${many(o.n_relevant, "relevant mark")} and ${many(o.n_not_relevant, "not-relevant mark")}.`,
    h("span", { class: "era-quiet" }, `  Labels: ${view.page.label_set}`));
}

function controls() {
  const o = view.outlook;
  const options = h("details", { class: "era-advanced", open: isAdvancedOpen, ontoggle: (event) => { isAdvancedOpen = event.target.open; } },
    h("summary", {}, "Advanced"),
    h("label", {}, h("span", { class: "era-label" }, "Recipe"), select("Recipe", view.recipes, recipe || view.recipes[0][0], (value) => { recipe = value; })),
    h("label", {}, h("span", { class: "era-label", title: "The same labels and the same seed give the same adapter" }, "Seed"),
      h("input", { type: "number", min: 0, max: 2147483647, step: 1, value: seed, "aria-label": "Seed", oninput: (event) => { seed = event.target.value; } })));
  return [
    h("div", { class: "era-row" },
      h("button", { type: "button", class: "era-button era-primary", disabled: !o.can_train || isStarting || !view.can_write, onclick: start }, "Train"),
      h("span", { class: "era-quiet" }, view.device ? `on ${view.device}` : "", o.usual_seconds ? `${view.device ? ", " : ""}usually ${Math.max(1, Math.round(o.usual_seconds))} s` : "")),
    o.advice && h("p", { class: "era-advice" }, o.advice),
    options,
  ];
}

function start() {
  isStarting = true;
  trigger("start", { ...ids(), recipe: recipe || view.recipes[0][0], seed });
  draw();
}

function progress() {
  const run = view.active;
  if (!run) return null;
  const step = STEPS.indexOf(run.stage);
  return h("div", { class: "era-progress", role: "status" },
    h("progress", { max: 1, value: run.fraction, "aria-label": `Training run ${run.number}` }),
    h("div", { class: "era-row" },
      h("span", {}, run.state === "queued" ? "Waiting for its turn"
        : `${step + 1}/4 ${STEP_WORDS[run.stage] || "starting"}${run.message ? ` \u00b7 ${run.message}` : ""} \u00b7 ${run.seconds.toFixed(1)} s`),
      h("span", { class: "era-grow" }),
      h("button", { type: "button", class: "era-button", disabled: run.is_cancel_requested || !view.can_write,
        onclick: (event) => { event.target.disabled = true; trigger("cancel", { ...ids(), training_run_id: run.id }); } },
      run.is_cancel_requested ? "Cancelling \u2026" : "Cancel")),
    h("p", { class: "era-quiet" }, "You can close or leave this page; the training goes on and shows here again."));
}

function outcome() {
  const gain = view.latest;
  if (!gain) return null;
  const rows = [["light", "Light model alone"], ["aligned", "Aligned, no labels"], ["after", `After your marks (run ${gain.number})`]];
  return h("section", { class: "era-outcome" },
    h("h2", {}, gain.headline),
    gain.sentences.map((sentence) => h("p", {}, sentence)),
    h("table", { class: "era-table" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, `${many(gain.n, "query", "queries")}, each ranked by an adapter that had not seen its marks`),
        view.measures.map(([name, meaning]) => h("th", { scope: "col", class: "era-number" }, h("abbr", { title: meaning }, name))))),
      h("tbody", {}, rows.map(([key, label]) => h("tr", {}, h("th", { scope: "row" }, label),
        view.measures.map(([name]) => h("td", { class: "era-number" }, gain.means[key][name].toFixed(3))))))),
    h("button", { type: "button", class: "era-button", onclick: () => compare(gain.key) }, "See the difference"));
}

// Today only the time matters, otherwise the day as well.
function when(iso) {
  const at = new Date(iso);
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return at.toDateString() === new Date().toDateString() ? time : `${at.toLocaleDateString([], { day: "numeric", month: "short" })} ${time}`;
}

const compare = (key) => { say("compare", { after: key }); openTab("Compare"); };

function runs() {
  if (!view.runs.length) return h("p", { class: "era-empty" }, "Your training runs will be listed here, with what each of them gained.");
  return h("div", { class: "era-scroll" }, h("table", { class: "era-table" },
    h("caption", {}, "Training runs"),
    h("thead", {}, h("tr", {}, ["run", "when", "labels", "recipe"].map((name) => h("th", { scope: "col" }, name)),
      h("th", { scope: "col", class: "era-number", title: "nDCG@10 of the light model alone and after training, on queries held out in turn" }, "before \u2192 after"),
      ["state", "note", ""].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, view.runs.map((run) => h("tr", {},
      h("td", {}, String(run.number)), h("td", { title: new Date(run.at).toLocaleString() }, when(run.at)), h("td", { title: run.labels_title }, run.labels), h("td", {}, run.recipe),
      h("td", { class: "era-number" }, run.change || ""), h("td", {}, h("span", { class: `era-state era-state-${run.state}` }, run.in_use ? "in use" : run.state)),
      h("td", { class: "era-note" }, run.note),
      h("td", {}, run.state === "finished" && h("button", { type: "button", class: "era-link", onclick: () => compare(run.key) }, "compare")))))));
}

function draw() {
  const hasFocus = document.activeElement && root.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  fill(root, h("div", { class: "era-page" },
    view.intro && h("p", { class: "era-intro" }, view.intro),
    notice(view.error), outlook(), controls(), progress(), outcome(), runs()));
  if (hasFocus) [...root.querySelectorAll("[aria-label]")].find((n) => n.getAttribute("aria-label") === hasFocus)?.focus({ preventScroll: true });
}

function receive() {
  const fresh = props.value;
  if (!fresh || !fresh.outlook) return;
  const text = JSON.stringify(fresh);
  if (text === shown && !isStarting) return;
  const isNew = view && view.page.label_set_id === fresh.page.label_set_id && fresh.latest && fresh.latest.key !== view.latest?.key;
  if (isNew) say("better", { key: fresh.latest.key, run: String(fresh.latest.number) });
  shown = text;
  view = fresh;
  isStarting = false;
  draw();
}

watch("value", receive);
receive();
