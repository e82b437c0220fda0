"""The final task: everything else has ended, so put all results together.

Run as `python merge.py FOLDER OUTPUT`, with the FOLDER that discover.py was given.
"""

import sys

from report import build_report, write_report
from sources import source_files, source_root

from air_executor import task


def main() -> None:
    source, output = sys.argv[1:]
    root = source_root(source)
    files = task.results(group="files")
    packages = task.results(group="packages")
    report = build_report(root, source_files(root), files.values(), packages.values())
    written = write_report(report, output)
    task.result({"written": written, "totals": report["totals"]})
    print(*written, sep="\n")


if __name__ == "__main__":
    main()
