// Right of the tabs: which collection and labels are open, who you are, and how far the preparation is.

const root = element.querySelector(".era-panel");
let view = null; // the latest answer about what is open
let drawn = null; // what the header shows
let wasReady = null;
let isGone = false; // what is open was deleted elsewhere
let isUnreached = false; // the server did not answer the last time
const troubles = new Set(); // what the server could not do, in words
const hidden = new Set(); // notices that were put away, until the page is loaded anew

function receive(fresh) {
  if (!fresh || !fresh.page || !window.eraPage.isOpen(fresh.page)) return;
  view = fresh;
  isGone = false;
  if (wasReady === false && view.is_ready) say("ready");
  wasReady = view.is_ready;
  draw();
}

function draw() {
  const { preparing: busy, collection, label_set, person, notices } = view;
  const standing = [...notices, ...troubles].filter((text) => !hidden.has(text));
  const shown = JSON.stringify([busy, collection, label_set, person, isGone, isUnreached, standing]);
  if (drawn === shown) return;
  drawn = shown;
  fill(root,
    h("div", { class: "era-header" },
      h("button", { type: "button", class: "era-link", title: t("header.where"), onclick: () => openTab("Collection") },
        h("span", {}, collection), h("span", { class: "era-quiet" }, ` \u00b7 ${label_set}`)),
      person ? h("span", { class: "era-quiet", title: t("header.person") }, person,
        view.can_sign_out ? h("a", { href: "logout", class: "era-link" }, t("header.sign_out")) : null)
        : h("a", { href: "login/huggingface", class: "era-link" }, t("header.sign_in")),
      languages(), themes()),
    isGone && notice(t("header.gone")),
    isUnreached && notice(t("header.unreached")),
    h("div", { class: "era-foot" }, standing.map(lasting), busy && preparing(busy)));
}

// The language of the screens; the page is drawn anew in it.
const NAMES = { en: "English", de: "Deutsch" };
const languages = () => select(t("header.language"), Object.keys(window.eraWords).map((code) => [code, NAMES[code] || code]), language, (code) => {
  storage.setItem("era-language", code);
  window.location.reload();
}, { class: "era-language" });

function themes() {
  const other = isDark() ? t("header.light") : t("header.dark");
  const change = () => {
    storage.setItem("era-theme", isDark() ? "light" : "dark");
    rememberInUrl({ __theme: null });
    dress();
    drawn = null;
    draw();
  };
  return h("button", { type: "button", class: "era-icon", "aria-label": other, title: other, onclick: change }, "\u25d0");
}

// What everybody should know, for as long as it lasts or until it is put away.
function lasting(text) {
  return h("div", { class: "era-notice era-row", role: "alert" }, h("span", { class: "era-grow" }, text),
    h("button", { type: "button", class: "era-link", onclick: () => { hidden.add(text); draw(); } }, t("header.hide")));
}

// What the server says before anything else could be drawn.
const drawTroubles = () => (view ? draw() : fill(root, isUnreached && notice(t("header.unreached")), [...troubles].map(notice)));

function preparing(busy) {
  return h("div", { class: `era-preparing${busy.state === "failed" ? " era-failed" : ""}`, role: "status" },
    h("span", {}, busy.text),
    busy.state === "failed" ? null : h("progress", { max: 1, value: busy.fraction, "aria-label": t("header.preparation") }));
}

hear("gone", () => { isGone = true; if (view) draw(); });
hear("unreached", () => { isUnreached = true; drawTroubles(); });
hear("reached", () => { if (isUnreached) { isUnreached = false; drawTroubles(); } });
hear("trouble", ({ error }) => { hidden.delete(error); troubles.add(error); drawTroubles(); });

shows("header", receive);
