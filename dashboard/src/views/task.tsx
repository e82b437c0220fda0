import { useEffect, useState } from "preact/hooks";
import { get, jobPath } from "../api/http.ts";
import type { Attempt, SecretSource, TaskDetail, TaskPage } from "../api/types.ts";
import { clock, count, duration, epoch, megabytes, shellWords } from "../model/format.ts";
import { formatRoute } from "../model/route.ts";
import { type CellState, cellState, codeState, reasonText } from "../model/states.ts";
import { ActionButton, Button, CopyButton, Empty, Fact, Loading } from "../parts/controls.tsx";
import { Glyph, Icon, StateLabel } from "../parts/glyph.tsx";
import { LogViewer } from "../parts/log.tsx";
import { cancelTasks, retryTasks } from "../state/actions.ts";
import { now } from "../state/clock.ts";
import type { JobFeed } from "../state/job.ts";
import { usePolled } from "../state/polling.ts";
import { go, setQuery } from "../state/route.ts";
import { toast } from "../state/session.ts";
import { useShortcuts } from "../state/shortcuts.ts";

interface Props {
  feed: JobFeed;
  task: string;
  query: Record<string, string>;
}

export function TaskView({ feed, task: id, query }: Props) {
  const [n, setN] = useState<number | null>(null);
  feed.version.value;
  const code = n !== null && feed.gridLoaded.value && n < feed.cells.length ? feed.cells.at(n) : null;
  // While it runs it is read again now and then (its own progress is written on the way); else when its state changes.
  const beat = code === 1 ? Math.floor(now.value / 2) : 0;
  const asked = usePolled<TaskDetail>(jobPath(feed.name, id), `${code} ${beat}`, 400);
  const task = asked.value;
  useEffect(() => {
    if (task && task.n !== n) setN(task.n);
  }, [task?.n]);

  const state: CellState = code !== null ? codeState(code) : task ? cellState(task.status, task.reason) : "pending";
  const turn = async (by: number) => {
    if (!task) return;
    const from = Math.max(0, task.n + by);
    const page = await get<TaskPage>(`${jobPath(feed.name)}/tasks?from=${from}&limit=1`).catch(() => null);
    const next = page?.tasks[0];
    if (next && next.id !== id) go({ view: "task", job: feed.name, task: next.id });
    else toast(by > 0 ? "This is the last task." : "This is the first task.");
  };
  const failed = state === "failed" || state === "skipped" || state === "cancelled";
  const retry = retryTasks(feed.name, failed ? [id] : []);
  const cancel = cancelTasks(feed.name, state === "pending" || state === "running" ? [id] : []);
  useShortcuts({
    next: () => void turn(1),
    previous: () => void turn(-1),
    timeline: () => {
      const at = epoch(task?.started_at);
      go({ view: "job", job: feed.name, tab: "timeline" }, { time: at === null ? null : String(at) });
    },
    ...(task && {
      retry: () => (retry.disabled ? toast("Only a task that failed can be retried.", true) : void retry.run()),
      cancel: () => (cancel.disabled ? toast("The task has ended.", true) : void cancel.run()),
    }),
  });

  if (!task) {
    if (!asked.error) return <Loading what={id} />;
    return (
      <Empty title={asked.status === 404 ? `There is no task ${id} in this job.` : "The task cannot be read."} bad>
        <p>{asked.status === 404 ? null : asked.error}</p>
        <a href={formatRoute({ view: "job", job: feed.name, tab: "list" })}>All tasks of the job</a>
      </Empty>
    );
  }
  const chosen = query.attempt ? Number(query.attempt) : null;
  const attempts = task.attempts;
  const latest = attempts.at(-1)?.attempt ?? null;
  const shown = attempts.find(({ attempt }) => attempt === chosen)?.attempt ?? latest;
  const live = (state === "running" || state === "pending") && (shown === latest || shown === null);
  return (
    <div class="view task">
      <header class="job-header">
        <div class="title-row">
          <h1 title={task.id}>{task.id}</h1>
          <div class="badges">
            <StateLabel state={state} />
            {task.group && (
              <a class="tag" href={formatRoute({ view: "job", job: feed.name, tab: "list" }, { group: task.group })}>
                {task.group}
              </a>
            )}
          </div>
          <div class="actions">
            {failed && <ActionButton action={retry} icon="retry" />}
            {(state === "pending" || state === "running") && (
              <ActionButton action={cancel} icon="stop" kind="danger" />
            )}
            <Button icon="left" kind="quiet" label="Previous task" onClick={() => void turn(-1)} />
            <Button icon="right" kind="quiet" label="Next task" onClick={() => void turn(1)} />
          </div>
        </div>
        {task.error && failed && (
          <p class="notice bad">
            <Glyph state={state} />
            <span>{task.error}</span>
          </p>
        )}
        <Timings task={task} state={state} />
      </header>
      <div class="task-columns">
        <div class="task-facts">
          <Command task={task} job={feed.name} />
          {task.result !== undefined && task.result !== null && <Result value={task.result} />}
        </div>
        <div class="task-main">
          {attempts.length > 0 && (
            <Attempts attempts={attempts} shown={shown} state={state} onChoose={(each) => setQuery({ attempt: each })} />
          )}
          <LogViewer
            key={`${shown}`}
            job={feed.name}
            task={id}
            attempt={shown === latest ? null : shown}
            live={live}
            size={task.log_size}
            exists={hasLog(task, attempts, shown)}
            onEnded={asked.again}
          />
        </div>
      </div>
    </div>
  );
}

