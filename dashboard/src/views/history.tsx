import { jobPath } from "../api/http.ts";
import type { RunSummary } from "../api/types.ts";
import { clock, count, duration, percent, plural } from "../model/format.ts";
import { formatRoute } from "../model/route.ts";
import { hasEnded, reasonText } from "../model/states.ts";
import { Bar } from "../parts/bar.tsx";
import { Empty, Loading } from "../parts/controls.tsx";
import { StateLabel } from "../parts/glyph.tsx";
import type { JobFeed } from "../state/job.ts";
import { usePolled } from "../state/polling.ts";

const SHOWN = 60;

/** The runs of one name: how long they took, how large they were, what failed. */
export function HistoryView({ feed }: { feed: JobFeed }) {
  const job = feed.job.value;
  const answer = usePolled<{ runs: RunSummary[] }>(
    `${jobPath(feed.name)}/history`,
    `${job?.id} ${job?.state} ${job ? Math.floor((job.completed + job.failed) / 50) : ""}`,
    2000,
  );
  const runs = answer.value?.runs;
  if (!runs) {
    return answer.error ? (
      <Empty title={answer.status === 404 ? `There is no job named ${feed.name}.` : "The history cannot be read."} bad>
        {answer.status === 404 ? null : answer.error}
      </Empty>
    ) : (
      <Loading what="the history" />
    );
  }
  return (
    <div class="view history">
      <header class="job-header">
        <div class="title-row">
          <h1>
            History of{" "}
            <a href={formatRoute({ view: "job", job: feed.name, tab: "grid" })}>{feed.name}</a>
          </h1>
        </div>
        <Figures runs={runs} />
      </header>
      {runs.length > 1 && <Durations runs={runs.slice(0, SHOWN)} />}
      <div class="panel table-panel">
        <table>
          <caption class="sr-only">Runs, newest first</caption>
          <thead>
            <tr>
              <th scope="col">State</th>
              <th scope="col">Began</th>
              <th scope="col" class="num">
                Took
              </th>
              <th scope="col">Tasks</th>
              <th scope="col" class="num">
                Total
              </th>
              <th scope="col" class="num">
                Failed
              </th>
              <th scope="col" class="wide-only">
                Run
              </th>
            </tr>
          </thead>
          <tbody>
            {runs.map((run, i) => (
              <tr key={run.id}>
                <td>
                  <StateLabel state={run.state} {...(run.reason === "cancelled" ? { text: "cancelled" } : {})} />
                  {run.reason && run.reason !== "cancelled" && <span class="faint"> {reasonText(run.reason)}</span>}
                </td>
                <td>{clock(run.created_at)}</td>
                <td class="num">{duration(run.duration_s)}</td>
                <td class="cell-progress">
                  <div>
                    <Bar counts={countsOf(run)} />
                  </div>
                </td>
                <td class="num">{count(run.total_tasks)}</td>
                <td class={`num ${run.failed ? "s-failed strong" : "faint"}`}>{run.failed ? count(run.failed) : "–"}</td>
                <td class="wide-only">
                  <code>{run.id}</code> {i === 0 && <span class="tag">present</span>}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

function countsOf(run: RunSummary) {
  const pending = Math.max(0, run.total_tasks - run.completed - run.failed);
  return { total_tasks: run.total_tasks, completed: run.completed, failed: run.failed, running: 0, pending };
}

function Figures({ runs }: { runs: RunSummary[] }) {
  const ended = runs.filter((run) => hasEnded(run.state));
  const good = ended.filter((run) => run.state === "completed");
  const times = good.flatMap((run) => run.duration_s ?? []).sort((a, b) => a - b);
  return (
    <dl class="facts">
      <div>
        <dt>Runs</dt>
        <dd>{count(runs.length)}</dd>
      </div>
      <div>
        <dt>Completed</dt>
        <dd>{ended.length ? percent(good.length, ended.length) : "–"}</dd>
      </div>
      <div>
        <dt>Usual time</dt>
        <dd>{duration(times[Math.floor(times.length / 2)])}</dd>
      </div>
      <div>
        <dt>Failed tasks</dt>
        <dd>{count(runs.reduce((sum, run) => sum + run.failed, 0))}</dd>
      </div>
    </dl>
  );
}

/** A column a run, oldest left; failed runs are hatched as well as red. */
function Durations({ runs }: { runs: RunSummary[] }) {
  const times = runs.map((run) => run.duration_s ?? 0);
  const longest = Math.max(0.001, ...times);
  return (
    <figure class="panel durations">
      <figcaption>
        <b>How long runs took</b> <span class="faint">up to {duration(longest)}</span>
      </figcaption>
      <div role="img" aria-label={`${plural(runs.length, "run")}, the longest took ${duration(longest)}`}>
        {[...runs].reverse().map((run) => (
          <i
            key={run.id}
            class={`f-${run.state === "failed" ? "failed" : run.state === "completed" ? "completed" : "running"}`}
            title={`${clock(run.created_at)}: ${run.state}, ${duration(run.duration_s)}`}
            style={{ height: `${Math.max(3, (100 * (run.duration_s ?? 0)) / longest)}%` }}
          />
        ))}
      </div>
    </figure>
  );
}
