"""The same report by a plain loop, without the engine: what the job is compared with.

Run as `python plain_loop.py FOLDER OUTPUT`; FOLDER may be "", the standard library.

One process, one file after another: it uses one core, and if it dies, all is lost. On the other hand it does
not start a process for each file, and with work as small as this that is what takes the time.
"""

import os
import sys
import warnings

from analyse import analyse_file, summarise_package
from report import build_report, write_json
from sources import source_trees


def main() -> None:
    source, output = sys.argv[1:]
    warnings.simplefilter("ignore")  # what Python thinks of the sources it parses
    trees = source_trees(source)
    everything = [(root, path) for root, paths in trees for path in paths]
    files = [analyse_file(root, path) for root, path in everything]
    packages = [
        summarise_package(root, os.path.dirname(path) or ".")
        for root, path in everything
        if os.path.basename(path) == "__init__.py"
    ]
    print(write_json(build_report(trees[0][0], [path for _, path in everything], files, packages), output))


if __name__ == "__main__":
    main()
