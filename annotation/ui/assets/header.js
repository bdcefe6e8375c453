// Right of the tabs: which collection and labels are open, who you are, and how far the preparation is.

const root = element.querySelector(".era-panel");
let shown = null;
let wasReady = null;
let isTabOpened = false;

// Open the tab of the address, and again should it close: the tabs may come to life long after this panel. Whoever
// chooses another one decides from then on.
function keepOpen(name) {
  const names = [name, t(`tab.${name.toLowerCase()}`)];
  const until = Date.now() + 15000;
  const isOpen = () => names.includes(document.querySelector('button[role="tab"][aria-selected="true"]')?.textContent.trim());
  const look = () => { if (!isOpen()) openTab(name); if (Date.now() > until) stop(); };
  const looking = setInterval(look, 200);
  const choose = (event) => { if (event.isTrusted && event.target.closest?.('[role="tab"]')) stop(); };
  const stop = () => {
    clearInterval(looking);
    for (const act of ["pointerdown", "keydown"]) window.removeEventListener(act, choose, true);
  };
  for (const act of ["pointerdown", "keydown"]) window.addEventListener(act, choose, true);
  hear("tab", (other) => { if (other !== name) stop(); });
  look();
}

function receive() {
  const view = props.value;
  if (!view || !view.page) return;
  if (shown === JSON.stringify(view)) return;
  shown = JSON.stringify(view);
  window.eraIsOpen = true; // the address was read; from now on it follows the tabs
  if (view.tab && !isTabOpened) {
    isTabOpened = true;
    keepOpen(view.tab);
  }
  const busy = view.preparing;
  if (wasReady === false && view.is_ready) say("ready");
  wasReady = view.is_ready;
  fill(root,
    h("div", { class: "era-header" },
      h("button", { type: "button", class: "era-link", title: t("header.where"), onclick: () => openTab("Collection") },
        view.collection, h("span", { class: "era-quiet" }, ` \u00b7 ${view.label_set}`)),
      view.person ? h("span", { class: "era-quiet", title: t("header.person") }, view.person,
        view.can_sign_out ? h("a", { href: "logout", class: "era-link" }, t("header.sign_out")) : null)
        : h("a", { href: "login/huggingface", class: "era-link" }, t("header.sign_in"))),
    busy && h("div", { class: `era-preparing${busy.state === "failed" ? " era-failed" : ""}`, role: "status" },
      h("span", {}, busy.text),
      busy.state === "failed" ? null : h("progress", { max: 1, value: busy.fraction, "aria-label": t("header.preparation") })),
  );
}

watch("value", receive);
receive();
