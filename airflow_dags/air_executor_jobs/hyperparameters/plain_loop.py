"""The same search by a plain loop, with scikit-learn in this process, to compare with.

    SKLEARN_PYTHON plain_loop.py REPORT     exit code 1 when REPORT says something else
"""

import json
import sys

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
    with open(sys.argv[1], encoding="utf-8") as file:
        if json.load(file) != {"best": expected[-1][0], "rounds": expected}:
            sys.exit(f"{sys.argv[1]} differs from a plain loop")
    print(f"the plain loop finds the same: {expected[-1][0]}")
