// A series and its forecast as a line with a band, in SVG.

import { element, svg } from "/page/dom.js";
import { shown } from "/page/numbers.js";

const TALL = 300,
  LEFT = 56,
  RIGHT = 12,
  TOP = 12,
  BOTTOM = 28;
const MOST_KNOWN = 200; // of the last steps of the series that are drawn

const narrow = matchMedia("(max-width: 40rem)");
let WIDE = 640; // the picture's width in its own units: smaller on a phone, so that words stay legible

// known [T], median, low, high [L]; level in percent.
export function forecastChart({ known, median, low, high }, level) {
  WIDE = narrow.matches ? 360 : 640;
  const first = Math.max(0, known.length - Math.max(MOST_KNOWN, 2 * median.length));
  const past = known.slice(first);
  const scale = scales(past, median, low, high);
  const from = past.length - 1;
  const joined = (values) => [past[from], ...values].map((value, step) => [scale.x(from + step), scale.y(value)]);
  const band = [...joined(high), ...joined(low).reverse()];
  const [start, end, lowest, highest] = [median[0], median.at(-1), low.at(-1), high.at(-1)].map(shown);
  const words =
    `${known.length} steps, then the median of the next ${median.length}: from ${start} to ${end}, ` +
    `with a ${level} % interval of ${lowest} to ${highest} at the end.`;
  const picture = svg(
    "svg",
    { class: "chart", viewBox: `0 0 ${WIDE} ${TALL}`, role: "img", "aria-label": words },
    ...axes(scale, first, past.length + median.length),
    svg("polygon", { class: "interval", points: points(band) }),
    svg("polyline", { class: "known", points: points(past.map((value, step) => [scale.x(step), scale.y(value)])) }),
    svg("polyline", { class: "median", points: points(joined(median)) }),
  );
  const key = element(
    "ul",
    { class: "key" },
    entry("known", "series"),
    entry("median", "forecast (median)"),
    entry("interval", `${level} % interval`),
  );
  return element("div", {}, picture, key);
}

function entry(name, words) {
  const sample =
    name === "interval"
      ? svg("rect", { class: name, width: 26, height: 12 })
      : svg("polyline", { class: name, points: "0,6 26,6" });
  return element(
    "li",
    {},
    svg("svg", { class: "sample chart", width: 26, height: 12, viewBox: "0 0 26 12", "aria-hidden": "true" }, sample),
    ` ${words}`,
  );
}

function scales(past, median, low, high) {
  const all = [...past, ...median, ...low, ...high];
  let bottom = Math.min(...all),
    top = Math.max(...all);
  const margin = (top - bottom) * 0.06 || Math.abs(top) * 0.1 || 1;
  [bottom, top] = [bottom - margin, top + margin];
  const steps = Math.max(1, past.length + median.length - 1);
  return {
    bottom,
    top,
    x: (step) => LEFT + (step / steps) * (WIDE - LEFT - RIGHT),
    y: (value) => TOP + ((top - value) / (top - bottom)) * (TALL - TOP - BOTTOM),
  };
}

function axes(scale, first, steps) {
  const parts = ticks(scale.bottom, scale.top, 5).flatMap((value) => [
    svg("line", { class: "axis", x1: LEFT, x2: WIDE - RIGHT, y1: scale.y(value), y2: scale.y(value) }),
    svg("text", { x: LEFT - 8, y: scale.y(value) + 4, "text-anchor": "end" }, shown(value)),
  ]);
  const below = ticks(first + 1, first + steps, 6)
    .filter(Number.isInteger)
    .map((step) => svg("text", { x: scale.x(step - first - 1), y: TALL - 8, "text-anchor": "middle" }, String(step)));
  return [...parts, ...below];
}

// About `wanted` round numbers between two.
function ticks(bottom, top, wanted) {
  const rough = (top - bottom) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let place = Math.ceil(bottom / step); place * step <= top; place += 1)
    found.push(Number((place * step).toPrecision(10)));
  return found;
}

const points = (pairs) => pairs.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
