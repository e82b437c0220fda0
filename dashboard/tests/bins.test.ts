import assert from "node:assert/strict";
import { test } from "node:test";
import { cellAt, closeUp, layOut, look, tally, tasksOf, unpack } from "../src/model/bins.ts";

const SIZES = [1, 2, 7, 99, 1_237, 74_000, 74_401, 99_999, 1_000_000];
const PLACES = [
  [1320, 560, 1],
  [366, 420, 2],
  [1320, 560, 1.5],
  [40, 30, 1],
] as const;

test("every task has one place, and the place leads back to it", () => {
  for (const [width, height, ratio] of PLACES) {
    for (const count of SIZES) {
      const layout = layOut(count, width, height, ratio);
      const cells = Math.ceil(count / layout.per);
      assert.ok(layout.capacity >= count, `${count} in ${width}×${height}`);
      assert.ok(layout.cols * layout.pitch <= Math.max(width * ratio, layout.pitch));
      assert.ok(layout.rows * layout.pitch <= Math.max(height * ratio, layout.pitch));
      for (const cell of [0, Math.floor(cells / 2), cells - 1]) {
        const x = (cell % layout.cols) * layout.pitch + layout.pitch / 2;
        const y = Math.floor(cell / layout.cols) * layout.pitch + layout.pitch / 2;
        assert.equal(cellAt(layout, x, y, count), cell);
        const [from, to] = tasksOf(layout, cell, count);
        assert.ok(from < to && to <= count);
      }
      assert.equal(tasksOf(layout, cells - 1, count)[1], count);
    }
  }
});

test("a task has a cell of its own as long as cells can be seen", () => {
  assert.equal(layOut(1, 1320, 560).pitch, 24);
  assert.equal(layOut(70_000, 1320, 560).per, 1);
  const million = layOut(1_000_000, 1320, 560);
  assert.equal(million.pitch, 3);
  assert.equal(million.per, Math.ceil(1_000_000 / (440 * 186)));
});

test("nothing lies beside and behind the cells", () => {
  const layout = layOut(10, 240, 240);
  assert.equal(cellAt(layout, -1, 5, 10), -1);
  assert.equal(cellAt(layout, layout.cols * layout.pitch + 1, 5, 10), -1);
  assert.equal(cellAt(layout, 5, layout.rows * layout.pitch + 1, 10), -1);
  assert.equal(cellAt({ ...layout, cols: 4, rows: 3 }, 3.5 * layout.pitch, 2.5 * layout.pitch, 10), -1);
});

test("one failure among many shows, unless another state is asked for", () => {
  const codes = new Uint8Array(1000).fill(2);
  const seen = (from: number, to: number, wanted?: number) => unpack(look(codes, from, to, wanted));
  assert.deepEqual(seen(0, 1000), { code: 2, base: 0, level: 0 });
  codes[10] = 0;
  assert.deepEqual(seen(0, 1000), { code: 0, base: 2, level: 3 });
  codes[500] = 1;
  assert.equal(seen(0, 1000).code, 1);
  codes[999] = 3;
  assert.deepEqual(seen(0, 1000), { code: 3, base: 2, level: 3 });
  assert.equal(seen(0, 999).code, 1);
  assert.deepEqual(seen(0, 1000, 0), { code: 0, base: 2, level: 3 });
  assert.equal(seen(0, 1000, 5).code, 3);
  assert.deepEqual(seen(999, 1000), { code: 3, base: 0, level: 0 });
  assert.deepEqual(tally(codes, 0, 1000), [1, 1, 997, 1, 0, 0]);
});

test("the more of the worst there is, the stronger it shows", () => {
  for (const [failed, level] of [
    [1, 3],
    [20, 2],
    [40, 1],
    [70, 0],
    [100, 0],
  ] as const) {
    const codes = new Uint8Array(100).fill(0);
    codes.fill(3, 0, failed);
    assert.equal(unpack(look(codes, 0, 100)).level, level, `${failed} of 100`);
  }
});

test("a close-up holds what was chosen and stays within the list", () => {
  for (const n of [0, 5, 500_000, 999_999]) {
    const [from, to] = closeUp(n, 1_000_000, 1320, 480);
    assert.ok(from <= n && n < to && from >= 0 && to <= 1_000_000);
    assert.equal(layOut(to - from, 1320, 480).per, 1);
  }
  assert.deepEqual(closeUp(3, 20, 1320, 480), [0, 20]);
});
