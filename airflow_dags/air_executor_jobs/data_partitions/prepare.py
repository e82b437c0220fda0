"""Make the input: a row `module,line,name` for each call in a folder of Python files, a partition a package.

Usage: python prepare.py SOURCE INPUT   # SOURCE "": the standard library, without its tests

An input that is there already is kept.
"""

import csv
import os
import re
import sys
import sysconfig
import tempfile

CALL = re.compile(r"\b([A-Za-z_]\w*)\(")
LEFT_OUT = {"__pycache__", "site-packages", "dist-packages", "test", "tests", "idle_test"}


def main() -> None:
    source, target = sys.argv[1:]
    if os.path.exists(target):
        print(f"{target} is there already")
        return
    source = source or sysconfig.get_paths()["stdlib"]
    # Written aside and renamed: an input is there as a whole or not at all.
    above = os.path.dirname(os.path.abspath(target))
    os.makedirs(above, exist_ok=True)
    aside = tempfile.mkdtemp(prefix=".input-", dir=above)
    rows = 0
    for folder, subfolders, names in os.walk(source):
        subfolders[:] = sorted(set(subfolders) - LEFT_OUT)
        package = os.path.relpath(folder, source).replace(os.sep, ".")
        for name in sorted(names):
            if name.endswith(".py"):
                rows += write_calls(os.path.join(folder, name), os.path.join(aside, f"package={package}"), name[:-3])
    os.rename(aside, target)
    print(f"{rows} rows in {target}")


def write_calls(path: str, partition: str, module: str) -> int:
    """Write one file of a partition; a module without calls has none. Gives the number of rows."""
    with open(path, encoding="utf-8", errors="replace") as lines:
        rows = [(module, number, name) for number, line in enumerate(lines, 1) for name in CALL.findall(line)]
    if rows:
        os.makedirs(partition, exist_ok=True)
        with open(os.path.join(partition, f"{module}.csv"), "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    return len(rows)


if __name__ == "__main__":
    main()
