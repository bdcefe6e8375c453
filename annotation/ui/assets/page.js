// What the page asks the server, and which collection and label set are open: one answer opens them for every panel, the
// header among them. What is asked from then on carries their ids, and an answer about others, which came too late, is not
// shown by any panel.

window.eraPage = (() => {
  const NAME = Array.from(crypto.getRandomValues(new Uint8Array(16)), (n) => n.toString(16).padStart(2, "0")).join(""); // of this page
  const AGAIN_MS = 10000; // after which the page looks again where it could not
  const COMPARISON = ["v", "query", "sides", "measures", "threshold", "insample", "before", "after"]; // in the address
  let open = null; // { collection_id, label_set_id }
  const openings = new Set(); // names of the answers that opened something
  let tellOpened;
  const isOpened = new Promise((resolve) => { tellOpened = resolve; });
  const latest = new Map(); // what each panel was told last, for those that come to life after that
  let isLeaving = false;
  let looking = null; // until the page looks again

  const say = (what, detail) => document.dispatchEvent(new CustomEvent(`era:${what}`, { detail }));
  const hear = (what, listener) => document.addEventListener(`era:${what}`, (event) => listener(event.detail));

  // A panel is drawn by `receive` whenever the server answers what it shows.
  function shows(panel, receive) {
    hear(panel, receive);
    if (latest.has(panel)) receive(latest.get(panel));
  }

  // Ask the server; each part of the answer says by its names who hears it.
  async function ask(name, data) {
    const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ...data, page: NAME }) };
    try {
      const answer = await fetch(new URL(`era/ask/${name}`, document.baseURI), options);
      let rest = "";
      for (const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader(); ;) {
        const { value, done } = await reader.read();
        const lines = (rest + (value || "")).split("\n");
        rest = done ? "" : lines.pop();
        for (const line of lines) if (line) tell(JSON.parse(line));
        if (done) break;
      }
      if (answer.ok) say("reached");
    } catch {
      if (!isLeaving) say("unreached");
    }
  }

  function tell(answer) {
    for (const [what, detail] of Object.entries(answer)) {
      latest.set(what, detail);
      say(what, detail);
    }
  }

  // What changes without this page's doing, such as how far a training run is, is looked at again after a while.
  function lookIn(milliseconds) {
    clearTimeout(looking);
    looking = setTimeout(async () => {
      lookIn(AGAIN_MS);
      await ask("page.look", await ids());
    }, milliseconds);
  }
  hear("look", ({ seconds }) => lookIn(seconds * 1000));

  function openFor({ collection_id, label_set_id }) {
    const before = open;
    open = { collection_id, label_set_id };
    tellOpened();
    if (before && before.collection_id !== collection_id) remember(Object.fromEntries(COMPARISON.map((name) => [name, null])));
    if (before && before.label_set_id !== label_set_id) say("opened", open);
  }

  // Keep the address bar pointing at what is shown, so that a reload or a shared link opens the same view.
  function remember(values) {
    const url = new URL(window.location.href);
    for (const [name, value] of Object.entries(values)) {
      if (value === null || value === undefined || value === "") url.searchParams.delete(name);
      else url.searchParams.set(name, value);
    }
    window.history.replaceState(window.history.state, "", url);
  }

  // Whether an answer may be shown; `page` is what it says it is about. The first panel that sees an opening opens it.
  function isOpen(page) {
    if (page.opening && !openings.has(page.opening)) {
      openings.add(page.opening);
      openFor(page);
    }
    if (open && page.collection_id === open.collection_id && page.label_set_id === open.label_set_id) return true;
    if (page.remark) say("gone"); // what was asked for is not there any more, so the server answered for another one
    return false;
  }

  // The ids that a question carries; a question before anything is open waits for that.
  const ids = () => isOpened.then(() => open);

  // What the Compare tab asks when it is chosen: the comparison that the address names.
  async function compared() {
    const about = await ids();
    const named = new URL(window.location.href).searchParams;
    const ask = window.eraCompareAsked ? window.eraCompareAsked() : 0;
    return { ...about, ask, ...Object.fromEntries(COMPARISON.map((name) => [name, named.get(name) || ""])) };
  }

  // The address follows the tabs, but not before it was read: Gradio selects its first tab before it sends the address.
  async function chooseTab(name) {
    if (open) remember({ tab: name });
    if (name === "Train") ask("train.show", await ids());
    if (name === "Collection") ask("collection.show", await ids());
    if (name === "Compare") ask("compare.show", await compared());
  }

  // Load what the address names; what the browser had kept of the page is told nothing meanwhile, so it looks at once.
  ask("page.load", Object.fromEntries(new URL(window.location.href).searchParams));
  window.addEventListener("pagehide", () => { isLeaving = true; });
  window.addEventListener("pageshow", (event) => { isLeaving = false; if (event.persisted) lookIn(0); });

  return { ask, say, hear, shows, isOpen, ids, compared, chooseTab, remember };
})();
