// A classifier: the label with probabilities, and the words that mattered.

import { ApiError, request } from "/page/api.js";
import { bars } from "/page/bars.js";
import { card, element, labelled } from "/page/dom.js";
import { Following } from "/page/following.js";
import { percent, shown } from "/page/numbers.js";
import { SeriesInput } from "/page/series.js";

export function classifyPanel(model) {
  const isSeries = model.inputs === "series";
  const following = new Following(model, {
    empty: "The answer appears here.",
    inside: "What the layers do while they read appears here.",
    work: (input, signal) => answered(model, input, signal),
  });
  const input = isSeries ? new SeriesInput(model, following).node : textInput(following);
  return {
    cards: [
      card(isSeries ? "Series to classify" : "Text to classify", input, following.problems.node),
      card("Answer", following.answer, following.more, following.said),
      following.inside.card,
    ],
    leave: () => following.leave(),
  };
}

function textInput(following) {
  const box = element("textarea", { rows: "5", spellcheck: "false", input: () => following.changed(box.value) });
  return labelled("Text", box, "The answer follows as you type.");
}

async function* answered(model, input, signal) {
  const path = `/v1/models/${encodeURIComponent(model.id)}`;
  const { predictions } = await request(`${path}/predict`, { inputs: [input], probabilities: true }, signal);
  const answer = record(predictions[0]);
  const said = answer[0].textContent;
  yield { answer, said };
  if (model.inputs === "texts") yield { answer, said, more: await effects(path, input, signal) };
}

async function effects(path, text, signal) {
  try {
    return wordsThatMattered(text, await request(`${path}/words`, { text }, signal));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return [element("p", { class: "soft" }, `Words that mattered are not shown: ${error.message}`)];
  }
}

// What the model says, for each of its three kinds of records.
function record(found) {
  if (found.number !== undefined) return [element("p", { class: "answer" }, shown(found.number))];
  if (found.labels) {
    const names = Object.keys(found.labels);
    return [
      element("p", { class: "answer" }, names.length ? names.join(", ") : "none of the labels"),
      ...bars(found.probabilities),
    ];
  }
  return [element("p", { class: "answer" }, String(found.label)), ...bars(found.probabilities)];
}

function wordsThatMattered(text, { label, answer, words }) {
  if (!words.length) return [];
  const most = Math.max(...words.map((word) => Math.abs(word.effect)), 1e-9);
  const [nodes, value] = [[], label ? percent : shown];
  let end = 0;
  for (const word of words) {
    nodes.push(text.slice(end, word.start), marked(text.slice(word.start, word.end), word, most, value));
    end = word.end;
  }
  nodes.push(text.slice(end));
  const subject = label ? `“${label}”` : "a greater number";
  const key = element(
    "ul",
    { class: "key" },
    element("li", {}, element("i", { class: "for", style: { "--share": "0.6" } }), `speaks for ${subject}`),
    element("li", {}, element("i", { class: "against", style: { "--share": "0.6" } }), "speaks against it"),
  );
  return [
    element("h3", {}, "Words that mattered"),
    element("p", { class: "text" }, nodes),
    key,
    ranking(text, words, answer, value),
  ];
}

function marked(word, { effect, without }, most, value) {
  const share = (Math.abs(effect) / most) * 0.65;
  return element(
    "span",
    {
      class: `word ${effect >= 0 ? "for" : "against"}`,
      style: { "--share": share.toFixed(3) },
      title: `without it: ${value(without)}`,
    },
    word,
  );
}

function ranking(text, words, answer, value) {
  const first = [...words].sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect)).slice(0, 5);
  const rows = first.map((word) =>
    element(
      "li",
      {},
      `“${text.slice(word.start, word.end)}”: ${value(answer)} with it, ${value(word.without)} without it`,
    ),
  );
  return element("details", {}, element("summary", {}, "The five words that mattered most"), element("ol", {}, rows));
}
