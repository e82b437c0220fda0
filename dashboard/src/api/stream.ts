/** A stream of events that comes back by itself, where it left off. */
import { ApiError, send } from "./http.ts";
import { EventParser, type ServerEvent } from "./sse.ts";

export type Connection =
  | { state: "connecting" }
  | { state: "live" }
  /** `why`: what the server said, if it said something. */
  | { state: "lost"; since: number; retryAt: number | null; why: string | null };

interface Options {
  onEvent: (event: ServerEvent) => void;
  onConnection?: (connection: Connection) => void;
  /** The server refused for good (404, 403, …): no further attempt is made. */
  onRefused?: (error: ApiError) => void;
}

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
/** A stream that the server ended after so long was not lost: it asks to come back. */
const SOUND_MS = 2000;
/** The server sends something at least every 15 s. */
const SILENCE_MS = 40_000;

export class EventStream {
  private closed = false;
  private lastId = "";
  private waitMs = FIRST_WAIT_MS;
  private lostSince = 0;
  private current: AbortController | null = null;
  private wake: (() => void) | null = null;

  constructor(
    private readonly path: string,
    private readonly options: Options,
  ) {
    window.addEventListener("online", this.retryNow);
    document.addEventListener("visibilitychange", this.retryWhenSeen);
    void this.run();
  }

  close(): void {
    this.closed = true;
    window.removeEventListener("online", this.retryNow);
    document.removeEventListener("visibilitychange", this.retryWhenSeen);
    this.current?.abort();
    this.wake?.();
  }

  readonly retryNow = (): void => {
    this.waitMs = FIRST_WAIT_MS;
    this.wake?.();
  };

  private readonly retryWhenSeen = (): void => {
    if (!document.hidden) this.retryNow();
  };

  private async run(): Promise<void> {
    this.tell({ state: "connecting" });
    while (!this.closed) {
      const began = Date.now();
      let why: string | null = null;
      try {
        await this.once();
        if (Date.now() - began >= SOUND_MS) continue;
      } catch (error) {
        if (this.closed) return;
        if (error instanceof ApiError) why = error.message;
        if (error instanceof ApiError && error.status >= 400 && error.status < 500) {
          this.closed = true;
          this.options.onRefused?.(error);
          return;
        }
      }
      if (this.closed) return;
      this.lostSince ||= Date.now();
      const wait = this.waitMs * (0.8 + 0.4 * Math.random());
      this.tell({ state: "lost", since: this.lostSince, retryAt: Date.now() + wait, why });
      await this.sleep(wait);
      this.waitMs = Math.min(this.waitMs * 1.7, LONGEST_WAIT_MS);
    }
  }

  private async once(): Promise<void> {
    const stop = new AbortController();
    this.current = stop;
    const headers: Record<string, string> = { Accept: "text/event-stream" };
    if (this.lastId) headers["Last-Event-ID"] = this.lastId;
    let silence = setTimeout(() => stop.abort(), SILENCE_MS);
    try {
      const response = await send(this.path, { headers, signal: stop.signal });
      if (!response.ok || !response.body) {
        const body = (await response.json().catch(() => null)) as { error?: string } | null;
        throw new ApiError(response.status, body?.error ?? `the server answered ${response.status}`);
      }
      this.waitMs = FIRST_WAIT_MS;
      this.lostSince = 0;
      this.tell({ state: "live" });
      const parser = new EventParser();
      const decoder = new TextDecoder();
      const reader = response.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || this.closed) return;
        clearTimeout(silence);
        silence = setTimeout(() => stop.abort(), SILENCE_MS);
        for (const event of parser.push(decoder.decode(value, { stream: true }))) {
          if (event.id) this.lastId = event.id;
          this.options.onEvent(event);
          if (this.closed) return;
        }
      }
    } finally {
      clearTimeout(silence);
      stop.abort();
      this.current = null;
    }
  }

  private tell(connection: Connection): void {
    if (!this.closed) this.options.onConnection?.(connection);
  }

  private sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      this.wake = done;
      const self = this;
      function done(): void {
        clearTimeout(timer);
        self.wake = null;
        resolve();
      }
    });
  }
}
