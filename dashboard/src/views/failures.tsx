import type { FailureGroup, JobDetail, TaskPage } from "../api/types.ts";
import { get, jobPath } from "../api/http.ts";
import { count, plural } from "../model/format.ts";
import { formatRoute } from "../model/route.ts";
import { reasonText } from "../model/states.ts";
import { ActionButton, Empty, Loading } from "../parts/controls.tsx";
import { Glyph } from "../parts/glyph.tsx";
import { retryMany } from "../state/actions.ts";
import type { JobFeed } from "../state/job.ts";
import { usePolled } from "../state/polling.ts";

/** Failures that end in the same line, together: a thousand with one cause are one row. */
export function FailuresTab({ feed, job }: { feed: JobFeed; job: JobDetail }) {
  const groups = usePolled<FailureGroup[]>(`${jobPath(feed.name)}/failures`, `${job.failed} ${job.id}`, 2000);
  if (!groups.value) {
    return groups.error ? (
      <Empty title="The failures cannot be read." bad>
        {groups.error}
      </Empty>
    ) : (
      <Loading what="failures" />
    );
  }
  if (groups.value.length === 0) {
    return (
      <Empty title="Nothing has failed.">
        {job.pending + job.running > 0 ? `${plural(job.pending + job.running, "task")} to go.` : null}
      </Empty>
    );
  }
  const most = Math.max(...groups.value.map((group) => group.count));
  return (
    <div class="failures">
      <p class="under-tabs faint">
        {plural(job.failed, "task")} in {plural(groups.value.length, "group")} by the last line of their error or log,
        most first.
      </p>
      <ol class="failure-list">
        {groups.value.map((group) => (
          <Group key={`${group.reason} ${group.line}`} job={feed.name} group={group} most={most} />
        ))}
      </ol>
    </div>
  );
}

function Group({ job, group, most }: { job: string; group: FailureGroup; most: number }) {
  const state = group.reason === "skipped" || group.reason === "cancelled" ? group.reason : "failed";
  const filter = { status: "failed", reason: group.reason, line: group.line };
  return (
    <li class="panel failure">
      <div class="failure-head">
        <Glyph state={state} />
        <b class="num">{count(group.count)}</b>
        <code>{group.line || "(no message)"}</code>
      </div>
      <div class="failure-bar" aria-hidden="true">
        <i class={`f-${state}`} style={{ width: `${(100 * group.count) / most}%` }} />
      </div>
      <div class="failure-foot">
        <span class="faint">{reasonText(group.reason) || "failed"}</span>
        <span class="examples">
          {group.examples.map((id) => (
            <a key={id} href={formatRoute({ view: "task", job, task: id })} title={id}>
              {id}
            </a>
          ))}
        </span>
        <span class="failure-actions">
          {group.count > group.examples.length && (
            <a class="button plain" href={formatRoute({ view: "job", job, tab: "list" }, { ...filter, status: state })}>
              <span>Show {count(group.count)}</span>
            </a>
          )}
          {state === "failed" && (
            <ActionButton action={retryMany(job, group.count, () => allIds(job, filter))} icon="retry" />
          )}
        </span>
      </div>
    </li>
  );
}

/** The ids of all tasks of a group, however many. */
async function allIds(job: string, filter: Record<string, string | null>): Promise<string[]> {
  const ids: string[] = [];
  for (let after: string | null = null; ; ) {
    const query = new URLSearchParams({ limit: "1000" });
    for (const [key, value] of Object.entries({ ...filter, after })) if (value !== null) query.set(key, value);
    const page: TaskPage = await get<TaskPage>(`${jobPath(job)}/tasks?${query}`);
    ids.push(...page.tasks.map(({ id }) => id));
    if (page.next === null) return ids;
    after = String(page.next);
  }
}
