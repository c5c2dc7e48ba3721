// What follows a user's typing: only the last request counts.

import { ApiError } from "/page/api.js";

const PAUSE = 150; // milliseconds without a change before a request

// Runs `work(value, signal)` for the last value given: an earlier run is abandoned, errors are shown and the next
// success takes them away. `failed` is called before an error is shown.
export class Live {
  constructor(work, problems, failed = () => {}) {
    this.work = work;
    this.problems = problems;
    this.failed = failed;
    this.timer = 0;
    this.controller = null;
  }

  // Ask soon, with this value.
  ask(value) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.now(value), PAUSE);
  }

  // Ask at once. Resolves to whether it came to an end.
  async now(value) {
    this.stop();
    const controller = (this.controller = new AbortController());
    try {
      await this.work(value, controller.signal);
      if (!controller.signal.aborted) this.problems.clear();
      return !controller.signal.aborted;
    } catch (error) {
      if (controller.signal.aborted) return false;
      this.failed();
      this.problems.show(error);
      return false;
    }
  }

  // Abandon what runs or waits.
  stop() {
    clearTimeout(this.timer);
    this.controller?.abort();
    this.controller = null;
  }
}

// A line for errors in words, announced to screen readers, hidden while there is none.
export class Problems {
  constructor(node) {
    this.node = node;
    this.clear();
  }

  show(error) {
    if (!(error instanceof ApiError)) console.error(error); // a fault of this page
    this.node.textContent = error.message;
    this.node.hidden = false;
  }

  clear() {
    this.node.hidden = true;
    this.node.textContent = "";
  }
}
