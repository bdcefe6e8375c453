// Choosing files and sending them to the server's own upload route, and what a preview of them looks like.

const FILES_AT_ONCE = 200; // the server refuses a form with more than 1,000

const MOST_FILES = 20000; // the server refuses more

const withName = (file) => ({ file, name: file.webkitRelativePath || file.name });

// Send files, { file, name } each, or what promises them; `told` hears the share sent. The returned `stop` calls it
// off, `done` has path and name of each file. What has arrived when it ends otherwise, the server removes.
function sendFiles(chosen, told) {
  let total = 1;
  let sent = 0;
  let request = null;
  let isStopped = false;
  const found = [];
  const forget = () => { if (found.length) ask("forget", "forgotten", { files: found }); };
  const sendSome = (some) => new Promise((resolve, reject) => {
    request = new XMLHttpRequest();
    const form = new FormData();
    for (const { file } of some) form.append("files", file, file.name);
    request.upload.onprogress = (event) => told(Math.min((sent + event.loaded) / total, 1));
    request.onload = () => {
      if (request.status === 200) return resolve(JSON.parse(request.responseText));
      reject(new Error([401, 413].includes(request.status) ? request.responseText
        : `The server did not take the files (${request.status}). Nothing was imported; try again.`));
    };
    request.onerror = () => reject(new Error("The server could not be reached. Nothing was imported; try again."));
    request.onabort = () => reject(new Error(""));
    request.open("POST", new URL("gradio_api/upload", document.baseURI));
    request.send(form);
  });
  const sendAll = async () => {
    const files = await chosen;
    if (files.length > MOST_FILES) throw new Error(`Choose at most ${number(MOST_FILES)} files, or one zip of them.`);
    total = files.reduce((sum, { file }) => sum + file.size, 0) || 1;
    if (total > view.most_bytes) throw new Error("The files are larger than this server takes. Split them, or start the app with their path: python app.py PATH.");
    for (let start = 0; start < files.length && !isStopped; start += FILES_AT_ONCE) {
      const some = files.slice(start, start + FILES_AT_ONCE);
      const paths = await sendSome(some).catch((error) => { forget(); throw error; });
      sent += some.reduce((sum, { file }) => sum + file.size, 0);
      found.push(...paths.map((path, i) => ({ path, name: some[i].name })));
    }
    if (isStopped) { forget(); throw new Error(""); }
    return found;
  };
  return { done: sendAll(), stop: () => { isStopped = true; request?.abort(); } };
}

// Nothing of what is being sent for this chooser is taken any more.
function stopSending(state) {
  state.sending?.stop();
  Object.assign(state, { sending: null, error: "" });
}

// --- dropped folders

const promised = (ask) => new Promise((resolve, reject) => ask(resolve, () => reject(new Error("A folder that was dropped cannot be read. Nothing was sent; choose it with the button instead."))));

