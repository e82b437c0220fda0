"""How long tasks take: mean, spread and percentiles of any number of measurements, in bounded memory."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate
from typing import Final

__all__ = ["RunTimes", "TimeLeft"]

RESERVOIR: Final = 512
RECENT: Final = 200
"""Over about how many of the last measurements `recent_mean` and `recent_deviation` go."""


class RunTimes:
    """Seconds, as they come in. Percentiles are of a uniform sample; the same input gives the same one."""

    def __init__(self) -> None:
        self.count = 0
        self.total_s = 0.0
        self.max_s = 0.0
        self.recent_mean_s = 0.0
        self._recent_variance = 0.0
        self._sample: list[float] = []
        self._random = 1

    def add(self, seconds: float) -> None:
        seconds = max(seconds, 0.0)
        self.count += 1
        self.total_s += seconds
        self.max_s = max(self.max_s, seconds)
        weight = 1.0 / (self.count if self.count < RECENT else RECENT)
        off = seconds - self.recent_mean_s
        self.recent_mean_s += weight * off
        self._recent_variance = (1.0 - weight) * (self._recent_variance + weight * off * off)
        if len(self._sample) < RESERVOIR:
            self._sample.append(seconds)
            return
        # a generator of three operations: this runs several times a task
        self._random = self._random * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407 & 0xFFFF_FFFF_FFFF_FFFF
        if (place := (self._random >> 32) * self.count >> 32) < RESERVOIR:
            self._sample[place] = seconds

    @property
    def mean_s(self) -> float:
        return self.total_s / self.count if self.count else 0.0

    @property
    def recent_deviation_s(self) -> float:
        """Standard deviation of the recent ones; of a single one its own size, for nothing is known."""
        return math.sqrt(self._recent_variance) if self.count > 1 else self.recent_mean_s

    def percentile(self, percent: float) -> float:
        """The time that `percent` of the tasks did not exceed; 0 when there are none."""
        if not self._sample:
            return 0.0
        ordered = sorted(self._sample)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100.0))]

    def time_left(self) -> TimeLeft:
        """What the sample says about tasks that still run."""
        return TimeLeft(sorted(self._sample))


class TimeLeft:
    """How much longer a task will take that has run for a while, judged by others."""

    def __init__(self, ordered: list[float]) -> None:
        self._ordered = ordered
        self._sums = [0.0, *accumulate(ordered)]

    def after(self, elapsed_s: float) -> float:
        """The mean of what was left to those that ran longer; past all of them, as long again as so far."""
        passed = bisect_right(self._ordered, elapsed_s)
        longer = len(self._ordered) - passed
        if not longer:
            return elapsed_s
        return (self._sums[-1] - self._sums[passed]) / longer - elapsed_s
