"""The small task that runs over a thousand times: run some tests and hand in what became of them.

Usage: python shard.py TEST…

A test that fails is a finding, and this task is completed. It fails when it could not run its tests.
The result is JSON in the file $AIR_EXECUTOR_RESULT, which is all that `task.result` would do.
"""

import json
import os
import sys

from suites import run, suite_with

if __name__ == "__main__":
    outcomes = run(suite_with(sys.argv[1:]))
    with open(os.environ["AIR_EXECUTOR_RESULT"], "w", encoding="utf-8") as file:
        json.dump(outcomes, file)
    for test, found in outcomes.items():
        if found["outcome"] not in ("passed", "skipped"):
            print(test, found["outcome"], found.get("text", ""), sep="\n")
