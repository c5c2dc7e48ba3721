// A translator: the translation as one types, with its attention.

import { request } from "/page/api.js";
import { card, element, labelled } from "/page/dom.js";
import { Following } from "/page/following.js";
import { percent, shown } from "/page/numbers.js";
import { visible } from "/page/symbols.js";

const MOST = 60; // rows and columns of the attention map

export function translatePanel(model) {
  const following = new Following(model, {
    empty: "The translation appears here.",
    inside: "What the encoder does while it reads the source appears here.",
    work: (input, signal) => answered(model, input, signal),
  });
  const changed = () => following.changed(box.value.trim() ? box.value : "");
  const box = element("textarea", { rows: "4", spellcheck: "false", input: changed });
  const text = labelled("Text", box, "The translation follows as you type.");
  const map = card("Attention", following.more);
  map.classList.add("wide");
  map.hidden = !model.attention;
  return {
    cards: [
      card("Text to translate", text, following.problems.node),
      card("Translation", following.answer, following.said),
      map,
      following.inside.card,
    ],
    leave: () => following.leave(),
  };
}

async function* answered(model, input, signal) {
  const path = `/v1/models/${encodeURIComponent(model.id)}/translate`;
  const body = { inputs: [input], n_best: 3, attention: Boolean(model.attention) };
  const { translations } = await request(path, body, signal);
  const [best] = translations;
  const others = best.n_best
    .slice(1)
    .map(({ text, score }) => element("li", {}, text, element("span", { class: "soft" }, ` (score ${shown(score)})`)));
  const answer = [
    element("p", { class: "answer" }, best.translation || "(nothing)"),
    element("p", { class: "soft" }, `score ${shown(best.score)}`),
    ...(others.length ? [element("h3", {}, "Next best"), element("ul", {}, others)] : []),
  ];
  yield { answer, said: best.translation, more: best.attention ? [attentionMap(best.attention)] : [] };
}

// Each row a symbol that was written, each column one that was read: how much it looked there.
function attentionMap({ source, target, weights }) {
  const columns = source.slice(0, MOST);
  const rows = target.slice(0, MOST).map((symbol, row) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, visible(symbol)),
      columns.map((read, column) => cell(symbol, read, weights[row][column])),
    ),
  );
  const cut = source.length > MOST || target.length > MOST ? ` The first ${MOST} symbols are shown.` : "";
  const words = "Rows: what was written. Columns: what was read. The stronger the colour, the more it was looked at.";
  const isWords = columns.some((symbol) => [...symbol].length > 2 && !symbol.startsWith("<"));
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Attention map" },
    element(
      "table",
      { class: isWords ? "attention words" : "attention" },
      element("caption", {}, words + cut),
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          element("td"),
          columns.map((symbol) => element("th", { scope: "col" }, visible(symbol))),
        ),
      ),
      element("tbody", {}, rows),
    ),
  );
}

function cell(written, read, weight) {
  const words = `${visible(written)} looks at ${visible(read)}: ${percent(weight)}`;
  return element("td", {
    style: { "--share": Math.min(1, weight).toFixed(3) },
    title: words,
    "aria-label": percent(weight),
  });
}
