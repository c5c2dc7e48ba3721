// Elements of the page, made without HTML in strings: text from a model or a user is never read as HTML.

const SVG = "http://www.w3.org/2000/svg";
let numbered = 0;

// A name that no other element has.
export const freshId = () => `part-${++numbered}`;

// An HTML element. A function as an attribute is a listener of that event, an object `style` sets custom properties or
// styles, true and false set and omit an attribute. Children are nodes or text; null is left out.
export const element = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);

// Likewise, inside an SVG.
export const svg = (tag, attributes = {}, ...children) =>
  filled(document.createElementNS(SVG, tag), attributes, children);

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (name === "style") for (const [key, style] of Object.entries(value)) node.style.setProperty(key, style);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

// A control under its label, with a hint below it that screen readers read along.
export function labelled(label, control, hint = "") {
  control.id ||= freshId();
  const note = hint ? element("small", { id: freshId() }, hint) : null;
  if (note) control.setAttribute("aria-describedby", note.id);
  return element("div", { class: "field" }, element("label", { for: control.id }, label), control, note);
}

// What only screen readers see: its text is announced when it changes.
export const announcer = () => element("p", { class: "unseen", role: "status" });

// A part of the page with a heading.
export function card(title, ...children) {
  const heading = element("h2", { id: freshId() }, title);
  return element("section", { class: "card", "aria-labelledby": heading.id }, heading, ...children);
}

// A table: headings, and rows whose first cell is a heading.
export function table(caption, headings, rows) {
  const head = element(
    "tr",
    {},
    headings.map((heading) => element("th", { scope: "col" }, heading)),
  );
  const body = rows.map(([first, ...rest]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, first),
      rest.map((cell) => element("td", {}, cell)),
    ),
  );
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    element("table", {}, element("caption", {}, caption), element("thead", {}, head), element("tbody", {}, body)),
  );
}
