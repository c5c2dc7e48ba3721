// A text that grows symbol by symbol, each with its probability.

import { element } from "/page/dom.js";
import { percent } from "/page/numbers.js";
import { visible } from "/page/symbols.js";

const MOST_SHOWN = 5000; // symbols with a probability of their own; further ones are plain text

// The text, in which Left and Right read out single symbols. `follow(text)` is called as it grows.
export class Writing {
  constructor(follow) {
    this.follow = follow;
    this.place = -1;
    this.box = element("div", {
      class: "text writing",
      tabindex: "0",
      role: "textbox",
      "aria-readonly": "true",
      "aria-multiline": "true",
      "aria-label": "Written text. Left and right arrow keys read the probability of single symbols.",
      keydown: (event) => this.pressed(event),
      pointerover: (event) => this.pointed(event),
    });
    this.output = element("p", { class: "soft", role: "status" }, "\u00a0");
    const key = element(
      "ul",
      { class: "key" },
      element(
        "li",
        {},
        element("i", { class: "for", style: { "--share": "0.6" } }),
        "the less probable a symbol, the stronger its colour",
      ),
    );
    this.node = element("div", {}, this.box, this.output, key);
    this.begin("", 0);
    this.end();
  }

  get text() {
    return this.prompt + this.written;
  }

  get count() {
    return this.symbols.length;
  }

  // Start a text behind `prompt`, shown at `pace` symbols a second; 0: at once.
  begin(prompt, pace) {
    Object.assign(this, {
      prompt,
      pace,
      written: "",
      symbols: [],
      waiting: [],
      chosen: null,
      shownAt: 0,
      running: true,
    });
    this.box.replaceChildren(prompt);
    this.box.setAttribute("aria-busy", "true");
    this.frame = requestAnimationFrame((time) => this.tick(time));
  }

  // What the server wrote: the symbols of an event, or its text if they cannot be found in it.
  add({ text, symbols }) {
    this.waiting.push(...(pieces(text, symbols ?? []) ?? [{ text, probability: null, parts: symbols }]));
  }

  // Stop showing; what waits is dropped.
  end() {
    cancelAnimationFrame(this.frame);
    this.running = false;
    this.waiting = [];
    this.box.setAttribute("aria-busy", "false");
  }

  // Resolves when all that was added is shown, or the signal comes.
  async shownAll(signal) {
    while (this.waiting.length && !signal.aborted) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  meanProbability() {
    const known = this.symbols.flatMap(({ probability, parts }) => (probability === null ? parts : [{ probability }]));
    return known.length ? known.reduce((sum, symbol) => sum + symbol.probability, 0) / known.length : null;
  }

  tick(time) {
    const due = this.pace ? Math.floor(((time - this.shownAt) * this.pace) / 1000) : this.waiting.length;
    if (due > 0 && this.waiting.length) {
      this.shownAt = time;
      for (const symbol of this.waiting.splice(0, this.pace ? Math.min(due, 3) : due)) this.show(symbol);
      this.box.scrollTop = this.box.scrollHeight;
      this.follow(this.text);
    }
    if (this.running) this.frame = requestAnimationFrame((next) => this.tick(next));
  }

  show(symbol) {
    this.written += symbol.text;
    this.symbols.push(symbol);
    const { probability, text } = symbol;
    if (probability === null || this.count > MOST_SHOWN) return this.box.append(text);
    this.box.append(
      element(
        "span",
        {
          class: "symbol for",
          "data-place": this.count - 1,
          style: { "--share": ((1 - probability) * 0.55).toFixed(3) },
        },
        text,
      ),
    );
  }

  pressed(event) {
    const spans = this.box.querySelectorAll(".symbol");
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move || !spans.length) return;
    event.preventDefault();
    const now = this.chosen ? [...spans].indexOf(this.chosen) : move > 0 ? -1 : spans.length;
    this.choose(spans[Math.max(0, Math.min(spans.length - 1, now + move))]);
  }

  pointed(event) {
    const span = event.target.closest(".symbol");
    if (span) this.choose(span);
  }

  choose(span) {
    this.chosen?.classList.remove("chosen");
    this.chosen = span;
    span.classList.add("chosen");
    span.scrollIntoView({ block: "nearest" });
    const { text, probability } = this.symbols[Number(span.dataset.place)];
    this.output.textContent = `“${visible(text)}”: probability ${percent(probability)}`;
  }
}

// A text in pieces, each of which ends with a symbol: words have spaces before them. Null if a symbol is not in it.
function pieces(text, symbols) {
  const found = [];
  let start = 0;
  for (const symbol of symbols) {
    const place = text.indexOf(symbol.text, start);
    if (place < 0) return null;
    found.push({ text: text.slice(start, place + symbol.text.length), probability: symbol.probability });
    start = place + symbol.text.length;
  }
  if (start < text.length && found.length) found[found.length - 1].text += text.slice(start);
  return start < text.length && !found.length ? null : found;
}
