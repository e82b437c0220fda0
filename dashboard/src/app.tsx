import { useEffect, useMemo } from "preact/hooks";
import { forgetToken, hasToken } from "./api/http.ts";
import { originOf } from "./model/origin.ts";
import { formatRoute, TABS } from "./model/route.ts";
import { Button, Empty, focusSearch } from "./parts/controls.tsx";
import { ConfirmDialog, HelpDialog, TokenDialog } from "./parts/dialogs.tsx";
import { ConnectionBanner, ManagerPill, Toasts } from "./parts/status.tsx";
import { helpOpen } from "./state/dialogs.ts";
import { framed, hostTheme } from "./state/host.ts";
import { JobFeed } from "./state/job.ts";
import { go, route } from "./state/route.ts";
import { info, refreshInfo } from "./state/session.ts";
import { useShortcuts } from "./state/shortcuts.ts";
import { nextTheme, theme } from "./state/theme.ts";
import { HandedIn } from "./views/handed_in.tsx";
import { HistoryView } from "./views/history.tsx";
import { JobView } from "./views/job.tsx";
import { Overview } from "./views/overview.tsx";
import { TaskView } from "./views/task.tsx";

const INFO_EVERY_MS = 5000;
let lastJob: string | null = null;

export function App() {
  const at = route.value;
  const job = "job" in at ? at.job : null;
  if (job !== null) lastJob = job;
  const origin = at.view === "handed-in" ? originOf(at.query) : null;

  useEffect(() => {
    const listed = job === null && at.view !== "unknown";
    void refreshInfo(job);
    const timer = setInterval(() => {
      // A list's own stream brings the same facts.
      if (!document.hidden && !listed) void refreshInfo(job);
    }, INFO_EVERY_MS);
    return () => clearInterval(timer);
  }, [job]);

  useShortcuts({
    help: () => (helpOpen.value = true),
    search: focusSearch,
    goOverview: () => go({ view: "overview" }),
    ...(lastJob !== null && {
      goJob: () => go({ view: "job", job: lastJob ?? "", tab: "grid" }),
      goHistory: () => go({ view: "history", job: lastJob ?? "" }),
    }),
    ...(at.view !== "overview" && {
      back: () => {
        if (at.view === "task" || at.view === "history") go({ view: "job", job: at.job, tab: TABS[0] });
        else go({ view: "overview" });
      },
    }),
  });

  return (
    <>
      <a class="skip" href="#main" onClick={skipToMain}>
        Skip to the content
      </a>
      <TopBar />
      <ConnectionBanner />
      <main id="main" tabIndex={-1} data-view={location.hash}>
        {at.view === "overview" && <Overview />}
        {at.view === "handed-in" && (origin ? <HandedIn origin={origin} /> : <Overview />)}
        {job !== null && <JobScope key={job} name={job} />}
        {at.view === "unknown" && (
          <Empty title="There is no such view." bad>
            <a href="#/">Go to the overview</a>
          </Empty>
        )}
      </main>
      <Toasts />
      <ConfirmDialog />
      <HelpDialog />
      <TokenDialog />
    </>
  );
}

function skipToMain(event: Event): void {
  // A real jump would change the hash, which is where the view is written.
  event.preventDefault();
  document.getElementById("main")?.focus();
}

/** Job, task and history views of one job share its stream. */
function JobScope({ name }: { name: string }) {
  const feed = useMemo(() => new JobFeed(name), [name]);
  useEffect(() => () => feed.close(), [feed]);
  const at = route.value;
  if (at.view === "job") return <JobView feed={feed} tab={at.tab} query={at.query} />;
  if (at.view === "task") return <TaskView key={at.task} feed={feed} task={at.task} query={at.query} />;
  return <HistoryView feed={feed} />;
}

const THEME_ICONS = { auto: "auto", light: "sun", dark: "moon" } as const;

function TopBar() {
  const at = route.value;
  const job = "job" in at ? at.job : null;
  const origin = at.view === "handed-in" ? originOf(at.query) : null;
  return (
    <header class={`topbar ${framed ? "framed" : ""}`}>
      {!framed && (
        <a class="brand" href="#/" aria-label="Air-Executor: overview">
          <Mark />
          <span>Air-Executor</span>
        </a>
      )}
      <nav aria-label="Where you are" class="crumbs">
        <ol>
          <li>
            <a href="#/" aria-current={at.view === "overview" ? "page" : undefined}>
              {framed ? "All jobs" : "Jobs"}
            </a>
          </li>
          {origin?.run_id && (
            <li>
              <span aria-current="page" title={`${origin.dag_id}, ${origin.run_id}`}>
                {origin.task_id ?? origin.run_id}
              </span>
            </li>
          )}
          {job !== null && (
            <li>
              <a
                href={formatRoute({ view: "job", job, tab: "grid" })}
                aria-current={at.view === "job" ? "page" : undefined}
                title={job}
              >
                {job}
              </a>
            </li>
          )}
          {at.view === "task" && (
            <li>
              <span aria-current="page" title={at.task}>
                {at.task}
              </span>
            </li>
          )}
          {at.view === "history" && (
            <li>
              <span aria-current="page">History</span>
            </li>
          )}
        </ol>
      </nav>
      {info.value?.sections?.length ? (
        <nav aria-label="Further parts" class="sections">
          {info.value.sections.map(({ title, href }) => (
            <a key={href} href={sameOrigin(href)}>
              {title}
            </a>
          ))}
        </nav>
      ) : null}
      <div class="topbar-end">
        <ManagerPill />
        {hasToken() && <Button icon="lock" kind="quiet" label="Sign out: forget the token" onClick={forgetToken} />}
        {hostTheme.value === null && (
          <Button
            icon={THEME_ICONS[theme.value]}
            kind="quiet"
            label={`Colours: ${theme.value === "auto" ? "as the system" : theme.value}. Change`}
            onClick={nextTheme}
          />
        )}
        <Button icon="help" kind="quiet" label="Keys" onClick={() => (helpOpen.value = true)} />
      </div>
    </header>
  );
}

/** A part of this server may only be somewhere on this server. */
function sameOrigin(href: string): string {
  try {
    const url = new URL(href, document.baseURI);
    return url.origin === location.origin ? url.href : "#/";
  } catch {
    return "#/";
  }
}

function Mark() {
  return (
    <svg viewBox="0 0 18 18" width="18" height="18" aria-hidden="true" class="mark">
      <path d="M1 1h4.6v4.6H1zM6.7 1h4.6v4.6H6.7zM1 6.7h4.6v4.6H1z" />
      <path class="faint" d="M12.4 1H17v4.6h-4.6zM6.7 6.7h4.6v4.6H6.7zM1 12.4h4.6V17H1z" />
    </svg>
  );
}

