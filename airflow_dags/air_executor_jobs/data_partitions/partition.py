"""Second level: look into one partition and queue a task for each piece of its files.

Usage: python partition.py PARTITION PIECE_ROWS
"""

import os
import sys

from air_executor import task

COUNT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "count.py")


def pieces(path: str, rows: int) -> list[tuple[int, int]]:
    """(offset, length) of each piece of so many rows; the last one may be shorter."""
    found, begin, end = [], 0, 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            end += len(line)
            if number % rows == 0:
                found.append((begin, end - begin))
                begin = end
    return [*found, (begin, end - begin)] if end > begin else found


def main() -> None:
    partition, rows = sys.argv[1], int(sys.argv[2])
    tasks = [
        {
            "id": f"{os.path.basename(partition)}/{name}@{offset}",
            "group": "pieces",
            "command": sys.executable,
            # -I -S: count.py needs nothing of site-packages, and starts in half the time without.
            "args": ["-I", "-S", COUNT, os.path.join(partition, name), str(offset), str(length)],
        }
        for name in sorted(os.listdir(partition))
        for offset, length in pieces(os.path.join(partition, name), rows)
    ]
    task.queue(tasks)
    print(f"{len(tasks)} pieces")


if __name__ == "__main__":
    main()
