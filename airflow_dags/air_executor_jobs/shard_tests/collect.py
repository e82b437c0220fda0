"""Second level: collect the tests of a module and queue a task for each shard of them.

Usage: python collect.py MODULE SHARD_TESTS
"""

import os
import sys

from suites import ids_of, suite_of

from air_executor import task

SHARD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shard.py")


def main() -> None:
    module, size = sys.argv[1], int(sys.argv[2])
    tests = list(ids_of(suite_of(module)))
    shards = [tests[first : first + size] for first in range(0, len(tests), size)]
    task.queue(
        [
            {
                "id": f"{module} {number}",
                "group": "shards",
                "command": sys.executable,
                "args": [SHARD, *shard],
                "idempotent": True,  # run again where nobody saw how it ended
            }
            for number, shard in enumerate(shards, 1)
        ]
    )
    task.result(tests)  # so that merge.py notices tests that nobody ran
    print(f"{len(tests)} tests in {len(shards)} shards")


if __name__ == "__main__":
    main()
