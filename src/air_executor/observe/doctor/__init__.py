"""`doctor`: what could keep Air-Executor from working well here, and what to do about it.

`CHECKS` are functions from a `Scene` to answers. Those called `judge_…` only decide; the others look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from air_executor.observe.doctor.folder import check_base, check_files, check_parents, check_room
from air_executor.observe.doctor.machine import (
    check_cgroup,
    check_clock,
    check_limits,
    check_notification,
    check_settings,
    check_system,
)
from air_executor.observe.doctor.manager import check_manager, check_supervisor
from air_executor.observe.doctor.remains import (
    check_jobs,
    check_journals,
    check_launchers,
    check_leftovers,
    check_spools,
    check_tasks,
)
from air_executor.observe.doctor.scene import Answer, Level, Scene
from air_executor.store.layout import Base

__all__ = ["CHECKS", "Finding", "examine", "worst"]

LEVELS: Final[tuple[Level, ...]] = ("ok", "warning", "problem")


class Finding(NamedTuple):
    """What one check found. `advice` is what to do, or what is to be known; it may stand with `ok` too."""

    check: str
    level: Level
    found: str
    advice: str | None = None


CHECKS: Final[dict[str, Callable[[Scene], Iterator[Answer]]]] = {
    "system": check_system,
    "settings": check_settings,
    "base": check_base,
    "parents": check_parents,
    "files": check_files,
    "room": check_room,
    "limits": check_limits,
    "notification": check_notification,
    "cgroup": check_cgroup,
    "clock": check_clock,
    "manager": check_manager,
    "supervisor": check_supervisor,
    "launchers": check_launchers,
    "tasks": check_tasks,
    "spools": check_spools,
    "jobs": check_jobs,
    "journals": check_journals,
    "leftovers": check_leftovers,
}
"""Name (of the finding, in `--json`) -> check. A new one is a function and a line here."""


def examine(base: Base) -> list[Finding]:
    """Make all checks."""
    scene = Scene(base)
    findings = []
    for name, check in CHECKS.items():
        try:
            findings += [Finding(name, *answer) for answer in check(scene)]
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            findings.append(Finding(name, "warning", f"cannot be looked at: {place}{error.strerror or error}"))
    return findings


def worst(findings: Iterable[Finding]) -> Level:
    return max((finding.level for finding in findings), key=LEVELS.index, default="ok")
