/** Which jobs of Airflow a view is about: all of a DAG, of one run of it, or the one of a task of that run. */

export interface Origin {
  dag_id: string;
  run_id?: string;
  task_id?: string;
  map_index?: number;
}

/** What Airflow wrote into the address. A place it had nothing for still reads `{MAP_INDEX}`. */
export function originOf(query: Record<string, string>): Origin | null {
  const text = (key: string) => (query[key] && !/^\{[A-Z_]+\}$/.test(query[key]) ? query[key] : undefined);
  const [dag_id, run_id, task_id] = [text("dag_id"), text("run_id"), text("task_id")];
  if (!dag_id) return null;
  if (!run_id) return { dag_id };
  if (!task_id) return { dag_id, run_id };
  const index = Number(text("map_index") ?? -1);
  return { dag_id, run_id, task_id, map_index: Number.isInteger(index) ? index : -1 };
}

/** As the server wants to hear it. */
export function originText(origin: Origin): string {
  return JSON.stringify({ airflow: origin });
}

/** What Airflow's users call a job: by the task that handed it in. Null for jobs that no task did. */
export function labelOf(origin: Record<string, unknown> | null | undefined): { task: string; run: string } | null {
  const airflow = origin?.airflow;
  if (!airflow || typeof airflow !== "object") return null;
  const { dag_id, run_id, task_id, map_index } = airflow as Record<string, unknown>;
  if (typeof dag_id !== "string" || typeof task_id !== "string") return null;
  const index = typeof map_index === "number" && map_index >= 0 ? ` [${map_index}]` : "";
  return { task: `${task_id}${index}`, run: typeof run_id === "string" ? `${dag_id}, ${run_id}` : dag_id };
}
