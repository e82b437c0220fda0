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
from sources import source_files, source_root


def main() -> None:
    source, output = sys.argv[1:]
    warnings.simplefilter("ignore")  # what Python thinks of the sources it parses
    root = source_root(source)
    paths = source_files(root)
    files = [analyse_file(root, path) for path in paths]
    folders = [os.path.dirname(path) or "." for path in paths if os.path.basename(path) == "__init__.py"]
    packages = [summarise_package(root, folder) for folder in folders]
    print(write_json(build_report(root, paths, files, packages), output))


if __name__ == "__main__":
    main()
