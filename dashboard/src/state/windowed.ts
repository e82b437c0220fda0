/** The rows of a task list that somebody is looking at: pages by key, loaded where they are seen. */
import { signal } from "@preact/signals";
import { errorText, get, jobPath } from "../api/http.ts";
import type { TaskPage, TaskRow } from "../api/types.ts";

const PAGE = 100;

export interface Filter {
  status: string | null;
  reason: string | null;
  group: string | null;
  q: string | null;
  /** Only failed tasks that `failures` shows under this line. */
  line: string | null;
}

/**
 * Without a filter the n-th row is task n, and any page can be asked for at once. With one, a page is found by the key of
 * the one before it, so the list is known as far as it has been scrolled.
 */
export class TaskWindow {
  /** Counts up when rows came or changed. */
  readonly version = signal(0);
  readonly error = signal<string | null>(null);
  /** How many tasks fit the filter; null while unknown. */
  readonly total = signal<number | null>(null);
  private pages: (TaskRow[] | undefined)[] = [];
  private ended = false;
  private busy = new Set<number>();
  private closed = false;

  constructor(
    private readonly job: string,
    readonly filter: Filter,
  ) {}

  close(): void {
    this.closed = true;
  }

  get free(): boolean {
    return Object.values(this.filter).every((value) => !value);
  }

  /** How many rows there is room for: all of them, or those known and one more page. */
  get length(): number {
    const total = this.total.value ?? 0;
    if (this.free) return total;
    const known = this.pages.reduce((sum, page) => sum + (page?.length ?? 0), 0);
    return this.ended ? known : Math.min(total, known + PAGE);
  }

  row(index: number): TaskRow | undefined {
    return this.pages[Math.floor(index / PAGE)]?.[index % PAGE];
  }

  /** The rows known so far. */
  known(): TaskRow[] {
    return this.pages.flatMap((page) => page ?? []);
  }

  /** Loads what is missing between two rows; with `again`, also what is there, since it may have changed. */
  async want(from: number, to: number, again = false): Promise<void> {
    const first = Math.max(0, Math.floor(from / PAGE));
    let last = Math.max(first, Math.floor(Math.max(0, to - 1) / PAGE));
    if (!this.free) last = Math.min(last, this.pages.length);
    for (let page = this.free ? first : Math.min(first, this.pages.length); page <= last; page++) {
      if (this.busy.has(page) || (this.pages[page] && !again)) continue;
      if (!this.free && page > 0 && this.ended && !this.pages[page]) break;
      if (!(await this.load(page))) return;
    }
  }

  private async load(page: number): Promise<boolean> {
    const query = new URLSearchParams({ limit: String(PAGE) });
    for (const [key, value] of Object.entries(this.filter)) if (value) query.set(key, String(value));
    if (this.free) query.set("from", String(page * PAGE));
    else if (page > 0) {
      const before = this.pages[page - 1]?.at(-1);
      if (!before) return false;
      query.set("after", String(before.n));
    }
    this.busy.add(page);
    try {
      const answer = await get<TaskPage>(`${jobPath(this.job)}/tasks?${query}`);
      if (this.closed) return false;
      const before = this.pages[page];
      this.pages[page] = answer.tasks;
      this.total.value = answer.total;
      if (!this.free) {
        // Rows that came or went move the pages behind them.
        if (before && before.at(-1)?.n !== answer.tasks.at(-1)?.n) this.pages.length = page + 1;
        if (page === this.pages.length - 1) this.ended = answer.next === null;
      }
      this.error.value = null;
      this.version.value += 1;
      return true;
    } catch (error) {
      if (!this.closed) this.error.value = errorText(error);
      return false;
    } finally {
      this.busy.delete(page);
    }
  }
}
