// What every panel needs: elements made from data (never from markup), counting, and messages between panels.
// Each panel's script is this file followed by its own, and runs once with the panel's `element`.

const SVG = "http://www.w3.org/2000/svg";

// Whatever shows or takes a text has the direction of that text: Arabic and Hebrew from the right, also beside English.
const TYPED = "textarea, select, input:not([type]), input[type=text], input[type=search]";
function giveDirection(node, children) {
  const hasText = node.matches(TYPED) || children.some((child) => typeof child === "string" && child.trim());
  if (hasText && node instanceof HTMLElement && !node.matches("mark, [dir]")) node.dir = "auto";
}

const present = (children) => children.flat(3).filter((child) => child !== null && child !== undefined && child !== false);

// Make an element. Text becomes text nodes, so nothing from a document or a person can turn into markup.
function h(tag, attributes, ...children) {
  const svgTags = ["svg", "path", "circle", "line"];
  const node = svgTags.includes(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...present(children));
  giveDirection(node, present(children));
  return node;
}

// A text with words marked in it; `terms` are pieces of a regular expression, and a word may end a little later.
function textWithTerms(text, terms) {
  if (!terms || !terms.length) return [text];
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}])(?:${terms.join("|")})[\\p{L}\\p{N}]{0,3}(?![\\p{L}\\p{N}])`, "giu");
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    parts.push(text.slice(end, match.index), h("mark", {}, match[0]));
    end = match.index + match[0].length;
  }
  return [...parts, text.slice(end)];
}

function fill(node, ...children) {
  node.replaceChildren(...present(children));
  giveDirection(node, present(children));
  return node;
}

// What this browser keeps; where it lets pages keep nothing (a frame of another site), it lasts as long as the page.
let isStorageReal = true;
const storage = (() => {
  try {
    localStorage.getItem("era");
    return localStorage;
  } catch {
    isStorageReal = false;
    const kept = new Map();
    return {
      get length() { return kept.size; },
      key: (i) => [...kept.keys()][i] ?? null,
      getItem: (key) => kept.get(key) ?? null,
      setItem: (key, value) => void kept.set(key, String(value)),
      removeItem: (key) => void kept.delete(key),
    };
  }
})();

const number = (n) => Number(n).toLocaleString("en-US");
const many = (n, one, several) => `${number(n)} ${n === 1 ? one : several || one + "s"}`;

// Figures as people read them, rounded as `era/figures.py` does: a true minus, no sign where nothing is left.
const asShown = (x, digits) => Number(Math.abs(x).toFixed(digits)) * Math.sign(x);
const figure = (x, digits = 2) => (asShown(x, digits) < 0 ? "\u2212" : "") + Math.abs(x).toFixed(digits);
const signed = (x, digits = 2) => (asShown(x, digits) > 0 ? "+" : "") + figure(x, digits);

function select(label, options, chosen, onchange, attributes) {
  const control = h(
    "select",
    { "aria-label": label, onchange: () => onchange(control.value), ...attributes },
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)),
  );
  return control;
}

function notice(error) {
  return error ? h("p", { class: "era-notice", role: "alert" }, error) : null;
}

// Panels talk through the document: one says what happened, the others listen. What the server answers is heard likewise.
const { say, hear, shows, ask: askServer, remember: rememberInUrl } = window.eraPage || {}; // the page to sign in has none

// Open a tab by its name in English; on the page it may read otherwise.
const openTab = (name) => say("tab", name);

const isTyping = () => {
  const active = document.activeElement;
  return active && (active.matches("input:not([type=checkbox]), textarea, select") || active.isContentEditable);
};

// How Compare marks a document: relevant or not, whatever the scale of grades.
const GRADES = {
  1: { sign: "\u2713", name: "relevant", kind: "yes" },
  0: { sign: "\u2715", name: "not relevant", kind: "no" },
};
const gradeOf = (grade) => (grade === null || grade === undefined ? null : GRADES[grade > 0 ? 1 : 0]);
