// A classifier: the label with probabilities, and the words that mattered.

import { request } from "/page/api.js";
import { bars } from "/page/bars.js";
import { announcer, card, element, labelled } from "/page/dom.js";
import { Inside } from "/page/inside.js";
import { Live, Problems } from "/page/live.js";
import { percent, shown } from "/page/numbers.js";
import { SeriesInput } from "/page/series.js";

const EMPTY = "The answer appears here.";

export function classifyPanel(model) {
  const problems = new Problems(element("p", { role: "alert" }));
  const answer = element("div", {}, element("p", { class: "soft" }, EMPTY));
  const said = announcer();
  const words = element("div");
  const inside = new Inside(model, "What the layers do while they read appears here.");
  const live = new Live((input, signal) => answered(model, input, signal, { answer, words, said }), problems);
  const changed = (input) => {
    if (!input.length) return cleared(live, inside, answer, words);
    live.ask(input);
    inside.follow(input);
  };
  const input = model.inputs === "series" ? new SeriesInput(model, changed, problems).node : textInput(changed);
  return {
    cards: [
      card(model.inputs === "series" ? "Series to classify" : "Text to classify", input, problems.node),
      card("Answer", answer, words, said),
      inside.card,
    ],
    leave: () => (live.stop(), inside.leave()),
  };
}

function textInput(changed) {
  const box = element("textarea", { rows: "5", spellcheck: "false", input: () => changed(box.value) });
  return labelled("Text", box, "The answer follows as you type.");
}

function cleared(live, inside, answer, words) {
  live.stop();
  inside.clear();
  answer.replaceChildren(element("p", { class: "soft" }, EMPTY));
  words.replaceChildren();
}

async function answered(model, input, signal, { answer, words, said }) {
  const path = `/v1/models/${encodeURIComponent(model.id)}`;
  const { predictions } = await request(`${path}/predict`, { inputs: [input], probabilities: true }, signal);
  answer.replaceChildren(...record(predictions[0]));
  said.textContent = answer.firstElementChild.textContent;
  if (model.inputs !== "texts") return;
  const found = await request(`${path}/words`, { text: input }, signal);
  words.replaceChildren(...wordsThatMattered(input, found));
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
