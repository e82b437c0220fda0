"""The final task: everything else has ended, so put all results together.

Run as `python merge.py FOLDER OUTPUT`, with the FOLDER that discover.py was given.
"""

import sys

from report import build_report, write_report
from sources import source_trees

from air_executor import task


def main() -> None:
    source, output = sys.argv[1:]
    trees = source_trees(source)
    files = task.results(group="files")
    packages = task.results(group="packages")
    paths = [path for _, below in trees for path in below]
    report = build_report(trees[0][0], paths, files.values(), packages.values())
    written = write_report(report, output)
    task.result({"written": written, "totals": report["totals"]})
    print(*written, sep="\n")


if __name__ == "__main__":
    main()
