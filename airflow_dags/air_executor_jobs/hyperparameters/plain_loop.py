"""The same search by a plain loop, with scikit-learn in this process, to compare with.

Usage: SKLEARN_PYTHON plain_loop.py FOLDER   # exit code 1 when FOLDER/report.json says something else
"""

import json
import sys
from pathlib import Path

from models import candidates, score
from rounds import ROUNDS, best, fits, ranking


def search() -> list[list[dict[str, object]]]:
    rounds: list[list[dict[str, object]]] = []
    for number in range(1, len(ROUNDS) + 1):
        models = best(rounds[-1], number) if rounds else dict(enumerate(candidates()))
        rounds.append(
            ranking(
                {**fit, "score": score(fit["candidate"], fit["fold"], fit["folds"])} for fit in fits(models, number)
            )
        )
    return rounds


if __name__ == "__main__":
    expected = search()
    found = json.loads(Path(sys.argv[1], "report.json").read_text("utf-8"))
    if found != {"best": expected[-1][0], "rounds": expected}:
        sys.exit(f"{sys.argv[1]}/report.json differs from a plain loop")
    print(f"the plain loop finds the same: {expected[-1][0]}")
