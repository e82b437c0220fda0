import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { JobDetail, TaskRow } from "../api/types.ts";
import { clock, count, duration, plural, shortClock } from "../model/format.ts";
import { formatRoute } from "../model/route.ts";
import { type CellState, cellState, codeState, hasEnded, listFilter, reasonText } from "../model/states.ts";
import { ActionButton, Button, Empty, focusSearch, Loading, Search } from "../parts/controls.tsx";
import { Glyph, StateLabel } from "../parts/glyph.tsx";
import { cancelTasks, retryTasks } from "../state/actions.ts";
import type { JobFeed } from "../state/job.ts";
import { go, setQuery } from "../state/route.ts";
import { useShortcuts } from "../state/shortcuts.ts";
import { TaskWindow } from "../state/windowed.ts";

const ROW = 32;
/** Browsers cannot lay out elements of arbitrary height; longer lists scroll faster instead. */
const TALLEST = 8_000_000;
const BEYOND = 8;
const REFRESH_MS = 1500;

interface Props {
  feed: JobFeed;
  job: JobDetail;
  status: CellState | null;
  query: Record<string, string>;
}

export function ListTab({ feed, job, status, query }: Props) {
  const asked = status ? listFilter(status) : { status: null, reason: null };
  const reason = asked.reason ?? query.reason ?? null;
  const rows = useMemo(
    () =>
      new TaskWindow(feed.name, {
        status: asked.status ?? null,
        reason,
        group: query.group ?? null,
        q: query.q ?? null,
        line: query.line ?? null,
      }),
    [feed, asked.status, reason, query.group, query.q, query.line, job.id],
  );
  useEffect(() => () => rows.close(), [rows]);
  const groups = Object.keys(job.groups).filter((name) => name !== "");
  const reasons = Object.keys(job.reasons);
  return (
    <div class="list-view">
      <div class="under-tabs toolbar">
        <Search
          value={query.q ?? ""}
          placeholder="Search task ids"
          onInput={(q) => setQuery({ q })}
        />
        {groups.length > 0 && (
          <Select
            label="Group"
            value={query.group ?? ""}
            all="All groups"
            options={groups.map((name) => [name, name])}
            onChange={(group) => setQuery({ group })}
          />
        )}
        {reasons.length > 0 && !asked.reason && (
          <Select
            label="Reason"
            value={reason ?? ""}
            all="Any reason"
            options={reasons.map((name) => [name, `${reasonText(name)} (${count(job.reasons[name])})`])}
            onChange={(value) => setQuery({ reason: value })}
          />
        )}
        {query.line && (
          <span class="line-filter">
            <code title={query.line}>{query.line}</code>
            <Button kind="quiet" icon="close" label="Whatever the last line" onClick={() => setQuery({ line: null })} />
          </span>
        )}
      </div>
      <Rows feed={feed} job={job} rows={rows} at={query.at} />
    </div>
  );
}

function Select(props: {
  label: string;
  value: string;
  all: string;
  options: string[][];
  onChange: (value: string) => void;
}) {
  return (
    <select
      aria-label={props.label}
      value={props.value}
      onChange={(event) => props.onChange(event.currentTarget.value)}
    >
      <option value="">{props.all}</option>
      {props.options.map(([value, text]) => (
        <option key={value} value={value}>
          {text}
        </option>
      ))}
    </select>
  );
}

