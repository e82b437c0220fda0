import { effect, signal } from "@preact/signals";
import { hostTheme } from "./host.ts";

export type Theme = "auto" | "light" | "dark";
const KEY = "air-executor.theme";
const THEMES: readonly Theme[] = ["auto", "light", "dark"];

export const theme = signal<Theme>(stored());
/** Counts up when colours have changed: whoever draws on canvas reads them anew. */
export const paletteVersion = signal(0);

function stored(): Theme {
  const value = localStorage.getItem(KEY) as Theme | null;
  return value && THEMES.includes(value) ? value : "auto";
}

effect(() => {
  const around = hostTheme.value;
  const chosen = around ?? theme.value;
  if (chosen === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  if (around === null) {
    if (chosen === "auto") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, chosen);
  }
  paletteVersion.value = paletteVersion.peek() + 1;
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  paletteVersion.value = paletteVersion.peek() + 1;
});

export function nextTheme(): void {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? "auto";
}

/** The value of a custom property of the style sheet. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
