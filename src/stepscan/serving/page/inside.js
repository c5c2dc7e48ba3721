// The inside of a model: hidden units and gates of its layers, while it reads or writes.

import { request } from "/page/api.js";
import { card, element, labelled } from "/page/dom.js";
import { Heatmap } from "/page/heatmap.js";
import { Live, Problems } from "/page/live.js";
import { shown } from "/page/numbers.js";
import { onThemeChange } from "/page/theme.js";

const REST = 2000; // milliseconds after an error before the next request
const STEPS = 64; // the last ones are shown
const UNITS = 64; // the first ones
const GATES = {
  // what a gate does, by its name in the API
  candidate: "candidate: what would be written",
  cell: "cell state: what is stored",
  forget: "forget gate: 1 keeps the cell",
  input: "input gate: 1 writes the candidate",
  output: "output gate: 1 shows the cell",
  reset: "reset gate: 0 hides the past from the candidate",
  update: "update gate: 1 keeps the hidden state",
};
const FAINTEST = 0.05; // a range of units is at least so wide: smaller differences are not shown as large
const SIGNED = ["candidate", "cell"];

// The card; `follow(input)` shows the inside for a text, tokens or a series, soon; `clear()` nothing.
export class Inside {
  constructor(model, words) {
    this.model = model;
    this.busy = false;
    this.restUntil = 0;
    this.problems = new Problems(element("p", { role: "alert" }));
    this.live = new Live((input, signal) => this.load(input, signal), this.problems);
    this.layers = element("div", { class: "layers" }, element("p", { class: "soft" }, words));
    this.words = words;
    this.views = new Map();
    this.card = card("Inside", this.problems.node, this.layers);
    this.card.classList.add("wide");
    this.forget = onThemeChange(() => this.redraw());
    this.observer = new ResizeObserver(() => this.redraw());
    this.observer.observe(this.card);
  }

  follow(input) {
    this.live.ask(input);
  }

  // Ask at once unless an answer is on its way: for what changes faster than the server answers.
  async keepUp(input) {
    if (this.busy || performance.now() < this.restUntil) return;
    this.busy = true;
    const went = await this.live.now(input).finally(() => (this.busy = false));
    if (!went) this.restUntil = performance.now() + REST;
  }

  clear() {
    this.live.stop();
    this.views.clear();
    this.layers.replaceChildren(element("p", { class: "soft" }, this.words));
  }

  leave() {
    this.live.stop();
    this.forget();
    this.observer.disconnect();
  }

  async load(input, signal) {
    const path = `/v1/models/${encodeURIComponent(this.model.id)}/inside`;
    const found = await request(path, { input, last_steps: STEPS, units: UNITS }, signal);
    if (!found.layers.length) return this.clear();
    if (found.layers.some((layer) => !this.views.has(layer.name)) || this.views.size !== found.layers.length)
      this.build(found.layers);
    for (const layer of found.layers) this.views.get(layer.name).update(layer, found);
  }

  build(layers) {
    this.views = new Map(layers.map((layer) => [layer.name, new LayerView(layer)]));
    this.layers.replaceChildren(...[...this.views.values()].map((view) => view.node));
  }

  redraw() {
    for (const view of this.views.values()) view.heatmap.draw();
  }
}

// One layer: a choice between its units and gates, their picture, and how open the gates are.
class LayerView {
  constructor(layer) {
    this.choice = element(
      "select",
      { change: () => this.draw() },
      element("option", { value: "units" }, "hidden units"),
      Object.keys(layer.gates).map((name) => element("option", { value: name }, GATES[name] ?? name)),
    );
    this.heatmap = new Heatmap(`${layer.name}, hidden units`);
    this.means = element("dl", { class: "bars" });
    this.open = element("p", { class: "soft" }, "How open the gates are at the last step, mean over all units:");
    this.note = element("p", { class: "soft" });
    this.node = element(
      "div",
      { class: "layer" },
      element("h3", {}, `${layer.name}: ${layer.signature}`),
      labelled("Show", this.choice),
      this.heatmap.node,
      this.note,
      this.open,
      this.means,
    );
  }

  update(layer, found) {
    Object.assign(this, { layer, found });
    this.draw();
  }

  draw() {
    const { layer, found } = this;
    const chosen = this.choice.value;
    const values = chosen === "units" ? layer.units : layer.gates[chosen];
    this.heatmap.name = `${layer.name}, ${chosen === "units" ? "hidden units" : chosen}`;
    const range = rangeOf(values, chosen);
    this.heatmap.update(values, found.items, range);
    const shownUnits = layer.units[0].length;
    const some = shownUnits < layer.size ? `units 1 to ${shownUnits} of ${layer.size}` : `all ${layer.size} units`;
    const steps =
      found.items.length < found.count
        ? `the last ${found.items.length} of ${found.count} steps`
        : `all ${found.count} steps`;
    this.note.textContent = `Rows: ${some}. Columns: ${steps}. ${coloursOf(range)}`;
    this.drawMeans();
  }

  drawMeans() {
    const rows = Object.entries(this.layer.gate_means).filter(([name]) => !SIGNED.includes(name));
    this.means.hidden = this.open.hidden = !rows.length;
    this.means.replaceChildren(
      ...rows.flatMap(([name, means]) => {
        const last = means[means.length - 1];
        return [
          element("dt", {}, `${name} gate`),
          element(
            "dd",
            {},
            element("div", { class: "bar", style: { "--share": `${100 * last}%` } }, element("i")),
            element("span", { class: "figure" }, last.toFixed(2)),
          ),
        ];
      }),
    );
  }
}

function coloursOf([low, high]) {
  return low < 0
    ? `Orange is positive, blue negative, the strongest colours ${shown(high)} and ${shown(low)}.`
    : "The strongest colour is 1.";
}

function rangeOf(values, chosen) {
  if (chosen !== "units" && !SIGNED.includes(chosen)) return [0, 1];
  const most = Math.max(FAINTEST, ...values.map((column) => Math.max(...column.map(Math.abs))));
  return [-most, most];
}
