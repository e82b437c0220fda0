"""When nothing else is left: put the counts of all pieces together.

    python merge.py REPORT
"""

import json
import sys
from collections import Counter

from air_executor import task


def main() -> None:
    names: Counter[str] = Counter()
    rows = 0
    for piece in task.results(group="pieces").values():
        names.update(piece["names"])
        rows += piece["rows"]
    report = {"rows": rows, "names": dict(sorted(names.items(), key=lambda item: (-item[1], item[0])))}
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1)
    task.result({"rows": rows, "names": len(names), "most": names.most_common(3)})
    print(f"{rows} calls of {len(names)} names; most often {names.most_common(3)}")


if __name__ == "__main__":
    main()
