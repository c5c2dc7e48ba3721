// Numbers as people read them.

const SIGNIFICANT = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const WHOLE = new Intl.NumberFormat("en");

// A probability as a percentage: "<0.1 %", "41.2 %", ">99.9 %".
export function percent(p) {
  if (p > 0 && p < 0.001) return "<0.1 %";
  if (p > 0.999 && p < 1) return ">99.9 %";
  return `${(100 * p).toFixed(1)} %`;
}

// A number with four digits, with a minus sign and not a hyphen.
export const shown = (value) => SIGNIFICANT.format(value).replace("-", "−");

// A whole number with its noun: "1 symbol", "2,000 symbols".
export const count = (value, noun) => `${WHOLE.format(value)} ${noun}${value === 1 ? "" : "s"}`;
