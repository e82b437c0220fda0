"""First level: a task for each module, which collects its tests.

Usage: python discover.py "MODULE …" SHARD_TESTS
"""

import os
import sys

from suites import modules_of

from air_executor import task

HERE = os.path.dirname(os.path.abspath(__file__))


def main() -> None:
    modules = modules_of(sys.argv[1], os.path.join(HERE, "modules.txt"))
    collect = os.path.join(HERE, "collect.py")
    task.queue(
        [
            {
                "id": f"collect {name}",
                "group": "modules",
                "command": sys.executable,
                "args": [collect, name, sys.argv[2]],
            }
            for name in modules
        ]
    )
    print(f"{len(modules)} modules")


if __name__ == "__main__":
    main()