// Add the files of a folder, with their paths from it on, as the folder picker names them.
async function addFilesOf(folder, found) {
  const reader = folder.createReader();
  const some = () => promised((resolve, reject) => reader.readEntries(resolve, reject)); // not all of them at once
  for (let entries = await some(); entries.length && found.length <= MOST_FILES; entries = await some()) {
    for (const entry of entries) {
      if (entry.isDirectory) await addFilesOf(entry, found);
      else found.push({ file: await promised((resolve, reject) => entry.file(resolve, reject)), name: entry.fullPath.replace(/^\//, "") });
    }
  }
}

// What was dropped, files and folders; the browser tells it only while the event lasts.
const droppedIn = (transfer) => [...transfer.items].map((item) => {
  const entry = item.webkitGetAsEntry?.();
  return entry?.isDirectory ? entry : item.getAsFile();
}).filter(Boolean);

async function filesAmong(dropped, hasFolder) {
  if (!hasFolder && dropped.some((each) => each.isDirectory)) throw new Error("This takes a file, not a folder. Drop the file itself.");
  const found = [];
  for (const each of dropped) {
    if (each.isDirectory) await addFilesOf(each, found);
    else found.push(withName(each));
  }
  if (!found.length) throw new Error("There is no file in the folder that was dropped.");
  return found;
}

const pickers = new Map(); // name -> file input; in a box that is never redrawn, which would close the dialog that opens

// A place to choose files or drop them; `state` keeps { sending, share, error }, `draw` shows it, `taken` gets the files.
function chooser(name, state, draw, taken, { hasFolder = false, accept = null, words = "Choose files" } = {}) {
  const begin = async (files) => {
    stopSending(state); // two lots dropped one after the other: the later counts
    const sending = sendFiles(files, (share) => {
      if (state.sending !== sending) return;
      state.share = share;
      const bar = root.querySelector(`[data-sending="${name}"]`);
      if (bar) bar.value = share;
    });
    Object.assign(state, { share: 0, sending });
    draw();
    let found = null;
    try {
      found = await sending.done;
    } catch (error) {
      if (state.sending === sending) state.error = error.message;
    }
    if (state.sending !== sending) return; // stopped: what it was for may not be open any more
    state.sending = null;
    if (found) taken(found);
    draw();
  };
  if (state.sending) {
    return h("div", { class: "era-form" }, busy("Sending the files \u2026"), h("progress", { max: 1, value: state.share, "data-sending": name, "aria-label": "How much is sent" }),
      h("div", { class: "era-row" }, button("Cancel", () => { stopSending(state); draw(); }, { "data-hold": `${name} stop` })));
  }
  const picker = (isFolder) => {
    const key = `${name}${isFolder ? " folder" : ""}`;
    if (!pickers.has(key)) {
      pickers.set(key, h("input", { type: "file", multiple: true, webkitdirectory: isFolder, accept: isFolder ? null : accept, "aria-label": isFolder ? `${words}: a folder` : words, name: key }));
      pickersBox.append(pickers.get(key));
    }
    const input = pickers.get(key);
    input.onchange = () => { const chosen = [...input.files].map(withName); input.value = ""; if (chosen.length) begin(chosen); };
    return input;
  };
  const files = picker(false);
  const folder = hasFolder ? picker(true) : null;
  return h("div", { class: "era-drop",
    ondragover: (event) => { event.preventDefault(); event.currentTarget.classList.add("era-over"); },
    ondragleave: (event) => event.currentTarget.classList.remove("era-over"),
    ondrop: (event) => {
      event.preventDefault();
      event.currentTarget.classList.remove("era-over");
      const dropped = droppedIn(event.dataTransfer);
      if (dropped.length) begin(filesAmong(dropped, hasFolder));
    } },
    notice(state.error),
    h("div", { class: "era-row" },
      button(`${words} \u2026`, () => files.click(), { "data-hold": `${name} choose` }),
      folder && button("Choose a folder \u2026", () => folder.click(), { "data-hold": `${name} choose folder` }),
      h("span", { class: "era-quiet" }, "or drop them here")));
}

const shorten = (text, n) => (text.length > n ? `${text.slice(0, n - 1).trimEnd()}\u2026` : text);

const ROLES = [["id", "Id", "row number"], ["title", "Title", "none"], ["text", "Text", "choose"]];

// Keep what was chosen until the answer is there; the next choice may come before. Other files are read as they look.
function choose(state, { files, format, mapping, header, encoding }) {
  if (files) state.choices = {};
  Object.assign(state.choices, header && { header }, encoding !== undefined && { encoding });
  if (state.preview) Object.assign(state.preview, { format: format ?? state.preview.format, mapping: mapping ?? state.preview.mapping });
}

// What a preview and an import are told of how to read.
const asChosen = (state) => ({ format: state.preview?.format || "", mapping: state.preview?.mapping || {}, ...state.choices });

const encodingField = (name, state, again) => field("Encoding", select("Encoding", [["", "as it looks"], ...view.encodings], state.choices.encoding || "", (encoding) => again({ encoding }), { "data-hold": `${name} encoding` }),
  "How the letters are written in files that are not Unicode throughout; what does not fit becomes \ufffd");

// The first documents as they will be, what the files were taken for, and which column is what; `again` asks anew.
function previewOf(name, state, again) {
  const seen = state.preview;
  const encoding = (state.needsEncoding || seen?.can_choose_encoding || state.choices.encoding) && encodingField(name, state, again);
  if (!seen) return [notice(state.error), encoding && h("div", { class: "era-row era-fields" }, encoding)];
  const byColumn = (role, label, none) => {
    const chosen = seen.mapping[role] || [];
    const places = role === "id" || !chosen.length ? [0] : [...chosen.keys(), chosen.length]; // and one more
    return places.map((place) => {
      const what = place ? `Column ${place + 1} for the ${label.toLowerCase()}` : `Column for the ${label.toLowerCase()}`;
      const free = seen.columns.filter((column) => column === chosen[place] || !chosen.includes(column));
      const set = (column) => again({ mapping: { ...seen.mapping, [role]: [...chosen.slice(0, place), column, ...chosen.slice(place + 1)].filter(Boolean) } });
      return (!place || free.length > 0) && field(place ? `and` : label, select(what, [["", place ? "nothing else" : none], ...free.map((column) => [column, column])], chosen[place] || "", set, { "data-hold": `${name} ${role} ${place}` }));
    });
  };
  return [
    h("div", { class: "era-row era-fields" },
      seen.can_choose_format && field("Read as", select("Read as", view.formats, seen.format, (format) => again({ format, mapping: {} }), { "data-hold": `${name} format` })),
      seen.header && field("First line", select("First line", [["yes", "names of the columns"], ["no", "a document"]], seen.header, (header) => again({ header, mapping: {} }), { "data-hold": `${name} header` })),
      encoding,
      seen.columns.length ? ROLES.map((role) => byColumn(...role)) : null),
    notice(state.error),
    seen.facts.length ? facts(seen.facts) : null,
    seen.remarks.length ? h("ul", { class: "era-remarks" }, seen.remarks.map((remark) => h("li", {}, remark))) : null,
    seen.documents.length ? h("div", {}, h("h3", {}, "The first documents, as they will be"), h("ol", { class: "era-previewed" }, seen.documents.map((each) => h("li", {},
      h("div", {}, h("code", {}, each.id), each.title && h("strong", {}, ` ${each.title}`)),
      h("p", {}, shorten(each.text, 320)),
      each.metadata.length ? quiet(each.metadata.map(([key, value]) => `${key}: ${shorten(value, 60)}`).join(" \u00b7 ")) : null)))) : null,
    seen.queries.length ? h("div", {}, h("h3", {}, "The first queries"), h("ul", { class: "era-remarks" }, seen.queries.map((each) => h("li", {}, each.text, each.instruction && h("span", { class: "era-quiet" }, ` \u2014 ${shorten(each.instruction, 160)}`))))) : null,
  ];
}
