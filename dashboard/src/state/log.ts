/** The log of one attempt: a stretch of its bytes as lines, grown at either end. */
import { signal } from "@preact/signals";
import { ApiError, errorText, getResponse, jobPath } from "../api/http.ts";
import { EventStream } from "../api/stream.ts";
import { AnsiReader, type Piece } from "../model/ansi.ts";
import { onNextFrame } from "./frame.ts";

export interface Line {
  raw: string;
  pieces: Piece[];
}

const TAIL = 256 * 1024;
const EARLIER = 512 * 1024;
/** A log that is followed for days must not fill the tab. */
const MOST_LINES = 60_000;
/** What one line may show; the rest can be had with the raw log. */
const LONGEST = 4000;

export class LogText {
  readonly version = signal(0);
  readonly state = signal<"loading" | "none" | "ready" | "failed">("loading");
  readonly error = signal<string | null>(null);
  readonly following = signal(false);
  lines: Line[] = [];
  /** Byte offset of the first line shown: 0 when nothing is before it. */
  start = 0;
  /** Lines put before the first since the last look, so that a view can stay where it is. */
  prepended = 0;
  private end = 0;
  private reader = new AnsiReader();
  private partial = "";
  private stream: EventStream | null = null;
  private closed = false;
  private readonly path: string;

  constructor(
    job: string,
    task: string,
    private readonly attempt: number | null,
  ) {
    this.path = `${jobPath(job, task)}/log`;
  }

  close(): void {
    this.closed = true;
    this.unfollow();
  }

  /** Reads the end of the log. */
  async open(): Promise<void> {
    try {
      const response = await getResponse(this.address(), { Range: `bytes=-${TAIL}` });
      const data = new Uint8Array(await response.arrayBuffer());
      if (this.closed) return;
      const [from, size] = contentRange(response, data.length);
      const skip = from > 0 ? afterNewline(data) : 0;
      this.clear();
      this.start = from + skip;
      this.end = Math.max(from + data.length, Math.min(size, from + data.length));
      this.append(new TextDecoder().decode(data.subarray(skip)));
      this.state.value = "ready";
    } catch (error) {
      if (this.closed) return;
      if (error instanceof ApiError && (error.status === 404 || error.status === 416)) this.state.value = "none";
      else {
        this.state.value = "failed";
        this.error.value = errorText(error);
      }
    }
  }

  /** Reads what stands before the first line. */
  async earlier(): Promise<void> {
    if (this.start === 0) return;
    const from = Math.max(0, this.start - EARLIER);
    try {
      const response = await getResponse(this.address(), { Range: `bytes=${from}-${this.start - 1}` });
      const data = new Uint8Array(await response.arrayBuffer());
      if (this.closed) return;
      const skip = from > 0 ? afterNewline(data) : 0;
      const reader = new AnsiReader();
      const texts = new TextDecoder().decode(data.subarray(skip)).split("\n");
      if (texts.at(-1) === "") texts.pop();
      const lines = texts.map((raw) => lineOf(reader, raw));
      this.lines = [...lines, ...this.lines];
      this.prepended += lines.length;
      this.start = from + skip;
      this.version.value += 1;
    } catch (error) {
      this.error.value = errorText(error);
    }
  }

  /** Goes on reading as the task writes; `ended` is called when it has ended and all was sent. */
  follow(ended: () => void): void {
    if (this.stream || this.closed) return;
    this.following.value = true;
    const joiner = this.address().includes("?") ? "&" : "?";
    this.stream = new EventStream(`${this.address()}${joiner}follow=1&from=${this.end}`, {
      onEvent: (event) => {
        if (event.event === "log") {
          const { at, text } = JSON.parse(event.data) as { at: number; text: string };
          // Another attempt has begun, with a log of its own.
          if (at < this.end) this.clear();
          this.end = Number(event.id);
          this.state.value = "ready";
          this.append(text);
        } else if (event.event === "end") {
          this.unfollow();
          ended();
        }
      },
      onRefused: () => this.unfollow(),
    });
  }

  unfollow(): void {
    this.stream?.close();
    this.stream = null;
    this.following.value = false;
  }

  private address(): string {
    return this.attempt === null ? this.path : `${this.path}?attempt=${this.attempt}`;
  }

  private clear(): void {
    this.reader = new AnsiReader();
    this.partial = "";
    this.lines = [];
    this.start = 0;
  }

  private append(text: string): void {
    const parts = (this.partial + text).split("\n");
    if (this.partial) this.lines.pop();
    this.partial = parts.pop() ?? "";
    for (const raw of parts) this.lines.push(lineOf(this.reader, raw));
    // A line without its end is shown too, by a reader of its own: it will be read again when it is whole.
    if (this.partial) this.lines.push(lineOf(new AnsiReader(), this.partial));
    if (this.lines.length > MOST_LINES) {
      const dropped = this.lines.splice(0, this.lines.length - MOST_LINES);
      const encoder = new TextEncoder();
      for (const { raw } of dropped) this.start += encoder.encode(raw).length + 1;
      this.prepended -= dropped.length;
    }
    onNextFrame(this.show);
  }

  private readonly show = (): void => {
    this.version.value += 1;
  };
}

function lineOf(reader: AnsiReader, raw: string): Line {
  if (raw.length <= LONGEST) return { raw, pieces: reader.line(raw) };
  const pieces = reader.line(raw.slice(0, LONGEST));
  pieces.push({ text: ` … ${raw.length - LONGEST} more characters`, style: null });
  return { raw, pieces };
}

function afterNewline(data: Uint8Array): number {
  const at = data.indexOf(10);
  return at < 0 ? 0 : at + 1;
}

/** First byte and whole size, from `bytes 100-199/200`. */
function contentRange(response: Response, length: number): [number, number] {
  const found = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get("Content-Range") ?? "");
  return found ? [Number(found[1]), Number(found[2])] : [0, length];
}
