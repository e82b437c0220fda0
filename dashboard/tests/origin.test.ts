import assert from "node:assert/strict";
import { test } from "node:test";
import { originOf, originText } from "../src/model/origin.ts";
import { parseRoute } from "../src/model/route.ts";

const RUN = "manual__2025-10-02T07:30:00+00:00";

/** The address as Airflow makes it of the plugin's, where `there` is what it has for each place. */
function asked(there: Record<string, string>): ReturnType<typeof originOf> {
  let hash = "#/handed-in?dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}";
  for (const [key, value] of Object.entries(there)) hash = hash.replaceAll(`{${key}}`, encodeURIComponent(value));
  const route = parseRoute(hash);
  assert.equal(route.view, "handed-in");
  return originOf(route.query);
}

test("a mapped task instance", () => {
  const origin = asked({ DAG_ID: "a&b", RUN_ID: RUN, TASK_ID: "group.task", MAP_INDEX: "3" });
  assert.deepEqual(origin, { dag_id: "a&b", run_id: RUN, task_id: "group.task", map_index: 3 });
});

test("what Airflow had nothing for is left out", () => {
  assert.deepEqual(asked({ DAG_ID: "d", RUN_ID: RUN, TASK_ID: "t" }), {
    dag_id: "d",
    run_id: RUN,
    task_id: "t",
    map_index: -1,
  });
  assert.deepEqual(asked({ DAG_ID: "d", RUN_ID: RUN }), { dag_id: "d", run_id: RUN });
  assert.deepEqual(asked({ DAG_ID: "d" }), { dag_id: "d" });
  assert.equal(asked({}), null);
});

test("the server is asked with an object", () => {
  assert.equal(originText({ dag_id: 'a"b' }), '{"airflow":{"dag_id":"a\\"b"}}');
});
