/** The jobs of the overview, kept current by the server's stream. */
import { type Signal, signal } from "@preact/signals";
import { errorText, get } from "../api/http.ts";
import { EventStream } from "../api/stream.ts";
import type { Info, Job } from "../api/types.ts";
import { type Origin, originText } from "../model/origin.ts";
import { cancelFrame, onNextFrame } from "./frame.ts";
import { connection, info } from "./session.ts";

interface JobsEvent {
  jobs: Job[];
  gone: string[];
  info?: Info;
  /** There are more than the connection's first event told of, although it told of few. */
  partial?: boolean;
}

/** So many jobs the first event of a connection brings at most. */
const FIRST_JOBS = 500;

export class JobsFeed {
  /** Each job has a signal of its own, so that a change redraws one row. */
  readonly jobs = new Map<string, Signal<Job>>();
  /** Counts up when jobs came, went, or changed their state: the list is then ordered anew. */
  readonly membership = signal(0);
  readonly loaded = signal(false);
  readonly error = signal<string | null>(null);
  /** Tasks per second of all jobs, the last two minutes. */
  readonly rates = signal<number[]>([]);

  private readonly stream: EventStream;
  private changed = new Map<string, Job | null>();
  private fresh = true;
  private latestInfo: Info | null = null;

  /** `origin`: only jobs that were handed in there. */
  constructor(private readonly origin: Origin | null = null) {
    const query = origin ? `?origin=${encodeURIComponent(originText(origin))}` : "";
    this.stream = new EventStream(`events${query}`, {
      onEvent: (event) => {
        if (event.event === "jobs") this.take(JSON.parse(event.data) as JobsEvent);
      },
      onConnection: (state) => {
        connection.value = state;
        this.fresh = true;
      },
      onRefused: (error) => {
        this.error.value = errorText(error);
      },
    });
  }

  close(): void {
    this.stream.close();
    cancelFrame(this.flush);
  }

  readonly retryNow = (): void => this.stream.retryNow();

  /** Loads jobs that the stream's first event had no room for. */
  async loadMore(query: URLSearchParams, after: string | null): Promise<string | null> {
    if (after) query.set("after", after);
    if (this.origin) query.set("origin", originText(this.origin));
    const page = await get<{ jobs: Job[]; next: string | null }>(`jobs?${query}`);
    for (const job of page.jobs) if (!this.jobs.has(job.name)) this.changed.set(job.name, job);
    onNextFrame(this.flush);
    return page.next;
  }

  private take(event: JobsEvent): void {
    if (this.fresh && event.jobs.length < FIRST_JOBS && !event.partial) {
      // The first event of a connection has all jobs: what it does not name has gone meanwhile.
      for (const name of this.jobs.keys()) this.changed.set(name, null);
    }
    this.fresh = false;
    for (const job of event.jobs) this.changed.set(job.name, job);
    for (const name of event.gone) this.changed.set(name, null);
    if (event.info) this.latestInfo = event.info;
    onNextFrame(this.flush);
  }

  private readonly flush = (): void => {
    let moved = !this.loaded.value;
    for (const [name, job] of this.changed) {
      const known = this.jobs.get(name);
      if (job === null) moved = this.jobs.delete(name) || moved;
      else if (known) {
        const before = known.peek();
        moved ||= before.state !== job.state || before.id !== job.id || before.paused !== job.paused;
        known.value = job;
      } else {
        this.jobs.set(name, signal(job));
        moved = true;
      }
    }
    this.changed.clear();
    if (this.latestInfo) {
      info.value = this.latestInfo;
      this.rates.value = [...this.rates.peek().slice(-59), this.latestInfo.rate_per_s ?? 0];
      this.latestInfo = null;
    }
    if (moved) this.membership.value += 1;
    this.loaded.value = true;
  };
}
