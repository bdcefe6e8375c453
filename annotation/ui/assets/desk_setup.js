// How judging is set up in the open collection: grades, how much and by how many, guidelines, instruction templates.

function deskSetup() {
  const kept = view.setup;
  const draft = setupDraft || (setupDraft = JSON.parse(JSON.stringify(kept)));
  const field = (label, control, title) => h("label", { class: "era-field" }, h("span", { class: "era-label", title: title || null }, label), control);
  const grades = h("div", { class: "era-row" });
  const drawGrades = () => fill(grades, draft.grade_names.map((name, grade) => field(`${grade}`, h("input", {
    value: name, maxlength: 30, size: 14, "aria-label": `Name of grade ${grade}`, oninput: (event) => { draft.grade_names[grade] = event.target.value; } }))));
  const templates = h("div", { class: "era-templates" });
  const drawTemplates = () => fill(templates,
    draft.templates.map((each, i) => h("div", { class: "era-row" },
      h("input", { value: each.name, maxlength: 60, placeholder: "Name", "aria-label": `Name of template ${i + 1}`, oninput: (event) => { each.name = event.target.value; } }),
      h("input", { class: "era-grow", value: each.instruction, placeholder: "Instruction", "aria-label": `Instruction of template ${i + 1}`, oninput: (event) => { each.instruction = event.target.value; } }),
      h("button", { type: "button", class: "era-link", "aria-label": `Remove template ${i + 1}`, onclick: () => { draft.templates.splice(i, 1); drawTemplates(); } }, "remove"))),
    h("button", { type: "button", class: "era-link era-left", onclick: () => { draft.templates.push({ name: "", instruction: "" }); drawTemplates(); } }, "+ template"));
  drawGrades();
  drawTemplates();
  const whole = (name, low, high) => h("input", { type: "number", min: low, max: high, value: draft[name], required: true, onchange: (event) => { draft[name] = Number(event.target.value); } });
  const setup = h("details", { class: "era-advanced era-setup", open: isSetupOpen, ontoggle: (event) => { isSetupOpen = event.target.open; } },
    h("summary", {}, "How judging works here"),
    h("form", { onsubmit: (event) => {
      event.preventDefault();
      askServer("collection.arrange", { collection_id: view.page.collection_id, label_set_id: view.page.label_set_id, ...draft });
    } },
      h("fieldset", {}, h("legend", {}, "Grades"),
        select("How many grades", [["2", "two: relevant or not (keys 1 and 0)"], ["4", "four: from 0 to 3 (keys 0 to 3)"]], String(draft.grade_names.length), (n) => {
          draft.grade_names = n === "4" ? [...kept.four_grades] : ["not relevant", "relevant"];
          drawGrades();
        }), grades,
        h("p", { class: "era-quiet" }, "Everything above 0 counts as relevant. Marks made on the earlier scale keep their number.")),
      field("Documents to judge for each query", whole("depth", 4, 50), "How many documents are chosen from several rankings and by chance; it holds for queries opened from now on"),
      field("People to judge each document", whole("n_judges", 1, 9), "Once that many have judged a document, it is not offered to others; with two or more, agreement can be measured"),
      h("label", { class: "era-field" }, h("input", { type: "checkbox", checked: draft.is_blind, onchange: (event) => { draft.is_blind = event.target.checked; } }),
        " Blind: shuffled, and where a document came from shows only after it was judged"),
      field("Guidelines (Markdown); everybody reads them once before the first mark", h("textarea", { rows: 6, maxlength: 20000, value: draft.guidelines, oninput: (event) => { draft.guidelines = event.target.value; } })),
      h("fieldset", {}, h("legend", {}, "Instruction templates"), templates),
      view.why_fixed ? quiet(view.why_fixed) : h("button", { type: "submit", class: "era-button era-primary" }, "Save"),
      view.is_arranged ? h("span", { class: "era-quiet", role: "status" }, " saved") : null));
  if (view.why_fixed) for (const control of setup.querySelectorAll("input, textarea, select, button")) control.disabled = true;
  return setup;
}
