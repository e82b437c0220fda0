"""When nothing else is left: all results as FOLDER/report.json, and as FOLDER/junit.xml.

Usage: python merge.py FOLDER   # exit code 1 when a test failed or has no result
"""

import json
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from air_executor import task


def junit(outcomes: dict[str, dict[str, str]]) -> ElementTree.ElementTree:
    suite = ElementTree.Element("testsuite", name="shards", tests=str(len(outcomes)))
    for test, found in outcomes.items():
        where, _, name = test.rpartition(".")
        case = ElementTree.SubElement(suite, "testcase", classname=where, name=name)
        if found["outcome"] != "passed":
            kind = {"failed": "failure", "skipped": "skipped"}.get(found["outcome"], "error")
            ElementTree.SubElement(case, kind, message=found["outcome"]).text = found.get("text")
    return ElementTree.ElementTree(suite)


def main() -> None:
    collected = [test for tests in task.results(group="modules").values() for test in tests]
    outcomes = {test: {"outcome": "no result"} for test in collected}
    for shard in task.results(group="shards").values():
        outcomes.update(shard)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(outcomes, indent=1, sort_keys=True), "utf-8")
    junit(outcomes).write(folder / "junit.xml", encoding="utf-8")
    counts = Counter(found["outcome"] for found in outcomes.values())
    task.result(dict(counts))
    print(*(f"{count} {outcome}" for outcome, count in counts.most_common()), sep=", ")
    bad = [test for test, found in outcomes.items() if found["outcome"] not in ("passed", "skipped")]
    if bad:
        sys.exit("\n".join(["these need a look:", *bad]))


if __name__ == "__main__":
    main()
