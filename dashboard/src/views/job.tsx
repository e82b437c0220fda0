import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { JobDetail } from "../api/types.ts";
import { estimateText } from "../model/estimate.ts";
import { clock, count, duration, epoch, percent, plural, rate, short } from "../model/format.ts";
import { labelOf } from "../model/origin.ts";
import { formatRoute, TABS, type Tab } from "../model/route.ts";
import { CELL_STATES, type CellState, hasEnded } from "../model/states.ts";
import { Bar, parted } from "../parts/bar.tsx";
import { ActionButton, Chip, Empty, Loading } from "../parts/controls.tsx";
import { Glyph, Icon, StateLabel } from "../parts/glyph.tsx";
import { cancelJob, closeJob, pauseJob, retryFailed } from "../state/actions.ts";
import { now } from "../state/clock.ts";
import { inAirflow } from "../state/host.ts";
import type { JobFeed } from "../state/job.ts";
import { go, setQuery } from "../state/route.ts";
import { info } from "../state/session.ts";
import { useShortcuts } from "../state/shortcuts.ts";
import { ChartsTab } from "./charts.tsx";
import { DetailsTab } from "./details.tsx";
import { FailuresTab } from "./failures.tsx";
import { GraphTab } from "./graph.tsx";
import { GridTab } from "./grid.tsx";
import { ListTab } from "./list.tsx";
import { TimelineTab } from "./timeline.tsx";

interface Props {
  feed: JobFeed;
  tab: Tab;
  query: Record<string, string>;
}

/** Tabs in which choosing a state narrows what is shown; from others it leads to the list. */
const FILTERED: readonly Tab[] = ["grid", "timeline", "list"];

export function JobView({ feed, tab, query }: Props) {
  const job = feed.job.value;
  const status = CELL_STATES.find((state) => state === query.status) ?? null;

  const chips = useRef<HTMLDivElement>(null);
  const shown = job !== null;
  useEffect(() => {
    // Where there is little room the chips scroll sideways; the chosen one must be among those that are seen.
    const chosen = chips.current?.querySelector<HTMLElement>('[aria-pressed="true"]');
    if (chosen && chips.current) chips.current.scrollLeft = chosen.offsetLeft - chips.current.clientWidth / 2;
  }, [status, shown]);

  const turn = (by: number) => {
    const next = TABS[(TABS.indexOf(tab) + by + TABS.length) % TABS.length] ?? "grid";
    go({ view: "job", job: feed.name, tab: next }, { status });
  };
  const choose = (state: CellState | null) => {
    const wanted = state === status ? null : state;
    if (FILTERED.includes(tab)) setQuery({ status: wanted, reason: null, line: null, at: null });
    else go({ view: "job", job: feed.name, tab: "list" }, { status: wanted });
  };
  useShortcuts({
    next: () => turn(1),
    previous: () => turn(-1),
    timeline: () => go({ view: "job", job: feed.name, tab: "timeline" }, { status }),
    log: () => go({ view: "job", job: feed.name, tab: "timeline" }, { live: "1" }),
    failures: () => choose("failed"),
    goHistory: () => go({ view: "history", job: feed.name }),
    ...(job && {
      pause: () => void pauseJob(job).run(),
      cancel: () => void cancelJob(job).run(),
      retry: () => void retryFailed(job).run(),
    }),
    ...((status || query.q || query.line) && { back: () => setQuery({ status: null, reason: null, q: null, group: null, line: null }) }),
  });

  if (feed.error.value && !job) {
    return (
      <Empty title={feed.error.value} bad>
        <a href="#/">Go to the overview</a>
      </Empty>
    );
  }
  if (!job) return <Loading what={feed.name} />;
  return (
    <div class="view job">
      <JobHeader job={job} />
      <div class="chips states" role="group" aria-label="Tasks by state" ref={chips}>
        {CELL_STATES.map((state) => {
          const n = countOf(job, state);
          if (!n && (state === "skipped" || state === "cancelled") && status !== state) return null;
          return (
            <Chip
              key={state}
              pressed={status === state}
              count={short(n)}
              title={`${plural(n, "task")} ${state}`}
              onClick={() => choose(state)}
            >
              <Glyph state={state} />
              {state}
            </Chip>
          );
        })}
      </div>
      <Tabs name={feed.name} tab={tab} status={status} job={job} />
      <div
        role="tabpanel"
        id="tab-panel"
        aria-labelledby={`tab-${tab}`}
        class={`tab-panel tab-${tab}`}

      >
        <TabContent feed={feed} job={job} tab={tab} query={query} status={status} />
      </div>
    </div>
  );
}

function TabContent(props: Props & { job: JobDetail; status: CellState | null }) {
  const { feed, job, tab, query, status } = props;
  switch (tab) {
    case "grid":
      return <GridTab feed={feed} status={status} query={query} />;
    case "timeline":
      return <TimelineTab feed={feed} job={job} status={status} query={query} />;
    case "list":
      return <ListTab feed={feed} job={job} status={status} query={query} />;
    case "graph":
      return <GraphTab feed={feed} />;
    case "failures":
      return <FailuresTab feed={feed} job={job} />;
    case "charts":
      return <ChartsTab feed={feed} job={job} />;
    case "details":
      return <DetailsTab job={job} />;
  }
}

