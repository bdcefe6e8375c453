// A collection's name and description, putting it away, and deleting it with everything that belongs to it.

const managed = (collection, name) => `manage ${collection.id} ${name}`;

function forgetManaging() {
  for (const name of [...drafts.keys()]) if (name.startsWith("manage ")) drafts.delete(name);
}

function manage(collection, act, data = {}) {
  askServer("collection.manage", { ...ids(), managed_id: collection.id, act, ...data });
}

function managing(collection) {
  if (!view.can_write) return null;
  if (collection.why_fixed) return quiet(collection.why_fixed);
  const about = (name) => managed(collection, name);
  return fold(about("fold"), "Rename, archive or delete",
    h("form", { class: "era-form", onsubmit: (event) => {
      event.preventDefault();
      const { elements } = event.target;
      manage(collection, "describe", { name: elements[about("name")].value, description: elements[about("description")].value });
    } },
      field("Name", draftField(about("name"), `Name of ${collection.name}`, collection.name, { required: true, maxlength: 80 })),
      field("Description", draftField(about("description"), `Description of ${collection.name}`, collection.description, { rows: 3, maxlength: 800 }, "textarea")),
      h("div", { class: "era-row" }, h("button", { type: "submit", class: "era-button", "data-hold": about("save") }, "Save name and description"))),
    h("div", { class: "era-row" },
      collection.is_archived
        ? button("Take out of the archive", () => manage(collection, "unarchive"), { "data-hold": about("archive") })
        : button("Archive", () => manage(collection, "archive"), { "data-hold": about("archive"), disabled: !collection.can_go }),
      h("span", { class: "era-quiet" }, collection.is_archived ? "It is kept as it is and not offered."
        : collection.can_go ? "Archived, it is kept as it is and no longer offered." : "The only collection cannot be archived.")),
    collection.can_go ? deleting(collection) : quiet("The only collection cannot be deleted; bring in another one first."));
}

function deleting(collection) {
  const name = managed(collection, "delete");
  const press = h("button", { type: "submit", class: "era-button era-danger", "data-hold": `${name} button`, disabled: (drafts.get(name) || "") !== collection.name }, "Delete for good");
  return h("form", { class: "era-form", onsubmit: (event) => {
    event.preventDefault();
    manage(collection, "delete", { name: drafts.get(name) || "" });
  } },
    h("p", {}, "Deleting takes away the documents, queries, judgments, training runs and the index of ", h("strong", {}, collection.name), ". Nothing brings them back."),
    h("div", { class: "era-row" },
      h("input", { name, class: "era-grow", autocomplete: "off", "aria-label": `Type ${collection.name} to delete it`, placeholder: "Type its name to delete it", value: drafts.get(name) || "",
        oninput: (event) => { drafts.set(name, event.target.value); press.disabled = event.target.value !== collection.name; } }),
      press));
}
