/** Counts as a bar: always the same order, and hatched where something failed. */
import { count } from "../model/format.ts";

export interface Counts {
  total_tasks: number;
  pending: number;
  running: number;
  completed: number;
  failed: number;
  skipped?: number;
  cancelled?: number;
}

/** `failed` holds skipped and cancelled tasks too; here they are told apart. */
export function parted(counts: Counts): [string, number][] {
  const skipped = counts.skipped ?? 0;
  const cancelled = counts.cancelled ?? 0;
  return [
    ["completed", counts.completed],
    ["failed", Math.max(0, counts.failed - skipped - cancelled)],
    ["skipped", skipped],
    ["cancelled", cancelled],
    ["running", counts.running],
    ["pending", counts.pending],
  ];
}

export function Bar({ counts, large }: { counts: Counts; large?: boolean }) {
  const segments = parted(counts).filter(([, n]) => n > 0);
  const text = segments.map(([state, n]) => `${count(n)} ${state}`).join(", ") || "no tasks yet";
  return (
    <div class={`bar ${large ? "large" : ""}`} role="img" aria-label={text} title={text}>
      {segments.map(([state, n]) => (
        <i key={state} class={`f-${state}`} style={{ flexGrow: String(n) }} />
      ))}
    </div>
  );
}
