"""A task for each fit of a round, and one that will make the next round of what they find.

Usage: python round.py NUMBER
"""

import json
import os
import sys

from rounds import ROUNDS, best, fits, ranking

from air_executor import task

HERE = os.path.dirname(os.path.abspath(__file__))


def main() -> None:
    number = int(sys.argv[1])
    served = task.results()["serve"]
    if number == 1:
        models = dict(enumerate(served["candidates"]))
    else:
        models = best(ranking(task.results(group=f"round {number - 1}").values()), number)
    fit = ["-I", "-S", os.path.join(HERE, "fit.py"), served["socket"]]
    tasks = [
        {
            "id": f"round {number}, model {one['model']}, fold {one['fold'] + 1} of {one['folds']}",
            "group": f"round {number}",
            "command": sys.executable,
            "args": [*fit, json.dumps(one)],
        }
        for one in fits(models, number)
    ]
    following = {
        "id": f"round {number + 1}",
        "command": sys.executable,
        "args": [os.path.join(HERE, "round.py"), str(number + 1)],
        "dependencies": [one["id"] for one in tasks],
    }
    task.queue([*tasks, following] if number < len(ROUNDS) else tasks)
    print(f"{len(models)} models, {len(tasks)} fits")


if __name__ == "__main__":
    main()
