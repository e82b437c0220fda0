import assert from "node:assert/strict";
import { test } from "node:test";
import { formatRoute, parseRoute, TABS, type View } from "../src/model/route.ts";

const NAMES = ["nightly", "manual__2025-10-02T07:30:00+00:00", "<img src=x>", "50% done?#&=", "a b", "日本", "..", "a\\b"];
const IDS = [...NAMES, "a/b/c", "../../etc/passwd", "%2F"];

test("every name and id survives the address", () => {
  for (const job of NAMES) {
    const views: View[] = [
      ...TABS.map((tab): View => ({ view: "job", job, tab })),
      { view: "history", job },
      ...IDS.map((task): View => ({ view: "task", job, task })),
    ];
    for (const view of views) assert.deepEqual(parseRoute(formatRoute(view)), { ...view, query: {} });
  }
});

test("filters are in the address, empty ones are not", () => {
  const hash = formatRoute({ view: "overview" }, { q: "a&b=c", state: "failed", none: null, empty: "" });
  assert.deepEqual(parseRoute(hash), { view: "overview", query: { q: "a&b=c", state: "failed" } });
  assert.ok(!hash.includes("none") && !hash.includes("empty"));
});

test("short and unknown addresses", () => {
  assert.equal(parseRoute("").view, "overview");
  assert.equal(parseRoute("#/").view, "overview");
  assert.deepEqual(parseRoute("#/jobs/a"), { view: "job", job: "a", tab: "grid", query: {} });
  for (const hash of ["#/jobs/a/nonsense", "#/elsewhere", "#/jobs/a/tasks/b/c", "#/jobs/%E0%A4%A"]) {
    assert.equal(parseRoute(hash).view, "unknown", hash);
  }
});
