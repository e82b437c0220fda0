import { effect, signal } from "@preact/signals";
import { formatRoute, parseRoute, type Route, type View } from "../model/route.ts";

export const route = signal<Route>(parseRoute(location.hash));

window.addEventListener("hashchange", () => {
  route.value = parseRoute(location.hash);
});

export function go(view: View, query: Record<string, string | null | undefined> = {}): void {
  location.hash = formatRoute(view, query);
}

/** Changes what the address says of the present view, without a step in the browser's history. */
export function setQuery(changes: Record<string, string | null | undefined>): void {
  const { query, ...view } = route.value;
  history.replaceState(null, "", formatRoute(view as View, { ...query, ...changes }));
  route.value = parseRoute(location.hash);
}

effect(() => {
  const at = route.value;
  const parts = at.view === "task" ? [at.task, at.job] : "job" in at ? [at.job] : [];
  if (at.view === "history") parts.unshift("History");
  document.title = [...parts, "Air-Executor"].join(" · ");
});
