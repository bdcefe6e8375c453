// Small pictures of a training run, each with a text that says the same.

function svg(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null && value !== undefined) node.setAttribute(name, String(value));
  node.append(...children.flat(3).filter(Boolean));
  return node;
}

const WIDE = 440;
const label = (x, y, text, anchor = "middle") => svg("text", { x, y, "text-anchor": anchor, class: "era-plot-text" }, text);

// Return a function from [low, high] to [start, end]; a range without width lies in the middle.
function scale(low, high, start, end) {
  return (value) => (high === low ? (start + end) / 2 : start + ((value - low) / (high - low)) * (end - start));
}

function picture(height, text, title, ...content) {
  return h("figure", { class: "era-plot" },
    h("figcaption", {}, title),
    svg("svg", { viewBox: `0 0 ${WIDE} ${height}`, role: "img", "aria-label": text }, content),
    h("details", {}, h("summary", {}, "In numbers"), h("p", {}, text)));
}

// Mean gain on held-out queries over the strength of the penalty, with one standard error to either side.
function strengthsPlot(strengths) {
  const points = [...strengths.points].sort((a, b) => b.strength - a.strength);
  const ends = points.flatMap((p) => [p.gain - p.error, p.gain + p.error]).concat(0);
  const y = scale(Math.min(...ends), Math.max(...ends), 150, 14);
  const x = (place) => 90 + (place * (WIDE - 130)) / Math.max(points.length - 1, 1);
  return picture(190, strengths.text, "How much freedom paid on queries held out",
    svg("line", { x1: 60, x2: WIDE - 10, y1: y(0), y2: y(0), class: "era-plot-axis" }), label(54, y(0) + 4, "0", "end"),
    y(0) > 30 && label(54, 18, signed(Math.max(...ends), 3), "end"),
    y(0) < 138 && label(54, 154, signed(Math.min(...ends), 3), "end"),
    points.map((p, place) => [
      svg("line", { x1: x(place), x2: x(place), y1: y(p.gain - p.error), y2: y(p.gain + p.error), class: "era-plot-error" }),
      svg("circle", { cx: x(place), cy: y(p.gain), r: p.is_chosen ? 6 : 4, class: p.is_chosen ? "era-plot-chosen" : "era-plot-point" }),
      label(x(place), 170, number(p.strength)),
    ]),
    label(WIDE / 2 + 20, 187, "penalty: strict \u2192 free"));
}

// Before and after on each part of the queries, ranked by an adapter that had not seen that part.
function foldsPlot(folds) {
  const values = folds.points.flatMap((p) => [p.before, p.after]);
  const low = Math.min(...values), high = Math.max(...values);
  const x = scale(low, high, 130, WIDE - 50);
  const height = 34 + 26 * folds.points.length;
  return picture(height, folds.text, "nDCG@100 before \u25cb and after \u25cf, on each part held out",
    folds.points.map((p, place) => {
      const y = 18 + 26 * place;
      const kind = p.after > p.before ? "era-plot-better" : p.after < p.before ? "era-plot-worse" : "era-plot-same";
      return [
        label(4, y + 4, many(p.n, "query", "queries"), "start"),
        svg("line", { x1: x(p.before), x2: x(p.after), y1: y, y2: y, class: `era-plot-change ${kind}` }),
        svg("circle", { cx: x(p.before), cy: y, r: 4, class: "era-plot-before" }),
        svg("circle", { cx: x(p.after), cy: y, r: 5, class: kind }),
      ];
    }),
    label(x(low), height - 6, low.toFixed(2)), high > low && label(x(high), height - 6, high.toFixed(2)));
}

// The measure on unseen queries over how many labelled ones were learned from, with the band it likely lies in.
function curvePlot(curve) {
  const points = curve.points;
  const hasBand = points.every((p) => p.low !== null);
  const values = points.flatMap((p) => (hasBand ? [p.low, p.high] : [p.value])).concat(curve.baseline);
  const y = scale(Math.min(...values), Math.max(...values), 160, 16);
  const x = scale(0, Math.max(...points.map((p) => p.n)), 60, WIDE - 20);
  const line = (list, value) => list.map((p) => `${x(p.n).toFixed(1)},${y(value(p)).toFixed(1)}`).join(" L");
  return picture(200, curve.text, `nDCG@10 on ${many(curve.n, "unseen query", "unseen queries")}, by how many were learned from`,
    hasBand && svg("path", { d: `M${line(points, (p) => p.high)} L${line([...points].reverse(), (p) => p.low)} Z`, class: "era-plot-band" }),
    svg("line", { x1: 60, x2: WIDE - 20, y1: y(curve.baseline), y2: y(curve.baseline), class: "era-plot-baseline" }),
    label(62, y(curve.baseline) - 4, "no labels", "start"),
    svg("path", { d: `M${line(points, (p) => p.value)}`, class: "era-plot-line" }),
    points.map((p) => [svg("circle", { cx: x(p.n), cy: y(p.value), r: 4, class: "era-plot-point" }), label(x(p.n), 178, Math.round(p.n))]),
    label(54, 20, Math.max(...values).toFixed(2), "end"), label(54, 164, Math.min(...values).toFixed(2), "end"),
    label(WIDE / 2 + 20, 196, "labelled queries"));
}
