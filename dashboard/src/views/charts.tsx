import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { errorText, getResponse, jobPath } from "../api/http.ts";
import type { JobDetail, Series, Spread } from "../api/types.ts";
import { count, duration, megabytes, rate } from "../model/format.ts";
import { sinceStart, tickStep } from "../model/ticks.ts";
import { Button, Empty, Loading } from "../parts/controls.tsx";
import type { JobFeed } from "../state/job.ts";
import { usePolled } from "../state/polling.ts";
import { toast } from "../state/session.ts";
import { colour, paletteVersion } from "../state/theme.ts";

export function ChartsTab({ feed, job }: { feed: JobFeed; job: JobDetail }) {
  const series = usePolled<Series>(`${jobPath(feed.name)}/series`, job.updated_at, 2000);
  const data = series.value;
  const rates = useMemo(() => (data ? ended(data) : { t: [], rate: [] }), [data]);
  return (
    <div class="charts">
      <div class="under-tabs toolbar">
        <span class="faint">How the job grew and ran, in time from its start.</span>
        <span class="buttons">
          {(["svg", "png"] as const).map((kind) => (
            <Button key={kind} icon="download" onClick={() => void download(feed.name, kind)}>
              {kind.toUpperCase()}
            </Button>
          ))}
        </span>
      </div>
      {!data && series.error && (
        <Empty title="The series cannot be read." bad>
          {series.error}
        </Empty>
      )}
      {!data && !series.error && <Loading what="charts" />}
      {data && data.t.length < 2 && <Empty title="Nothing to draw yet">Lines need a second or two of a job.</Empty>}
      {data && data.t.length >= 2 && (
        <>
          <Chart
            title="Tasks"
            t={data.t}
            lines={[
              { label: "total", token: "--muted", values: data.total, dash: [5, 4], stepped: true },
              { label: "completed", token: "--fill-completed", values: data.completed, area: true, stepped: true },
              { label: "failed", token: "--fill-failed", values: data.failed, dash: [2, 2], stepped: true },
            ]}
            format={count}
          />
          <div class="chart-pair">
            <Chart
              title="Running at once"
              t={data.t}
              lines={[{ label: "running", token: "--fill-running", values: data.running, area: true, stepped: true }]}
              format={count}
            />
            <Chart
              title="Ended per second"
              t={rates.t}
              lines={[{ label: "rate", token: "--accent", values: rates.rate, area: true }]}
              format={(value) => (value ? rate(value) : "0")}
            />
          </div>
        </>
      )}
      <Measures job={job} />
    </div>
  );
}

const RATE_POINTS = 120;

/**
 * Tasks that ended per second, at even distances: the series has points only where something changed. Each is over a
 * stretch long enough to be calm.
 */
function ended({ t, completed, failed }: Series): { t: number[]; rate: number[] } {
  const [first, last] = [t[0] ?? 0, t.at(-1) ?? 0];
  const step = Math.max(0.25, (last - first) / RATE_POINTS);
  const stretch = Math.max(1, 2 * step);
  const done: number[] = [];
  const times: number[] = [];
  let at = 0;
  for (let time = first; time <= last; time += step) {
    while (at + 1 < t.length && (t[at + 1] ?? 0) <= time) at += 1;
    times.push(time);
    done.push((completed[at] ?? 0) + (failed[at] ?? 0));
  }
  const back = Math.round(stretch / step);
  const rates = done.map((count, i) => Math.max(0, count - (done[i - back] ?? 0)) / stretch);
  return { t: times, rate: rates };
}

interface Line {
  label: string;
  token: string;
  values: number[];
  dash?: number[];
  area?: boolean;
  /** Values that hold until the next one, instead of what passes from one to the other. */
  stepped?: boolean;
}

interface ChartProps {
  title: string;
  t: number[];
  lines: Line[];
  format: (value: number | null) => string;
}

