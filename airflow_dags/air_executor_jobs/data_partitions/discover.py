"""First level: a task for each partition.

Usage: python discover.py INPUT PIECE_ROWS
"""

import os
import sys

from air_executor import task

PARTITION = os.path.join(os.path.dirname(os.path.abspath(__file__)), "partition.py")


def main() -> None:
    folder, piece_rows = sys.argv[1:]
    partitions = sorted(os.listdir(folder))
    task.queue(
        [
            {
                "id": name,  # ids of your own: whatever is repeated, each partition is queued once
                "group": "partitions",
                "command": sys.executable,
                "args": [PARTITION, os.path.join(folder, name), piece_rows],
            }
            for name in partitions
        ]
    )
    print(f"{len(partitions)} partitions")


if __name__ == "__main__":
    main()
