import { useComputed } from "@preact/signals";
import type { Signal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Job, JobState } from "../api/types.ts";
import { estimateText } from "../model/estimate.ts";
import { ago, clock, count, duration, percent, rate, short } from "../model/format.ts";
import { labelOf } from "../model/origin.ts";
import { formatRoute } from "../model/route.ts";
import { hasEnded, JOB_STATES } from "../model/states.ts";
import { Bar } from "../parts/bar.tsx";
import { Button, Chip, Empty, Loading, Search } from "../parts/controls.tsx";
import { Glyph, StateLabel } from "../parts/glyph.tsx";
import { managerText, slotsText } from "../parts/status.tsx";
import { now } from "../state/clock.ts";
import { inAirflow } from "../state/host.ts";
import { submitOpen } from "../state/dialogs.ts";
import { JobsFeed } from "../state/jobs.ts";
import { go, route, setQuery } from "../state/route.ts";
import { info, readOnly } from "../state/session.ts";
import { useShortcuts } from "../state/shortcuts.ts";
import { SubmitDialog } from "./submit.tsx";

export function Overview() {
  const feed = useMemo(() => new JobsFeed(), []);
  useEffect(() => () => feed.close(), [feed]);
  return <Jobs feed={feed} />;
}

/** `part`: the list is of those that were handed in somewhere; figures of the whole server do not belong to it. */
export function Jobs({ feed, part }: { feed: JobsFeed; part?: boolean }) {
  const { query } = route.value;
  const state = JOB_STATES.find((each) => each === query.state) ?? null;
  const text = query.q ?? "";
  const shown = useComputed(() => {
    feed.membership.value;
    const { state: wanted, q = "" } = route.value.query;
    return ordered([...feed.jobs.values()].map((job) => job.peek())).filter(
      (job) => (!wanted || job.state === wanted) && job.name.toLowerCase().includes(q.toLowerCase()),
    );
  });
  const rows = shown.value;
  const table = useRef<HTMLTableElement>(null);

  const step = (by: number) => {
    const links = [...(table.current?.querySelectorAll<HTMLAnchorElement>("tbody a.row-link") ?? [])];
    const at = links.indexOf(document.activeElement as HTMLAnchorElement);
    const next = links[at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + by))];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  };
  useShortcuts({
    down: () => step(1),
    up: () => step(-1),
    open: () => rows[0] && go({ view: "job", job: rows[0].name, tab: "grid" }),
    failures: () => setQuery({ state: state === "failed" ? null : "failed" }),
    ...((text || state) && { back: () => setQuery({ q: null, state: null }) }),
  });

  feed.membership.value;
  const known = part ? counted(feed) : info.value?.counts;
  const all = known ? JOB_STATES.reduce((sum, each) => sum + (known[each] ?? 0), 0) : feed.jobs.size;
  return (
    <div class="view overview">
      <h1 class="sr-only">Jobs</h1>
      {!part && <Strip feed={feed} />}
      <div class="toolbar">
        <div class="chips" role="group" aria-label="Filter by state">
          <Chip pressed={!state} count={short(all)} onClick={() => setQuery({ state: null })}>
            All
          </Chip>
          {JOB_STATES.map((each) => (
            <Chip
              key={each}
              pressed={state === each}
              count={short(known?.[each] ?? 0)}
              onClick={() => setQuery({ state: state === each ? null : each })}
            >
              <Glyph state={each} />
              {each}
            </Chip>
          ))}
        </div>
        <Search value={text} placeholder="Search jobs" onInput={(q) => setQuery({ q })} />
        {!inAirflow && (
          <Button icon="plus" kind="primary" disabled={readOnly.value} onClick={() => (submitOpen.value = true)}>
            Submit
          </Button>
        )}
      </div>
      {feed.error.value && (
        <Empty title="The jobs cannot be shown." bad>
          {feed.error.value}
        </Empty>
      )}
      {!feed.loaded.value && !feed.error.value && <Loading what="jobs" />}
      {feed.loaded.value && rows.length === 0 && <Nothing filtered={Boolean(state || text)} />}
      {rows.length > 0 && (
        <div class="panel table-panel">
          <table class="jobs" ref={table}>
            <thead>
              <tr>
                <th scope="col">State</th>
                <th scope="col">Job</th>
                <th scope="col">Progress</th>
                <th scope="col" class="num">
                  Tasks
                </th>
                <th scope="col" class="num wide-only">
                  Failed
                </th>
                <th scope="col" class="num wide-only">
                  Rate
                </th>
                <th scope="col" class="num">
                  Time
                </th>
                <th scope="col" class="num wide-only">
                  Updated
                </th>
              </tr>
            </thead>
            <tbody>
              {rows.map(({ name }) => {
                const job = feed.jobs.get(name);
                return job && <JobRow key={name} job={job} part={part ?? false} />;
              })}
            </tbody>
          </table>
        </div>
      )}
      <More feed={feed} all={all} state={state} text={text} />
      {submitOpen.value && <SubmitDialog onClose={() => (submitOpen.value = false)} />}
    </div>
  );
}

function counted(feed: JobsFeed): Record<JobState, number> {
  const counts = { waiting: 0, working: 0, completed: 0, failed: 0 };
  for (const job of feed.jobs.values()) counts[job.peek().state] += 1;
  return counts;
}

/** Unfinished jobs first, newest first; ended ones by when they ended. Figures that change do not move a row. */
function ordered(jobs: Job[]): Job[] {
  const key = (job: Job) => (hasEnded(job.state) ? job.updated_at : job.created_at) ?? "";
  return jobs.sort(
    (a, b) =>
      Number(hasEnded(a.state)) - Number(hasEnded(b.state)) ||
      key(b).localeCompare(key(a)) ||
      a.name.localeCompare(b.name),
  );
}

