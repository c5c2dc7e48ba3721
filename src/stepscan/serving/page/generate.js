// A language model: text that appears symbol by symbol with its probability.

import { events } from "/page/api.js";
import { card, element, labelled } from "/page/dom.js";
import { Inside } from "/page/inside.js";
import { Problems } from "/page/live.js";
import { count, percent } from "/page/numbers.js";
import { Writing } from "/page/writing.js";

const SETTINGS = [
  // name, label, attributes of the field, value, hint
  ["length", "Length", { min: "1", max: "5000", step: "1" }, "200", "symbols, at most"],
  ["temperature", "Temperature", { min: "0", max: "5", step: "any" }, "0.8", "0: always the most probable"],
  ["top_k", "Top k", { min: "0", step: "1" }, "0", "0: all symbols"],
  ["top_p", "Top p", { min: "0.01", max: "1", step: "any" }, "1", "1: all symbols"],
  ["seed", "Seed", { min: "0", step: "1", placeholder: "random" }, "", "the same seed, the same text"],
];

export function generatePanel(model) {
  const run = new Generation(model);
  return {
    cards: [card("Prompt", run.form, run.problems.node), card("Text", run.writing.node, run.status), run.inside.card],
    leave: () => (run.stop(), run.inside.leave()),
  };
}

class Generation {
  constructor(model) {
    this.model = model;
    this.controller = null;
    this.problems = new Problems(element("p", { role: "alert" }));
    this.status = element("p", { class: "soft", role: "status" });
    this.inside = new Inside(model, "Hidden units and gates appear here while the model writes.");
    this.writing = new Writing((text) => this.inside.keepUp(text));
    this.prompt = element("textarea", { rows: "4", spellcheck: "false", input: () => this.prompted() });
    this.fields = Object.fromEntries(
      SETTINGS.map(([name, , attributes, value]) => [name, element("input", { type: "number", value, ...attributes })]),
    );
    this.pace = element(
      "select",
      {},
      element("option", { value: "20" }, "20 symbols a second"),
      element("option", { value: "0" }, "as fast as it comes"),
    );
    this.stopTexts = element("input", { type: "text", autocomplete: "off" });
    this.button = element("button", { type: "submit", class: "main" }, "Write");
    this.halt = element("button", { type: "button", disabled: true, click: () => this.stop() }, "Stop");
    this.form = this.built();
  }

  built() {
    const fields = SETTINGS.map(([name, label, , , hint]) => labelled(label, this.fields[name], hint));
    fields.push(labelled("Pace", this.pace, "of the display"), labelled("Stop text", this.stopTexts, "ends the text"));
    const keys = (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
      if (event.key === "Escape") this.stop();
    };
    const start = (event) => (event.preventDefault(), this.write());
    return element(
      "form",
      { submit: start, keydown: keys },
      labelled("Beginning of the text", this.prompt, "May be empty. Ctrl and Enter writes, Escape stops."),
      element("div", { class: "row" }, this.button, this.halt),
      element(
        "details",
        { open: !matchMedia("(max-width: 56rem)").matches },
        element("summary", {}, "Settings"),
        element("div", { class: "fields" }, fields),
      ),
    );
  }

  prompted() {
    if (this.controller) return;
    if (this.prompt.value) this.inside.follow(this.prompt.value);
    else this.inside.clear();
  }

  settings() {
    const given = { prompt: this.prompt.value, stream: true, probabilities: true };
    for (const [name, field] of Object.entries(this.fields)) if (field.value !== "") given[name] = Number(field.value);
    if (this.stopTexts.value) given.stop = [this.stopTexts.value];
    return given;
  }

  async write() {
    this.stop();
    const controller = (this.controller = new AbortController());
    this.problems.clear();
    this.status.textContent = "Writing …";
    this.halt.disabled = false;
    this.writing.begin(this.prompt.value, Number(this.pace.value));
    try {
      await this.read(controller.signal);
    } catch (error) {
      if (!controller.signal.aborted) this.failed(error);
    }
    if (this.controller === controller) this.ended();
  }

  async read(signal) {
    const path = `/v1/models/${encodeURIComponent(this.model.id)}/generate`;
    for await (const event of events(path, this.settings(), signal)) {
      if (event.done) {
        await this.writing.shownAll(signal);
        if (!signal.aborted) this.finished(event);
      } else this.writing.add(event);
    }
  }

  finished({ reason, count: symbols, known_symbols: known }) {
    const why =
      { length: "the length is reached", stop: "the stop text came", end: "the text came to its end" }[reason] ??
      reason;
    const mean = this.writing.meanProbability();
    const sure = mean === null ? "" : ` Their mean probability is ${percent(mean)}.`;
    const saved = known ? ` ${count(known, "symbol")} of the prompt had been read before.` : "";
    this.status.textContent = `${count(symbols, "symbol")}: ${why}.${sure}${saved}`;
  }

  failed(error) {
    this.status.textContent = "";
    this.problems.show(error);
  }

  ended() {
    this.controller = null;
    this.halt.disabled = true;
    this.writing.end();
    this.inside.follow(this.writing.text);
  }

  stop() {
    if (!this.controller) return;
    this.controller.abort();
    this.status.textContent = `Stopped after ${count(this.writing.count, "symbol")}.`;
    this.ended();
  }
}
