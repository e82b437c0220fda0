import assert from "node:assert/strict";
import { test } from "node:test";
import { sinceStart, ticks, tickStep } from "../src/model/ticks.ts";

test("marks stand about as far apart as wanted, whatever the span", () => {
  for (const span of [0.05, 1, 30, 600, 7200, 86_400, 1e6]) {
    const step = tickStep(span, 1000);
    const marks = ticks(3.3, 3.3 + span, step);
    assert.ok(marks.length >= 1 && marks.length <= 12, `${span}: ${marks.length}`);
    for (const mark of marks) assert.ok(mark >= 3.3 && mark <= 3.3 + span);
  }
});

test("times from the start", () => {
  assert.equal(sinceStart(5, 1), "0:05");
  assert.equal(sinceStart(3723, 60), "1:02:03");
  assert.equal(sinceStart(5.25, 0.05), "0:05.25");
  assert.equal(sinceStart(-65, 5), "−1:05");
  assert.equal(sinceStart(59.999, 1), "1:00");
});
