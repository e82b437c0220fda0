/** What holds for the whole page: the connection, what the server says of itself, messages to the user. */
import { computed, signal } from "@preact/signals";
import { errorText, get } from "../api/http.ts";
import type { Connection } from "../api/stream.ts";
import type { Info } from "../api/types.ts";
import { inAirflow } from "./host.ts";

export const info = signal<Info | null>(null);
export const connection = signal<Connection>({ state: "connecting" });

/** Why nothing can be changed from here; null when it can. */
export const readOnly = computed(() => {
  if (info.value && !info.value.write) {
    if (inAirflow) return "You may only read here: in Airflow you may not change the runs of this DAG.";
    return "You may only read here: the server gave no right to change things.";
  }
  if (connection.value.state === "lost") return "The connection to the server is lost.";
  return null;
});

/** `job`: what may be changed can be another thing for each. */
export async function refreshInfo(job: string | null = null): Promise<void> {
  try {
    info.value = await get<Info>(job !== null && inAirflow ? `info?job=${encodeURIComponent(job)}` : "info");
  } catch {
    // The connection's own state tells of a server that is gone; the last facts stay on the page.
  }
}

export interface Toast {
  id: number;
  text: string;
  bad: boolean;
}

export const toasts = signal<Toast[]>([]);
let lastToast = 0;

export function toast(text: string, bad = false): void {
  const id = ++lastToast;
  toasts.value = [...toasts.value.slice(-3), { id, text, bad }];
  setTimeout(() => dismiss(id), bad ? 12_000 : 5000);
}

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter((each) => each.id !== id);
}

/** Does something the user asked for, and says how it went. */
export async function attempt(work: () => Promise<unknown>, done: string): Promise<boolean> {
  try {
    await work();
    toast(done);
    return true;
  } catch (error) {
    toast(`That did not work: ${errorText(error)}`, true);
    return false;
  }
}
