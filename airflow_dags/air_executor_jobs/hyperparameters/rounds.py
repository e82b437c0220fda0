"""Which models go on to the next round; used by round.py, merge.py and plain_loop.py."""

from collections.abc import Iterable
from typing import Any

ROUNDS = [(240, 2), (90, 4), (30, 8)]  # how many models, each tried on how many folds


def fits(models: dict[int, dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """The fits of a round: all of its models, each on all of its folds."""
    folds = ROUNDS[number - 1][1]
    return [
        {"model": model, "candidate": candidate, "fold": fold, "folds": folds}
        for model, candidate in models.items()
        for fold in range(folds)
    ]


def ranking(scored: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The models of a round by their mean score, the best one first; of equals, the one that stands first."""
    scores: dict[int, list[float]] = {}
    candidates = {}
    for fit in scored:
        scores.setdefault(fit["model"], []).append(fit["score"])
        candidates[fit["model"]] = fit["candidate"]
    mean = {model: round(sum(found) / len(found), 6) for model, found in scores.items()}
    ranked = sorted(mean, key=lambda model: (-mean[model], model))
    return [{"model": model, "candidate": candidates[model], "score": mean[model]} for model in ranked]


def best(ranked: list[dict[str, Any]], number: int) -> dict[int, dict[str, Any]]:
    """Those that take part in a round."""
    return {one["model"]: one["candidate"] for one in ranked[: ROUNDS[number - 1][0]]}
