/** What can be done to jobs and tasks: who may, when it makes sense, the question before, the request, the report. */
import { jobPath, post } from "../api/http.ts";
import type { Job, JobDetail } from "../api/types.ts";
import { count, plural } from "../model/format.ts";
import { hasEnded } from "../model/states.ts";
import { confirmed } from "./dialogs.ts";
import { attempt, readOnly } from "./session.ts";

type AnyJob = Pick<Job | JobDetail, "name" | "state" | "running" | "pending" | "failed" | "paused" | "open">;

export interface Action {
  label: string;
  /** Why it cannot be done now; null when it can. */
  disabled: string | null;
  danger?: boolean;
  run: () => Promise<void>;
}

function because(...reasons: (string | false | null)[]): string | null {
  return readOnly.value ?? (reasons.find((reason): reason is string => Boolean(reason)) || null);
}

export function cancelJob(job: AnyJob): Action {
  return {
    label: "Cancel",
    danger: true,
    disabled: because(hasEnded(job.state) && "The job has ended."),
    run: async () => {
      const yes = await confirmed({
        title: `Cancel ${job.name}?`,
        text: `${plural(job.running, "running task")} will be stopped, ${count(job.pending)} waiting will not be started.`,
        action: "Cancel the job",
        danger: true,
      });
      if (yes) await attempt(() => post(`${jobPath(job.name)}/cancel`), `Cancelling ${job.name}.`);
    },
  };
}

export function pauseJob(job: AnyJob): Action {
  const verb = job.paused ? "resume" : "pause";
  return {
    label: job.paused ? "Resume" : "Pause",
    disabled: because(hasEnded(job.state) && "The job has ended."),
    run: async () => {
      const yes =
        job.paused ||
        (await confirmed({
          title: `Pause ${job.name}?`,
          text: `No further task is started until you resume it. ${plural(job.running, "running task")} will go on.`,
          action: "Pause the job",
        }));
      const done = job.paused ? `${job.name} goes on.` : `${job.name} is paused.`;
      if (yes) await attempt(() => post(`${jobPath(job.name)}/${verb}`), done);
    },
  };
}

export function closeJob(job: AnyJob): Action {
  return {
    label: "Close",
    disabled: because(!job.open && "The job is not open.", hasEnded(job.state) && "The job has ended."),
    run: async () => {
      const yes = await confirmed({
        title: `Close ${job.name}?`,
        text: "It takes no more tasks from outside and ends when nothing of it is left.",
        action: "Close the job",
      });
      if (yes) await attempt(() => post(`${jobPath(job.name)}/close`), `${job.name} is closed.`);
    },
  };
}

export function retryFailed(job: AnyJob): Action {
  return {
    label: "Retry failed",
    disabled: because(job.failed === 0 && "Nothing has failed."),
    run: async () => {
      const yes = await confirmed({
        title: `Retry all failed tasks of ${job.name}?`,
        text: `${plural(job.failed, "task")} that failed, were skipped or were cancelled get another go.`,
        action: "Retry them",
      });
      if (yes) await attempt(() => post(`${jobPath(job.name)}/retry`), `Retrying ${plural(job.failed, "task")}.`);
    },
  };
}

export function retryTasks(job: string, ids: readonly string[], done?: () => void): Action {
  return {
    label: ids.length > 1 ? `Retry ${count(ids.length)}` : "Retry",
    disabled: because(ids.length === 0 && "No failed task is selected."),
    run: async () => {
      const yes = await confirmed({
        title: ids.length === 1 ? `Retry ${ids[0]}?` : `Retry ${plural(ids.length, "task")}?`,
        text: "Failed tasks get another go; what was skipped because of them comes back with them.",
        action: "Retry",
      });
      if (!yes) return;
      const text = ids.length === 1 ? `Retrying ${ids[0]}.` : `Retrying ${plural(ids.length, "task")}.`;
      if (await attempt(() => post(`${jobPath(job)}/retry`, { tasks: ids }), text)) done?.();
    },
  };
}

/** Tasks whose ids are only asked for when they are to be retried. */
export function retryMany(job: string, how: number, ids: () => Promise<string[]>): Action {
  return {
    label: `Retry ${count(how)}`,
    disabled: because(false),
    run: async () => {
      const yes = await confirmed({
        title: `Retry ${plural(how, "task")}?`,
        text: "Failed tasks get another go; what was skipped because of them comes back with them.",
        action: "Retry",
      });
      if (!yes) return;
      const retry = async () => post(`${jobPath(job)}/retry`, { tasks: await ids() });
      await attempt(retry, `Retrying ${plural(how, "task")}.`);
    },
  };
}

export function cancelTasks(job: string, ids: readonly string[], done?: () => void): Action {
  return {
    label: ids.length > 1 ? `Cancel ${count(ids.length)}` : "Cancel",
    danger: true,
    disabled: because(ids.length === 0 && "No task that has yet to end is selected."),
    run: async () => {
      const yes = await confirmed({
        title: ids.length === 1 ? `Cancel ${ids[0]}?` : `Cancel ${plural(ids.length, "task")}?`,
        text: "Running ones are stopped with all their processes, waiting ones are not started.",
        action: ids.length === 1 ? "Cancel the task" : "Cancel them",
        danger: true,
      });
      if (!yes) return;
      const body = ids.length === 1 ? { task: ids[0] } : { tasks: ids };
      const text = ids.length === 1 ? `Cancelling ${ids[0]}.` : `Cancelling ${plural(ids.length, "task")}.`;
      if (await attempt(() => post(`${jobPath(job)}/cancel`, body), text)) done?.();
    },
  };
}
