// The tabs of the page: one is open, arrow keys go from one to the next, and the address follows.

const tabs = [...element.querySelectorAll(".era-tabs [role=tab]")];
const nameOf = (tab) => tab.dataset.tab;
let isChosen = false; // a person has chosen a tab; until then the address does

document.documentElement.lang = language;
for (const tab of tabs) tab.textContent = t(`tab.${nameOf(tab).toLowerCase()}`);

const dark = matchMedia("(prefers-color-scheme: dark)");
const wanted = new URL(window.location.href).searchParams.get("__theme");
const dress = () => document.documentElement.classList.toggle("dark", wanted ? wanted === "dark" : dark.matches);
dark.addEventListener("change", dress);
dress();

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
