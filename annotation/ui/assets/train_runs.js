// The training runs so far: filters, and a row for each; a row opens in place.

const filters = { words: "", state: "", labels: "all", isPinned: false, isArchived: false };
const MANY_ROWS = 4; // from here on, filters are worth their space

// Today only the time matters, otherwise the day as well.
function when(iso) {
  const at = new Date(iso);
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return at.toDateString() === new Date().toDateString() ? time : `${at.toLocaleDateString([], { day: "numeric", month: "short" })} ${time}`;
}

function isShown(run) {
  const words = filters.words.trim().toLowerCase();
  return (!run.is_archived || filters.isArchived || run.id === openId)
    && (!filters.isPinned || run.is_pinned)
    && (filters.labels === "all" || run.is_of_label_set)
    && (!filters.state || run.state === filters.state)
    && (!words || `run ${run.number} ${run.name} ${run.note}`.toLowerCase().includes(words));
}

function filterRow() {
  if (view.runs.length < MANY_ROWS && !view.runs.some((run) => run.is_archived)) return null;
  const change = (name, value) => { filters[name] = value; drawRuns(true); };
  const check = (name, text) => h("label", {}, h("input", { type: "checkbox", checked: filters[name], "aria-label": text, onchange: (event) => change(name, event.target.checked) }), ` ${text}`);
  const states = [...new Set(view.runs.map((run) => run.state))];
  const nArchived = view.runs.filter((run) => run.is_archived).length;
  return h("div", { class: "era-row era-run-filters" },
    h("input", { type: "search", value: filters.words, placeholder: "Name or note", "aria-label": "Find runs by name or note", oninput: (event) => change("words", event.target.value) }),
    select("State of the runs shown", [["", "any state"], ...states.map((state) => [state, state])], filters.state, (value) => change("state", value)),
    select("Label set of the runs shown", [["all", "all label sets"], ["own", view.page.label_set]], filters.labels, (value) => change("labels", value)),
    check("isPinned", "pinned only"),
    nArchived > 0 && check("isArchived", `archived, too (${nArchived})`));
}

function row(run) {
  const isOpen = run.id === openId;
  const toggle = () => (isOpen ? closeRun() : openRun(run.id));
  const remark = [run.name && h("strong", {}, run.name), run.recipe !== "era" && h("span", {}, `${run.recipe} recipe`), run.note && h("span", { class: "era-own-words" }, run.note), run.remark && h("span", {}, run.remark)];
  return [h("tr", { class: `era-run${isOpen ? " era-is-open" : ""}${run.is_archived ? " era-faded-row" : ""}`, onclick: (event) => { if (!event.target.closest("button")) toggle(); } },
    h("td", {}, h("button", { type: "button", class: "era-link era-left", "aria-expanded": String(isOpen), title: isOpen ? "Close the details" : "Open the details", onclick: toggle }, String(run.number))),
    h("td", { title: new Date(run.at).toLocaleString() }, when(run.at)), h("td", { title: run.labels_title }, run.labels),
    h("td", { class: "era-number" }, run.change || ""),
    h("td", {}, h("span", { class: `era-state era-state-${run.in_use ? "in-use" : run.state}` }, run.in_use ? "in use" : run.state), run.place && h("div", { class: "era-quiet" }, run.place)),
    h("td", { class: "era-note" }, run.is_pinned && h("span", { title: "pinned: stays on top", role: "img", "aria-label": "pinned" }, "\u2605 "), remark.filter(Boolean).flatMap((each, i) => (i ? [" \u00b7 ", each] : [each]))),
    h("td", { class: "era-run-actions" },
      run.can_resume && sending("resume", "resume", run.id, {}, { class: "era-link", "aria-label": `Resume run ${run.number}`, title: "Once more with the same labels and seed; what was read by then is not read again" }),
      run.state === "queued" && sending("cancel", "cancel", run.id, {}, { class: "era-link", "aria-label": `Take run ${run.number} out of the line` }),
      run.state === "finished" && !run.in_use && sending("use", "use", run.id, { key: run.key }, { class: "era-link", "aria-label": `Use run ${run.number}`, title: "Rank with this run where no other is chosen" }),
      run.state === "finished" && h("button", { type: "button", class: "era-link", onclick: () => compare(run.key) }, "compare"))),
  isOpen && h("tr", { class: "era-run-open" }, h("td", { colspan: 7 }, h("div", { class: "era-run-details" }, runDetails(run))))];
}

function runs() {
  if (!view.runs.length) return h("p", { class: "era-empty" }, "Your training runs will be listed here, with what each of them gained.");
  const shown = view.runs.filter(isShown);
  return [
    filterRow(),
    h("div", { class: "era-scroll era-runs" }, h("table", { class: "era-table" },
      h("caption", {}, "Training runs"),
      h("thead", {}, h("tr", {}, ["run", "when", "labels"].map((name) => h("th", { scope: "col" }, name)),
        h("th", { scope: "col", class: "era-number", title: "nDCG@10 of the light model alone and after training, on queries held out in turn" }, "before \u2192 after"),
        ["state", "note", ""].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, shown.map(row)))),
    !shown.length && h("p", { class: "era-quiet" }, "No run fits these filters."),
  ].filter(Boolean);
}

function drawRuns(isForced = false) {
  part("runs", [view.runs, view.can_write, view.fixed, view.why_no_choice, view.page.label_set], runs, isForced);
}
