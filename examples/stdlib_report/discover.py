"""The first task: find the source files and queue one task for each of them, from inside the running job.

Run as `python discover.py FOLDER`; FOLDER may be "", the standard library.
"""

import os
import sys

from sources import source_trees

from air_executor import task

ANALYSE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "analyse.py")


def main() -> None:
    (source,) = sys.argv[1:]
    trees = source_trees(source)
    task.queue(
        [
            {
                # Ids of our own make it safe to run this task twice: each file is still analysed once.
                "id": f"file:{path}",
                # `merge` asks for the results of this group.
                "group": "files",
                "command": sys.executable,
                # -I -S: without site-packages, which analyse.py does not need, Python starts much faster.
                "args": ["-I", "-S", ANALYSE, "file", root, path],
            }
            for root, paths in trees
            for path in paths
        ]
    )
    task.result({"files": {root: len(paths) for root, paths in trees}})
    for root, paths in trees:
        print(f"queued {len(paths)} files of {root}")


if __name__ == "__main__":
    main()
