// Compare, keeping: short links, kept comparisons, and files to take along.

let snapshots = null; // the kept comparisons of this collection
let isListOld = false; // the tab was opened again; meanwhile something may have been brought in or kept elsewhere
let shareAnswer = null; // { address, isCopied, error } once a link was asked for
let wasAskedFor = ""; // the file being made
const keepDialog = h("dialog", { class: "era-dialog", "aria-label": "Keep or delete a comparison" });

const FORMATS = [["html", "Report", "One HTML file with every number, picture and table; opens without this app"], ["csv", "CSV", "Every query with every measure, for a spreadsheet"],
  ["trec", "TREC runs", "The rankings as trec_eval reads them, in a zip"]];

// --- a link

hear("link", async (answer) => {
  if (!view || answer.label_set_id !== view.page.label_set_id) return;
  if (answer.error) shareAnswer = { error: answer.error };
  else {
    const address = `${window.location.origin}${window.location.pathname}?v=${answer.slug}`;
    let isCopied = true;
    try { await navigator.clipboard.writeText(address); } catch { isCopied = false; }
    shareAnswer = { address, isCopied };
  }
  drawKeeping();
  if (shareAnswer.address && !shareAnswer.isCopied) keepBox.querySelector("input[name=address]")?.select();
});

function shareLine() {
  if (!shareAnswer) return null;
  if (shareAnswer.isAsked) return h("span", { class: "era-busy", role: "status" }, "Making the link \u2026");
  if (shareAnswer.error) return notice(shareAnswer.error);
  return h("div", { class: "era-row" },
    h("input", { name: "address", readonly: true, "aria-label": "Link to this comparison", value: shareAnswer.address, class: "era-grow", onfocus: (event) => event.target.select() }),
    h("span", { class: "era-quiet", role: "status" }, shareAnswer.isCopied ? "copied" : "Your browser does not let this page copy; press Ctrl+C."));
}

// --- files

function download({ name, mime, content, is_base64 }) {
  const bytes = is_base64 ? Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0)) : content;
  const address = URL.createObjectURL(new Blob([bytes], { type: mime }));
  const anchor = h("a", { href: address, download: name });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

function askFile(format, slug = null) {
  wasAskedFor = slug ? `${slug} ${format}` : format;
  drawKeeping();
  askServer("compare.export", { ...lookedAt(), ...(slug ? { slug } : {}), format });
}

hear("file", (answer) => {
  if (!view) return;
  wasAskedFor = "";
  if (answer.error) view.error = answer.error;
  else download(answer);
  drawNotice();
  drawKeeping();
});

// --- kept comparisons

function openKeeping() {
  const form = h("form", { onsubmit: (event) => {
    event.preventDefault();
    askServer("compare.keep", { ...lookedAt(), name: form.elements.name.value, note: form.elements.note.value });
    snapshots = { ...snapshots, isWaiting: true };
    unfolded.add("kept");
    keepDialog.close();
    drawKeeping();
  } },
    h("h2", {}, "Keep this comparison"),
    h("p", { class: "era-quiet" }, "The rankings and numbers of today are kept as they are; later marks do not change them."),
    h("label", { class: "era-field" }, h("span", { class: "era-label" }, "Name"), h("input", { name: "name", required: true, maxlength: 120, "aria-label": "Name" })),
    h("label", { class: "era-field" }, h("span", { class: "era-label" }, "Note"), h("textarea", { name: "note", rows: 3, maxlength: 2000, "aria-label": "Note" })),
    h("div", { class: "era-row" }, h("button", { type: "submit", class: "era-button era-primary" }, "Keep"), button("Cancel", () => keepDialog.close())));
  openDialog(form);
  form.elements.name.focus();
}

function openDialog(content) {
  if (keepDialog.parentNode !== root) root.append(keepDialog);
  fill(keepDialog, content);
  keepDialog.showModal();
}

function askDrop(each) {
  openDialog(h("div", {}, h("h2", {}, `Delete \u201c${each.name}\u201d?`), h("p", {}, "Its stored rankings and numbers are gone then. Judgments and training runs stay."),
    h("div", { class: "era-row" }, button("Delete", () => { keepDialog.close(); snapshots.isWaiting = true; drawKeeping(); askServer("compare.drop", { ...ids(), slug: each.slug }); }, { class: "era-button era-primary" }),
      button("Cancel", () => keepDialog.close(), { autofocus: true }))));
}

hear("snapshots", (answer) => {
  if (!view || answer.label_set_id !== view.page.label_set_id) return;
  const isChanged = snapshots?.isWaiting && !answer.error;
  snapshots = { list: answer.list || snapshots?.list || [], error: answer.error };
  drawKeeping();
  if (isChanged) refresh(); // a kept comparison can be chosen as a side
});

// A kept comparison opens as it was measured then.
function openKept(slug) {
  isBusy = true;
  draw();
  ask("choose", { ...lookedAt(), snapshot: slug });
  root.scrollIntoView({ block: "start" });
}

function kept(each) {
  const isMaking = (format) => wasAskedFor === `${each.slug} ${format}`;
  return h("li", { "data-slug": each.slug },
    h("div", { class: "era-row" }, h("strong", {}, each.name), h("span", { class: "era-quiet", title: new Date(each.at).toLocaleString() },
      `${[each.author, new Date(each.at).toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" })].filter(Boolean).join(", ")} \u00b7 ${many(each.n_queries, "query", "queries")}`)),
    h("p", {}, each.sides.join(" \u2192 "), each.summary && h("span", { class: "era-quiet" }, ` \u2014 ${each.summary}`)),
    each.note && h("p", { class: "era-own-note" }, each.note),
    h("div", { class: "era-row" },
      link("open", () => openKept(each.slug), { "aria-label": `Open ${each.name}` }),
      FORMATS.map(([format, label, title]) => link(isMaking(format) ? "making it \u2026" : label, () => askFile(format, each.slug), { title, "aria-label": `${label} of ${each.name}` })),
      each.can_drop && link("delete", () => askDrop(each), { "aria-label": `Delete ${each.name}` })));
}

function drawKeeping() {
  if (!view.one) return fill(keepBox);
  if (!snapshots || (isListOld && !snapshots.isWaiting)) { isListOld = false; snapshots = snapshots || { list: [] }; askServer("compare.snapshots", ids()); }
  refill(keepBox,
    h("h2", {}, "Keep and hand on"),
    h("div", { class: "era-row" },
      view.can_write && button("Copy link", () => { shareAnswer = { isAsked: true }; drawKeeping(); askServer("compare.link", lookedAt()); }, { title: "A short address that opens this comparison" }),
      view.can_write && button("Keep this comparison", openKeeping, { title: "Store the rankings and numbers as they are today" }),
      FORMATS.map(([format, label, title]) => button(wasAskedFor === format ? "Making it \u2026" : label, () => askFile(format), { title, disabled: wasAskedFor === format, "data-hold": format }))),
    shareLine(), notice(snapshots.error),
    snapshots.isWaiting && h("p", { class: "era-busy", role: "status" }, "Working on it \u2026"),
    snapshots.list.length ? fold("kept", `Kept comparisons (${snapshots.list.length})`, h("ul", { class: "era-kept" }, snapshots.list.map(kept))) : null);
}

shows("compare", receive);