/** Whether an attempt has written anything so far. */
function hasLog(task: TaskDetail, attempts: Attempt[], shown: number | null): boolean {
  if (shown === (attempts.at(-1)?.attempt ?? null)) return Boolean(task.log_size);
  return attempts.find(({ attempt }) => attempt === shown)?.log ?? false;
}

/** Waiting, then running: how the time from queueing to the end was spent. */
function Timings({ task, state }: { task: TaskDetail; state: CellState }) {
  const created = epoch(task.created_at);
  const started = epoch(task.started_at);
  const ended = epoch(task.completed_at);
  const running = state === "running" && started !== null;
  const until = ended ?? (running ? now.value : null);
  const waited = created !== null && started !== null ? Math.max(0, started - created) : null;
  const ran = task.run_s ?? (started !== null && until !== null ? Math.max(0, until - started) : null);
  const progress = running ? task.progress : null;
  return (
    <>
      <dl class="facts">
        <div>
          <dt>Queued</dt>
          <dd>{clock(task.created_at)}</dd>
        </div>
        <div>
          <dt>Waited</dt>
          <dd>{duration(waited)}</dd>
        </div>
        <div>
          <dt>Started</dt>
          <dd>{clock(task.started_at)}</dd>
        </div>
        <div>
          <dt>{running ? "Running for" : "Ran"}</dt>
          <dd>{running && started !== null ? duration(Math.floor(now.value - started)) : duration(ran)}</dd>
        </div>
        <div>
          <dt>Attempt</dt>
          <dd>{task.attempt || "–"}</dd>
        </div>
        {task.exit_code != null && (
          <div>
            <dt>Exit code</dt>
            <dd class={task.exit_code ? "s-failed" : ""}>{task.exit_code}</dd>
          </div>
        )}
        {task.reason && task.reason !== "exit" && (
          <div>
            <dt>Reason</dt>
            <dd>{reasonText(task.reason)}</dd>
          </div>
        )}
      </dl>
      {progress?.fraction != null && (
        <div class="progress-row">
          <div class="bar" role="img" aria-label={`${Math.round(progress.fraction * 100)}%`}>
            <i class="f-running" style={{ flexGrow: String(progress.fraction) }} />
            <i class="f-none" style={{ flexGrow: String(1 - progress.fraction) }} />
          </div>
          <span class="percent">{Math.round(progress.fraction * 100)}%</span>
          <span class="faint">{progress.text}</span>
        </div>
      )}
    </>
  );
}

function sourceOf(from: SecretSource): string {
  if (from.command) return `printed by ${shellWords(from.command)}`;
  return from.file ? `from the file ${from.file}` : `from ${from.environment}`;
}

