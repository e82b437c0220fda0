import assert from "node:assert/strict";
import { test } from "node:test";
import { layers } from "../src/model/layers.ts";

test("what depends on something stands right of it, and no two share a place", () => {
  const edges: [number, number][] = [
    [0, 1],
    [0, 2],
    [1, 3],
    [2, 3],
    [0, 3],
    [4, 3],
  ];
  const placed = layers([0, 1, 2, 3, 4], edges);
  for (const [from, to] of edges) assert.ok((placed.get(from)?.layer ?? 9) < (placed.get(to)?.layer ?? 0));
  const places = [...placed.values()].map(({ layer, slot }) => `${layer}/${slot}`);
  assert.equal(new Set(places).size, 5);
});

test("neighbours stand side by side", () => {
  const nodes = [0, 1, 2, 3, 4, 5];
  const placed = layers(nodes, [
    [0, 5],
    [1, 4],
    [2, 3],
  ]);
  for (const [from, to] of [
    [0, 5],
    [1, 4],
    [2, 3],
  ] as const) {
    assert.equal(placed.get(from)?.slot, placed.get(to)?.slot);
  }
});

test("a cycle does not hang it", () => {
  assert.equal(
    layers(
      [0, 1],
      [
        [0, 1],
        [1, 0],
      ],
    ).size,
    2,
  );
});
