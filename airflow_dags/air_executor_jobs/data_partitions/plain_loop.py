"""The same report by a plain loop over the same input, to compare with.

    python plain_loop.py INPUT REPORT     exit code 1 when REPORT says something else
"""

import csv
import json
import sys
from collections import Counter
from pathlib import Path


def count(folder: Path) -> dict[str, object]:
    names: Counter[str] = Counter()
    for path in folder.glob("package=*/*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            names.update(name for _, _, name in csv.reader(file))
    ordered = sorted(names.items(), key=lambda item: (-item[1], item[0]))
    return {"rows": names.total(), "names": dict(ordered)}


if __name__ == "__main__":
    expected = count(Path(sys.argv[1]))
    if json.loads(Path(sys.argv[2]).read_text("utf-8")) != expected:
        sys.exit(f"{sys.argv[2]} differs from a plain loop over {sys.argv[1]}")
    print(f"the plain loop counts the same: {expected['rows']} rows, {len(expected['names'])} names")  # type: ignore[arg-type]