function JobRow({ job: source, part }: { job: Signal<Job>; part: boolean }) {
  const job = source.value;
  const label = inAirflow ? labelOf(job.origin) : null;
  const ended = hasEnded(job.state);
  const left = estimateText(job.estimate_s);
  const failed = job.failed;
  return (
    <tr>
      <td class="cell-state">
        <StateLabel
          state={job.paused && !ended ? "paused" : job.state}
          {...(job.reason === "cancelled" ? { text: "cancelled" } : {})}
        />
      </td>
      <td class="cell-name">
        <a class="row-link" href={formatRoute({ view: "job", job: job.name, tab: "grid" })} title={job.name}>
          {label ? label.task : job.name}
        </a>
        {label && !part && <span class="faint where">{label.run}</span>}
        {job.open && !ended && <span class="tag">open</span>}
        {job.warnings > 0 && (
          <span class="tag warn" title="The job has warnings; see its details">
            {count(job.warnings)} warning{job.warnings === 1 ? "" : "s"}
          </span>
        )}
      </td>
      <td class="cell-progress">
        <div>
          <Bar counts={job} />
          <span class="num">{percent(job.completed + job.failed, job.total_tasks)}</span>
        </div>
      </td>
      <td class="num cell-tasks">
        {count(job.completed + job.failed)}
        <span class="of"> / {count(job.total_tasks)}</span>
      </td>
      <td class={`num wide-only ${failed ? "s-failed strong" : "faint"}`}>{failed ? count(failed) : "–"}</td>
      <td class="num wide-only">{ended ? <span class="faint">–</span> : rate(job.rate_per_s)}</td>
      <td class="num cell-time" title={left.spread ? `between ${left.spread.replace(" to ", " and ")}` : undefined}>
        {ended ? (
          <>
            <span class="faint">took</span> {duration(job.elapsed_s)}
          </>
        ) : job.estimate_s ? (
          <>
            {left.short} <span class="faint">left</span>
          </>
        ) : (
          <>
            <span class="faint">for</span> {duration(job.elapsed_s)}
          </>
        )}
      </td>
      <td class="num wide-only" title={clock(job.updated_at)}>
        {ago(job.updated_at, now.value)}
      </td>
    </tr>
  );
}

function Strip({ feed }: { feed: JobsFeed }) {
  const facts = info.value;
  const manager = managerText();
  const slots = facts?.manager?.slots ?? facts?.slots ?? null;
  const running = facts?.running_tasks ?? 0;
  return (
    <dl class="strip">
      <div>
        <dt>Throughput</dt>
        <dd>
          <span class="big">{rate(facts?.rate_per_s)}</span>
          <Sparkline values={feed.rates.value} />
        </dd>
      </div>
      <div>
        <dt>Running tasks</dt>
        <dd>
          <span class="big">{count(running)}</span> <span class="faint">{slotsText()}</span>
          {slots ? (
            <span class="meter" aria-hidden="true">
              <i style={{ width: `${Math.min(100, (100 * running) / slots)}%` }} />
            </span>
          ) : null}
        </dd>
      </div>
      <div>
        <dt>Manager</dt>
        <dd>
          <span class={`big ${facts && !facts.manager ? "s-cancelled" : ""}`}>{manager.title}</span>
          <span class="faint detail">{manager.detail}</span>
        </dd>
      </div>
      {facts?.base !== "" && (
        <div class="wide-only">
          <dt>Folder</dt>
          <dd>
            <span class="path" title={facts?.base}>
              {facts?.base ?? "–"}
            </span>
          </dd>
        </div>
      )}
    </dl>
  );
}

function Sparkline({ values }: { values: number[] }) {
  if (values.length < 2) return null;
  const most = Math.max(1, ...values);
  const points = values.map((value, i) => `${100 - ((values.length - 1 - i) * 100) / 59},${22 - (20 * value) / most}`).join(" ");
  return (
    <svg class="sparkline" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">
      <polyline points={points} />
    </svg>
  );
}

function Nothing({ filtered }: { filtered: boolean }) {
  if (filtered) {
    return (
      <Empty title="No job fits.">
        <Button onClick={() => setQuery({ q: null, state: null })}>Show all jobs</Button>
      </Empty>
    );
  }
  if (inAirflow) return <Empty title="No jobs yet">Jobs that tasks of your DAGs hand in are shown here.</Empty>;
  return (
    <Empty title="No jobs yet">
      <p>Submit one here, or from a terminal:</p>
      <pre>
        <code>air-executor submit job.yaml</code>
      </pre>
    </Empty>
  );
}

/** The stream brings the newest jobs; older ones are asked for. */
function More(props: { feed: JobsFeed; all: number; state: JobState | null; text: string }) {
  const { feed, all, state, text } = props;
  const [after, setAfter] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const missing = all - feed.jobs.size;
  useEffect(() => setAfter(null), [state, text]);
  if (!feed.loaded.value || missing <= 0) return null;
  const load = async () => {
    setBusy(true);
    try {
      const query = new URLSearchParams({ limit: "500" });
      if (state) query.set("state", state);
      if (text) query.set("q", text);
      setAfter(await feed.loadMore(query, after));
    } finally {
      setBusy(false);
    }
  };
  return (
    <p class="more">
      <Button disabled={busy && "They are on their way."} onClick={() => void load()}>
        {text || state ? "Search older jobs too" : "Load older jobs"}
      </Button>{" "}
      <span class="faint">{count(missing)} are not in this list.</span>
    </p>
  );
}
