// The judging desk: the query, its results with marks, and the list of queries.

const root = element.querySelector(".era-panel");
const clientId = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16)).join("");
let view = null; // the latest payload
let sequence = 0;
let focused = 0;
let pending = new Map(); // document id -> { grade, sequence, before, sentAt, tries }
let undoable = []; // { query, document, grade } to go back to
let lastSaved = null;
let wantsFocus = false; // the person searched: give the keys to the results
let isSearching = false;
let filter = "";
let isHelpOpen = false;
let isListOpen = false;
let offered = null; // a ranking that became available meanwhile
let isNewHere = !localStorage.getItem("era-has-judged"); // the introduction goes once a mark was saved

const form = h("form", { class: "era-query", onsubmit: (event) => (event.preventDefault(), search()) });
const results = h("section", { class: "era-results", "aria-label": "Results" });
const status = h("div", { class: "era-status", role: "status", "aria-live": "polite" });
const queries = h("aside", { class: "era-queries", "aria-label": "Queries" });
root.append(h("div", { class: "era-desk" }, h("div", { class: "era-column" }, form, results, status), queries));

const ids = () => ({ collection_id: view.page.collection_id, label_set_id: view.page.label_set_id });

// --- searching

function search() {
  const text = form.querySelector("textarea[name=query]").value;
  const custom = form.querySelector("textarea[name=instruction]");
  const chosen = form.querySelector("select[name=instruction]").value;
  const instruction = chosen === "other" ? custom.value : view.instructions[Number(chosen)] || "";
  ask("search", { text, instruction, ranker: view.ranker });
}

function ask(event, data) {
  isSearching = true;
  wantsFocus = true;
  drawResults();
  if (event === "search") trigger("search", { ...ids(), ...data });
  else trigger("open", { ...ids(), ...data });
}

const openQuery = (queryId) => ask("open", { query_id: queryId, ranker: view.ranker });

function newQuery() {
  const box = form.querySelector("textarea[name=query]");
  box.value = "";
  box.focus();
}

function drawForm() {
  const known = view.instructions.map((text, i) => [String(i), text || "no instruction"]);
  const place = view.instructions.indexOf(view.query.instruction);
  const custom = h("textarea", {
    name: "instruction", rows: 2, hidden: place >= 0, "aria-label": "Your instruction",
    placeholder: "Say how the query is meant: what counts, what does not", value: place >= 0 ? "" : view.query.instruction,
  });
  const box = h("textarea", {
    name: "query", rows: 2, "aria-label": "Query", value: view.query.text,
    placeholder: "What are you looking for, and under which conditions?",
    onkeydown: (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        search();
      }
    },
  });
  const choice = select("Instruction", [...known, ["other", "Write another instruction \u2026"]],
    place >= 0 ? String(place) : "other", (value) => {
      custom.hidden = value !== "other";
      if (!custom.hidden) custom.focus();
    }, { name: "instruction" });
  fill(form,
    isNewHere && h("p", { class: "era-intro" }, view.intro),
    box,
    h("div", { class: "era-row" },
      h("label", { class: "era-grow" }, h("span", { class: "era-label" }, "Instruction"), choice),
      h("button", { class: "era-button era-primary", type: "submit", title: "Search (Enter in the query box)" }, "Search"),
    ),
    custom,
  );
}
