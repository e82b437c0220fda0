import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { errorText, get, jobPath } from "../api/http.ts";
import type { JobDetail, Span, TaskPage, TimelineAnswer } from "../api/types.ts";
import { TimelineCanvas } from "../canvas/timeline.ts";
import { count, duration } from "../model/format.ts";
import { CELL_STATES, type CellState, codeState, hasEnded } from "../model/states.ts";
import { Button, Empty, Loading } from "../parts/controls.tsx";
import { StateLabel } from "../parts/glyph.tsx";
import { Tooltip } from "../parts/tooltip.tsx";
import type { JobFeed } from "../state/job.ts";
import { go } from "../state/route.ts";
import { useShortcuts } from "../state/shortcuts.ts";
import { paletteVersion } from "../state/theme.ts";

const POLL_MS = 1000;
const SHORTEST_S = 0.05;
/** What "live" shows of a long job. */
const LIVE_S = 60;

interface Props {
  feed: JobFeed;
  job: JobDetail;
  status: CellState | null;
  query: Record<string, string>;
}

/** Slots × time. The window is whole (everything), following (the last minute), or where the user moved it. */
export function TimelineTab({ feed, job, status, query }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const drawing = useRef<Timeline | null>(null);
  const [facts, setFacts] = useState<Facts | null>(null);
  const [hover, setHover] = useState<{ x: number; y: number; span: Span; id: string | null } | null>(null);
  const ended = hasEnded(job.state);

  useLayoutEffect(() => {
    if (!canvas.current || !box.current) return;
    const timeline = new Timeline(feed, canvas.current, box.current, setFacts);
    drawing.current = timeline;
    return () => {
      timeline.destroy();
      drawing.current = null;
    };
  }, [feed]);
  useEffect(() => {
    const around = Number(query.time);
    if (query.live && !ended) drawing.current?.follow();
    else if (query.time && Number.isFinite(around)) drawing.current?.lookAt(around);
  }, [feed, query.live, query.time]);
  useEffect(() => paletteVersion.subscribe(() => drawing.current?.canvas.recolour()), []);
  useEffect(() => drawing.current?.highlight(status ? CELL_STATES.indexOf(status) : -1), [status]);
  useEffect(() => drawing.current?.changed(!ended), [feed.job.value, ended]);

  useShortcuts({ log: () => drawing.current?.follow() });

  const point = (x: number, y: number) => {
    const span = drawing.current?.canvas.spanAt(x, y) ?? null;
    if (!span) return setHover(null);
    setHover((before) => ({ x, y, span, id: before && before.span[1] === span[1] ? before.id : null }));
  };
  const n = hover?.span[1];
  useEffect(() => {
    if (n === undefined) return;
    const timer = setTimeout(() => {
      idOf(feed.name, n).then((id) => setHover((now) => (now && now.span[1] === n ? { ...now, id } : now)), () => {});
    }, 60);
    return () => clearTimeout(timer);
  }, [n]);
  const open = async (x: number, y: number) => {
    const span = drawing.current?.canvas.spanAt(x, y);
    if (!span) return;
    const id = await idOf(feed.name, span[1]).catch(() => null);
    if (id !== null) go({ view: "task", job: feed.name, task: id }, { attempt: String(span[5]) });
  };
  const onKey = (event: KeyboardEvent) => {
    const timeline = drawing.current;
    if (!timeline) return;
    if (event.key === "+" || event.key === "=") timeline.zoom(0.6);
    else if (event.key === "-") timeline.zoom(1 / 0.6);
    else if (event.key === "ArrowLeft") timeline.pan(-0.2);
    else if (event.key === "ArrowRight") timeline.pan(0.2);
    else if (event.key === "0") timeline.fit();
    else return;
    event.preventDefault();
  };

  return (
    <div class="timeline-view">
      <div class="under-tabs toolbar">
        <span class="faint">
          {facts && (
            <>
              {facts.lanes} {facts.lanes === 1 ? "lane" : "lanes"} · {count(facts.spans)}{" "}
              {facts.spans === 1 ? "attempt" : "attempts"} · {duration(facts.seconds)} shown
              {facts.truncated && <b> · not all fit: zoom in to see the rest</b>}
            </>
          )}
        </span>
        <span class="buttons">
          <Button kind="quiet" label="Earlier" icon="left" onClick={() => drawing.current?.pan(-0.4)} />
          <Button kind="quiet" label="Later" icon="right" onClick={() => drawing.current?.pan(0.4)} />
          <Button kind="quiet" label="Zoom in" onClick={() => drawing.current?.zoom(0.5)}>
            +
          </Button>
          <Button kind="quiet" label="Zoom out" onClick={() => drawing.current?.zoom(2)}>
            −
          </Button>
          <Button pressed={facts?.mode === "whole"} onClick={() => drawing.current?.fit()}>
            Everything
          </Button>
          <Button
            pressed={facts?.mode === "following"}
            disabled={ended && "The job has ended: nothing moves any more."}
            onClick={() => drawing.current?.follow()}
          >
            Live
          </Button>
        </span>
      </div>
      <div class="timeline-box panel" ref={box}>
        <canvas
          ref={canvas}
          tabIndex={0}
          role="img"
          aria-label={`Timeline: ${facts?.lanes ?? 0} lanes, ${facts?.spans ?? 0} attempts. Plus and minus zoom, arrow keys move.`}
          onPointerMove={(event) => {
            if (!drawing.current?.dragging) point(event.offsetX, event.offsetY);
          }}
          onPointerLeave={() => setHover(null)}
          onClick={(event) => {
            if (!drawing.current?.dragged) void open(event.offsetX, event.offsetY);
          }}
          onKeyDown={onKey}
        />
        {hover && (
          <Tooltip x={hover.x} y={hover.y}>
            <div class="tip-title">{hover.id ?? `Task ${count(hover.span[1] + 1)}`}</div>
            <StateLabel state={codeState(hover.span[4])} />
            <span class="faint">
              {" "}
              · {hover.span[3] === null ? "for " : ""}
              {duration((hover.span[3] ?? drawing.current?.canvas.now ?? 0) - hover.span[2])}
              {hover.span[5] > 1 ? ` · attempt ${hover.span[5]}` : ""}
            </span>
          </Tooltip>
        )}
        {!facts && <Loading what="the timeline" />}
        {facts?.error && (
          <Empty title="The timeline cannot be read." bad>
            {facts.error}
          </Empty>
        )}
        {facts && !facts.error && facts.spans === 0 && (
          <Empty title="Nothing ran here.">
            {facts.mode === "moved" ? "Move, or show everything." : "Attempts show as soon as tasks start."}
          </Empty>
        )}
      </div>
      <p class="faint note">
        Drag to move, <kbd>Ctrl</kbd> and wheel, or two fingers, to zoom. Time counts from the start of the job.
      </p>
    </div>
  );
}

