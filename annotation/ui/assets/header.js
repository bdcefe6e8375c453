// Right of the tabs: which collection and labels are open, who you are, and how far the preparation is.

const root = element.querySelector(".era-panel");
let shown = null;
let wasReady = null;
let wasPreparing = false;
let isTabOpened = false;

function receive() {
  const view = props.value;
  if (!view || !view.page) return;
  if (shown === JSON.stringify(view)) return;
  shown = JSON.stringify(view);
  if (view.tab && !isTabOpened) {
    isTabOpened = true;
    const chosen = () => document.querySelector('button[role="tab"][aria-selected="true"]')?.textContent.trim();
    setTimeout(() => chosen() !== view.tab && openTab(view.tab), 300);
  }
  const busy = view.preparing;
  if (wasReady === false && view.is_ready) say("ready");
  if (wasPreparing && !busy && view.is_ready) say("better", { key: "aligned", label: "aligned, no labels" });
  wasReady = view.is_ready;
  wasPreparing = Boolean(busy);
  fill(root,
    h("div", { class: "era-header" },
      h("button", { type: "button", class: "era-link", title: "Collection and label set; click to change", onclick: () => openTab("Collection") },
        view.collection, h("span", { class: "era-quiet" }, ` \u00b7 ${view.label_set}`)),
      view.person ? h("span", { class: "era-quiet", title: "Marks are stored under this name" }, view.person)
        : h("a", { href: "login/huggingface", class: "era-link" }, "Sign in to mark")),
    busy && h("div", { class: `era-preparing${busy.state === "failed" ? " era-failed" : ""}`, role: "status" },
      h("span", {}, busy.text),
      busy.state === "failed" ? null : h("progress", { max: 1, value: busy.fraction, "aria-label": "Preparation" })),
  );
}

watch("value", receive);
receive();
