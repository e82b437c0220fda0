"""The manager killed at the n-th call of each of its effects on the world: before it, after it, in the middle of it.

One job goes through a row of managers, each of which dies a little later; the last one finishes it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.crashing import EFFECTS
from tests.faults.killing import Faulty
from tests.faults.workload import check, mixed, summary

POINTS = {
    "pwrite": [1, 3, 9, 17, 30],
    "send": [1, 2, 7, 15, 25],
    "fdatasync": [1, 2, 4, 6],
    "unlink": [1, 2, 3, 7, 12],
    "write": [1, 2, 3, 5, 8],
    "rename": [1, 2, 3, 5],
    "exchange": [1, 2, 4, 5],
    "link": [1, 2, 4, 5],
    "spawn": [1, 2],
    "fsync": [1],
}
"""Where to die, by effect."""
TORN = ("write", "pwrite", "send")


def hows(effect: str) -> list[str]:
    return ["before", "after", *(["torn"] if effect in TORN else [])]


def go_through(faulty: Faulty, root: Path, effect: str, how: str, points: list[int], count: int) -> None:
    work = mixed(root, count, seed=len(effect) * 7 + len(how))
    job_id = work.submit(faulty.base)
    folder = faulty.base / "jobs" / work.name
    quick = {"view_interval_s": 0.02, "exchange": effect != "link"}
    for n in points:
        faulty.crash(folder, job_id, effect=effect, n=n, how=how, **quick)
    state = faulty.finish(folder, job_id, **quick)
    assert (state["state"], state["reason"]) == ("failed", "failures")
    findings = check(work, folder)
    assert not findings.problems, f"{faulty.reached}: {summary(findings)}"
    assert not faulty.complaints()
    assert len(faulty.reached) >= len(points) // 2, f"reached only {faulty.reached}"


def test_every_effect_has_its_points() -> None:
    assert set(POINTS) == set(EFFECTS)


@pytest.mark.parametrize(("effect", "how"), [(e, h) for e in POINTS for h in hows(e)])
def test_killed_at(faulty: Faulty, tmp_path: Path, effect: str, how: str) -> None:
    go_through(faulty, tmp_path, effect, how, POINTS[effect], 150)


@pytest.mark.soak
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize(("effect", "how"), [(e, h) for e in POINTS for h in hows(e)])
def test_killed_at_many_points(faulty: Faulty, tmp_path: Path, effect: str, how: str) -> None:
    seldom = {"spawn": [1, 1, 2], "fsync": [1], "fdatasync": [*range(1, 32, 2)]}
    points = seldom.get(effect) or sorted({1, 2, 3, *POINTS[effect], *range(4, 100, 3)})
    go_through(faulty, tmp_path, effect, how, points, 2_000)
