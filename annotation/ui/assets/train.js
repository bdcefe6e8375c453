// What there is to learn from, the Train button, live progress, and what was gained; each part is redrawn on its own.

const root = element.querySelector(".era-panel");
let view = null;
let isAdvancedOpen = false;
let recipe = null;
let seed = "0";
let isStarting = false;

const ids = () => ({ collection_id: view.page.collection_id, label_set_id: view.page.label_set_id });
const STEPS = ["embedding", "alignment", "adaptation", "evaluation"];
const STEP_WORDS = { embedding: "reading", alignment: "aligning", adaptation: "adapting", evaluation: "checking on unseen queries" };

const page = h("div", { class: "era-page" });
const drawnAs = new Map(); // part -> [its place on the page, what it showed last]

// Draw a part anew only if what it shows has changed, and leave the person where she was.
function part(name, shown, build, isForced = false) {
  const text = JSON.stringify(shown);
  if (!drawnAs.has(name)) drawnAs.set(name, [page.appendChild(h("div", { class: "era-part" })), null]);
  const [place, before] = drawnAs.get(name);
  if (!isForced && before === text) return;
  drawnAs.set(name, [place, text]);
  const active = place.contains(document.activeElement) ? document.activeElement : null;
  const label = active && (active.getAttribute("aria-label") || active.textContent);
  const caret = active && "selectionStart" in active ? [active.selectionStart, active.selectionEnd] : null;
  fill(place, build());
  place.hidden = !place.childNodes.length;
  if (!label) return;
  const again = [...place.querySelectorAll("button, input, textarea, select, summary")].find((n) => (n.getAttribute("aria-label") || n.textContent) === label);
  again?.focus({ preventScroll: true });
  if (again && caret && caret[0] !== null && again.setSelectionRange) again.setSelectionRange(...caret);
}

function outlook() {
  const o = view.outlook;
  return [
    h("p", { class: "era-lead" }, `You have ${o.labels}.`, h("span", { class: "era-quiet" }, `  Labels: ${view.page.label_set}`)),
    o.without_relevant && h("p", { class: "era-quiet" }, o.without_relevant),
    o.testing.words && h("p", { class: "era-row era-testing" }, h("span", {}, o.testing.words),
      o.testing.can_keep && testing("keep", "Keep some for testing", "Drawn at random, near-copies together"),
      o.testing.can_release && testing("release", "Let them be learned from", "The next training run learns from them again; they are no clean test of it then")),
  ];
}

function testing(event, label, title) {
  const { why_not } = view.outlook.testing;
  return h("button", { type: "button", class: "era-button", disabled: Boolean(why_not), title: why_not || title,
    onclick: (click) => { click.target.disabled = true; askServer(`train.${event}`, ids()); } }, label);
}

function controls() {
  const o = view.outlook;
  const options = h("details", { class: "era-advanced", open: isAdvancedOpen, ontoggle: (event) => { isAdvancedOpen = event.target.open; } },
    h("summary", {}, "Advanced"),
    h("label", {}, h("span", { class: "era-label" }, "Recipe"), select("Recipe", view.recipes, recipe || view.recipes[0][0], (value) => { recipe = value; })),
    h("label", {}, h("span", { class: "era-label", title: "The same labels and the same seed give the same adapter" }, "Seed"),
      h("input", { type: "number", min: 0, max: 2147483647, step: 1, value: seed, "aria-label": "Seed", oninput: (event) => { seed = event.target.value; } })));
  const isBusy = view.active?.kind === "training";
  return [
    h("div", { class: "era-row" },
      h("button", { type: "button", class: "era-button era-primary", disabled: !o.can_train || isStarting || !view.can_write, onclick: start,
        title: isBusy ? "It waits in line until the runs before it are done" : null }, "Train"),
      h("span", { class: "era-quiet" }, view.device ? `on ${view.device}` : "", o.usual_seconds ? `${view.device ? ", " : ""}usually ${Math.max(1, Math.round(o.usual_seconds))} s` : "",
        isBusy && o.can_train ? "; another run would wait in line" : "")),
    o.advice && h("p", { class: "era-advice" }, o.advice),
    options,
  ];
}

