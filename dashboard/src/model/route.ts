/** The view is in the hash: `#/jobs/NAME/grid?status=failed`. Nothing of it is sent to the server. */

export const TABS = ["grid", "timeline", "list", "graph", "failures", "charts", "details"] as const;
export type Tab = (typeof TABS)[number];

export type View =
  | { view: "overview" }
  | { view: "job"; job: string; tab: Tab }
  | { view: "task"; job: string; task: string }
  | { view: "history"; job: string }
  /** Jobs that a program handed in (the query says which run or task of it). */
  | { view: "handed-in" }
  | { view: "unknown"; path: string };

export type Route = View & { query: Record<string, string> };

export function parseRoute(hash: string): Route {
  const [path = "", search = ""] = splitOnce(hash.replace(/^#\/?/, ""), "?");
  const query = Object.fromEntries(new URLSearchParams(search));
  return { ...parsePath(path), query };
}

function parsePath(path: string): View {
  const parts = path.split("/").filter((part) => part !== "");
  const unknown: View = { view: "unknown", path };
  if (parts.length === 0) return { view: "overview" };
  if (parts.length === 1 && parts[0] === "handed-in") return { view: "handed-in" };
  if (parts[0] !== "jobs" || parts.length > 4) return unknown;
  if (parts.length === 1) return { view: "overview" };
  const job = decode(parts[1] ?? "");
  if (job === null) return unknown;
  const third = parts[2] ?? "grid";
  if (parts.length <= 3 && (TABS as readonly string[]).includes(third)) return { view: "job", job, tab: third as Tab };
  if (parts.length === 3 && third === "history") return { view: "history", job };
  if (parts.length === 4 && third === "tasks") {
    const task = decode(parts[3] ?? "");
    if (task !== null) return { view: "task", job, task };
  }
  return unknown;
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + separator.length)];
}

export function formatRoute(view: View, query: Record<string, string | null | undefined> = {}): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value) search.set(key, value);
  const text = search.toString();
  return `#${formatPath(view)}${text ? `?${text}` : ""}`;
}

function formatPath(view: View): string {
  const e = encodeURIComponent;
  switch (view.view) {
    case "overview":
      return "/";
    case "handed-in":
      return "/handed-in";
    case "job":
      return `/jobs/${e(view.job)}/${view.tab}`;
    case "task":
      return `/jobs/${e(view.job)}/tasks/${e(view.task)}`;
    case "history":
      return `/jobs/${e(view.job)}/history`;
    case "unknown":
      return `/${view.path}`;
  }
}
