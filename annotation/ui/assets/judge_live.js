// The judging desk, help from the model: the next most useful document, and a ranking that follows the marks.

let isLive = false;
let liveState = ""; // what the live ranking says of itself
let useful = null; // { doc_id, why } the card that was fetched last, or { error }
let isAskingUseful = false;
let liveTimer = null;

function askUseful() {
  if (!view.query.id || !view.can_write || (view.view !== "pool" && view.view !== "ranking")) return;
  isAskingUseful = true;
  useful = null;
  drawCards();
  askServer("judge.useful", { ...ids(), query_id: view.query.id });
}

hear("useful", (answer) => {
  isAskingUseful = false;
  if (!view || answer.query_id !== view.query.id || answer.label_set_id !== view.page.label_set_id || (view.view !== "pool" && view.view !== "ranking")) return;
  if (reader.open) reader.close();
  useful = answer;
  if (answer.card) {
    const known = view.cards.findIndex((card) => docsOf(card).includes(answer.card.doc_id));
    const fresh = known >= 0 ? view.cards.splice(known, 1)[0] : { ...answer.card, query_id: view.query.id };
    const place = firstOpen() ?? view.cards.length;
    view.cards.splice(Math.min(place, view.cards.length), 0, { ...fresh, why: answer.card.why });
    focused = Math.min(place, view.cards.length - 1);
  }
  drawCards();
  if (answer.card) setFocus(focused, true);
});

function usefulLine() {
  if (isAskingUseful) return h("p", { class: "era-busy", role: "status" }, t("useful.asking"));
  if (!useful || useful.card || useful.query_id !== view.query.id) return null;
  return h("p", { class: "era-quiet", role: "status" }, useful.error || t("useful.none"));
}

// --- live

function liveSwitch() {
  if (!view.can_write) return null;
  return h("label", { class: "era-live", title: t("live.title") },
    h("input", { type: "checkbox", checked: isLive, onchange: (event) => {
      isLive = event.target.checked;
      liveState = "";
      if (isLive) askLive();
      else drawCards();
    } }), ` ${t("live.label")}`, liveState ? h("span", { class: "era-quiet", role: "status" }, ` ${liveState}`) : null);
}

let liveAsked = 0; // only the answer to the latest is shown

function askLive() {
  if (!isLive || view.view !== "ranking" || !view.query.id || view.phrase) return;
  clearTimeout(liveTimer);
  liveTimer = setTimeout(() => { // several marks in a row are learned from together
    liveState = t("live.learning");
    drawUnfolded();
    askServer("judge.live", { ...ids(), query_id: view.query.id, ranker: view.ranker, ask: (liveAsked += 1) });
  }, 250);
}

let looksTimer = null;

function afterSaving(saved) {
  if (!saved.stored?.length) return;
  if (isLive) askLive();
  if (view.view !== "again") return;
  clearTimeout(looksTimer); // finding what to look at takes a while, so several marks in a row are waited for
  looksTimer = setTimeout(askLooks, 1000);
}

// Places of the cards that are being read: what is in the window or above it, and what is unfolded.
function placesRead() {
  const nodes = [...results.querySelectorAll(".era-card")];
  const isRead = (node) => node.offsetParent !== null && (node.getBoundingClientRect().top < window.innerHeight || node.classList.contains("era-open"));
  return new Set(nodes.filter(isRead).map((node) => Number(node.dataset.place)));
}

// Draw the cards anew and leave unfolded what is unfolded.
function drawUnfolded() {
  const open = new Set([...results.querySelectorAll(".era-card.era-open")].map((node) => node.dataset.doc));
  drawCards();
  results.querySelectorAll(".era-card").forEach((node) => open.has(node.dataset.doc) && openText(node));
}

// Lay the ranked cards into the places that are not fixed. Cards that were there fill up what is left over; a card whose
// documents lie in fixed places gives way to those of them that were separate cards, so that none is shown twice or lost.
function laidOut(cards, isFixed, ranked) {
  const overlaps = (card, docs) => docsOf(card).some((docId) => docs.has(docId));
  const placed = new Set(cards.filter(isFixed).flatMap(docsOf));
  const before = new Map(cards.flatMap((card, place) => docsOf(card).map((docId) => [docId, place])));
  const others = cards.filter((card, place) => !isFixed(card, place));
  const split = (card) => others.filter((other) => overlaps(other, new Set(docsOf(card))));
  const queue = [...ranked.flatMap((card) => (overlaps(card, placed) ? split(card) : [card])), ...others];
  const next = [];
  cards.forEach((card, place) => {
    if (isFixed(card, place)) return next.push({ ...card, moved: 0 });
    let fresh = queue.shift();
    while (fresh && overlaps(fresh, placed)) fresh = queue.shift();
    if (!fresh) return null;
    docsOf(fresh).forEach((docId) => placed.add(docId));
    const was = before.get(docsOf(fresh).find((docId) => before.has(docId)));
    return next.push({ ...fresh, query_id: view.query.id, rank: next.length + 1, moved: was === undefined ? "new" : was - next.length });
  });
  return next;
}

// The marks of the open query; two answers to the same ones are one step.
const marksNow = () => JSON.stringify(view.cards.flatMap(docsOf).sort().map((docId) => [docId, saidOf(view.query.id, docId).grade]).filter(([, grade]) => grade !== null));
let liveMoved = ""; // what was said when places changed last
let followed = ""; // the marks that the shown order follows

// What was judged stays where it is, and so does everything under the expert's eyes and above.
hear("live", (answer) => {
  if (!view || answer.ask !== liveAsked || !isLive || view.view !== "ranking" || view.phrase || answer.query_id !== view.query.id || answer.ranker !== view.ranker) return;
  if (answer.error) { liveState = answer.error; return drawUnfolded(); }
  const read = placesRead();
  const isFixed = (card, place) => place <= focused || read.has(place) || hasSaid(saidOf(card.query_id, card.doc_id)) || writing.has(keyOf(card));
  const tops = rectangles();
  const next = laidOut(view.cards, isFixed, answer.cards);
  const nMoved = countDocuments(next.filter((card) => card.moved)).n;
  const isSameStep = answer.state === "changed" && followed === marksNow();
  if (isSameStep && !nMoved) { liveState = liveMoved; return drawUnfolded(); }
  view.cards = next;
  followed = answer.state === "changed" ? marksNow() : "";
  liveState = liveMoved = answer.state === "changed" ? t("live.changed", { n: nMoved }) : t(`live.${answer.state}`);
  drawUnfolded();
  slide(tops);
});

const rectangles = () => new Map([...results.querySelectorAll(".era-card")].map((node) => [node.dataset.doc, node.getBoundingClientRect().top]));

function slide(tops) {
  if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  results.querySelectorAll(".era-card").forEach((node) => {
    const was = tops.get(node.dataset.doc);
    const by = was === undefined ? 0 : was - node.getBoundingClientRect().top;
    if (by) node.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], { duration: 240, easing: "ease-out" });
  });
}
