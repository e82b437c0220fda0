import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { get, jobPath } from "../api/http.ts";
import type { TaskPage, TaskRow } from "../api/types.ts";
import { GridCanvas } from "../canvas/grid.ts";
import { closeUp, type Layout, tally } from "../model/bins.ts";
import { count, duration, percent, plural } from "../model/format.ts";
import { CELL_STATES, type CellState, codeState, hasEnded, reasonText } from "../model/states.ts";
import { Button, Empty, Loading } from "../parts/controls.tsx";
import { StateLabel } from "../parts/glyph.tsx";
import { Tooltip } from "../parts/tooltip.tsx";
import type { JobFeed } from "../state/job.ts";
import { go, setQuery } from "../state/route.ts";
import { useShortcuts } from "../state/shortcuts.ts";
import { paletteVersion } from "../state/theme.ts";

interface Hover {
  x: number;
  y: number;
  from: number;
  to: number;
}

/** Rows that the pointer has been over, so that coming back asks nothing. */
class RowCache {
  private readonly rows = new Map<number, TaskRow>();

  constructor(private readonly job: string) {}

  async row(n: number, signal?: AbortSignal): Promise<TaskRow | null> {
    const known = this.rows.get(n);
    if (known) return known;
    const page = await get<TaskPage>(`${jobPath(this.job)}/tasks?from=${n}&limit=1`, signal);
    const row = page.tasks[0];
    if (!row || row.n !== n) return null;
    if (this.rows.size > 500) this.rows.clear();
    if (row.status === "completed" || row.status === "failed") this.rows.set(n, row);
    return row;
  }
}

export function GridTab({ feed, status, query }: { feed: JobFeed; status: CellState | null; query: Record<string, string> }) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const grid = useRef<GridCanvas | null>(null);
  const cache = useRef(new RowCache(feed.name));
  const [layout, setLayout] = useState<Layout | null>(null);
  const [hover, setHover] = useState<Hover | null>(null);
  const [cursor, setCursor] = useState<number | null>(null);
  const total = feed.cells.length;
  feed.version.value;
  const range = parseRange(query.at, total);
  const ended = hasEnded(feed.job.value?.state ?? "working");

  useLayoutEffect(() => {
    if (!canvas.current || !box.current) return;
    const drawn = new GridCanvas(canvas.current, feed.cells, setLayout);
    grid.current = drawn;
    const fit = () => {
      const area = box.current;
      if (!area) return;
      const top = area.getBoundingClientRect().top + window.scrollY;
      drawn.resize(area.clientWidth, Math.max(260, window.innerHeight - Math.min(top, window.innerHeight * 0.6) - 56));
    };
    fit();
    const observer = new ResizeObserver(fit);
    observer.observe(box.current);
    window.addEventListener("resize", fit);
    return () => {
      observer.disconnect();
      window.removeEventListener("resize", fit);
      drawn.destroy();
      grid.current = null;
    };
  }, [feed]);
  useEffect(() => paletteVersion.subscribe(() => grid.current?.recolour()), []);
  useEffect(() => grid.current?.highlight(status ? CELL_STATES.indexOf(status) : -1), [status]);
  const [first, until] = range ?? [0, null];
  useEffect(() => grid.current?.show(first, until, !ended), [first, until, ended]);

  const open = async (n: number) => {
    const row = await cache.current.row(n).catch(() => null);
    if (row) go({ view: "task", job: feed.name, task: row.id });
  };
  const zoomTo = (n: number) => {
    if (!box.current) return;
    const [from, to] = closeUp(n, feed.cells.length, box.current.clientWidth, 480);
    setQuery({ at: from === 0 && to >= feed.cells.length ? null : `${from}-${to}` });
    setHover(null);
  };
  const activate = (from: number, to: number) => (to - from === 1 ? void open(from) : zoomTo(from));

  const move = (by: number) => {
    const drawn = grid.current;
    if (!drawn?.count) return;
    const { per } = drawn.layout;
    const last = drawn.first + drawn.count - 1;
    const at = cursor === null ? drawn.first : Math.min(last, Math.max(drawn.first, cursor + by * per));
    let n = at;
    if (status && Math.abs(by) === 1) {
      const code = CELL_STATES.indexOf(status);
      while (n > drawn.first && n < last && feed.cells.at(n) !== code) n += by;
    }
    setCursor(n);
    const { x, y, size } = drawn.boxOf(n);
    const start = n - ((n - drawn.first) % per);
    setHover({ x: x + size / 2, y: y + size / 2, from: start, to: Math.min(start + per, last + 1) });
  };
  const zoomOut = () => {
    setQuery({ at: null });
    setHover(null);
  };
  useShortcuts({
    down: () => move(1),
    up: () => move(-1),
    open: () => hover && activate(hover.from, hover.to),
    ...(range && { back: zoomOut }),
  });
  const onKey = (event: KeyboardEvent) => {
    const cols = grid.current?.layout.cols ?? 1;
    const steps: Record<string, number> = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: cols, ArrowUp: -cols };
    const by = steps[event.key];
    if (by) move(by);
    else if (event.key === "+" || event.key === "=") zoomTo(cursor ?? first);
    else if (event.key === "-") zoomOut();
    else return;
    event.preventDefault();
  };

  const marked = hover && grid.current ? grid.current.boxOf(hover.from) : null;
  const summary = `${plural(total, "task")}: ${feed.job.value ? summaryOf(feed) : ""}`;
  return (
    <div class="grid-view">
      <div class="under-tabs">
        <span class="faint">
          {!feed.gridLoaded.value ? null : range ? (
            <>
              Tasks {count(first + 1)} to {count(until)} of {count(total)}
            </>
          ) : layout && layout.per > 1 ? (
            <>
              {plural(total, "task")}, {count(layout.per)} in each cell, which shows the worst of them. Click one to see
              its tasks.
            </>
          ) : (
            <>{plural(total, "task")}, one a cell, in the order they were queued.</>
          )}
        </span>
        {range && (
          <Button icon="left" onClick={zoomOut}>
            All tasks
          </Button>
        )}
      </div>
      <div class="grid-box" ref={box}>
        <canvas
          ref={canvas}
          tabIndex={0}
          role="img"
          aria-label={`Grid of ${summary}. Arrow keys move, Enter opens.`}
          class={total ? "" : "hidden"}
          onPointerMove={(event) => {
            const found = grid.current?.tasksAt(event.offsetX, event.offsetY);
            if (!found) setHover(null);
            else setHover({ x: event.offsetX, y: event.offsetY, from: found[0], to: found[1] });
          }}
          onPointerLeave={() => setHover(null)}
          onBlur={() => setHover(null)}
          onClick={(event) => {
            const found = grid.current?.tasksAt(event.offsetX, event.offsetY);
            if (found) activate(found[0], found[1]);
          }}
          onKeyDown={onKey}
        />
        {marked && (
          <i
            class="grid-cursor"
            style={{
              transform: `translate(${marked.x}px, ${marked.y}px)`,
              width: `${marked.size}px`,
              height: `${marked.size}px`,
            }}
          />
        )}
        {hover && <CellTip feed={feed} cache={cache.current} hover={hover} />}
        {!feed.gridLoaded.value && <Loading what="tasks" />}
        {feed.gridLoaded.value && total === 0 && (
          <Empty title="No tasks yet">They show here as soon as they are queued.</Empty>
        )}
      </div>
      <p class="sr-only" aria-live="polite">
        {cursor !== null && hover ? `Task ${count(hover.from + 1)}: ${codeState(feed.cells.at(hover.from))}` : ""}
      </p>
    </div>
  );
}

