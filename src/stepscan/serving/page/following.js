// What the panels of most models have in common: an answer, and the inside of the model, that follow the input.

import { announcer, element } from "/page/dom.js";
import { Inside } from "/page/inside.js";
import { Live, Problems } from "/page/live.js";

// The answer to the input that was given last.
export class Following {
  // empty: words in place of an answer. inside: words in place of the inside. work(input, signal): asks the server and
  // yields, once or several times, { answer, said, more }: nodes, what screen readers hear, nodes of a second place.
  constructor(model, { empty, inside, work }) {
    this.empty = empty;
    this.problems = new Problems(element("p", { role: "alert" }));
    this.answer = element("div");
    this.more = element("div");
    this.said = announcer();
    this.inside = new Inside(model, inside);
    this.live = new Live(
      (input, signal) => this.work(work, input, signal),
      this.problems,
      () => this.show(),
    );
    this.show();
  }

  // A new input; an empty one takes the answer away.
  changed(input) {
    if (!input.length) return this.clear();
    this.live.ask(input);
    this.inside.follow(input);
  }

  // No input.
  clear() {
    this.live.stop();
    this.inside.clear();
    this.problems.clear();
    this.show();
  }

  leave() {
    this.live.stop();
    this.inside.leave();
  }

  async work(work, input, signal) {
    for await (const found of work(input, signal)) if (!signal.aborted) this.show(found);
  }

  // Show what was found; without it, that there is no answer.
  show({ answer = [element("p", { class: "soft" }, this.empty)], said = "", more = [] } = {}) {
    this.answer.replaceChildren(...answer);
    this.more.replaceChildren(...more);
    if (this.said.textContent !== said) this.said.textContent = said;
  }
}