function start() {
  isStarting = true;
  askServer("train.start", { ...ids(), recipe: recipe || view.recipes[0][0], seed });
  draw();
}

// Why this person may not do something with a training run; empty if they may.
const SIGN_IN = "Sign in first";
function whyNot(event, id) {
  if (event === "rerun") return view.can_write ? "" : SIGN_IN;
  return (event === "use" ? view.why_no_choice : view.fixed[id]) || "";
}

// What an event of a training run carries, and the button that sends it; a second click waits for the answer.
const about = (id, more) => ({ ...ids(), training_run_id: id, ...more });
function sending(label, event, id, more, attributes = {}) {
  const why = whyNot(event, id);
  return h("button", { type: "button", class: "era-button", ...attributes, disabled: Boolean(why || attributes.disabled), title: why || attributes.title || null,
    onclick: (click) => { click.target.disabled = true; askServer(`train.${event}`, about(id, more)); } }, label);
}

function progress() {
  const run = view.active;
  if (!run) return [];
  const step = STEPS.indexOf(run.stage);
  const isCurve = run.kind === "curve";
  const detail = run.message ? ` \u00b7 ${run.message}` : "";
  const words = isCurve ? `Would more labels help? Run ${run.number}${detail} \u00b7 ${run.seconds.toFixed(1)} s`
    : run.state === "queued" ? `Run ${run.number} is waiting: ${run.place}`
      : `Run ${run.number} \u00b7 ${step + 1}/4 ${STEP_WORDS[run.stage] || "starting"}${detail} \u00b7 ${run.seconds.toFixed(1)} s`;
  return h("div", { class: "era-progress", role: "status" },
    h("progress", { max: 1, value: run.fraction, "aria-label": isCurve ? `Learning curve of run ${run.number}` : `Training run ${run.number}` }),
    h("div", { class: "era-row" },
      h("span", {}, words),
      h("span", { class: "era-grow" }),
      sending(run.is_cancel_requested ? "Cancelling \u2026" : "Cancel", isCurve ? "withdraw" : "cancel", run.id, {}, { disabled: run.is_cancel_requested })),
    view.waiting.length > 0 && h("ul", { class: "era-waiting" }, view.waiting.map((each) => h("li", { class: "era-row" },
      h("span", {}, `Run ${each.number}`), h("span", { class: "era-quiet" }, each.place),
      sending("Cancel", "cancel", each.id, {}, { class: "era-link", "aria-label": `Cancel run ${each.number}` })))),
    h("p", { class: "era-quiet" }, "You can close or leave this page; the work goes on and shows here again."));
}

function outcome() {
  const gain = view.latest;
  if (!gain) return [];
  const [light, , marks] = gain.stages;
  return h("section", { class: `era-outcome era-verdict-${gain.verdict}` },
    h("h2", {}, t(`verdict.${gain.verdict}`)),
    h("p", { class: "era-verdict" }, t("verdict.lead", { n: gain.n, measure: gain.measure, before: figure(light.value), after: figure(marks.value) })),
    bars(gain),
    strip(gain),
    h("div", { class: "era-row" },
      h("p", { class: "era-grow" }, gain.n_missing && gain.verdict === "unsure" ? t("verdict.missing", { n: gain.n_missing }) : t(`verdict.next.${gain.verdict}`)),
      h("button", { type: "button", class: "era-button era-primary", onclick: () => compare(gain.key) }, "See the difference")),
    h("details", { class: "era-advanced" }, h("summary", {}, t("verdict.details")),
      h("p", {}, h("b", {}, gain.headline)),
      gain.sentences.map((sentence) => h("p", {}, sentence)),
      h("div", { class: "era-scroll" }, h("table", { class: "era-table" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, `${many(gain.n, "query", "queries")}, each ranked by what had not seen its marks`),
          view.measures.map(([name, meaning]) => h("th", { scope: "col", class: "era-number" }, h("abbr", { title: meaning }, name))))),
        h("tbody", {}, gain.rankings.map((row) => h("tr", { class: row.is_in_use ? "era-main" : null }, h("th", { scope: "row", title: row.title || null }, row.label, row.is_in_use && h("span", { class: "era-quiet" }, " in use")),
          row.figures.map((text) => h("td", { class: "era-number" }, text)))))))));
}

