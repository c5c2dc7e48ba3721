// A series of numbers: typed, pasted, or dragged in as a file of comma-separated values.

import { ApiError } from "/page/api.js";
import { element, labelled } from "/page/dom.js";
import { count } from "/page/numbers.js";

const MOST_BYTES = 2_000_000; // of a file
const MOST_SHOWN = 20_000; // letters of a file that are put where one types
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

// The numbers of a text: [T] for one column, [T, D] for D. One line of several numbers is one column, unless
// `dimensions` says otherwise. A first line without any number is a heading.
export function parseSeries(text, dimensions) {
  const lines = text.replace(/^\ufeff/, "").split(/\r\n|\r|\n/);
  const rows = [];
  lines.forEach((line, index) => {
    if (!line.trim()) return;
    const cells = line.trim().split(/\s*[,;\t]\s*|\s+/);
    const isHeading =
      !rows.length && cells.every((cell) => !NUMBER.test(cell)) && lines.slice(index + 1).some((next) => next.trim());
    if (!isHeading) rows.push({ line: index + 1, cells });
  });
  if (rows.length === 1 && dimensions === 1) return numbers(rows[0], rows[0].cells.length);
  const values = rows.map((row) => numbers(row, dimensions));
  return dimensions === 1 ? values.flat() : values;
}

// The numbers of a line, which must be so many.
function numbers({ line, cells }, dimensions) {
  if (cells.length !== dimensions) {
    const expected = `expected ${count(dimensions, "number")}, got ${cells.length}`;
    throw new ApiError(`Line ${line}: ${expected}. This model reads series of ${dimensions} a step.`);
  }
  return cells.map((cell, column) => {
    const value = NUMBER.test(cell) ? Number(cell) : NaN;
    if (!Number.isFinite(value))
      throw new ApiError(`Line ${line}, column ${column + 1}: expected a number, got “${cell.slice(0, 40)}”.`);
    return value;
  });
}

// Where a series is entered, for a `Following`. `values` is the series, empty while what is entered cannot be read.
export class SeriesInput {
  constructor(model, following) {
    Object.assign(this, { dimensions: model.dimensions ?? 1, following, values: [] });
    this.box = element("textarea", { rows: "6", spellcheck: "false", inputmode: "decimal", input: () => this.typed() });
    this.file = element("input", {
      type: "file",
      accept: ".csv,.tsv,.txt,text/csv,text/plain",
      change: () => this.opened(this.file.files[0]),
    });
    this.note = element("p", { class: "soft", role: "status" });
    const columns =
      this.dimensions === 1 ? "one number a line, or several on one" : `a step a line: ${this.dimensions} numbers`;
    this.drop = element(
      "div",
      {
        class: "drop",
        dragover: (event) => this.hovered(event, true),
        dragleave: (event) => this.hovered(event, false),
        drop: (event) => (this.hovered(event, false), this.opened(event.dataTransfer.files[0])),
      },
      labelled("Drop a file of numbers here, or choose one", this.file),
    );
    this.node = element(
      "div",
      {},
      this.drop,
      labelled("Series", this.box, `Separated by commas, semicolons, tabs or spaces: ${columns}.`),
      this.note,
    );
  }

  hovered(event, over) {
    event.preventDefault();
    this.drop.classList.toggle("over", over);
  }

  async opened(file) {
    if (!file) return;
    this.file.value = "";
    await this.shown(async () => {
      const text = await contentOf(file);
      this.box.value = text.length > MOST_SHOWN ? "" : text;
      return text;
    }, `${file.name}: `);
  }

  typed() {
    return this.shown(() => this.box.value, "");
  }

  // Reads the series that `give` resolves to; errors and the number of steps are shown behind `name`.
  async shown(give, name) {
    this.values = [];
    this.following.clear();
    this.note.textContent = "";
    try {
      this.values = parseSeries(await give(), this.dimensions);
    } catch (error) {
      return this.following.problems.show(error.name === "ApiError" ? new ApiError(name + error.message) : error);
    }
    if (this.values.length) this.note.textContent = name + count(this.values.length, "step");
    this.following.changed(this.values);
  }
}

async function contentOf(file) {
  if (file.size > MOST_BYTES) throw new ApiError(`expected at most 2 MB, got ${(file.size / 1e6).toFixed(1)} MB.`);
  const text = await file.text().catch(() => "\0");
  if (/[\0\ufffd]/.test(text)) throw new ApiError("expected a text file of numbers, got something else.");
  return text;
}
