import type { JobDetail } from "../api/types.ts";
import { clock, count, duration } from "../model/format.ts";
import { formatRoute } from "../model/route.ts";
import { reasonText } from "../model/states.ts";
import { Bar } from "../parts/bar.tsx";
import { CopyButton, Fact } from "../parts/controls.tsx";
import { Icon } from "../parts/glyph.tsx";

export function DetailsTab({ job }: { job: JobDetail }) {
  const groups = Object.entries(job.groups).filter(([name]) => name !== "");
  const options = Object.entries(job.options);
  const link = (id: string) => (
    <a href={formatRoute({ view: "task", job: job.name, task: id })} title={id}>
      {id}
    </a>
  );
  return (
    <div class="details">
      {job.warnings.length > 0 && (
        <section class="panel">
          <h2>Warnings</h2>
          <ul class="plain-list">
            {job.warnings.map((text) => (
              <li key={text} class="with-icon">
                <Icon name="warn" />
                <span>{text}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
      <section class="panel">
        <h2>Run</h2>
        <dl class="facts-list">
          <Fact label="Id">
            <code>{job.id ?? "–"}</code>
            {job.id && <CopyButton text={job.id} label="Copy the id" />}
          </Fact>
          <Fact label="Created">{clock(job.created_at)}</Fact>
          <Fact label="Last change">{clock(job.updated_at)}</Fact>
          <Fact label="State">
            {job.state}
            {reasonText(job.reason) && ` (${reasonText(job.reason)})`}
          </Fact>
          <Fact label="Earlier runs">
            {job.runs ? <a href={formatRoute({ view: "history", job: job.name })}>{count(job.runs)}</a> : "none"}
          </Fact>
          <Fact label="Repeated attempts">{count(job.retries)}</Fact>
        </dl>
      </section>
      <section class="panel">
        <h2>Options</h2>
        {options.length === 0 && <p class="faint">None were given: all slots, no deadline, no failures allowed.</p>}
        <dl class="facts-list">
          {options.map(([key, value]) => (
            <Fact key={key} label={key}>
              <code>{typeof value === "string" ? value : JSON.stringify(value)}</code>
            </Fact>
          ))}
        </dl>
      </section>
      {groups.length > 0 && (
        <section class="panel table-panel">
          <table>
            <caption>Groups</caption>
            <thead>
              <tr>
                <th scope="col">Group</th>
                <th scope="col">Progress</th>
                <th scope="col" class="num">
                  Pending
                </th>
                <th scope="col" class="num">
                  Running
                </th>
                <th scope="col" class="num">
                  Completed
                </th>
                <th scope="col" class="num">
                  Failed
                </th>
              </tr>
            </thead>
            <tbody>
              {groups.map(([name, counts]) => (
                <tr key={name}>
                  <th scope="row">
                    <a href={formatRoute({ view: "job", job: job.name, tab: "list" }, { group: name })}>{name}</a>
                  </th>
                  <td class="cell-progress">
                    <div>
                      <Bar counts={{ ...counts, total_tasks: 0 }} />
                    </div>
                  </td>
                  <td class="num">{count(counts.pending)}</td>
                  <td class="num">{count(counts.running)}</td>
                  <td class="num">{count(counts.completed)}</td>
                  <td class="num">{count(counts.failed)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      {job.running_tasks.length > 0 && (
        <section class="panel">
          <h2>Running longest</h2>
          <ul class="plain-list">
            {job.running_tasks.map((task) => (
              <li key={task.id}>
                {link(task.id)}
                <span class="faint"> since {clock(task.started_at)}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
      {job.recently_completed.length > 0 && (
        <section class="panel">
          <h2>Completed last</h2>
          <ul class="plain-list">
            {job.recently_completed.map((task) => (
              <li key={task.id}>
                {link(task.id)}
                <span class="faint">
                  {" "}
                  {clock(task.completed_at)}
                  {task.run_s != null ? `, took ${duration(task.run_s)}` : ""}
                </span>
              </li>
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}
