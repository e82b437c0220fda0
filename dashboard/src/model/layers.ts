/** A layered drawing of a dependency graph: what depends on something stands right of it. */

export interface Placed {
  /** Layer and place within it, from 0. */
  layer: number;
  slot: number;
}

/**
 * Layer = longest way from a task without dependencies; within a layer, tasks stand near what they are joined to
 * (the mean of their neighbours' places, swept forth and back a few times). Cycles do not occur: they are refused when
 * tasks are handed in; should one be there, its edges back are not followed.
 */
export function layers(nodes: readonly number[], edges: readonly (readonly [number, number])[]): Map<number, Placed> {
  const before = neighbours(nodes, edges, 1, 0);
  const after = neighbours(nodes, edges, 0, 1);
  const layerOf = new Map<number, number>();
  const open = new Set<number>();
  const depth = (n: number): number => {
    const known = layerOf.get(n);
    if (known !== undefined) return known;
    if (open.has(n)) return -1;
    open.add(n);
    let deepest = 0;
    for (const m of before.get(n) ?? []) deepest = Math.max(deepest, depth(m) + 1);
    open.delete(n);
    layerOf.set(n, deepest);
    return deepest;
  };
  for (const n of nodes) depth(n);

  const rows: number[][] = [];
  for (const n of nodes) (rows[layerOf.get(n) ?? 0] ??= []).push(n);
  const slot = new Map<number, number>();
  const renumber = (row: number[]) => row.forEach((n, index) => slot.set(n, index - (row.length - 1) / 2));
  rows.forEach(renumber);
  for (let sweep = 0; sweep < 6; sweep++) {
    const [order, joined] = sweep % 2 ? [[...rows].reverse(), after] : [rows, before];
    for (const row of order) {
      const mean = new Map(row.map((n) => [n, meanOf(joined.get(n) ?? [], slot) ?? slot.get(n) ?? 0]));
      row.sort((a, b) => (mean.get(a) ?? 0) - (mean.get(b) ?? 0));
      renumber(row);
    }
  }
  const placed = new Map<number, Placed>();
  rows.forEach((row, layer) => row.forEach((n, index) => placed.set(n, { layer, slot: index })));
  return placed;
}

function neighbours(
  nodes: readonly number[],
  edges: readonly (readonly [number, number])[],
  of: 0 | 1,
  to: 0 | 1,
): Map<number, number[]> {
  const found = new Map<number, number[]>(nodes.map((n) => [n, []]));
  for (const edge of edges) if (found.has(edge[to])) found.get(edge[of])?.push(edge[to]);
  return found;
}

function meanOf(nodes: number[], slot: Map<number, number>): number | undefined {
  if (!nodes.length) return undefined;
  return nodes.reduce((sum, n) => sum + (slot.get(n) ?? 0), 0) / nodes.length;
}
