"""How fast a job goes now, and how long what is left of it will take."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from air_executor.observe.run_times import RECENT, RunTimes

__all__ = ["Estimate", "Pace"]

WINDOW_S: Final = 5.0
"""Rate and parallelism are those of the last seconds, so that they follow a job that changes."""
STEP_S: Final = 0.25
SPREAD: Final = 1.28
"""Standard deviations to either side that hold four of five outcomes."""


class Estimate(NamedTuple):
    """Seconds until nothing is left of what is known now: expected, and where four of five ends fall."""

    low_s: float
    mid_s: float
    high_s: float


class _Moment(NamedTuple):
    at: float
    slot_seconds: float
    ended: int


class Pace:
    """Fed with the starts and ends of attempts; times in epoch seconds, which may go back a little."""

    def __init__(self) -> None:
        self.occupied = RunTimes()
        """From journalled start to end, which is what a slot is taken for, start-up and all."""
        self.running = 0
        self.ended = 0
        self.slot_seconds = 0.0
        """Time that attempts have taken, together."""
        self._at: float | None = None
        self._moments: deque[_Moment] = deque()

    def started(self, at: float) -> None:
        self._pass(at)
        self.running += 1

    def exited(self, at: float, occupied_s: float | None, *, ended: bool) -> None:
        """`occupied_s` is None where it says nothing about others; `ended`: no further attempt follows."""
        self._pass(at)
        self.running -= 1
        self.ended += ended
        if occupied_s is not None:
            self.occupied.add(occupied_s)

    def begin_anew(self) -> None:
        """Nothing ran for a while, which is not to be counted."""
        self._at = None
        self._moments.clear()

    def _pass(self, at: float) -> None:
        if self._at is None:
            self._at = at
        self.slot_seconds += self.running * max(0.0, at - self._at)
        self._at = max(at, self._at)
        if not self._moments or self._at >= self._moments[-1].at + STEP_S:
            self._moments.append(_Moment(self._at, self.slot_seconds, self.ended))
            while len(self._moments) > 1 and self._moments[1].at <= self._at - WINDOW_S:
                self._moments.popleft()

    def _since(self, now: float) -> _Moment | None:
        """The last moment before the window, or the first in it."""
        found = None
        for moment in self._moments:
            if found is not None and moment.at > now - WINDOW_S:
                break
            found = moment
        return found

    def rate(self, now: float) -> float:
        """Tasks that ended a second."""
        since = self._since(now)
        return 0.0 if since is None else (self.ended - since.ended) / max(STEP_S, now - since.at)

    def parallelism(self, now: float) -> float:
        """How many ran at once, on average."""
        since = self._since(now)
        if since is None or self._at is None:
            return 0.0
        slot_seconds = self.slot_seconds + self.running * max(0.0, now - self._at)
        return (slot_seconds - since.slot_seconds) / max(STEP_S, now - since.at)

    def estimate(self, now: float, pending: int, started: Iterable[float]) -> Estimate | None:
        """When `pending` tasks and those begun at `started` will have ended; None before anything has."""
        if not self.occupied.count:
            return None
        time_left = self.occupied.time_left()
        running = [time_left.after(max(0.0, now - at)) for at in started]
        longest = max(running, default=0.0)
        deviation = self.occupied.recent_deviation_s
        if not pending:
            off = SPREAD * deviation
            return Estimate(max(0.0, longest - off), longest, longest + off)
        parallel = self.parallelism(now)
        if parallel <= 0.0:
            return None
        left = pending + len(running)
        # what single tasks differ by, and what the mean itself may be wrong by
        variance = left * deviation**2 + (left * deviation) ** 2 / min(self.occupied.count, RECENT)
        off = SPREAD * math.sqrt(variance) / parallel
        mid = max((pending * self.occupied.recent_mean_s + sum(running)) / parallel, longest)
        return Estimate(max(0.0, mid - off), mid, mid + off)
