// A forecaster: what comes next, drawn with its interval.

import { request } from "/page/api.js";
import { forecastChart } from "/page/chart.js";
import { card, element, labelled, table } from "/page/dom.js";
import { Following } from "/page/following.js";
import { shown } from "/page/numbers.js";
import { SeriesInput } from "/page/series.js";

export function forecastPanel(model) {
  const length = element("input", { type: "number", min: "1", max: "1000", step: "1", value: "24" });
  const level = element("input", { type: "number", min: "1", max: "99", step: "1", value: "90" });
  const following = new Following(model, {
    empty: "The forecast appears here.",
    inside: "What the layers do while they read the series appears here.",
    work: (values, signal) => answered(model, values, { length: Number(length.value), level: level.value }, signal),
  });
  const input = new SeriesInput(model, following);
  for (const field of [length, level]) field.addEventListener("input", () => following.changed(input.values));
  const fields = element(
    "div",
    { class: "fields" },
    labelled("Steps ahead", length),
    labelled("Interval", level, "% of the paths within it"),
  );
  return {
    cards: [
      card("Series to continue", input.node, fields, following.problems.node),
      card("Forecast", following.answer, following.said),
      following.inside.card,
    ],
    leave: () => following.leave(),
  };
}

async function* answered(model, values, { length, level }, signal) {
  const path = `/v1/models/${encodeURIComponent(model.id)}/forecast`;
  const { forecasts } = await request(path, { inputs: [values], length, level: level / 100, seed: 0 }, signal);
  const [{ median, low, high }] = forecasts;
  const answer = Array.from({ length: model.dimensions ?? 1 }, (_, d) => {
    const [known, ...rest] = [values, median, low, high].map((rows) => rows.map((row) => [row].flat()[d]));
    const part = { known, median: rest[0], low: rest[1], high: rest[2] };
    const title = model.dimensions > 1 ? [element("h3", {}, `Dimension ${d + 1}`)] : [];
    return [...title, forecastChart(part, level), asTable(part, level)];
  });
  yield { answer: answer.flat(), said: `A forecast of ${median.length} steps is drawn.` };
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
