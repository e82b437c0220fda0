"""The results of a run's tasks, from its journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from air_executor import events as ev
from air_executor.store.journal import JournalFollower

__all__ = ["completed_results"]


def completed_results(journal: Path, group: str | None = None) -> dict[str, Any]:
    """Results (those that are not null) of completed tasks, of one group or all, in order of queueing."""
    wanted: dict[str, Any] = {}
    missing = object()
    follower = JournalFollower(journal)
    for _, event in follower.read(at_most=1 << 62):
        if isinstance(event, ev.TaskQueued | ev.TaskImported):
            if group is None or event.task.group == group:
                done = isinstance(event, ev.TaskImported) and event.status == "completed"
                wanted[event.task.id] = event.result if done else missing  # type: ignore[union-attr]
        elif isinstance(event, ev.AttemptExited):
            if event.task in wanted:
                wanted[event.task] = event.result if event.reason is None else missing
        elif isinstance(event, ev.TaskRetried) and event.task in wanted:
            wanted[event.task] = missing
    follower.close()
    return {task: value for task, value in wanted.items() if value is not missing and value is not None}
