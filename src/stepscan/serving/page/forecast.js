// A forecaster: what comes next, drawn with its interval.

import { request } from "/page/api.js";
import { forecastChart } from "/page/chart.js";
import { announcer, card, element, labelled, table } from "/page/dom.js";
import { Inside } from "/page/inside.js";
import { Live, Problems } from "/page/live.js";
import { shown } from "/page/numbers.js";
import { SeriesInput } from "/page/series.js";

const EMPTY = "The forecast appears here.";

export function forecastPanel(model) {
  const problems = new Problems(element("p", { role: "alert" }));
  const answer = element("div", {}, element("p", { class: "soft" }, EMPTY));
  const said = announcer();
  const inside = new Inside(model, "What the layers do while they read the series appears here.");
  const length = element("input", { type: "number", min: "1", max: "1000", step: "1", value: "24" });
  const level = element("input", { type: "number", min: "1", max: "99", step: "1", value: "90" });
  const live = new Live((values, signal) => answered(model, { values, length, level }, signal, answer, said), problems);
  let series = [];
  const again = () => {
    if (series.length) return live.ask(series);
    live.stop();
    answer.replaceChildren(element("p", { class: "soft" }, EMPTY));
  };
  const changed = (values) => {
    series = values;
    if (values.length) inside.follow(values);
    else inside.clear();
    again();
  };
  for (const field of [length, level]) field.addEventListener("input", again);
  const input = new SeriesInput(model, changed, problems);
  const fields = element(
    "div",
    { class: "fields" },
    labelled("Steps ahead", length),
    labelled("Interval", level, "% of the paths within it"),
  );
  const result = card("Forecast", answer, said);
  return {
    cards: [card("Series to continue", input.node, fields, problems.node), result, inside.card],
    leave: () => (live.stop(), inside.leave()),
  };
}

async function answered(model, { values, length, level }, signal, answer, said) {
  const path = `/v1/models/${encodeURIComponent(model.id)}/forecast`;
  const body = { inputs: [values], length: Number(length.value), level: Number(level.value) / 100, seed: 0 };
  const {
    forecasts: [found],
  } = await request(path, body, signal);
  const dimensions = model.dimensions ?? 1;
  const parts = Array.from({ length: dimensions }, (_, d) => {
    const column = (rows) => rows.map((row) => (Array.isArray(row) ? row[d] : row));
    const part = {
      known: column(values),
      median: column(found.median),
      low: column(found.low),
      high: column(found.high),
    };
    return [
      dimensions > 1 ? element("h3", {}, `Dimension ${d + 1}`) : null,
      forecastChart(part, level.value),
      asTable(part, level.value),
    ];
  });
  said.textContent = `A forecast of ${found.median.length} steps is drawn.`;
  answer.replaceChildren(...parts.flat().filter(Boolean));
}

function asTable({ known, median, low, high }, level) {
  const rows = median.map((value, step) => [
    String(known.length + step + 1),
    shown(value),
    shown(low[step]),
    shown(high[step]),
  ]);
  const caption = `The next ${median.length} steps, and the ${level} % interval`;
  return element(
    "details",
    {},
    element("summary", {}, "As a table"),
    table(caption, ["step", "median", "low", "high"], rows),
  );
}