// One bar for each stage from the light model alone to the marks, with where the truth of the last probably lies.
function bars({ stages, ends }) {
  const top = Math.max(0.01, ...stages.map(({ value }) => value), ...(ends || []));
  const at = (value) => `${(100 * Math.min(Math.max(value, 0), top)) / top}%`;
  return h("dl", { class: "era-stages" }, stages.map(({ name, value }) => [
    h("dt", {}, t(`stage.${name}`)),
    h("dd", {},
      h("span", { class: "era-stage", "aria-hidden": "true" },
        h("span", { class: `era-stage-${name}`, style: `width: ${at(value)}` }),
        name === "marks" && ends && h("span", { class: "era-ends", title: t("verdict.ends"), style: `left: ${at(ends[0])}; width: calc(${at(ends[1])} - ${at(ends[0])})` })),
      h("span", { class: "era-number" }, figure(value))),
  ]));
}

// How many queries got better, stayed and got worse, as parts of one line.
function strip({ key, n_better, n_same, n_worse }) {
  const parts = [["better", n_better, t("strip.better", { n: n_better })], ["same", n_same, t("strip.same", { n: n_same })], ["worse", n_worse, t("strip.worse", { n: n_worse })]];
  return h("button", { type: "button", class: "era-strip", title: t("strip.open"), onclick: () => compare(key) },
    parts.filter(([, n]) => n).map(([kind, n, words]) => h("span", { class: `era-strip-${kind}`, style: `flex-grow: ${n}` }, words)));
}

function inUse() {
  const used = view.in_use;
  return view.runs.length ? h("div", { class: "era-in-use" },
    h("p", {}, h("strong", {}, `In use: ${used.label}.`), used.reason && ` ${used.reason}`),
    h("label", { class: "era-choice" }, h("span", { class: "era-label", title: "What ranks where you choose nothing else: in Judge, in Compare, and for programs" }, "change"),
      select("Ranking in use", used.choices, used.key, (key) => askServer("train.use", { ...ids(), key }), { disabled: Boolean(view.why_no_choice), title: view.why_no_choice || null }))) : [];
}

// The Compare tab reads the address when it opens; where that names no query, it shows the one that improved most.
function compare(key) {
  rememberInUrl({ sides: `light~${key}`, query: null, insample: null, before: null, after: null, v: null });
  say("compare");
  openTab("Compare");
}

function draw() {
  const { outlook: seen, can_write, active, waiting, latest, fixed, why_no_choice } = view;
  part("intro", [view.intro, view.error], () => [view.intro && h("p", { class: "era-intro" }, view.intro), notice(view.error)].filter(Boolean));
  part("progress", [active, waiting, fixed], progress);
  part("outcome", latest, outcome);
  part("in-use", [view.in_use, why_no_choice, view.runs.length > 0], inUse);
  part("outlook", [seen, view.page.label_set], outlook);
  part("controls", [seen, can_write, isStarting, view.device, active?.kind], controls);
  drawRuns();
}

// A mark that was under way when this tab was opened is saved now, and counts.
hear("saved", (saved) => { if (view && saved.stored?.length && root.offsetParent !== null) askServer("train.show", ids()); });

function receive(fresh) {
  if (!fresh || !fresh.outlook || !window.eraPage.isOpen(fresh.page)) return;
  if (view && view.page.label_set_id === fresh.page.label_set_id && fresh.in_use.key !== view.in_use.key) {
    const { key, ranker, better_than } = fresh.in_use;
    say("in-use", { key, ranker, was: view.in_use.key, better_than });
  }
  const isAnswer = fresh.is_answer;
  const isElsewhere = view && view.page.collection_id !== fresh.page.collection_id;
  view = fresh;
  isStarting = false;
  if (!page.isConnected) root.prepend(page);
  if (isElsewhere) closeRun();
  if (isAnswer) drawnAs.forEach((each, name) => name !== "runs" && (each[1] = null)); // buttons that were pressed come back
  refreshRun();
  draw();
  if (isAnswer) drawRuns(true);
}
