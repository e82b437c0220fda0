"""Failures that look alike, put together: by why they failed and the last line their tasks wrote."""

from __future__ import annotations

from typing import Final, NamedTuple

from air_executor.cli.following import JobFollower
from air_executor.cli.output import clean
from air_executor.observe.failures import last_line
from air_executor.observe.wording import failure_text

__all__ = ["Alike", "Reasons"]

READ_AT_ONCE: Final = 20
READ_AT_MOST: Final = 2_000
OWN_WORDS: Final = frozenset({"exit", "signal"})
"""Of these failures the log says more than the error does."""


class Alike(NamedTuple):
    """Tasks that failed in the same way; `text` is the last line they wrote, or why they did not run."""

    text: str
    reason: str
    tasks: list[str]


class Reasons:
    """Reads the ends of logs of failed tasks, a few at a time, and remembers what it read."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, float], str] = {}

    def alike(self, follower: JobFollower) -> list[Alike]:
        """The groups, the largest first."""
        left = READ_AT_ONCE
        folder = follower.client.base.job(follower.job)
        groups: dict[tuple[str, str], list[str]] = {}
        for failure in follower.progress.failures():
            key = (failure.task, failure.ended_at)
            text = self._texts.get(key)
            if text is None:
                text = failure_text(failure)
                if failure.reason in OWN_WORDS and left and len(self._texts) < READ_AT_MOST:
                    left -= 1
                    text = self._texts[key] = clean(last_line(folder, failure.task)) or text
            groups.setdefault((text, failure.reason), []).append(failure.task)
        found = [Alike(text, reason, tasks) for (text, reason), tasks in groups.items()]
        return sorted(found, key=lambda alike: -len(alike.tasks))
