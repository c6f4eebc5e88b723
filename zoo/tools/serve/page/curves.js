// Learning curves: the primary metric and the loss of each split by epoch, as SVG and as a table.

import { drawn, element } from "./dom.js";
import { digits, metric, words } from "./format.js";

const SPLITS = ["train", "val", "test"];
const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [230, 52, 48, 12, 34];
const DOTS = 30; // maximum number of epochs for which points are also drawn as dots

/** Return a section with the curves of a model that has a `history`. */
export function showCurves({ history, primary_metric, units }) {
  const names = primary_metric === "loss" ? ["loss"] : [primary_metric, "loss"];
  const charts = names.map((name) => chart(history, name, units[name] ?? ""));
  return element(
    "section",
    { class: "curves", "aria-labelledby": "curves-heading" },
    element("h3", { id: "curves-heading" }, "Learning curves"),
    element("div", { class: "charts" }, ...charts),
    element("details", {}, element("summary", {}, "Metrics as a table"), table(history, names, units)),
  );
}

/** Return the points of each split that has points: `{split, points: [[epoch, value], ...]}`. */
function linesOf(history, name) {
  return SPLITS.map((split) => ({
    split,
    points: history.filter((row) => Number.isFinite(row[split]?.[name])).map((row) => [row.epoch, row[split][name]]),
  })).filter(({ points }) => points.length);
}

function chart(history, name, unit) {
  const lines = linesOf(history, name);
  const ends = lines.map(({ split, points }) => {
    const [first, last] = [points[0], points.at(-1)].map(([, value]) => metric(value, unit));
    return points.length > 1 ? `${split} from ${first} to ${last}` : `${split} ${last}`;
  });
  const label = `${words(name)} by epoch: ${ends.join("; ")}`;
  const svg = drawn("svg", { role: "img", "aria-label": label, height: HEIGHT });
  const title = unit && unit !== "%" ? `${words(name)} (${unit})` : words(name);
  const figure = element("figure", { class: "chart" }, element("figcaption", {}, title), svg);
  const redraw = () => svg.replaceChildren(...parts(lines, unit, figure.clientWidth || 480));
  new ResizeObserver(redraw).observe(figure);
  return figure;
}

/** Return the parts of a chart of a given width in pixels. */
function parts(lines, unit, width) {
  const values = lines.flatMap(({ points }) => points.map(([, value]) => value));
  const epochs = lines.flatMap(({ points }) => points.map(([epoch]) => epoch));
  const heights = ticks(Math.min(...values), Math.max(...values), 4);
  const [low, high] = [heights[0], heights.at(-1)];
  const [from, to] = [Math.min(...epochs), Math.max(...epochs)];
  const x = (epoch) => LEFT + ((epoch - from) / (to - from || 1)) * (width - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const say = (value) => (unit === "%" ? `${Number(digits(100 * value, 3))}%` : String(Number(digits(value, 3))));
  const made = heights.flatMap((value) => [
    drawn("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
    drawn("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, say(value)),
  ]);
  const wanted = Math.max(2, Math.floor((width - LEFT - RIGHT) / 45));
  for (const epoch of ticks(from, to, wanted).filter((one) => one >= from && one <= to && Number.isInteger(one))) {
    made.push(drawn("text", { x: x(epoch), y: HEIGHT - 16, "text-anchor": "middle" }, String(epoch)));
  }
  made.push(drawn("text", { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 1, "text-anchor": "middle" }, "epoch"));
  const labels = apart(lines.map(({ points }) => y(points.at(-1)[1])));
  for (const [number, { split, points }] of lines.entries()) {
    const path = points.map(([epoch, value]) => `${x(epoch).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    made.push(drawn("polyline", { class: `line ${split}`, points: path }));
    for (const [epoch, value] of points.length <= DOTS ? points : []) {
      made.push(drawn("circle", { class: `dot ${split}`, cx: x(epoch), cy: y(value), r: 2.5 }));
    }
    made.push(drawn("text", { class: `name ${split}`, x: width - RIGHT + 8, y: labels[number] + 4 }, split));
  }
  return made;
}

/** Return about a given number of round values, from at most `low` to at least `high`. */
function ticks(low, high, wanted) {
  const rough = (high - low || Math.abs(high) || 1) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((one) => one * power >= rough * 0.999);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(Math.ceil(high / step - 1e-9), first + 1);
  return Array.from({ length: last - first + 1 }, (_, number) => (first + number) * step);
}

/** Return the heights of labels, moved apart so that each label can be read. */
function apart(heights) {
  const order = heights.map((_, number) => number).sort((a, b) => heights[a] - heights[b]);
  const moved = [...heights];
  for (const [place, number] of order.entries()) {
    if (place) moved[number] = Math.max(moved[number], moved[order[place - 1]] + 15);
  }
  return moved;
}

function table(history, names, units) {
  const columns = SPLITS.flatMap((split) => names.map((name) => ({ split, name }))).filter(({ split, name }) =>
    history.some((row) => Number.isFinite(row[split]?.[name])),
  );
  const head = columns.map(({ split, name }) => element("th", { scope: "col" }, `${split} ${words(name)}`));
  const rows = history.map((row) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, String(row.epoch)),
      ...columns.map(({ split, name }) => element("td", {}, cell(row[split]?.[name], units[name]))),
    ),
  );
  const whole = element(
    "table",
    {},
    element("caption", { class: "unseen" }, "Metrics by epoch"),
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "epoch"), ...head)),
    element("tbody", {}, ...rows),
  );
  return element("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "Metrics by epoch" }, whole);
}

const cell = (value, unit) => (value === undefined ? "" : metric(value, unit === "%" ? unit : ""));
