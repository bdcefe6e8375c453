// One training run, opened in its row: what to do with it, what it learned from, how that went, and what changed since.

let openId = null;
let opened = null; // what the server said of the open run
let draft = null; // { name, note } while they are being changed
let marksOf = {}; // query id -> its marks, once asked for
let changes = null; // what was marked otherwise, once asked for
let otherId = ""; // the run that labels are compared with; empty for today
let asked = ""; // how the open run stood when its details were asked for
const unfolded = new Set(["learning"]);

const dialog = h("dialog", { class: "era-dialog", "aria-label": "Delete a training run" });
root.append(dialog);

const standing = () => {
  const run = view.runs.find((each) => each.id === openId);
  return run ? `${run.state} ${run.has_curve} ${run.wants_curve}` : "";
};

function openRun(id) {
  [openId, opened, draft, marksOf, changes, otherId] = [id, null, null, {}, null, ""];
  asked = standing();
  askServer("train.details", about(id));
  drawRuns(true);
}

function closeRun() {
  openId = null;
  drawRuns(true);
}

// Ask again when the open run has come further.
function refreshRun() {
  if (openId === null) return;
  if (!view.runs.some((run) => run.id === openId)) openId = null;
  else if (standing() !== asked) {
    asked = standing();
    askServer("train.details", about(openId));
  }
}

const fold = (name, title, ...content) => h("details", { open: unfolded.has(name), ontoggle: (event) => { if (event.target.open) unfolded.add(name); else unfolded.delete(name); } },
  h("summary", {}, title), content);

function runDetails(run) {
  if (!opened || opened.id !== run.id) return h("p", { class: "era-busy", role: "status" }, "Looking it up \u2026");
  if (opened.error) return notice(opened.error);
  return [
    naming(run), actions(run),
    facts(),
    fold("learned", `What it learned from: ${many(opened.queries.length, "query", "queries")} with their marks`, taught(run)),
    (opened.strengths || opened.folds || opened.alignment) && fold("learning", "How learning went",
      h("div", { class: "era-plots" }, opened.folds && foldsPlot(opened.folds), opened.strengths && strengthsPlot(opened.strengths)),
      opened.alignment && h("p", {}, opened.alignment)),
    fold("curve", "Would more labels help?", curve(run)),
    fold("changes", "What was marked otherwise", labelChanges(run)),
    opened.config !== "{}" && fold("config", "All settings", h("pre", { class: "era-settings" }, opened.config)),
  ];
}

function naming(run) {
  const kept = draft || { name: run.name, note: run.note };
  const typing = (name) => (event) => { draft = { ...(draft || kept), [name]: event.target.value }; };
  return h("form", { class: "era-naming", onsubmit: (event) => {
    event.preventDefault();
    askServer("train.describe", about(run.id, { name: event.target.elements.name.value, note: event.target.elements.note.value }));
    draft = null;
  } },
    h("input", { name: "name", value: kept.name, maxlength: 80, placeholder: `Name of run ${run.number}`, "aria-label": `Name of run ${run.number}`, disabled: Boolean(whyNot("describe", run.id)), oninput: typing("name") }),
    h("textarea", { name: "note", rows: 1, value: kept.note, maxlength: 2000, placeholder: "Note", "aria-label": `Note on run ${run.number}`, disabled: Boolean(whyNot("describe", run.id)), oninput: typing("note") }),
    h("button", { type: "submit", class: "era-button", disabled: Boolean(whyNot("describe", run.id)), title: whyNot("describe", run.id) || null }, "Save"));
}

function actions(run) {
  const isOver = !["queued", "running"].includes(run.state);
  return h("div", { class: "era-row" },
    run.state === "finished" && sending(run.in_use ? "In use" : "Use this", "use", run.id, { key: run.key }, { disabled: run.in_use }),
    run.state === "finished" && h("button", { type: "button", class: "era-button", onclick: () => compare(run.key) }, "Compare"),
    run.can_resume && sending("Resume", "resume", run.id),
    isOver && sending("Again with the same labels", "rerun", run.id, { is_same: true }),
    isOver && sending("Again with today's labels", "rerun", run.id, { is_same: false }),
    sending(run.is_pinned ? "Unpin" : "Pin", "pin", run.id, { is_pinned: !run.is_pinned }, { title: "Pinned runs stay on top" }),
    sending(run.is_archived ? "Take out of the archive" : "Archive", "archive", run.id, { is_archived: !run.is_archived }, { title: "Archived runs are hidden from this list; they can still be used" }),
    isOver && h("button", { type: "button", class: "era-button", disabled: Boolean(whyNot("remove", run.id)), title: whyNot("remove", run.id) || null, onclick: () => askServer("train.dependents", about(run.id)) }, "Delete \u2026"));
}

const facts = () => h("dl", { class: "era-facts" }, opened.facts.map(([name, value, meaning]) => [h("dt", { title: meaning || null }, name), h("dd", {}, value)]));

