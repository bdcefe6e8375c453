// The tabs of the page: one is open, arrow keys go from one to the next, and the address follows.

const tabs = [...element.querySelectorAll(".era-tabs [role=tab]")];
const nameOf = (tab) => tab.dataset.tab;
let isChosen = false; // a person has chosen a tab; until then the address does

document.documentElement.lang = language;
for (const tab of tabs) tab.textContent = t(`tab.${nameOf(tab).toLowerCase()}`);

document.getElementById("era-claim").textContent = t("header.claim");

function open(tab) {
  for (const each of tabs) {
    const isOpen = each === tab;
    each.setAttribute("aria-selected", String(isOpen));
    each.tabIndex = isOpen ? 0 : -1;
    document.getElementById(each.getAttribute("aria-controls")).hidden = !isOpen;
  }
  window.eraPage.chooseTab(nameOf(tab));
}

function choose(tab) {
  isChosen = true;
  open(tab);
}

for (const tab of tabs) tab.addEventListener("click", () => choose(tab));
element.querySelector(".era-tabs").addEventListener("keydown", (event) => {
  const at = tabs.indexOf(event.target);
  const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (at < 0 || next === undefined) return;
  event.preventDefault();
  const tab = tabs.at(next % tabs.length);
  tab.focus();
  choose(tab);
});

hear("tab", (name) => choose(tabs.find((tab) => nameOf(tab) === name)));
shows("header", ({ tab: named }) => {
  const tab = tabs.find((each) => nameOf(each) === named);
  if (tab && !isChosen) choose(tab);
});

// How far each of the three steps is.
const STEPS = { judge: stateOfJudging, train: stateOfTraining, compare: stateOfComparing };
shows("train", (seen) => {
  if (!window.eraPage.isOpen(seen.page)) return;
  for (const [name, stateOf] of Object.entries(STEPS)) fill(document.getElementById(`era-step-${name}`), stateOf(seen));
});

function stateOfJudging({ outlook: { n_labelled: n, n_first: of } }) {
  if (n >= of) return t("step.queries", { n });
  const boxes = Array.from({ length: of }, (_, i) => h("i", { class: i < n ? "era-is-full" : null }));
  return [t("step.judged", { n, of }), h("span", { class: "era-boxes", "aria-hidden": "true" }, boxes)];
}

function stateOfTraining({ active, latest, outlook: { n_labelled, n_first } }) {
  if (active) return t("step.training", { percent: Math.round(100 * active.fraction) });
  if (latest) return t("step.trained", { number: latest.number });
  return n_labelled >= n_first ? t("step.ready") : t("step.to_go", { n: n_first - n_labelled });
}

function stateOfComparing({ latest }) {
  return latest ? t("step.compared", { better: latest.n_better, worse: latest.n_worse }) : "\u2013";
}
