"""The results of a run's tasks, from its journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from air_executor import events as ev
from air_executor.store.journal import JournalFollower

__all__ = ["completed_results", "results_of"]

NONE: Final = -1


def completed_results(journal: Path, group: str | None = None) -> dict[str, Any]:
    """Results (those that are not null) of completed tasks, of one group or all, in order of queueing."""
    return dict(results_of(journal, group))


def results_of(journal: Path, group: str | None = None) -> Iterator[tuple[str, Any]]:
    """The same one by one. Keeps where they stand, not what they are: they may be large."""
    places: dict[str, int] = {}
    follower = JournalFollower(journal)
    try:
        for _, event in follower.read(at_most=1 << 62):
            if isinstance(event, ev.TaskQueued | ev.TaskImported):
                if group is None or event.task.group == group:
                    places[event.task.id] = NONE
                    if isinstance(event, ev.TaskImported) and event.status == "completed":
                        places[event.task.id] = NONE if event.result is None else follower.at
            elif isinstance(event, ev.AttemptExited):
                if event.task in places:
                    left = event.reason is None and event.result is not None
                    places[event.task] = follower.at if left else NONE
            elif isinstance(event, ev.TaskRetried) and event.task in places:
                places[event.task] = NONE
        for task, place in places.items():
            if place != NONE:
                ended = ev.decode_event(follower.line_at(place))
                assert isinstance(ended, ev.AttemptExited | ev.TaskImported)
                yield task, ended.result
    finally:
        follower.close()