function marks(list) {
  if (!list) return h("p", { class: "era-busy" }, "Looking them up \u2026");
  if (list.error) return notice(list.error);
  return h("ul", {}, list.map((mark) => h("li", {}, h("span", { class: mark.is_relevant ? "era-yes" : "era-no" }, `${mark.is_relevant ? "\u2713" : "\u2715"} ${mark.grade}`), "  ", mark.title, h("span", { class: "era-quiet" }, `  ${mark.doc_id}`))));
}

const queryWords = (query) => [query.text, query.instruction && h("span", { class: "era-quiet" }, `  ${query.instruction}`)];

function taught(run) {
  return h("ul", { class: "era-taught" }, opened.queries.map((query) => h("li", {}, query.is_hidden
    ? h("span", {}, queryWords(query), h("span", { class: "era-quiet" }, "  You may still judge it, so its marks stay hidden until you have."))
    : h("details", { open: query.id in marksOf, ontoggle: (event) => {
      if (!event.target.open) delete marksOf[query.id];
      else if (!(query.id in marksOf)) { marksOf[query.id] = null; askServer("train.marks", about(run.id, { query_id: query.id })); drawRuns(true); }
    } }, h("summary", {}, queryWords(query), h("span", { class: "era-quiet" }, `  ${query.marks}`)), query.id in marksOf && marks(marksOf[query.id])))));
}

function curve(run) {
  const drawn = opened.curve;
  const isUnderWay = view.active?.kind === "curve" && view.active.id === run.id;
  return [
    drawn && drawn.error && notice(drawn.error),
    drawn && !drawn.error && [h("p", {}, h("strong", {}, drawn.advice)), curvePlot(drawn)],
    run.wants_curve
      ? h("p", { class: "era-row" }, h("span", { class: "era-busy", role: "status" }, isUnderWay ? "It is being computed; how far it is shows above." : "It is computed as soon as no training waits."), sending("Cancel", "withdraw", run.id, {}, { "aria-label": `Cancel the learning curve of run ${run.number}` }))
      : [h("p", { class: "era-quiet" }, opened.no_curve || (drawn ? "" : "Learns from a quarter, half, and three quarters of the labelled queries, and looks at what each step brings on the others. Takes several times as long as training.")),
        sending(drawn ? "Compute it again" : "Would more labels help?", "curve", run.id, {}, { disabled: Boolean(opened.no_curve) })],
  ];
}

function labelChanges(run) {
  const others = view.runs.filter((each) => each.id !== run.id).map((each) => [String(each.id), `run ${each.number}${each.name ? ` \u201c${each.name}\u201d` : ""}`]);
  const other = others.find(([id]) => id === otherId);
  return [
    h("div", { class: "era-row" },
      select("Compare its labels with", [["", "today's labels"], ...others], otherId, (value) => { otherId = value; changes = null; drawRuns(true); }),
      h("button", { type: "button", class: "era-button", onclick: () => {
        changes = { isAsked: true };
        askServer("train.changes", about(run.id, { other_id: otherId, since: `From run ${run.number} to ${other ? other[1] : "today"}` }));
        drawRuns(true);
      } }, "Compare labels")),
    changes && (changes.error ? notice(changes.error) : !changes.queries ? h("p", { class: "era-busy" }, "Comparing \u2026")
      : [h("p", {}, changes.words), h("ul", { class: "era-taught" }, changes.queries.map((query) => h("li", {}, queryWords(query), h("ul", {}, query.marks.map((mark) =>
        h("li", {}, h("span", { class: { added: "era-up", removed: "era-down", changed: "era-busy" }[mark.kind] }, { added: `+ ${mark.after}`, removed: `\u2212 ${mark.before}`, changed: `${mark.before} \u2192 ${mark.after}` }[mark.kind]),
          "  ", mark.title, h("span", { class: "era-quiet" }, `  ${mark.doc_id}`)))))))]),
  ];
}

hear("run-details", (answer) => { if (answer.training_run_id === openId) { opened = answer; drawRuns(true); } });
hear("run-changes", (answer) => { if (answer.training_run_id === openId) { changes = answer; drawRuns(true); } });
hear("run-marks", (answer) => {
  if (answer.training_run_id !== openId) return;
  if (answer.error) Object.keys(marksOf).forEach((id) => { marksOf[id] ||= { error: answer.error }; });
  else marksOf[answer.query_id] = answer.marks;
  drawRuns(true);
});
hear("run-dependents", (answer) => {
  fill(dialog,
    h("h2", {}, answer.error ? "It could not be looked up" : answer.title),
    answer.error ? notice(answer.error) : h("ul", {}, answer.sentences.map((sentence) => h("li", {}, sentence))),
    h("form", { method: "dialog", class: "era-row" },
      !answer.error && h("button", { class: "era-button era-primary", onclick: () => { askServer("train.remove", about(answer.training_run_id)); } }, "Delete"),
      h("button", { class: "era-button", autofocus: true }, "Keep it")));
  if (!dialog.open) dialog.showModal();
});

shows("train", receive);
