// The judging desk, continued: the list of queries, the keys, and what happens when the server answers.

function drawQueries() {
  const judged = view.queries.filter((query) => query.relevant + query.not_relevant > 0).length;
  const shown = view.queries.filter((query) => !filter || query.text.toLowerCase().includes(filter.toLowerCase()));
  const list = h("ol", { class: "era-query-list" }, shown.map((query) =>
    h("li", {}, h("button", {
      type: "button", class: "era-query-item", "aria-current": query.id === view.query.id ? "true" : null,
      title: query.instruction ? `${query.text}\n\n${query.instruction}` : query.text, onclick: () => { isListOpen = false; openQuery(query.id); },
    }, h("span", { class: "era-query-text" }, query.text),
      h("span", { class: "era-count" }, h("span", { class: "era-yes", title: "relevant" }, `${query.relevant} \u2713`), " ",
        h("span", { class: "era-no", title: "not relevant" }, `${query.not_relevant} \u2715`))))));
  const scroll = queries.querySelector(".era-query-list")?.scrollTop || 0;
  const hadFilter = document.activeElement?.name === "filter";
  const filterBox = h("input", { type: "search", name: "filter", placeholder: "Filter queries", "aria-label": "Filter queries", value: filter,
    oninput: (event) => { filter = event.target.value; drawQueries(); } });
  fill(queries,
    h("div", { class: "era-row" },
      h("button", { type: "button", class: "era-drawer", "aria-expanded": String(isListOpen), onclick: () => { isListOpen = !isListOpen; drawQueries(); } },
        h("strong", {}, "Queries"), h("span", { class: "era-quiet" }, ` ${number(judged)} / ${number(view.queries.length)} judged`)),
      h("button", { type: "button", class: "era-link", onclick: newQuery }, "+ new query")),
    h("div", { class: `era-drawer-body${isListOpen ? " era-is-open" : ""}` }, filterBox, list));
  list.scrollTop = scroll;
  if (hadFilter) { filterBox.focus(); filterBox.setSelectionRange(filter.length, filter.length); }
}

function nextQuery() {
  const here = view.queries.findIndex((query) => query.id === view.query.id);
  const order = [...view.queries.slice(here + 1), ...view.queries.slice(0, Math.max(here, 0))];
  const next = order.find((query) => query.relevant + query.not_relevant === 0) || order[0];
  if (next) openQuery(next.id);
}

// --- keys

document.addEventListener("keydown", (event) => {
  if (!view || root.offsetParent === null || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (isTyping()) {
    if (event.key === "Escape") document.activeElement.blur();
    return;
  }
  const judgeHere = (grade) => {
    const place = focused;
    mark(place, grade);
    const next = firstOpen(place + 1);
    if (next !== null && next > place) { focused = next; showFocus(true); }
  };
  const actions = {
    1: () => judgeHere(1), 0: () => judgeHere(0), c: () => mark(focused, null),
    s: () => { setFocus(focused + 1); showFocus(true); }, j: () => { setFocus(focused + 1); showFocus(true); }, k: () => { setFocus(focused - 1); showFocus(true); },
    o: () => view.results.length && toggleText(focused), u: undo, n: nextQuery,
    "/": () => form.querySelector("textarea[name=query]").focus(), "?": () => { isHelpOpen = !isHelpOpen; drawResults(); },
  };
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

// --- what other panels say

hear("ready", () => {
  if (view && view.query.id && !view.results.length) openQuery(view.query.id);
});

// A better ranking is there. Documents never move under the eyes of someone who is judging: then it is only offered.
hear("better", ({ key, label }) => {
  if (!view || view.ranker === key || (key === "aligned" && view.ranker !== "light")) return;
  if (!view.rankers.some((ranker) => ranker.key === key)) view.rankers.splice(2, 0, { key, label });
  if (root.offsetParent === null && view.query.id) ask("open", { query_id: view.query.id, ranker: key });
  else { offered = { key, label }; drawResults(); }
});

// --- a new payload

function receive() {
  const fresh = props.value;
  if (!fresh || !fresh.page) return;
  const isSameQuery = view && view.query.id === fresh.query.id && view.page.label_set_id === fresh.page.label_set_id;
  const draft = view && fresh.error ? form.querySelector("textarea[name=query]")?.value : null;
  view = fresh;
  isSearching = false;
  if (offered && offered.key === view.ranker) offered = null;
  if (!isSameQuery) { undoable = []; lastSaved = null; }
  focused = firstOpen() ?? 0;
  drawForm();
  if (draft !== null && draft !== undefined) form.querySelector("textarea[name=query]").value = draft;
  drawResults();
  drawQueries();
  if (wantsFocus && !view.error) document.activeElement?.blur();
  wantsFocus = false;
  rememberInUrl(view.url);
}

watch("value", receive);
receive();
