"""When nothing else is left: the models of the last round, the best one first.

    python merge.py REPORT
"""

import json
import sys

from rounds import ROUNDS, ranking

from air_executor import task


def main() -> None:
    rounds = [ranking(task.results(group=f"round {number}").values()) for number in range(1, len(ROUNDS) + 1)]
    if not rounds[-1]:
        sys.exit("no model was fitted in the last round")
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump({"best": rounds[-1][0], "rounds": rounds}, file, indent=1)
    task.result({"best": rounds[-1][0]})
    print(f"best: {rounds[-1][0]}")


if __name__ == "__main__":
    main()
