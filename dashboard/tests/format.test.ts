import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, duration, percent, rate, shellWords, short } from "../src/model/format.ts";

test("durations", () => {
  const cases: [number | null, string][] = [
    [null, "–"],
    [-3, "0 ms"],
    [0.0421, "42 ms"],
    [0.9999, "1.0 s"],
    [9.96, "10 s"],
    [59.6, "1 min"],
    [200, "3 min 20 s"],
    [3599.7, "1 h"],
    [7500, "2 h 5 min"],
    [86_400, "1 d"],
    [273_600, "3 d 4 h"],
  ];
  for (const [seconds, text] of cases) assert.equal(duration(seconds), text);
});

test("percentages say neither all nor nothing too early", () => {
  assert.equal(percent(0, 0), "0%");
  assert.equal(percent(1, 1_000_000), "<0.1%");
  assert.equal(percent(999_999, 1_000_000), "99.9%");
  assert.equal(percent(1000, 1000), "100%");
  assert.equal(percent(1, 30), "3.3%");
});

test("rates, sizes and short counts", () => {
  assert.equal(rate(0), "–");
  assert.equal(rate(0.1), "6/min");
  assert.equal(rate(1234.5), "1,235/s");
  assert.equal(bytes(999), "999 B");
  assert.equal(bytes(1_500_000), "1.5 MB");
  assert.equal(short(9999), "9,999");
  assert.equal(short(12_345), "12.3k");
  assert.equal(short(1_000_000), "1M");
});

test("commands can be pasted into a shell", () => {
  assert.equal(shellWords(["python", "a b.py", "it's", ""]), `python 'a b.py' 'it'\\''s' ''`);
});
