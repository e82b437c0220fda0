import type { FailureGroup, JobDetail } from "../api/types.ts";
import { jobPath } from "../api/http.ts";
import { count, plural } from "../model/format.ts";
import { formatRoute } from "../model/route.ts";
import { reasonText } from "../model/states.ts";
import { ActionButton, Empty, Loading } from "../parts/controls.tsx";
import { Glyph } from "../parts/glyph.tsx";
import { retryTasks } from "../state/actions.ts";
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
  const whole = group.count <= group.examples.length;
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
          {!whole && (
            <a
              class="button plain"
              href={formatRoute({ view: "job", job, tab: "list" }, { status: state, q: searchable(group.line) })}
            >
              <span>Show {count(group.count)}</span>
            </a>
          )}
          {whole && state === "failed" && <ActionButton action={retryTasks(job, group.examples)} icon="retry" />}
        </span>
      </div>
    </li>
  );
}

/** Enough of a line to find it by. */
function searchable(line: string): string {
  return line.slice(0, 80);
}
