"""When nothing else is left: put the counts of all pieces together.

Usage: python merge.py FOLDER   # writes report.json there
"""

import json
import sys
from collections import Counter
from pathlib import Path

from air_executor import task


def main() -> None:
    names: Counter[str] = Counter()
    rows = 0
    for piece in task.results(group="pieces").values():
        names.update(piece["names"])
        rows += piece["rows"]
    report = {"rows": rows, "names": dict(sorted(names.items(), key=lambda item: (-item[1], item[0])))}
    Path(sys.argv[1], "report.json").write_text(json.dumps(report, indent=1), "utf-8")
    task.result({"rows": rows, "names": len(names), "most": names.most_common(3)})
    print(f"{rows} calls of {len(names)} names; most often {names.most_common(3)}")


if __name__ == "__main__":
    main()
