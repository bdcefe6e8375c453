// Which collection and label set are open: one answer opens them for every panel, the header among them. What is asked
// from then on carries their ids, and an answer about others, which came too late, is not shown by any panel.

window.eraPage = (() => {
  const COMPARISON = ["v", "query", "sides", "measures", "threshold", "insample", "before", "after"]; // in the address
  let open = null; // { collection_id, label_set_id }
  const openings = new Set(); // names of the answers that opened something
  let tellOpened;
  const isOpened = new Promise((resolve) => { tellOpened = resolve; });
  const say = (what, detail) => document.dispatchEvent(new CustomEvent(`era:${what}`, { detail }));

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
  function chooseTab(name) {
    if (open) remember({ tab: name });
  }

  return { isOpen, ids, compared, chooseTab, remember };
})();
