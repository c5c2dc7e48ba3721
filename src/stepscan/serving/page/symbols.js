// Symbols that can be seen: white space as a sign.

export const visible = (item) => (item === " " ? "␣" : item.replaceAll("\n", "↵").replaceAll("\t", "⇥"));