function Command({ task, job }: { task: TaskDetail; job: string }) {
  const words = [task.python ?? task.command ?? "", ...(task.args ?? [])];
  const line = task.shell ? [task.command ?? "", ...(task.args ?? []).map((word) => shellWords([word]))].join(" ") : shellWords(words);
  const text = line.trim();
  const names = Object.keys(task.env ?? {});
  const references = Object.entries(task.env_from ?? {});
  const limits: [string, string | null][] = [
    ["Time limit", task.timeout_s ? duration(Number(task.timeout_s)) : null],
    ["Retries", task.retries ? String(task.retries) : null],
    ["Priority", task.priority ? String(task.priority) : null],
    ["CPUs", task.cpus ? String(task.cpus) : null],
    ["Memory", task.memory_mb ? megabytes(Number(task.memory_mb)) : null],
    ["Trigger", task.trigger_rule && task.trigger_rule !== "all_success" ? String(task.trigger_rule) : null],
    ["Final", task.final ? "runs when nothing else is left" : null],
  ];
  return (
    <section class="panel">
      <h2>
        Command {task.shell && <span class="tag">shell</span>} <CopyButton text={text} label="Copy the command" />
      </h2>
      <pre class="command" tabIndex={0}>
        <code>{text}</code>
      </pre>
      <dl class="facts-list">
        {task.cwd && (
          <Fact label="Folder">
            <code>{task.cwd}</code>
          </Fact>
        )}
        {limits.map(([label, value]) => value && <Fact key={label} label={label}>{value}</Fact>)}
        {names.length > 0 && (
          <Fact label="Environment" title="Names only: values may be secrets">
            <span class="names">
              {names.map((name) => (
                <code key={name}>{name}</code>
              ))}
            </span>
          </Fact>
        )}
        {references.length > 0 && (
          <Fact label="Secrets">
            <span class="names">
              {references.map(([name, from]) => (
                <code key={name} title={sourceOf(from)}>
                  {name}
                </code>
              ))}
            </span>
          </Fact>
        )}
        {task.dependencies && task.dependencies.length > 0 && (
          <Fact label="Waits for">
            <span class="names">
              {task.dependencies.slice(0, 20).map((id) => (
                <a key={id} href={formatRoute({ view: "task", job, task: id })} title={id}>
                  {id}
                </a>
              ))}
              {task.dependencies.length > 20 && <span class="faint">and {count(task.dependencies.length - 20)} more</span>}
            </span>
          </Fact>
        )}
      </dl>
    </section>
  );
}

function Result({ value }: { value: unknown }) {
  const text = JSON.stringify(value, null, 2);
  return (
    <section class="panel">
      <h2>
        Result <CopyButton text={text} label="Copy the result" />
      </h2>
      <pre class="result" tabIndex={0}>
        <code>{text}</code>
      </pre>
    </section>
  );
}

function attemptState(attempt: Attempt, last: boolean, state: CellState): CellState {
  if (!attempt.ended_at) return last && state === "running" ? "running" : "pending";
  return attempt.reason ? cellState("failed", attempt.reason) : "completed";
}

function Attempts(props: {
  attempts: Attempt[];
  shown: number | null;
  state: CellState;
  onChoose: (attempt: string) => void;
}) {
  const { attempts, shown, state } = props;
  const longest = Math.max(0.001, ...attempts.map(({ run_s }) => run_s ?? 0));
  return (
    <div class="panel table-panel attempts">
      <table>
        <caption class="sr-only">Attempts</caption>
        <thead>
          <tr>
            <th scope="col">Attempt</th>
            <th scope="col">State</th>
            <th scope="col" class="num">
              Started
            </th>
            <th scope="col" class="num">
              Ran
            </th>
            <th scope="col" class="num wide-only">
              CPU
            </th>
            <th scope="col" class="num wide-only">
              Memory
            </th>
            <th scope="col">End</th>
          </tr>
        </thead>
        <tbody>
          {[...attempts].reverse().map((each, i) => (
            <tr key={each.attempt} class={each.attempt === shown ? "chosen" : ""}>
              <td>
                <button
                  type="button"
                  class="link"
                  aria-pressed={each.attempt === shown ? "true" : "false"}
                  onClick={() => props.onChoose(String(each.attempt))}
                >
                  {each.attempt}
                  {each.attempt === shown && <Icon name="down" />}
                  <span class="sr-only">: show its log</span>
                </button>
              </td>
              <td>
                <StateLabel state={attemptState(each, i === 0, state)} />
              </td>
              <td class="num">{clock(each.started_at)}</td>
              <td class="num run-cell">
                {duration(each.run_s)}
                <i class="run-bar" aria-hidden="true" style={{ width: `${(100 * (each.run_s ?? 0)) / longest}%` }} />
              </td>
              <td class="num wide-only">{duration(each.cpu_s)}</td>
              <td class="num wide-only">{megabytes(each.memory_mb)}</td>
              <td class="end" title={each.error ?? undefined}>
                {endText(each)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function endText(attempt: Attempt): string {
  if (!attempt.ended_at) return "";
  if (attempt.signal) return `signal ${attempt.signal}${attempt.reason === "signal" ? "" : `, ${reasonText(attempt.reason)}`}`;
  if (attempt.reason && attempt.reason !== "exit") return reasonText(attempt.reason);
  return attempt.exit_code == null ? "" : `exit code ${attempt.exit_code}`;
}
