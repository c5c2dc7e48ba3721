// The page: the server's models, and a panel for the one that is chosen.

import { onTokenNeeded, request } from "/page/api.js";
import { classifyPanel } from "/page/classify.js";
import { card, element, labelled } from "/page/dom.js";
import { forecastPanel } from "/page/forecast.js";
import { generatePanel } from "/page/generate.js";
import { Problems } from "/page/live.js";
import { tagPanel } from "/page/tag.js";
import { setUpTheme } from "/page/theme.js";
import { translatePanel } from "/page/translate.js";

const PANELS = {
  classify: classifyPanel,
  forecast: forecastPanel,
  generate: generatePanel,
  tag: tagPanel,
  translate: translatePanel,
};
const panel = document.getElementById("panel");
const choice = document.getElementById("model");
const problems = new Problems(document.getElementById("problem"));
let leave = () => {};

function show(model) {
  leave();
  problems.clear();
  document.title = `${model.id} · Stepscan`;
  history.replaceState(null, "", `#${encodeURIComponent(model.id)}`);
  const built = PANELS[model.task](model, problems);
  leave = built.leave;
  panel.replaceChildren(element("div", { class: "cards", "data-task": model.task }, ...built.cards));
}

function askForToken(words) {
  return new Promise((resolve) => {
    const field = element("input", { type: "password", autocomplete: "off", required: true });
    const note = element("p", { role: "alert" }, words);
    const form = element(
      "form",
      { submit: (event) => (event.preventDefault(), resolve(field.value.trim())) },
      labelled("Token", field, "One of the server's --token-file. It is forgotten when this page is closed."),
      note,
      element("button", { type: "submit" }, "Enter"),
    );
    panel.replaceChildren(element("div", { class: "cards" }, card("This server needs a token", form)));
    field.focus();
  });
}

function started(models) {
  choice.replaceChildren(
    ...models.map((model) => element("option", { value: model.id }, `${model.id} (${model.task})`)),
  );
  choice.disabled = models.length < 2;
  const wanted = decodeURIComponent(location.hash.slice(1));
  const first = models.find((model) => model.id === wanted) ?? models[0];
  choice.value = first.id;
  choice.addEventListener("change", () => show(models.find((model) => model.id === choice.value)));
  show(first);
}

setUpTheme(document.getElementById("theme"));
onTokenNeeded(askForToken);
request("/v1/models")
  .then(({ data }) => started(data))
  .catch((error) => {
    panel.replaceChildren();
    problems.show(error);
  });
