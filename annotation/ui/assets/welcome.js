// Three doors for who is here for the first time: look at a result, judge the demo, bring documents.

const HAS_BEEN_HERE = "era-has-been-here";
const root = document.getElementById("era-welcome");

function leave() {
  storage.setItem(HAS_BEEN_HERE, "1");
  root.hidden = true;
}

function door(name, explained, enter) {
  return h("button", { type: "button", class: "era-door", onclick: () => { leave(); enter(); } }, h("b", {}, name), h("span", {}, explained));
}

if (!storage.getItem(HAS_BEEN_HERE)) {
  fill(root,
    h("div", { class: "era-row" }, h("h2", { class: "era-grow" }, t("welcome.title")),
      h("button", { type: "button", class: "era-link", onclick: leave }, t("welcome.leave"))),
    h("div", { class: "era-doors" },
      door(t("welcome.look"), t("welcome.look_why"), () => openTab("Compare")),
      door(t("welcome.judge"), t("welcome.judge_why"), () => openTab("Judge")),
      door(t("welcome.bring"), t("welcome.bring_why"), () => { openTab("Collection"); say("bring"); })));
  root.hidden = false;
}