function Chart({ title, t, lines, format }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [palette, setPalette] = useState(0);
  useEffect(() => paletteVersion.subscribe(setPalette), []);
  const began = t[0] ?? 0;
  const points = [t.map((time) => time - began), ...lines.map(({ values }) => values)] as uPlot.AlignedData;
  const latest = useRef(points);
  latest.current = points;

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    let gone = false;
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: 210 }));
    void import("uplot").then(({ default: UPlot }) => {
      if (gone) return;
      plot.current = new UPlot(options(UPlot, element.clientWidth, lines, format), latest.current, element);
      observer.observe(element);
    });
    return () => {
      gone = true;
      observer.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [palette]);
  useEffect(() => plot.current?.setData(points), [t]);

  const last = lines.map(({ label, values }) => `${label} ${format(values.at(-1) ?? null)}`).join(", ");
  return (
    <figure class="panel chart">
      <figcaption>
        <b>{title}</b>
        {lines.length > 1 && (
          <span class="legend">
            {lines.map(({ label, token, dash, values }) => (
              <span key={label}>
                <svg viewBox="0 0 18 4" width="18" height="4" aria-hidden="true">
                  <line x1="0" x2="18" y1="2" y2="2" style={{ stroke: `var(${token})` }} stroke-dasharray={dash?.join(" ")} />
                </svg>
                {label} <span class="num">{format(values.at(-1) ?? null)}</span>
              </span>
            ))}
          </span>
        )}
      </figcaption>
      <div ref={place} role="img" aria-label={`${title}: at the end ${last}`} />
    </figure>
  );
}

function options(
  UPlot: typeof uPlot,
  width: number,
  lines: Line[],
  format: ChartProps["format"],
): uPlot.Options {
  const stepped = UPlot.paths.stepped?.({ align: 1 });
  const axis = {
    stroke: colour("--muted"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
    font: "11px system-ui, sans-serif",
  };
  const time = (_: unknown, values: number[]) => {
    const step = values.length > 1 ? (values[1] ?? 0) - (values[0] ?? 0) : tickStep(1, width);
    return values.map((value) => sinceStart(value, step));
  };
  return {
    width,
    height: 210,
    legend: { show: false },
    padding: [10, 12, 0, 0],
    cursor: { points: { size: 6 }, drag: { x: true, y: false } },
    scales: { x: { time: false }, y: { range: (_, __, max) => [0, Math.max(1, max * 1.08)] } },
    axes: [
      { ...axis, space: 70, size: 28, values: time },
      { ...axis, size: 58, values: (_: unknown, values: number[]) => values.map((value) => format(value)) },
    ],
    series: [
      {},
      ...lines.map((line) => ({
        label: line.label,
        stroke: colour(line.token),
        width: 1.6,
        points: { show: false },
        ...(line.stepped && stepped && { paths: stepped }),
        ...(line.dash && { dash: line.dash }),
        ...(line.area && { fill: `${colour(line.token)}22` }),
      })),
    ],
  };
}

function Measures({ job }: { job: JobDetail }) {
  const rows: [string, Spread | null, (value: number | null | undefined) => string][] = [
    ["Run time of a task", job.run_time_s, duration],
    ["Wait in the queue", job.queue_time_s, duration],
    ["CPU time", job.cpu_s, duration],
    ["Peak memory", job.memory_mb, megabytes],
  ];
  const known = rows.filter(([, spread]) => spread);
  if (!known.length) return null;
  return (
    <div class="panel table-panel measures">
      <table>
        <caption>What tasks took</caption>
        <thead>
          <tr>
            <th scope="col">Measure</th>
            <th scope="col" class="num">
              Mean
            </th>
            <th scope="col" class="num">
              Half below
            </th>
            <th scope="col" class="num">
              90% below
            </th>
            <th scope="col" class="num">
              99% below
            </th>
            <th scope="col" class="num">
              Most
            </th>
          </tr>
        </thead>
        <tbody>
          {known.map(([label, spread, format]) => (
            <tr key={label}>
              <th scope="row">{label}</th>
              {[spread?.mean, spread?.p50, spread?.p90, spread?.p99, spread?.max].map((value, i) => (
                <td key={i} class="num">
                  {format(value)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** By a request of our own, since a plain link could not carry the token. */
async function download(job: string, kind: "svg" | "png"): Promise<void> {
  try {
    const response = await getResponse(`${jobPath(job)}/chart.${kind}`);
    const url = URL.createObjectURL(await response.blob());
    const link = document.createElement("a");
    link.href = url;
    link.download = `${job}.${kind}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  } catch (error) {
    toast(`No chart: ${errorText(error)}`, true);
  }
}
