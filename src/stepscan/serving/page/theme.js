// Light or dark: as the system is set, until the button is pressed. The choice is not kept.

const system = matchMedia("(prefers-color-scheme: dark)");

// Whether the page is dark now.
export const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

const listeners = new Set();

// Calls `draw` when the colours change; returns a function that ends this.
export function onThemeChange(draw) {
  listeners.add(draw);
  return () => listeners.delete(draw);
}

// Makes a button change between light and dark.
export function setUpTheme(button) {
  const changed = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Change to ${isDark() ? "light" : "dark"} colours`);
    for (const draw of listeners) draw();
  };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    changed();
  });
  system.addEventListener("change", changed);
  changed();
}