function Rows({ feed, job, rows, at }: { feed: JobFeed; job: JobDetail; rows: TaskWindow; at: string | undefined }) {
  const scroller = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  const [cursor, setCursor] = useState<number | null>(null);
  const [chosen, setChosen] = useState<ReadonlyMap<string, TaskRow>>(new Map());
  const focusNext = useRef(false);
  rows.version.value;
  const total = rows.total.value;
  const length = rows.length;
  const full = length * ROW;
  const tall = Math.min(full, TALLEST);
  const visible = Math.ceil(height / ROW);
  // Above the limit a pixel of the scroll bar stands for more than one of the list.
  const factor = tall > height ? (full - height) / (tall - height) : 1;
  const start = Math.max(0, Math.min(length - visible, Math.floor((top * factor) / ROW)));
  const from = Math.max(0, start - BEYOND);
  const to = Math.min(length, start + visible + BEYOND);
  const offset = factor === 1 ? from * ROW : top - (top * factor - from * ROW);

  useLayoutEffect(() => {
    const box = scroller.current;
    if (!box) return;
    const measure = () => {
      const above = box.getBoundingClientRect().top + window.scrollY;
      const room = Math.max(320, window.innerHeight - Math.min(above, window.innerHeight * 0.5) - 24);
      box.style.maxHeight = `${room}px`;
      setHeight(room);
    };
    measure();
    window.addEventListener("resize", measure);
    return () => window.removeEventListener("resize", measure);
  }, []);
  useEffect(() => {
    setTop(0);
    setCursor(null);
    setChosen(new Map());
    scroller.current?.scrollTo(0, 0);
    void rows.want(0, 1);
  }, [rows]);
  useEffect(() => void rows.want(from, to), [rows, from, to, total]);
  // What is seen is read again while the job changes; between that, the grid's cells tell the states.
  const seen = useRef({ from, to });
  seen.current = { from, to };
  const stamp = job.updated_at;
  const latest = useRef(stamp);
  latest.current = stamp;
  useEffect(() => {
    let read = latest.current;
    const timer = setInterval(() => {
      if (document.hidden || read === latest.current) return;
      read = latest.current;
      void rows.want(seen.current.from, seen.current.to, true);
    }, REFRESH_MS);
    return () => clearInterval(timer);
  }, [rows]);
  useEffect(() => {
    const n = Number(at);
    if (at && Number.isInteger(n) && total) reveal(n);
  }, [at, total !== null]);

  const reveal = (index: number) => {
    const box = scroller.current;
    if (!box) return;
    const y = index * ROW;
    const shownFrom = box.scrollTop * factor;
    if (y < shownFrom) box.scrollTop = y / factor;
    else if (y + ROW > shownFrom + box.clientHeight - ROW) box.scrollTop = (y - box.clientHeight + 2 * ROW) / factor;
  };
  const step = (by: number) => {
    if (!length) return;
    const next = cursor === null ? start : Math.min(length - 1, Math.max(0, cursor + by));
    setCursor(next);
    focusNext.current = true;
    reveal(next);
  };
  useLayoutEffect(() => {
    if (!focusNext.current || cursor === null) return;
    const link = scroller.current?.querySelector<HTMLElement>(`[data-index="${cursor}"] a`);
    if (!link) return;
    link.focus({ preventScroll: true });
    focusNext.current = false;
  });
  const openCursor = () => {
    const row = cursor === null ? rows.row(0) : rows.row(cursor);
    if (row) go({ view: "task", job: feed.name, task: row.id });
  };

  const clear = () => setChosen(new Map());
  const picked = [...chosen.values()].map((row) => ({ row, state: stateOf(feed, row) }));
  const ended = picked.filter(({ state }) => ["failed", "skipped", "cancelled"].includes(state));
  const unended = picked.filter(({ state }) => state === "pending" || state === "running");
  const retry = retryTasks(feed.name, ended.map(({ row }) => row.id), clear);
  const cancel = cancelTasks(feed.name, unended.map(({ row }) => row.id), clear);
  useShortcuts({
    down: () => step(1),
    up: () => step(-1),
    open: openCursor,
    search: focusSearch,
    ...(chosen.size > 0 && {
      retry: () => void (retry.disabled ? undefined : retry.run()),
      cancel: () => void (cancel.disabled ? undefined : cancel.run()),
      back: clear,
    }),
  });

  const toggle = (row: TaskRow, on: boolean) => {
    const next = new Map(chosen);
    if (on) next.set(row.id, row);
    else next.delete(row.id);
    setChosen(next);
  };
  const known = rows.known();
  const allChosen = known.length > 0 && known.every((row) => chosen.has(row.id));

  const drawn = [];
  for (let index = from; index < to; index++) drawn.push(index);
  return (
    <>
      <div class="list-status">
        <span class="faint" role="status" data-testid="list-total">
          {total === null ? "" : `${plural(total, "task")}${rows.free ? "" : " fit"}`}
        </span>
        {chosen.size > 0 && (
          <span class="selection">
            <b>{count(chosen.size)} selected</b>
            <ActionButton action={retry} icon="retry" />
            <ActionButton action={cancel} icon="stop" kind="danger" />
            <Button kind="quiet" icon="close" label="Select none" onClick={clear} />
          </span>
        )}
      </div>
      {rows.error.value && (
        <Empty title="The tasks cannot be read." bad>
          {rows.error.value}
        </Empty>
      )}
      <div
        class="panel list"
        ref={scroller}
        onScroll={(event) => setTop(event.currentTarget.scrollTop)}
        role="table"
        aria-label="Tasks"
        aria-rowcount={total ?? -1}
        tabIndex={0}
      >
        <div class="list-head" role="rowgroup">
          <div role="row" class="list-row">
            <span role="columnheader" class="c-pick">
              <input
                type="checkbox"
                aria-label="Select all rows that are loaded"
                checked={allChosen}
                onChange={(event) =>
                  setChosen(event.currentTarget.checked ? new Map(known.map((row) => [row.id, row])) : new Map())
                }
              />
            </span>
            <span role="columnheader" class="c-state">
              State
            </span>
            <span role="columnheader" class="c-id">
              Task
            </span>
            <span role="columnheader" class="c-group wide-only">
              Group
            </span>
            <span role="columnheader" class="c-run num">
              Run time
            </span>
            <span role="columnheader" class="c-attempt num wide-only">
              Attempt
            </span>
            <span role="columnheader" class="c-started num wide-only">
              Started
            </span>
            <span role="columnheader" class="c-error">
              Error
            </span>
          </div>
        </div>
        <div role="rowgroup" class="list-body" style={{ height: `${tall}px` }}>
          <div style={{ transform: `translateY(${offset}px)` }} role="presentation">
            {drawn.map((index) => {
              const row = rows.row(index);
              return (
                <Row
                  key={index}
                  index={index}
                  row={row}
                  job={feed.name}
                  state={row && stateOf(feed, row)}
                  chosen={row !== undefined && chosen.has(row.id)}
                  current={index === cursor}
                  onChoose={toggle}
                />
              );
            })}
          </div>
        </div>
      </div>
      {total === null && !rows.error.value && <Loading what="tasks" />}
      {total === 0 && (
        <Empty title={rows.free ? "No tasks yet" : "No task fits."}>
          {!rows.free && (
            <Button onClick={() => setQuery({ status: null, reason: null, group: null, q: null, line: null })}>
              Show all tasks
            </Button>
          )}
          {rows.free && hasEnded(job.state) && "The job ended without any."}
        </Empty>
      )}
    </>
  );
}

