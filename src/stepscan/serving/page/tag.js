// A tagger: each token coloured by its tag, as one types; for a series, the tag of each step.

import { request } from "/page/api.js";
import { card, element, labelled, table } from "/page/dom.js";
import { Following } from "/page/following.js";
import { count, percent, shown } from "/page/numbers.js";
import { SeriesInput } from "/page/series.js";

const TOKEN = /\p{L}[\p{L}\p{M}\p{N}]*(?:['’-][\p{L}\p{N}]+)*|\p{N}+(?:[.,:]\p{N}+)*|[^\s\p{L}\p{N}]/gu;

export function tagPanel(model) {
  const isSeries = model.inputs === "series";
  const following = new Following(model, {
    empty: "Tags appear here.",
    inside: "What the layers do while they read appears here.",
    work: (input, signal) => answered(model, input, signal),
  });
  const input = isSeries ? new SeriesInput(model, following).node : sentenceInput(following);
  return {
    cards: [
      card(isSeries ? "Series to tag" : "Sentence to tag", input, following.problems.node),
      card("Tags", following.answer, following.said),
      following.inside.card,
    ],
    leave: () => following.leave(),
  };
}

function sentenceInput(following) {
  const changed = () => following.changed(tokens());
  const box = element("textarea", { rows: "4", spellcheck: "false", input: changed });
  const divided = element("input", { type: "checkbox", checked: true, change: changed });
  const tokens = () => (divided.checked ? (box.value.match(TOKEN) ?? []) : box.value.split(/\s+/).filter(Boolean));
  return element(
    "div",
    {},
    labelled("Sentence", box, "Tags follow as you type."),
    element("label", { class: "check" }, divided, "Punctuation is a token of its own (otherwise only spaces divide)"),
  );
}

async function* answered(model, input, signal) {
  const path = `/v1/models/${encodeURIComponent(model.id)}/predict`;
  const { predictions } = await request(path, { inputs: [input], probabilities: true }, signal);
  const [{ tags, probabilities }] = predictions;
  const tokens = input.map((item) => (typeof item === "string" ? item : [item].flat().map(shown).join(", ")));
  const sure = probabilities.map((row) => Math.max(...row));
  const marks = tags.map((tag, place) => marked(tokens[place], tag, sure[place], model.labels));
  const rows = tags.map((tag, place) => [tokens[place], tag, percent(sure[place])]);
  const title = "Tokens, their tags, and the greatest probability of a tag";
  const details = element(
    "details",
    {},
    element("summary", {}, "As a table, with probabilities"),
    table(title, ["token", "tag", "probability"], rows),
  );
  const said = `${count(tags.length, "tag")}, the last one ${tags.at(-1)}`;
  yield { answer: [element("p", { class: "tags" }, marks), details], said };
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
