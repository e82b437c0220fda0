/** The states of tasks and jobs: always in this order, these words, these colours and glyphs. */
import type { JobState, TaskStatus } from "../api/types.ts";

export type CellState = TaskStatus | "skipped" | "cancelled";

/** The place of a state in this list is its code in grid and timeline. */
export const CELL_STATES: readonly CellState[] = ["pending", "running", "completed", "failed", "skipped", "cancelled"];

export const JOB_STATES: readonly JobState[] = ["waiting", "working", "completed", "failed"];

export const PENDING = 0;
export const RUNNING = 1;
export const COMPLETED = 2;
export const FAILED = 3;
export const SKIPPED = 4;
export const CANCELLED = 5;

/** Where several tasks share one cell, the first of these that is among them is shown. */
export const WORST_FIRST: readonly number[] = [FAILED, RUNNING, CANCELLED, SKIPPED, PENDING, COMPLETED];

/** What a task is called: skipped and cancelled ones have the status `failed` and say so in `reason`. */
export function cellState(status: TaskStatus, reason: string | null | undefined): CellState {
  return status === "failed" && (reason === "skipped" || reason === "cancelled") ? reason : status;
}

export function codeState(code: number): CellState {
  return CELL_STATES[code] ?? "pending";
}

export function hasEnded(state: JobState): boolean {
  return state === "completed" || state === "failed";
}

/** How the filters of the task list say a state. */
export function listFilter(state: CellState): { status: string; reason?: string } {
  return state === "skipped" || state === "cancelled" ? { status: "failed", reason: state } : { status: state };
}

const REASONS: Record<string, string> = {
  exit: "exit code",
  signal: "killed by a signal",
  timeout: "timed out",
  memory: "out of memory",
  not_started: "could not be started",
  lost: "its end was not seen",
  skipped: "skipped: a dependency failed",
  cancelled: "cancelled",
  failures: "", // that tasks failed is what the state says already
  deadline: "deadline missed",
  max_failures: "stopped early: too many failures",
};

export function reasonText(reason: string | null | undefined): string {
  return reason ? (REASONS[reason] ?? reason.replaceAll("_", " ")) : "";
}
