/** The keys of the page: the one list that both obeys them and writes the help. */
import { useLayoutEffect, useRef } from "preact/hooks";

export const SHORTCUTS = [
  { id: "help", keys: "?", text: "Show these keys", where: "Everywhere" },
  { id: "search", keys: "/", text: "Search or filter", where: "Everywhere" },
  { id: "back", keys: "Escape", text: "Close, clear or go back", where: "Everywhere" },
  { id: "goOverview", keys: "g o", text: "Go to the overview", where: "Everywhere" },
  { id: "goJob", keys: "g j", text: "Go to the job last looked at", where: "Everywhere" },
  { id: "goHistory", keys: "g h", text: "Go to the history of the job", where: "Everywhere" },
  { id: "down", keys: "j", text: "Next row, task or match", where: "Lists, grid and log" },
  { id: "up", keys: "k", text: "Previous row, task or match", where: "Lists, grid and log" },
  { id: "open", keys: "Enter", text: "Open it", where: "Lists, grid and log" },
  { id: "failures", keys: "f", text: "Failed ones only, or all again", where: "Lists, grid and log" },
  { id: "next", keys: "]", text: "Next tab, or next task", where: "Job and task" },
  { id: "previous", keys: "[", text: "Previous tab, or previous task", where: "Job and task" },
  { id: "log", keys: "l", text: "Follow the log; on a job: follow what runs now", where: "Job and task" },
  { id: "timeline", keys: "t", text: "Timeline", where: "Job and task" },
  { id: "pause", keys: "p", text: "Pause or resume the job", where: "Job and task" },
  { id: "retry", keys: "R", text: "Retry: what is selected, this task, or all that failed", where: "Job and task" },
  { id: "cancel", keys: "C", text: "Cancel: what is selected, this task, or the job", where: "Job and task" },
] as const;

export type ShortcutId = (typeof SHORTCUTS)[number]["id"];
type Bindings = Partial<Record<ShortcutId, () => void>>;

const layers: Bindings[] = [];

/** Binds keys while the component is shown; what is bound later (deeper in the page) goes first. */
export function useShortcuts(bindings: Bindings): void {
  const latest = useRef(bindings);
  latest.current = bindings;
  // At once, not after the next paint: who sees a view may press its keys.
  useLayoutEffect(() => {
    const layer: Bindings = {};
    for (const { id } of SHORTCUTS) {
      Object.defineProperty(layer, id, { get: () => latest.current[id], enumerable: true });
    }
    layers.push(layer);
    return () => {
      layers.splice(layers.indexOf(layer), 1);
    };
  }, []);
}

export function isBound(id: ShortcutId): boolean {
  return layers.some((layer) => layer[id]);
}

function run(id: ShortcutId): boolean {
  for (let i = layers.length - 1; i >= 0; i--) {
    const action = layers[i]?.[id];
    if (action) {
      action();
      return true;
    }
  }
  return false;
}

let prefix = "";
let prefixAt = 0;

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const target = event.target as HTMLElement;
  if (document.querySelector("dialog[open]")) return;
  if (target.matches("input:not([type=checkbox]), textarea, select, [contenteditable]")) {
    if (event.key === "Escape") target.blur();
    return;
  }
  if (event.key === "Enter" && target.closest("a, button, summary, input, [role=tab]")) return;
  const typed = prefix && Date.now() - prefixAt < 1500 ? `${prefix} ${event.key}` : event.key;
  prefix = "";
  if (SHORTCUTS.some(({ keys }) => keys.startsWith(`${typed} `))) {
    prefix = typed;
    prefixAt = Date.now();
    return;
  }
  const shortcut = SHORTCUTS.find(({ keys }) => keys === typed);
  if (shortcut && run(shortcut.id)) event.preventDefault();
});