export function countOf(job: JobDetail, state: CellState): number {
  return parted(job).find(([each]) => each === state)?.[1] ?? 0;
}

export function JobHeader({ job }: { job: JobDetail }) {
  const ended = hasEnded(job.state);
  const done = job.completed + job.failed;
  const left = estimateText(job.estimate_s);
  const created = epoch(job.created_at);
  const elapsed =
    job.elapsed_s != null || created == null
      ? job.elapsed_s
      : ended
        ? null
        : Math.max(0, Math.floor(now.value - created));
  const label = inAirflow ? labelOf(job.origin) : null;
  const noManager = info.value !== null && !info.value.manager && !ended;
  return (
    <header class="job-header">
      <div class="title-row">
        <h1 title={job.name}>
          {label ? label.task : job.name}
          {label && <small>{label.run}</small>}
        </h1>
        <div class="badges">
          <StateLabel
            state={job.paused && !ended ? "paused" : job.state}
            {...(job.reason === "cancelled" ? { text: "cancelled" } : {})}
          />
          {job.stopping && !ended && <span class="tag warn">stopping</span>}
          {job.open && !ended && <span class="tag">open for tasks</span>}
        </div>
        <div class="actions">
          {job.open && !ended && <ActionButton action={closeJob(job)} icon="lock" />}
          {!ended && <ActionButton action={pauseJob(job)} icon={job.paused ? "play" : "pause"} />}
          {(ended || job.failed > 0) && <ActionButton action={retryFailed(job)} icon="retry" />}
          {!ended && <ActionButton action={cancelJob(job)} icon="stop" kind="danger" />}
          <a class="button plain" href={formatRoute({ view: "history", job: job.name })}>
            <Icon name="history" />
            <span>History{job.runs > 0 ? ` ${job.runs + 1}` : ""}</span>
          </a>
        </div>
      </div>
      <div class="progress-row">
        <Bar counts={job} large />
        <span class="percent">{percent(done, job.total_tasks)}</span>
      </div>
      <dl class="facts">
        <HeaderFact label="Done">
          {count(done)} <span class="of">of {count(job.total_tasks)}</span>
        </HeaderFact>
        {!ended && (
          <HeaderFact label="Time left">
            {left.short}
            {left.spread && <span class="faint"> ({left.spread})</span>}
          </HeaderFact>
        )}
        <HeaderFact label={ended ? "Took" : "Elapsed"}>{duration(elapsed)}</HeaderFact>
        {!ended && <HeaderFact label="Rate">{rate(job.rate_per_s)}</HeaderFact>}
        {!ended && job.parallelism != null && (
          <HeaderFact label="At once" minor>
            {rounded(job.parallelism)}
          </HeaderFact>
        )}
        <HeaderFact label="Run time">
          {duration(job.run_time_s?.p50)}
          {job.run_time_s?.p90 != null && <span class="faint"> (p90 {duration(job.run_time_s.p90)})</span>}
        </HeaderFact>
        {job.retries > 0 && (
          <HeaderFact label="Repeated" minor>
            {count(job.retries)}
          </HeaderFact>
        )}
        <HeaderFact label="Began" minor>
          {clock(job.created_at)}
        </HeaderFact>
      </dl>
      {job.error && (
        <p class="notice bad">
          <Glyph state="failed" />
          <span>{job.error}</span>
        </p>
      )}
      {job.reading != null && (
        <p class="notice" role="status">
          <span>
            The server is reading this job's journal for the first time: {Math.round(job.reading * 100)}%. Tasks show when
            it is done.
          </span>
        </p>
      )}
      {noManager && (
        <p class="notice warn">
          <Icon name="warn" />
          <span>
            No manager runs on this folder, so nothing goes on. Start one: <code>air-executor start</code>
          </span>
        </p>
      )}
      {job.warnings.length > 0 && (
        <p class="notice warn">
          <Icon name="warn" />
          <span>
            {job.warnings[job.warnings.length - 1]}{" "}
            {job.warnings.length > 1 && (
              <a href={formatRoute({ view: "job", job: job.name, tab: "details" })}>
                All {plural(job.warnings.length, "warning")}
              </a>
            )}
          </span>
        </p>
      )}
    </header>
  );
}

function rounded(value: number): string {
  return value >= 10 ? count(Math.round(value)) : value.toFixed(1);
}

/** `minor`: left out where there is little room. */
function HeaderFact({ label, minor, children }: { label: string; minor?: boolean; children: ComponentChildren }) {
  return (
    <div class={minor ? "wide-only" : ""}>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Tabs(props: { name: string; tab: Tab; status: CellState | null; job: JobDetail }) {
  const { name, tab, status, job } = props;
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [tab]);
  return (
    <div class="tabs" role="tablist" aria-label="Views of the job" ref={list}>
      {TABS.map((each) => (
        <a
          key={each}
          id={`tab-${each}`}
          role="tab"
          aria-selected={each === tab ? "true" : "false"}
          aria-controls={each === tab ? "tab-panel" : undefined}
          href={formatRoute({ view: "job", job: name, tab: each }, { status: FILTERED.includes(each) ? status : null })}
        >
          {each[0]?.toUpperCase() + each.slice(1)}
          {each === "failures" && job.failed > 0 && <b>{short(job.failed)}</b>}
        </a>
      ))}
    </div>
  );
}

