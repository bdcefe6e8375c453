// The collections, what is known of each, and the label sets of the open one.

const root = element.querySelector(".era-panel");
let view = null;
let typed = null; // a name being written; a new answer from the server must not take it away

const facts = (pairs) => h("dl", { class: "era-facts" }, pairs.map(([name, value, meaning]) => [h("dt", { title: meaning || null }, name), h("dd", {}, value)]));

function card(collection) {
  return h("section", { class: `era-collection${collection.is_open ? " era-is-open" : ""}` },
    h("div", { class: "era-row" }, h("h2", { class: "era-grow" }, collection.name),
      collection.is_open ? h("span", { class: "era-state" }, "open")
        : h("button", { type: "button", class: "era-button", onclick: () => trigger("open", { collection_id: collection.id }) }, "Open")),
    h("p", {}, collection.description),
    facts(collection.facts),
    collection.is_open && labelSets());
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

function receive() {
  const fresh = props.value;
  if (!fresh || !fresh.collections) return;
  view = fresh;
  fill(root, h("div", { class: "era-page" }, notice(view.error), view.collections.map(card),
    h("p", { class: "era-quiet" }, "To open documents of your own, start the app with their folder: ", h("code", {}, "python app.py path/to/folder"), ". The README says what the folder holds.")));
  if (root.offsetParent !== null) rememberInUrl(view.url);
}

watch("value", receive);
receive();
