"""The same tests in one process, one module after the other, to compare with.

Usage: python plain_loop.py "MODULE …" FOLDER   # exit code 1 when FOLDER/report.json says something else
"""

import json
import sys
from pathlib import Path

from suites import ids_of, modules_of, run, suite_of


def expected(modules: list[str]) -> dict[str, str]:
    outcomes = {}
    for module in modules:
        ids = set(ids_of(suite_of(module)))
        outcomes.update({test: found["outcome"] for test, found in run(suite_of(module)).items() if test in ids})
    return outcomes


if __name__ == "__main__":
    plain = expected(modules_of(sys.argv[1], Path(__file__).with_name("modules.txt")))
    report = json.loads(Path(sys.argv[2], "report.json").read_text("utf-8"))
    sharded = {test: found["outcome"] for test, found in report.items()}
    other = sorted(test for test in sharded.keys() | plain.keys() if sharded.get(test) != plain.get(test))
    if other:
        sys.exit("\n".join(["these differ from a plain loop:", *other]))
    print(f"the plain loop finds the same: {len(plain)} tests")
