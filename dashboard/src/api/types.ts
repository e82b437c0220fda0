/** What the server answers (docs/http.md). Times are ISO 8601 in objects and epoch seconds in arrays. */

export type JobState = "waiting" | "working" | "completed" | "failed";
export type TaskStatus = "pending" | "running" | "completed" | "failed";

export interface Manager {
  pid: number;
  host: string;
  version: string;
  started_at: string;
  slots: number | null;
}

export interface Info {
  version: string;
  base: string;
  write: boolean;
  slots: number | null;
  manager: Manager | null;
  counts: Record<JobState, number>;
  running_tasks: number;
  rate_per_s: number | null;
  /** Further parts of this server, such as Fixing; nothing is shown for parts it does not have. */
  sections?: { title: string; href: string }[];
}

export interface Estimate {
  low: number;
  mid: number;
  high: number;
}

export interface Job {
  name: string;
  id: string | null;
  state: JobState;
  reason: string | null;
  error: string | null;
  created_at: string | null;
  updated_at: string | null;
  total_tasks: number;
  pending: number;
  running: number;
  completed: number;
  failed: number;
  skipped: number;
  cancelled: number;
  open: boolean;
  paused: boolean;
  stopping: string | boolean | null;
  warnings: number;
  rate_per_s: number | null;
  elapsed_s: number | null;
  estimate_s: Estimate | null;
  /** Who handed it in, in that program's own terms. */
  origin?: Record<string, unknown> | null;
}

export interface Spread {
  mean?: number;
  p50?: number;
  p90?: number;
  p99?: number;
  max?: number;
  count?: number;
}

export interface JobDetail extends Omit<Job, "warnings"> {
  warnings: string[];
  retries: number;
  percent: number | null;
  parallelism: number | null;
  run_time_s: Spread | null;
  queue_time_s: Spread | null;
  memory_mb: Spread | null;
  cpu_s: Spread | null;
  groups: Record<string, { pending: number; running: number; completed: number; failed: number }>;
  reasons: Record<string, number>;
  recently_completed: { id: string; completed_at: string; run_s: number | null }[];
  running_tasks: { id: string; started_at: string; attempt: number }[];
  failed_tasks: FailedTask[];
  options: Record<string, unknown>;
  runs: number;
  /** 0 to 1 while the server reads a long journal for the first time; lists and grid wait for it. */
  reading?: number | null;
}

export interface FailedTask {
  id: string;
  reason: string | null;
  error: string | null;
  exit_code: number | null;
  signal: string | null;
}

export interface TaskRow {
  n: number;
  id: string;
  status: TaskStatus;
  reason: string | null;
  group: string | null;
  attempt: number;
  exit_code: number | null;
  error: string | null;
  created_at: string | null;
  started_at: string | null;
  completed_at: string | null;
  run_s: number | null;
}

export interface TaskPage {
  tasks: TaskRow[];
  next: number | null;
  total: number;
}

export interface Attempt {
  attempt: number;
  started_at: string | null;
  ended_at: string | null;
  exit_code: number | null;
  signal: string | null;
  reason: string | null;
  error: string | null;
  run_s: number | null;
  cpu_s: number | null;
  memory_mb: number | null;
  log: boolean;
}

export interface SecretSource {
  environment?: string;
  file?: string;
  command?: string[];
  timeout_s?: number;
}

export interface TaskDetail extends TaskRow {
  command?: string | null;
  args?: string[];
  shell?: boolean;
  python?: string | null;
  cwd?: string | null;
  env?: Record<string, unknown> | null;
  env_from?: Record<string, SecretSource> | null;
  dependencies?: string[];
  result?: unknown;
  progress?: { fraction?: number | null; text?: string | null } | null;
  attempts: Attempt[];
  log_size: number | null;
  [key: string]: unknown;
}

/** lane, place in the list, start, end (null: still running), state code, attempt */
export type Span = [number, number, number, number | null, number, number];

export interface TimelineAnswer {
  from: number;
  to: number;
  began: number | null;
  now: number;
  lanes: number;
  spans: Span[];
  truncated: boolean;
}

export interface Series {
  t: number[];
  total: number[];
  completed: number[];
  running: number[];
  failed: number[];
}

export interface FailureGroup {
  line: string;
  reason: string | null;
  count: number;
  examples: string[];
}

export interface Graph {
  nodes: { n: number; id: string; status: TaskStatus; reason: string | null }[];
  edges: [number, number][];
}

export interface RunSummary {
  id: string;
  state: JobState;
  reason: string | null;
  created_at: string | null;
  ended_at: string | null;
  duration_s: number | null;
  total_tasks: number;
  completed: number;
  failed: number;
}

/** first place, how many, state code */
export type CellRun = [number, number, number];
