import { useRef } from "preact/hooks";
import { jobPath } from "../api/http.ts";
import type { Graph } from "../api/types.ts";
import { plural } from "../model/format.ts";
import { layers } from "../model/layers.ts";
import { formatRoute } from "../model/route.ts";
import { cellState, codeState } from "../model/states.ts";
import { Empty, Loading } from "../parts/controls.tsx";
import { Glyph } from "../parts/glyph.tsx";
import type { JobFeed } from "../state/job.ts";
import { usePolled } from "../state/polling.ts";
import { useShortcuts } from "../state/shortcuts.ts";

const WIDTH = 168;
const HEIGHT = 30;
const ACROSS = 56;
const DOWN = 10;

/** What waits for what, left to right. Reasonable up to the 200 tasks the server gives. */
export function GraphTab({ feed }: { feed: JobFeed }) {
  const total = feed.job.value?.total_tasks ?? 0;
  const graph = usePolled<Graph>(`${jobPath(feed.name)}/graph`, `${total} ${feed.job.value?.id}`, 2000);
  const figure = useRef<HTMLDivElement>(null);
  const step = (by: number) => {
    const links = [...(figure.current?.querySelectorAll<SVGAElement>("a") ?? [])];
    const at = links.indexOf(document.activeElement as unknown as SVGAElement);
    links[at < 0 ? 0 : Math.min(links.length - 1, Math.max(0, at + by))]?.focus();
  };
  useShortcuts({ down: () => step(1), up: () => step(-1) });
  if (graph.status === 413) {
    return (
      <Empty title={`${plural(total, "task")} are too many for a drawing.`}>
        It shows up to 200. The <a href={formatRoute({ view: "job", job: feed.name, tab: "grid" })}>grid</a> and the{" "}
        <a href={formatRoute({ view: "job", job: feed.name, tab: "list" })}>list</a> hold any number.
      </Empty>
    );
  }
  if (!graph.value) {
    return graph.error ? (
      <Empty title="The graph cannot be read." bad>
        {graph.error}
      </Empty>
    ) : (
      <Loading what="the graph" />
    );
  }
  const { nodes, edges } = graph.value;
  if (nodes.length === 0) return <Empty title="No tasks yet" />;
  return (
    <>
      <p class="under-tabs faint">
        {plural(nodes.length, "task")}, {plural(edges.length, "dependency", "dependencies")}
        {edges.length === 0 && ": all of them may run at once, in any order"}.
      </p>
      <div class="panel graph" ref={figure} tabIndex={0} role="group" aria-label="Graph of the tasks">
        {edges.length > 0 ? (
          <Drawing feed={feed} graph={graph.value} />
        ) : (
          <div class="graph-flat">
            {nodes.map((node) => (
              <a key={node.n} href={formatRoute({ view: "task", job: feed.name, task: node.id })} title={node.id}>
                <Glyph state={stateNow(feed, node)} label={stateNow(feed, node)} />
                <span>{node.id}</span>
              </a>
            ))}
          </div>
        )}
      </div>
    </>
  );
}

function stateNow(feed: JobFeed, node: Graph["nodes"][number]) {
  feed.version.value;
  if (feed.gridLoaded.value && node.n < feed.cells.length) return codeState(feed.cells.at(node.n));
  return cellState(node.status, node.reason);
}

function Drawing({ feed, graph }: { feed: JobFeed; graph: Graph }) {
  const placed = layers(
    graph.nodes.map(({ n }) => n),
    graph.edges,
  );
  const places = [...placed.values()];
  const deepest = Math.max(...places.map(({ layer }) => layer));
  const perLayer = new Map<number, number>();
  for (const { layer } of places) perLayer.set(layer, (perLayer.get(layer) ?? 0) + 1);
  const most = Math.max(...perLayer.values());
  const [width, height] = [(deepest + 1) * (WIDTH + ACROSS) - ACROSS + 24, most * (HEIGHT + DOWN) - DOWN + 24];
  const at = (n: number): [number, number] => {
    const { layer, slot } = placed.get(n) ?? { layer: 0, slot: 0 };
    const shorter = most - (perLayer.get(layer) ?? 0);
    return [12 + layer * (WIDTH + ACROSS), 12 + (slot + shorter / 2) * (HEIGHT + DOWN)];
  };
  return (
    <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
      <g class="edges" aria-hidden="true">
        {graph.edges.map(([from, to]) => {
          const [[x1, y1], [x2, y2]] = [at(from), at(to)];
          const [a, b, bend] = [x1 + WIDTH, x2, ACROSS / 2];
          const [ya, yb] = [y1 + HEIGHT / 2, y2 + HEIGHT / 2];
          return (
            <path key={`${from}-${to}`} d={`M${a} ${ya}C${a + bend} ${ya} ${b - bend} ${yb} ${b} ${yb}`} />
          );
        })}
      </g>
      {[...graph.nodes]
        .sort((a, b) => at(a.n)[0] - at(b.n)[0] || at(a.n)[1] - at(b.n)[1])
        .map((node) => {
          const [x, y] = at(node.n);
          const state = stateNow(feed, node);
          return (
            <a
              key={node.n}
              href={formatRoute({ view: "task", job: feed.name, task: node.id })}
              aria-label={`${node.id}: ${state}`}
            >
              <title>{`${node.id}: ${state}`}</title>
              <g transform={`translate(${x} ${y})`} class={`node s-${state}`}>
                <rect width={WIDTH} height={HEIGHT} rx="6" />
                <svg x="8" y="7" width="16" height="16">
                  <Glyph state={state} />
                </svg>
                <text x="30" y="19">
                  {node.id.length > 20 ? `${node.id.slice(0, 19)}…` : node.id}
                </text>
              </g>
            </a>
          );
        })}
    </svg>
  );
}
