// Compare, pictures: every query as a point, before against after. The table below says the same in words.

const PLOT = { size: 320, margin: 44 };

// SVG has its own kind of element; a text in it is a text node like everywhere.
function shape(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

const POINTS = { better: "M0 -6 L6 5 L-6 5 Z", worse: "M0 6 L6 -5 L-6 -5 Z", same: "M-4 0 A4 4 0 1 0 4 0 A4 4 0 1 0 -4 0 Z" };

function scatter(queries, side, measure, onopen) {
  const { size, margin } = PLOT;
  const largest = Math.max(1, ...queries.flatMap((query) => [query.values[0], query.values[side]]));
  const x = (value) => margin + (value / largest) * (size - margin - 12);
  const y = (value) => size - margin - (value / largest) * (size - margin - 12);
  const hint = "Point at one to see its query; click to open it. Equal ones stand side by side.";
  const told = h("p", { class: "era-quiet era-told" }, hint);
  const tell = (query) => fill(told, query ? `${query.text}: ${figure(query.values[0])} \u2192 ${figure(query.values[side])}` : hint);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => part * largest);
  const taken = new Map(); // how many stand at a place; further ones stand around the first, so that each can be pointed at
  const at = (query) => {
    const place = [x(query.values[0]), y(query.values[side])];
    const n = taken.get(place.map(Math.round).join()) || 0;
    taken.set(place.map(Math.round).join(), n + 1);
    const [right, down] = [Math.cos(2.4 * n), Math.sin(2.4 * n)].map((part) => 3 * Math.sqrt(n) * part);
    return `${(place[0] + right).toFixed(1)} ${(place[1] + down).toFixed(1)}`;
  };
  const picture = shape("svg", { viewBox: `0 0 ${size} ${size}`, class: "era-scatter", "aria-hidden": "true" },
    ...ticks.flatMap((value) => [
      shape("line", { x1: x(value), x2: x(value), y1: y(0), y2: y(largest), class: "era-grid" }),
      shape("line", { x1: x(0), x2: x(largest), y1: y(value), y2: y(value), class: "era-grid" }),
      shape("text", { x: x(value), y: size - margin + 14, "text-anchor": "middle" }, String(Number(value.toFixed(2)))),
      shape("text", { x: margin - 6, y: y(value) + 4, "text-anchor": "end" }, String(Number(value.toFixed(2)))),
    ]),
    shape("line", { x1: x(0), y1: y(0), x2: x(largest), y2: y(largest), class: "era-diagonal" }),
    shape("text", { x: size / 2, y: size - 10, "text-anchor": "middle" }, `${measure}, ${SIDE_NAMES[0].toLowerCase()}`),
    shape("text", { x: 11, y: size / 2, "text-anchor": "middle", transform: `rotate(-90 11 ${size / 2})` }, `${measure}, ${SIDE_NAMES[side].toLowerCase()}`),
    ...queries.map((query) => shape("path", {
      d: POINTS[query.kinds[side]], transform: `translate(${at(query)})`,
      class: `era-point era-point-${query.kinds[side]}${query.id === view.query_id ? " era-point-here" : ""}`, "data-query": query.id,
      onmouseenter: () => tell(query), onmouseleave: () => tell(null), onclick: () => onopen(query.id),
    })));
  const count = (direction) => queries.filter((query) => query.kinds[side] === direction).length;
  const legend = h("p", { class: "era-legend" }, ["better", "same", "worse"].map((direction) => h("span", {},
    h("svg", { viewBox: "-8 -8 16 16", width: 14, height: 14, "aria-hidden": "true" }, h("path", { d: POINTS[direction], class: `era-point era-point-${direction}` })),
    ` ${count(direction)} ${direction}`)));
  return h("figure", { class: "era-figure" }, picture, h("figcaption", {}, legend, told));
}
