"""Progress as plain lines, for logs and pipes."""

from __future__ import annotations

import math
from typing import Final

import click

from air_executor.cli.following import JobFollower
from air_executor.cli.output import number
from air_executor.cli.wording import counts_line, left_text, rate_text

__all__ = ["LineDisplay"]

OFTEN_S: Final = 2.0
"""No two lines come quicker than this."""
STEP_PERCENT: Final = 5.0
AT_LEAST_S: Final = 5.0
"""A line comes after this time if anything has changed,"""
NOTE_S: Final = 1.0
ALIVE_S: Final = 60.0
"""and after this time whether or not."""


class LineDisplay:
    """One line now and then: at changes of 5 percent, else every few seconds."""

    def __init__(self) -> None:
        self._at: float | None = None
        self._percent = 0.0
        self._counts: dict[str, int] = {}
        self._note = ""
        self._note_since = 0.0

    def show(self, follower: JobFollower, now: float, note: str) -> None:
        self._show_note(follower, now, note)
        progress = follower.progress
        if not progress.total or (progress.counts == self._counts and not self._older_than(ALIVE_S, now)):
            return
        stepped = abs(progress.percent - self._percent) >= STEP_PERCENT
        if self._older_than(OFTEN_S if stepped else AT_LEAST_S, now):
            self._print(follower, now)

    def _show_note(self, follower: JobFollower, now: float, note: str) -> None:
        """Print a note that has stood for a while, once."""
        if note != self._note:
            self._note, self._note_since = note, now
        elif note and now - self._note_since >= NOTE_S:
            self._note_since = math.inf
            click.echo(f"job {follower.job!r}: {note}")

    def close(self, follower: JobFollower, now: float) -> None:
        """The last line, if it says something new."""
        if follower.progress.total and follower.progress.counts != self._counts:
            self._print(follower, now)

    def _older_than(self, seconds: float, now: float) -> bool:
        if self._at is None:
            self._at = now - AT_LEAST_S + OFTEN_S  # the first line comes when there is something to tell
        return now - self._at >= seconds

    def _print(self, follower: JobFollower, now: float) -> None:
        progress = follower.progress
        self._at, self._percent, self._counts = now, progress.percent, dict(progress.counts)
        parts = [counts_line(progress)]
        parts += [f"{number(progress.counts[s])} {s}" for s in ("running", "failed") if progress.counts[s]]
        if rate := progress.rate(now):
            parts.append(rate_text(rate))
        estimate = progress.estimate(now)
        if estimate is not None:
            parts.append(left_text(estimate))
        click.echo(", ".join(parts))
