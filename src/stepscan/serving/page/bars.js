// Probabilities as bars.

import { element } from "/page/dom.js";
import { percent } from "/page/numbers.js";

const MOST = 12; // bars

// The greatest of `probabilities`, an object from names to numbers, as bars.
export function bars(probabilities) {
  const sorted = Object.entries(probabilities).sort(([, a], [, b]) => b - a);
  const list = element(
    "dl",
    { class: "bars" },
    sorted
      .slice(0, MOST)
      .flatMap(([name, p]) => [
        element("dt", {}, name),
        element(
          "dd",
          {},
          element("div", { class: "bar", style: { "--share": `${100 * p}%` } }, element("i")),
          element("span", { class: "figure" }, percent(p)),
        ),
      ]),
  );
  const rest = sorted.length - MOST;
  return rest > 0 ? [list, element("p", { class: "soft" }, `and ${rest} less probable ones`)] : [list];
}
