"""The small task that runs over a thousand times: count the names in one piece of a file.

Usage: python -I -S count.py FILE OFFSET LENGTH

It shows that a task needs no library: its result is JSON in the file $AIR_EXECUTOR_RESULT.
"""

import json
import os
import sys


def main() -> None:
    path, offset, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with open(path, "rb") as file:
        file.seek(offset)
        rows = file.read(length).decode().splitlines()
    counts: dict[str, int] = {}
    for row in rows:
        name = row.rpartition(",")[2]
        counts[name] = counts.get(name, 0) + 1
    with open(os.environ["AIR_EXECUTOR_RESULT"], "w", encoding="utf-8") as file:
        json.dump({"rows": len(rows), "names": counts}, file)


if __name__ == "__main__":
    main()