function summaryOf(feed: JobFeed): string {
  const job = feed.job.value;
  if (!job) return "";
  const { completed, failed, running, pending } = job;
  return `${count(completed)} completed, ${count(failed)} failed, ${count(running)} running, ${count(pending)} pending`;
}

function parseRange(text: string | undefined, total: number): [number, number] | null {
  const found = /^(\d+)-(\d+)$/.exec(text ?? "");
  if (!found) return null;
  const [from, to] = [Number(found[1]), Math.min(Number(found[2]), total)];
  return from < to ? [from, to] : null;
}

function CellTip({ feed, cache, hover }: { feed: JobFeed; cache: RowCache; hover: Hover }) {
  const [row, setRow] = useState<TaskRow | null>(null);
  const { from, to } = hover;
  const single = to - from === 1;
  const code = feed.cells.at(from);
  useEffect(() => {
    setRow(null);
    if (!single) return;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      cache.row(from, stop.signal).then(setRow, () => {});
    }, 60);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [from, single, code]);
  if (single) {
    return (
      <Tooltip x={hover.x} y={hover.y}>
        <div class="tip-title">{row?.id ?? `Task ${count(from + 1)}`}</div>
        <StateLabel state={codeState(code)} />
        {row?.run_s != null && <span class="faint"> · {duration(row.run_s)}</span>}
        {row && row.attempt > 1 && <span class="faint"> · attempt {row.attempt}</span>}
        {row?.reason && row.reason !== codeState(code) && <div class="faint">{reasonText(row.reason)}</div>}
        {row?.error && <div class="tip-error">{row.error}</div>}
      </Tooltip>
    );
  }
  const counts = tally(feed.cells.codes, from, to);
  return (
    <Tooltip x={hover.x} y={hover.y}>
      <div class="tip-title">
        Tasks {count(from + 1)} to {count(to)}
      </div>
      {CELL_STATES.map((state, i) =>
        counts[i] ? (
          <div key={state} class="tip-row">
            <StateLabel state={state} />
            <span class="num">{count(counts[i])}</span>
            <span class="faint num">{percent(counts[i] ?? 0, to - from)}</span>
          </div>
        ) : null,
      )}
    </Tooltip>
  );
}
