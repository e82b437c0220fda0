"""The same report by a plain loop over FOLDER/input, to compare with.

Usage: python plain_loop.py FOLDER   # exit code 1 when FOLDER/report.json says something else
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
    folder = Path(sys.argv[1])
    expected = count(folder / "input")
    if json.loads((folder / "report.json").read_text("utf-8")) != expected:
        sys.exit(f"{folder}/report.json differs from a plain loop over the same input")
    print(f"the plain loop counts the same: {expected['rows']} rows")
