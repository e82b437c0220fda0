"""When nothing else is left: the models of the last round, the best one first.

Usage: python merge.py FOLDER   # writes report.json there
"""

import json
import sys
from pathlib import Path

from rounds import ROUNDS, ranking

from air_executor import task


def main() -> None:
    rounds = [ranking(task.results(group=f"round {number}").values()) for number in range(1, len(ROUNDS) + 1)]
    if not rounds[-1]:
        sys.exit("no model was fitted in the last round")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps({"best": rounds[-1][0], "rounds": rounds}, indent=1), "utf-8")
    task.result({"best": rounds[-1][0]})
    print(f"best: {rounds[-1][0]}")


if __name__ == "__main__":
    main()
