// A tagger: each token coloured by its tag, as one types; for a series, the tag of each step.

import { request } from "/page/api.js";
import { announcer, card, element, labelled, table } from "/page/dom.js";
import { Inside } from "/page/inside.js";
import { Live, Problems } from "/page/live.js";
import { count, percent, shown } from "/page/numbers.js";
import { SeriesInput } from "/page/series.js";

const TOKEN = /\p{L}[\p{L}\p{M}\p{N}]*(?:['’-][\p{L}\p{N}]+)*|\p{N}+(?:[.,:]\p{N}+)*|[^\s\p{L}\p{N}]/gu;
const EMPTY = "Tags appear here.";

export function tagPanel(model) {
  const problems = new Problems(element("p", { role: "alert" }));
  const answer = element("div", {}, element("p", { class: "soft" }, EMPTY));
  const said = announcer();
  const inside = new Inside(model, "What the layers do while they read appears here.");
  const live = new Live((input, signal) => answered(model, input, signal, answer, said), problems);
  const changed = (input) => {
    if (input.length) return (live.ask(input), inside.follow(input));
    live.stop();
    inside.clear();
    answer.replaceChildren(element("p", { class: "soft" }, EMPTY));
  };
  const input = model.inputs === "series" ? new SeriesInput(model, changed, problems).node : sentenceInput(changed);
  return {
    cards: [
      card(model.inputs === "series" ? "Series to tag" : "Sentence to tag", input, problems.node),
      card("Tags", answer, said),
      inside.card,
    ],
    leave: () => (live.stop(), inside.leave()),
  };
}

function sentenceInput(changed) {
  const box = element("textarea", { rows: "4", spellcheck: "false", input: () => changed(tokens()) });
  const divided = element("input", { type: "checkbox", checked: true, change: () => changed(tokens()) });
  const tokens = () => (divided.checked ? (box.value.match(TOKEN) ?? []) : box.value.split(/\s+/).filter(Boolean));
  return element(
    "div",
    {},
    labelled("Sentence", box, "Tags follow as you type."),
    element("label", { class: "check" }, divided, "Punctuation is a token of its own (otherwise only spaces divide)"),
  );
}

async function answered(model, input, signal, answer, said) {
  const path = `/v1/models/${encodeURIComponent(model.id)}/predict`;
  const { predictions } = await request(path, { inputs: [input], probabilities: true }, signal);
  const [{ tags, probabilities }] = predictions;
  const tokens = input.map((item) => (typeof item === "string" ? item : [item].flat().map(shown).join(", ")));
  const sure = probabilities.map((row) => Math.max(...row));
  const marks = tags.map((tag, place) => marked(tokens[place], tag, sure[place], model.labels));
  said.textContent = `${count(tags.length, "tag")}, the last one ${tags[tags.length - 1]}`;
  const rows = tags.map((tag, place) => [tokens[place], tag, percent(sure[place])]);
  answer.replaceChildren(
    element("p", { class: "tags" }, marks),
    element(
      "details",
      {},
      element("summary", {}, "As a table, with probabilities"),
      table("Tokens, their tags, and the greatest probability of a tag", ["token", "tag", "probability"], rows),
    ),
  );
}

function marked(token, tag, probability, labels) {
  const isNone = tag === "O" || tag === "_";
  return element(
    "span",
    {
      class: isNone ? "tagged none" : "tagged",
      style: { "--hue": hue(tag, labels) },
      title: `${tag}: ${percent(probability)}`,
    },
    element("span", {}, token),
    element("small", {}, tag),
  );
}

// A colour for a tag: one for the type of a span, whether its token begins it or not.
function hue(tag, labels) {
  const type = (label) => label.replace(/^[BIESLU]-/, "");
  const types = [...new Set(labels.map(type))];
  return String(Math.round((types.indexOf(type(tag)) * 137.508) % 360)); // the golden angle keeps neighbours apart
}
