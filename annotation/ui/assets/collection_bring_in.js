// Bringing in what was taken out, here or elsewhere: judgments, rankings and adapters.

let bringing = null; // { judgments: chooser, run: chooser, adapter: chooser, isReading, error, said }

function forgetBringingIn() {
  if (bringing) for (const what of ["judgments", "run", "adapter"]) stopSending(bringing[what]);
  awaited.delete("brought-in");
  bringing = { judgments: {}, run: {}, adapter: {}, what: "", isReading: false, error: "", said: "", remarks: [] };
}

function bringIn(what, files) {
  Object.assign(bringing, { what, isReading: true, error: "", said: "", remarks: [] });
  drawBringIn();
  ask("bring-in", "brought-in", { what, files });
}

answered("brought-in", (answer) => {
  Object.assign(bringing, { isReading: false, error: answer.error || "", said: answer.said || "", remarks: answer.remarks || [] });
  drawBringIn();
});

hear("brought-in", (answer) => { if (view && !answer.error) askServer("collection.refresh", ids()); }); // the counts, wherever it went to

function broughtIn(what) {
  if (bringing.what !== what) return null;
  return [bringing.isReading && busy("Reading the file \u2026"), notice(bringing.error), bringing.said && h("p", { role: "status" }, bringing.said),
    bringing.remarks.length ? h("ul", { class: "era-remarks" }, bringing.remarks.map((remark) => h("li", {}, remark))) : null];
}

function drawBringIn() {
  if (!bringing) forgetBringingIn();
  if (!view.can_write) return fill(bringInBox);
  refill(bringInBox, fold("bring in", "Bring in",
    h("div", { class: "era-form" }, h("h3", {}, "Judgments"), quiet("TREC qrels, CSV or JSON Lines, into the label set ", h("strong", {}, view.page.label_set), ". Queries and documents are matched by their ids."),
      chooser("judgments", bringing.judgments, drawBringIn, (files) => bringIn("judgments", files), { accept: ".csv,.jsonl,.json,.qrels,.tsv,.txt,.trec", words: "Choose judgments" }), broughtIn("judgments")),
    h("div", { class: "era-form" }, h("h3", {}, "A ranking"), quiet("A TREC run file, of any system. Queries and documents are matched by their ids; then ", h("strong", {}, "Compare"), " offers it beside the others."),
      chooser("run", bringing.run, drawBringIn, (files) => bringIn("run", files), { words: "Choose a run file" }), broughtIn("run")),
    h("div", { class: "era-form" }, h("h3", {}, "An adapter"), quiet("The zip of an adapter that was taken out. It has to be made for the embedders of this collection."),
      chooser("adapter", bringing.adapter, drawBringIn, (files) => bringIn("adapter", files), { accept: ".zip", words: "Choose an adapter" }), broughtIn("adapter"))));
}

shows("collection", receive);