const ids = new Map<string, string>();

async function idOf(job: string, n: number): Promise<string | null> {
  const key = `${job}\0${n}`;
  const known = ids.get(key);
  if (known !== undefined) return known;
  const page = await get<TaskPage>(`${jobPath(job)}/tasks?from=${n}&limit=1`);
  const row = page.tasks[0];
  if (!row || row.n !== n) return null;
  if (ids.size > 2000) ids.clear();
  ids.set(key, row.id);
  return row.id;
}

type Mode = "whole" | "following" | "moved";

interface Facts {
  lanes: number;
  spans: number;
  seconds: number;
  truncated: boolean;
  mode: Mode;
  error: string | null;
}

/** Joins the drawing, the pointer and the server's answers. */
class Timeline {
  readonly canvas: TimelineCanvas;
  /** The pointer holds the picture now; or did until this click. */
  dragging = false;
  dragged = false;
  private mode: Mode = "whole";
  private answer: TimelineAnswer | null = null;
  private error: string | null = null;
  private live = true;
  private stale = true;
  private loading = false;
  private destroyed = false;
  /** The server's clock less ours. */
  private skew = 0;
  private readonly pointers = new Map<number, number>();
  private readonly timer: ReturnType<typeof setInterval>;
  private readonly observer: ResizeObserver;
  private readonly moving: ReturnType<typeof setInterval>;
  private moved: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly feed: JobFeed,
    private readonly element: HTMLCanvasElement,
    private readonly box: HTMLElement,
    private readonly onFacts: (facts: Facts) => void,
  ) {
    this.canvas = new TimelineCanvas(element);
    this.observer = new ResizeObserver(() => this.fitBox());
    this.observer.observe(box);
    this.fitBox();
    element.addEventListener("wheel", this.onWheel, { passive: false });
    element.addEventListener("pointerdown", this.onDown);
    window.addEventListener("pointermove", this.onDrag);
    window.addEventListener("pointerup", this.onUp);
    window.addEventListener("pointercancel", this.onUp);
    this.timer = setInterval(() => this.poll(), POLL_MS);
    this.moving = setInterval(() => this.advance(), 100);
    void this.load();
  }

  destroy(): void {
    this.destroyed = true;
    this.canvas.destroy();
    this.observer.disconnect();
    clearInterval(this.timer);
    clearInterval(this.moving);
    clearTimeout(this.moved);
    this.element.removeEventListener("wheel", this.onWheel);
    this.element.removeEventListener("pointerdown", this.onDown);
    window.removeEventListener("pointermove", this.onDrag);
    window.removeEventListener("pointerup", this.onUp);
    window.removeEventListener("pointercancel", this.onUp);
  }

  changed(live: boolean): void {
    this.stale = true;
    this.live = live;
    if (!live && this.mode === "following") this.mode = "whole";
  }

  highlight(code: number): void {
    this.canvas.wanted = code;
    this.canvas.redraw();
  }

  fit(): void {
    this.mode = "whole";
    void this.load();
  }

  follow(): void {
    if (!this.live) return this.fit();
    this.mode = "following";
    this.canvas.to = Date.now() / 1000 + this.skew;
    this.canvas.from = Math.max(this.canvas.to - LIVE_S, this.canvas.began || 0);
    void this.load();
  }

  lookAt(time: number): void {
    this.mode = "moved";
    this.canvas.from = time - LIVE_S / 2;
    this.canvas.to = time + LIVE_S / 2;
    void this.load();
  }

  zoom(factor: number, at = (this.canvas.from + this.canvas.to) / 2): void {
    const span = this.canvas.to - this.canvas.from;
    if (span * factor < SHORTEST_S) return;
    this.move(at - (at - this.canvas.from) * factor, at + (this.canvas.to - at) * factor);
  }

  pan(part: number): void {
    const by = (this.canvas.to - this.canvas.from) * part;
    this.move(this.canvas.from + by, this.canvas.to + by);
  }

  private move(from: number, to: number): void {
    this.mode = "moved";
    this.canvas.from = from;
    this.canvas.to = to;
    this.canvas.redraw();
    this.tell();
    clearTimeout(this.moved);
    this.moved = setTimeout(() => void this.load(), 150);
  }

  private fitBox(): void {
    const above = this.box.getBoundingClientRect().top + window.scrollY;
    const room = window.innerHeight - Math.min(above, window.innerHeight * 0.6) - 70;
    this.canvas.resize(this.box.clientWidth, Math.max(220, room));
  }

  private poll(): void {
    if (document.hidden || (!this.stale && !this.error)) return;
    void this.load();
  }

  /** Time goes on between two answers: running attempts grow, and the window with them. */
  private advance(): void {
    if (!this.live || document.hidden || !this.answer) return;
    const { canvas } = this;
    const now = Date.now() / 1000 + this.skew;
    if (this.mode === "following") {
      canvas.from += now - canvas.to;
      canvas.to = now;
    } else if (this.mode === "whole") canvas.to = Math.max(canvas.to, now);
    canvas.now = now;
    canvas.redraw();
  }

  private async load(): Promise<void> {
    if (this.loading) {
      this.stale = true;
      return;
    }
    this.loading = true;
    this.stale = false;
    const { mode } = this;
    const span = this.canvas.to - this.canvas.from;
    // A little beside the window too, so that moving it does not uncover emptiness.
    const range =
      mode === "whole" ? "" : `&from=${this.canvas.from - span / 2}&to=${this.canvas.to + span / 2}`;
    try {
      const answer = await get<TimelineAnswer>(`${jobPath(this.feed.name)}/timeline?limit=5000${range}`);
      if (this.destroyed) return;
      this.answer = answer;
      this.error = null;
      this.skew = answer.now - Date.now() / 1000;
      const { canvas } = this;
      canvas.began = answer.began ?? answer.now;
      canvas.now = answer.now;
      if (mode === "whole" && this.mode === "whole") {
        const last = answer.spans.reduce((end, each) => Math.max(end, each[3] ?? answer.now), canvas.began);
        const first = answer.spans.reduce((start, each) => Math.min(start, each[2]), last);
        canvas.from = first - (last - first) * 0.005;
        canvas.to = Math.max(this.live ? answer.now : last, canvas.from + SHORTEST_S);
        canvas.to += this.live ? 0 : (canvas.to - canvas.from) * 0.01;
      }
      canvas.setSpans(answer.spans, answer.lanes);
    } catch (error) {
      if (this.destroyed) return;
      if (!this.answer) this.error = errorText(error);
    } finally {
      this.loading = false;
    }
    this.tell();
    if (mode !== this.mode) void this.load();
  }

  private tell(): void {
    this.onFacts({
      lanes: this.answer?.lanes ?? 0,
      spans: this.answer?.spans.length ?? 0,
      seconds: this.canvas.to - this.canvas.from,
      truncated: this.answer?.truncated ?? false,
      mode: this.mode,
      error: this.error,
    });
  }

  private readonly onWheel = (event: WheelEvent): void => {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      this.zoom(Math.exp(Math.max(-0.5, Math.min(0.5, event.deltaY * 0.004))), this.canvas.timeAt(event.offsetX));
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
      event.preventDefault();
      this.pan((event.deltaX || event.deltaY) / Math.max(1, this.element.clientWidth));
    }
  };

  private readonly onDown = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    this.pointers.set(event.pointerId, event.clientX);
    this.dragging = true;
    this.dragged = false;
  };

  private readonly onDrag = (event: PointerEvent): void => {
    const before = this.pointers.get(event.pointerId);
    if (before === undefined) return;
    const dx = event.clientX - before;
    if (!this.dragged && Math.abs(dx) < 4) return;
    this.dragged = true;
    const width = Math.max(1, this.element.clientWidth);
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId);
    const other = others[0]?.[1];
    this.pointers.set(event.pointerId, event.clientX);
    if (other === undefined) this.pan(-dx / width);
    else {
      const [wide, was] = [Math.abs(event.clientX - other), Math.abs(before - other)];
      if (wide > 10 && was > 10) {
        const left = this.element.getBoundingClientRect().left;
        this.zoom(was / wide, this.canvas.timeAt((event.clientX + other) / 2 - left));
      }
    }
  };

  private readonly onUp = (event: PointerEvent): void => {
    this.pointers.delete(event.pointerId);
    this.dragging = this.pointers.size > 0;
  };
}
