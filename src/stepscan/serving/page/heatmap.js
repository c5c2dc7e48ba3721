// Values of units over steps as a picture, which can be read value by value with the mouse or the arrow keys.

import { element } from "/page/dom.js";
import { shown } from "/page/numbers.js";
import { visible } from "/page/symbols.js";
import { isDark } from "/page/theme.js";

const HEIGHT = 5; // pixels of a unit, at most 320 pixels in all
const LETTER = 7.3; // pixels of a letter of an item
const LABELS = 20; // pixels below, for the items

// A picture of a matrix [steps][units]; `update` gives it new values.
export class Heatmap {
  constructor(name) {
    this.name = name;
    this.values = [];
    this.items = [];
    this.place = null; // [step, unit] that is read out
    this.canvas = element("canvas", {
      tabindex: "0",
      role: "img",
      keydown: (event) => this.pressed(event),
      pointermove: (event) => this.pointed(event),
      pointerleave: () => this.read(null),
      blur: () => this.read(null),
    });
    this.output = element("p", { class: "soft", role: "status" }, "\u00a0");
    this.node = element("div", {}, this.canvas, this.output);
  }

  // values: numbers [steps][units]; items: a text for each step; range: [lowest, highest] of the colours.
  update(values, items, range) {
    Object.assign(this, { values, items, range });
    this.canvas.setAttribute("aria-label", this.summary());
    if (this.place && !this.values[this.place[0]]) this.place = null;
    this.draw();
  }

  summary() {
    const all = this.values.flat();
    const mean = all.reduce((sum, value) => sum + value, 0) / (all.length || 1);
    const size = `${this.values[0]?.length ?? 0} units over ${this.values.length} steps, mean ${shown(mean)}`;
    return `${this.name}: ${size}. Arrow keys read single values.`;
  }

  draw() {
    const { canvas, values } = this;
    const units = values[0]?.length ?? 0;
    const width = canvas.clientWidth || 600;
    const tall = Math.max(2, Math.min(HEIGHT * 3, 320 / Math.max(1, units)));
    const sharp = devicePixelRatio || 1;
    canvas.style.height = `${units * tall + LABELS}px`;
    canvas.width = width * sharp;
    canvas.height = (units * tall + LABELS) * sharp;
    const context = canvas.getContext("2d");
    context.scale(sharp, sharp);
    this.cell = { wide: Math.min(this.widest(), width / Math.max(1, values.length)), tall };
    values.forEach((column, step) => column.forEach((value, unit) => this.fill(context, step, unit, value)));
    this.write(context, units * tall);
    if (this.place) this.mark(context);
  }

  fill(context, step, unit, value) {
    const { wide, tall } = this.cell;
    context.fillStyle = colour(value, this.range);
    context.fillRect(
      step * wide,
      unit * tall,
      Math.ceil(wide) - (wide > 6 ? 1 : 0),
      Math.ceil(tall) - (tall > 4 ? 1 : 0),
    );
  }

  write(context, top) {
    const { wide } = this.cell;
    context.fillStyle = getComputedStyle(this.canvas).color;
    context.font = "12px ui-monospace, monospace";
    const room = Math.floor((wide - 2) / LETTER);
    let free = 0; // where the next item may begin
    this.items.forEach((item, step) => {
      const words = [...visible(item)];
      const label = words.length <= room || room < 3 ? words : [...words.slice(0, room - 1), "…"];
      if (step * wide < free) return;
      context.fillText(label.join(""), step * wide, top + 14);
      free = step * wide + label.length * LETTER;
    });
  }

  // The widest that a step becomes: so that its item can be read.
  widest() {
    return Math.max(24, Math.min(90, LETTER * Math.max(0, ...this.items.map((item) => item.length)) + 6));
  }

  mark(context) {
    const [step, unit] = this.place;
    const { wide, tall } = this.cell;
    context.strokeStyle = getComputedStyle(this.canvas).color;
    context.lineWidth = 2;
    context.strokeRect(step * wide, unit * tall, wide, tall);
  }

  pointed(event) {
    const box = this.canvas.getBoundingClientRect();
    const place = [(event.clientX - box.left) / this.cell.wide, (event.clientY - box.top) / this.cell.tall];
    this.read(place.map(Math.floor));
  }

  pressed(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[event.key];
    if (!move || !this.values.length) return;
    event.preventDefault();
    const [step, unit] = this.place ?? [this.values.length - 1 - move[0], -move[1]];
    const within = (value, size) => Math.max(0, Math.min(size - 1, value));
    this.read([within(step + move[0], this.values.length), within(unit + move[1], this.values[0].length)]);
  }

  // Say the value at [step, unit]; null, or a place outside: none.
  read(place) {
    const value = place && this.values[place[0]]?.[place[1]];
    this.place = value === undefined || value === null ? null : place;
    this.output.textContent = this.place
      ? `${visible(this.items[place[0]])}, unit ${place[1] + 1}: ${shown(value)}`
      : "\u00a0";
    if (this.values.length) this.draw();
  }
}

// Blue below the middle, orange above it, the paper's own colour in it; for a range from 0, orange alone.
function colour(value, [low, high]) {
  const share = low < 0 ? value / Math.max(-low, high) : (value - low) / (high - low || 1);
  const strength = Math.min(1, Math.abs(share));
  const [paper, warm, cold] = isDark()
    ? [
        [27, 33, 41],
        [255, 146, 64],
        [88, 172, 255],
      ]
    : [
        [246, 247, 249],
        [200, 82, 0],
        [0, 104, 180],
      ];
  const ink = share < 0 ? cold : warm;
  return `rgb(${paper.map((from, i) => Math.round(from + (ink[i] - from) * strength)).join(",")})`;
}
