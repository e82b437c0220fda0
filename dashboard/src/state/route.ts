import { effect, signal } from "@preact/signals";
import { formatRoute, parseRoute, type Route, type View } from "../model/route.ts";

export const route = signal<Route>(parseRoute(location.hash));

let known = location.hash;

function arrive(): void {
  if (known === location.hash) return;
  known = location.hash;
  route.value = parseRoute(known);
}

window.addEventListener("hashchange", arrive);

/** The view changes at once, not when the browser says so: the next key may already be meant for it. */
export function go(view: View, query: Record<string, string | null | undefined> = {}): void {
  location.hash = formatRoute(view, query);
  arrive();
}

/** Goes over to another view in the place of the present one: the way back leads past it. */
export function replace(hash: string): void {
  history.replaceState(null, "", hash);
  arrive();
}

/** Changes what the address says of the present view, without a step in the browser's history. */
export function setQuery(changes: Record<string, string | null | undefined>): void {
  const { query, ...view } = route.value;
  history.replaceState(null, "", formatRoute(view as View, { ...query, ...changes }));
  arrive();
}

effect(() => {
  const at = route.value;
  const parts = at.view === "task" ? [at.task, at.job] : "job" in at ? [at.job] : [];
  if (at.view === "history") parts.unshift("History");
  document.title = [...parts, "Air-Executor"].join(" · ");
});
