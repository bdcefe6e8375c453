// The collections, what is known of each, and the label sets of the open one.

const root = element.querySelector(".era-panel");
let view = null;
let setupDraft = null; // how judging is to be set up, while it is being changed
let isSetupOpen = false;
let typed = null; // a name being written; a new answer from the server must not take it away

const facts = (pairs) => h("dl", { class: "era-facts" }, pairs.map(([name, value, meaning]) => [h("dt", { title: meaning || null }, name), h("dd", {}, value)]));

function card(collection) {
  return h("section", { class: `era-collection${collection.is_open ? " era-is-open" : ""}` },
    h("div", { class: "era-row" }, h("h2", { class: "era-grow" }, collection.name),
      collection.is_open ? h("span", { class: "era-state" }, "open")
        : h("button", { type: "button", class: "era-button", onclick: () => trigger("open", { collection_id: collection.id }) }, "Open")),
    h("p", {}, collection.description),
    facts(collection.facts),
    collection.is_open && [labelSets(), people(), deskSetup()]);
}

function labelSets() {
  return h("div", {},
    h("h3", {}, "Label sets"),
    h("p", { class: "era-quiet" }, "A label set holds the marks that one training run learns from. Starting an empty one leaves the others as they are."),
    h("ul", { class: "era-label-sets" }, view.label_sets.map((set) => h("li", { class: "era-row" },
      h("span", { class: "era-grow" }, h("strong", {}, set.name), h("span", { class: "era-quiet" }, `  ${many(set.n_queries, "query", "queries")}, ${many(set.n_relevant, "relevant mark")}, ${many(set.n_not_relevant, "not-relevant mark")}`)),
      set.is_open ? h("span", { class: "era-state" }, "open")
        : h("button", { type: "button", class: "era-button", "aria-label": `Use the label set ${set.name}`, onclick: () => trigger("use", { collection_id: view.page.collection_id, label_set_id: set.id }) }, "Use")))),
    view.can_write && h("form", { class: "era-row", onsubmit: (event) => {
      event.preventDefault();
      typed = null;
      trigger("begin", { collection_id: view.page.collection_id, label_set_id: view.page.label_set_id, name: event.target.elements.name.value });
    } },
      h("input", { name: "name", class: "era-grow", maxlength: 60, "aria-label": "Name of the new label set", placeholder: "Name", value: typed ?? view.suggested_name,
        oninput: (event) => { typed = event.target.value; } }),
      h("button", { type: "submit", class: "era-button" }, "Start an empty label set")));
}

let coverage = null; // how much of the first ten is judged, once it was asked for

function people() {
  const { work, agreement, pairs, n_conflicts } = view.people;
  const when = (time) => new Date(time).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const columns = [["Person", ""], ["Judged", "documents with a grade"], ["Can't tell", "documents looked at without being able to tell"], ["Queries", ""],
    ["Relevant", "share of the grades that say relevant"], ["Seconds", "median time with a document"], ["Last mark", ""]];
  return h("div", { class: "era-people" },
    h("h3", {}, "People"),
    work.length ? h("div", { class: "era-scroll" }, h("table", { class: "era-table" },
      h("thead", {}, h("tr", {}, columns.map(([name, meaning], i) => h("th", { scope: "col", class: i ? "era-number" : null }, meaning ? h("abbr", { title: meaning }, name) : name)))),
      h("tbody", {}, work.map((each) => h("tr", {},
        h("th", { scope: "row" }, each.author), h("td", { class: "era-number" }, number(each.n_judged)), h("td", { class: "era-number" }, number(each.n_unsure)),
        h("td", { class: "era-number" }, number(each.n_queries)),
        h("td", { class: "era-number" }, each.share_relevant === null ? "\u2013" : `${Math.round(100 * each.share_relevant)} %`),
        h("td", { class: "era-number" }, each.median_seconds === null ? "\u2013" : each.median_seconds.toFixed(1)),
        h("td", { class: "era-number", title: `first mark ${when(each.first_at)}` }, when(each.last_at)))))))
      : h("p", { class: "era-quiet" }, "Who judged how much will be listed here, after the first mark."),
    agreement ? h("p", {}, h("abbr", { title: agreement.title }, agreement.text)) : h("p", { class: "era-quiet" }, "How well people agree shows as soon as two of them have judged some of the same documents."),
    pairs.length ? h("details", { class: "era-advanced" }, h("summary", {}, "Two by two"), h("ul", {}, pairs.map((each) =>
      h("li", {}, `${each.first} and ${each.second}: the same relevance for ${Math.round(100 * each.share)} % of ${many(each.n, "document")}`)))) : null,
    n_conflicts ? h("p", {}, `${many(n_conflicts, "document")} people disagree about. Until somebody settles it, an even split is left out of training. `,
      h("button", { type: "button", class: "era-link", onclick: () => { say("settle"); openTab("Judge"); } }, "Settle disagreements")) : null,
    coverage ? h("p", { role: "status" }, coverage) : h("button", { type: "button", class: "era-button", onclick: (event) => {
      event.target.disabled = true;
      event.target.textContent = "Counting \u2026";
      trigger("measure", { collection_id: view.page.collection_id, label_set_id: view.page.label_set_id });
    } }, "How much of the first ten is judged?"));
}

hear("coverage", (answer) => { coverage = answer.text; draw(); });

function receive() {
  const fresh = props.value;
  if (!fresh || !fresh.collections) return;
  if (!view || view.page.label_set_id !== fresh.page.label_set_id) { coverage = null; setupDraft = null; }
  if (fresh.is_arranged) setupDraft = null;
  view = fresh;
  draw();
  if (root.offsetParent !== null) rememberInUrl(view.url);
}

function draw() {
  fill(root, h("div", { class: "era-page" }, notice(view.error), view.collections.map(card),
    h("p", { class: "era-quiet" }, "To open documents of your own, start the app with their folder: ", h("code", {}, "python app.py path/to/folder"), ". The README says what the folder holds.")));
}

watch("value", receive);
receive();
