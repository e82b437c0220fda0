import assert from "node:assert/strict";
import { test } from "node:test";
import { Cells } from "../src/model/cells.ts";

test("runs change cells and add new ones", () => {
  const cells = new Cells();
  cells.replace(new Uint8Array([0, 0, 0]));
  cells.apply([
    [1, 1, 2],
    [3, 5000, 0],
    [5002, 1, 3],
  ]);
  assert.equal(cells.length, 5003);
  assert.deepEqual([...cells.codes.subarray(0, 4)], [0, 2, 0, 0]);
  assert.equal(cells.at(5002), 3);
  assert.equal(cells.at(5003), 0);
});

test("what was changed is told, and applying it twice harms nothing", () => {
  const cells = new Cells();
  const told: [number, number][] = [];
  cells.listeners.add((first, count) => told.push([first, count]));
  cells.replace(new Uint8Array(10));
  cells.apply([[4, 2, 1]]);
  cells.apply([[4, 2, 1]]);
  assert.deepEqual(told, [
    [0, -1],
    [4, 2],
    [4, 2],
  ]);
  assert.equal(cells.length, 10);
});

test("what makes no sense is left out", () => {
  const cells = new Cells();
  cells.apply([
    [-1, 4, 2],
    [0, 0, 2],
  ]);
  assert.equal(cells.length, 0);
});
