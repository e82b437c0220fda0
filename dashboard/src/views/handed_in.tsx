import { useEffect, useMemo } from "preact/hooks";
import { formatRoute } from "../model/route.ts";
import { type Origin, originText } from "../model/origin.ts";
import { Empty, Loading } from "../parts/controls.tsx";
import { JobsFeed } from "../state/jobs.ts";
import { replace } from "../state/route.ts";
import { Jobs } from "./overview.tsx";

/** The jobs of a DAG run, or the one of a task: it is gone over to as soon as it is there. */
export function HandedIn({ origin }: { origin: Origin }) {
  const key = originText(origin);
  const feed = useMemo(() => new JobsFeed(origin), [key]);
  useEffect(() => () => feed.close(), [feed]);
  feed.membership.value;
  const only = origin.task_id && feed.jobs.size === 1 ? [...feed.jobs.keys()][0] : undefined;
  useEffect(() => {
    if (only !== undefined) replace(formatRoute({ view: "job", job: only, tab: "grid" }));
  }, [only]);

  if (feed.error.value) {
    return (
      <Empty title="The jobs cannot be shown." bad>
        {feed.error.value}
      </Empty>
    );
  }
  if (only !== undefined || !feed.loaded.value) return <Loading what="the job" />;
  if (feed.jobs.size > 0) return <Jobs feed={feed} part />;
  return origin.task_id ? (
    <Empty title="No job of this task yet">
      <p>As soon as it has handed one in, its job is shown here. Tasks without an Air-Executor operator have none,</p>
      <p>and what Airflow does not let you see of this DAG is not shown here either.</p>
    </Empty>
  ) : (
    <Empty title="No jobs of this DAG run yet">
      <p>Jobs that its tasks hand in appear here at once. DAGs without an Air-Executor operator have none,</p>
      <p>and what Airflow does not let you see of this DAG is not shown here either.</p>
    </Empty>
  );
}
