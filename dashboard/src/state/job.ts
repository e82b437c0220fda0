/** One job: its figures and the state of each of its tasks, kept current by the server's stream. */
import { signal } from "@preact/signals";
import { errorText, getResponse, jobPath } from "../api/http.ts";
import type { ServerEvent } from "../api/sse.ts";
import { EventStream } from "../api/stream.ts";
import type { CellRun, JobDetail } from "../api/types.ts";
import { Cells } from "../model/cells.ts";
import { cancelFrame, onNextFrame } from "./frame.ts";
import { connection } from "./session.ts";

interface Delta {
  job: JobDetail;
  position: number;
  cells?: CellRun[];
}

/** Deltas kept while the grid is on its way; more are not needed, since it is then read again. */
const MOST_WAITING = 2000;

export class JobFeed {
  readonly job = signal<JobDetail | null>(null);
  readonly error = signal<string | null>(null);
  readonly gridLoaded = signal(false);
  /** Counts up, at most once a frame, when any task has changed. */
  readonly version = signal(0);
  readonly cells = new Cells();

  private readonly stream: EventStream;
  private latest: JobDetail | null = null;
  private touched = false;
  private waiting: Delta[] | null = null;
  private loading: AbortController | null = null;

  constructor(readonly name: string) {
    this.stream = new EventStream(`events?job=${encodeURIComponent(name)}`, {
      onEvent: (event) => this.take(event),
      onConnection: (state) => {
        connection.value = state;
      },
      onRefused: (error) => {
        connection.value = { state: "live" };
        this.error.value = error.status === 404 ? `There is no job named ${name}.` : errorText(error);
      },
    });
  }

  close(): void {
    this.stream.close();
    this.loading?.abort();
    cancelFrame(this.flush);
  }

  readonly retryNow = (): void => this.stream.retryNow();

  private take(event: ServerEvent): void {
    if (event.event === "snapshot") {
      this.show((JSON.parse(event.data) as Delta).job);
      void this.loadGrid();
    } else if (event.event === "delta") {
      const delta = JSON.parse(event.data) as Delta;
      this.show(delta.job);
      if (!delta.cells?.length) return;
      if (this.waiting) {
        if (this.waiting.push(delta) > MOST_WAITING) void this.loadGrid();
      } else this.apply(delta.cells);
    } else if (event.event === "reading") {
      this.show((JSON.parse(event.data) as { job: JobDetail }).job);
    } else if (event.event === "gone") {
      this.error.value = `${this.name} is gone: its folder was removed.`;
      this.stream.close();
    }
    // After `resync` a snapshot follows, and with it the grid is read again.
  }

  private apply(cells: CellRun[]): void {
    this.cells.apply(cells);
    this.touched = true;
    onNextFrame(this.flush);
  }

  private show(job: JobDetail): void {
    this.latest = job;
    onNextFrame(this.flush);
  }

  private readonly flush = (): void => {
    if (this.latest) {
      this.error.value = null;
      this.job.value = this.latest;
      this.latest = null;
    }
    if (this.touched) {
      this.touched = false;
      this.version.value += 1;
    }
  };

  /** Reads the whole grid; what the stream tells meanwhile is applied afterwards, unless the grid has it already. */
  private async loadGrid(): Promise<void> {
    this.loading?.abort();
    const loading = new AbortController();
    this.loading = loading;
    this.waiting = [];
    for (let pause = 500; ; pause = Math.min(pause * 2, 10_000)) {
      try {
        const response = await getResponse(`${jobPath(this.name)}/grid`, {}, loading.signal);
        const codes = new Uint8Array(await response.arrayBuffer());
        if (loading.signal.aborted) return;
        const position = Number(response.headers.get("X-Position") ?? 0);
        this.cells.replace(codes);
        for (const delta of this.waiting ?? []) {
          if (delta.position > position && delta.cells) this.cells.apply(delta.cells);
        }
        this.waiting = null;
        this.gridLoaded.value = true;
        this.touched = true;
        onNextFrame(this.flush);
        return;
      } catch {
        if (loading.signal.aborted) return;
        await new Promise((resolve) => setTimeout(resolve, pause));
        if (loading.signal.aborted) return;
      }
    }
  }
}
