/** What is told at the edge of every view: connection, manager, messages. */
import { duration, epoch, plural } from "../model/format.ts";
import { now } from "../state/clock.ts";
import { inAirflow } from "../state/host.ts";
import { route } from "../state/route.ts";
import { connection, dismiss, info, readOnly, toasts } from "../state/session.ts";
import { Icon } from "./glyph.tsx";

/** Stands over the page while the stream is down; the stream itself comes back on its own. */
export function ConnectionBanner() {
  const at = connection.value;
  return (
    <div class="banner-place" role="status" aria-live="polite">
      {at.state === "lost" && (
        <div class="banner">
          <Icon name="warn" />
          <span>
            <strong>Connection lost</strong> for {whole(Math.max(1, now.value - at.since / 1000))}. What
            you see is the last known state; trying again
            {at.retryAt && at.retryAt / 1000 - now.value > 1
              ? ` in ${whole(at.retryAt / 1000 - now.value)}`
              : " now"}
            .{at.why && ` The server says: ${at.why}.`}
          </span>
        </div>
      )}
    </div>
  );
}

/** In whole seconds: it is counted, not measured. */
function whole(seconds: number): string {
  return seconds < 60 ? `${Math.round(seconds)} s` : duration(seconds);
}

export function ManagerPill() {
  const facts = info.value;
  const lost = connection.value.state === "lost";
  const live = connection.value.state === "live";
  return (
    <div class="pills">
      {facts && !facts.write && (!inAirflow || "job" in route.value) && (
        <span class="pill" title={readOnly.value ?? undefined}>
          <Icon name="lock" />
          <span>Read only</span>
        </span>
      )}
      {facts && !facts.manager && (
        <span class="pill warn" title="No manager is running on this folder, so no task starts. Start one: air-executor start">
          <Icon name="warn" />
          <span>No manager</span>
        </span>
      )}
      <span
        class={`pill connection ${lost ? "bad" : live ? "good" : ""}`}
        title={facts ? `Air-Executor ${facts.version}${facts.base && ` on ${facts.base}`}` : undefined}
      >
        <i aria-hidden="true" />
        <span>{lost ? "Offline" : live ? "Live" : "Connecting"}</span>
      </span>
    </div>
  );
}

export function managerText(): { title: string; detail: string } {
  const manager = info.value?.manager;
  if (!info.value) return { title: "–", detail: "" };
  if (!manager) return { title: "Not running", detail: "Nothing starts until air-executor start" };
  const since = epoch(manager.started_at);
  return {
    title: "Running",
    detail: [
      since && `for ${uptime(now.value - since)}`,
      // Inside Airflow not everybody is told on which machine it is.
      manager.host && `on ${manager.host}, pid ${manager.pid}`,
    ]
      .filter(Boolean)
      .join(" "),
  };
}

/** In whole minutes, so that the figure stands still. */
function uptime(seconds: number): string {
  return seconds < 60 ? "under a minute" : duration(Math.floor(seconds / 60) * 60);
}

export function slotsText(): string {
  const facts = info.value;
  if (!facts) return "";
  const slots = facts.manager?.slots ?? facts.slots;
  return slots ? `of ${plural(slots, "slot")}` : "running";
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map(({ id, text, bad }) => (
        <div key={id} class={`toast ${bad ? "bad" : ""}`}>
          <span>{text}</span>
          <button type="button" class="button quiet only-icon" aria-label="Dismiss" onClick={() => dismiss(id)}>
            <Icon name="close" />
          </button>
        </div>
      ))}
    </div>
  );
}