/** The grid knows it first; the row says why. */
function stateOf(feed: JobFeed, row: TaskRow): CellState {
  feed.version.value;
  if (feed.gridLoaded.value && row.n < feed.cells.length) return codeState(feed.cells.at(row.n));
  return cellState(row.status, row.reason);
}

function Row(props: {
  index: number;
  row: TaskRow | undefined;
  state: CellState | undefined;
  job: string;
  chosen: boolean;
  current: boolean;
  onChoose: (row: TaskRow, on: boolean) => void;
}) {
  const { index, row, state, job } = props;
  if (!row || !state) {
    return (
      <div role="row" class="list-row pale" data-index={index} aria-rowindex={index + 2}>
        <span role="cell" class="c-pick" />
        <span role="cell" class="c-id">
          …
        </span>
      </div>
    );
  }
  return (
    <div
      role="row"
      class={`list-row ${props.chosen ? "chosen" : ""} ${props.current ? "current" : ""}`}
      data-index={index}
      aria-rowindex={index + 2}
    >
      <span role="cell" class="c-pick">
        <input
          type="checkbox"
          aria-label={`Select ${row.id}`}
          checked={props.chosen}
          onChange={(event) => props.onChoose(row, event.currentTarget.checked)}
        />
      </span>
      <span role="cell" class="c-state">
        <span class="narrow-only">
          <Glyph state={state} label={state} />
        </span>
        <span class="wide-only">
          <StateLabel state={state} />
        </span>
      </span>
      <span role="cell" class="c-id">
        <a href={formatRoute({ view: "task", job, task: row.id })} title={row.id}>
          {row.id}
        </a>
      </span>
      <span role="cell" class="c-group wide-only" title={row.group ?? undefined}>
        {row.group ?? ""}
      </span>
      <span role="cell" class="c-run num">
        {row.run_s == null ? "" : duration(row.run_s)}
      </span>
      <span role="cell" class="c-attempt num wide-only">
        {row.attempt > 1 ? row.attempt : ""}
      </span>
      <span role="cell" class="c-started num wide-only" title={clock(row.started_at)}>
        {row.started_at ? shortClock(row.started_at) : ""}
      </span>
      <span role="cell" class="c-error" title={row.error ?? undefined}>
        {state === "running" || state === "completed" ? "" : (row.error ?? reasonText(row.reason))}
      </span>
    </div>
  );
}
