"""How the counts of a run went over time, at most 600 moments of it, however long it lasts."""

from __future__ import annotations

from typing import Final

__all__ = ["Series"]

COLUMNS: Final = ("t", "total", "completed", "running", "failed")
MOST: Final = 600
FIRST_STEP_S: Final = 0.1


class Series:
    """A row of counts every so often; when there are too many, every other is dropped and the step doubled."""

    def __init__(self) -> None:
        self.step_s = FIRST_STEP_S
        self.next_at = 0.0
        """No row is needed before this moment (epoch seconds)."""
        self.rows: list[tuple[float, int, int, int, int]] = []

    def add(self, at: float, counts: dict[str, int], since: float) -> None:
        """Note `counts`, which have been so `since` a moment, until `at`, which is `next_at` or later."""
        self.rows += self._held(at, counts, since)
        if len(self.rows) >= MOST:
            del self.rows[1::2]
            self.step_s = max(2 * self.step_s, (at - self.rows[0][0]) / (MOST // 2))
        self.next_at = at + self.step_s

    def _held(self, at: float, counts: dict[str, int], since: float) -> list[tuple[float, int, int, int, int]]:
        """What holds at a moment, and when it began to if that was long before: else it would look like a slope."""
        completed, running, failed = counts["completed"], counts["running"], counts["failed"]
        rest = (counts["pending"] + completed + running + failed, completed, running, failed)
        long = at - since >= self.step_s and bool(self.rows) and since > self.rows[-1][0]
        return [(since, *rest), (at, *rest)] if long else [(at, *rest)]

    def columns(self, now: float, counts: dict[str, int], since: float) -> dict[str, list[float]]:
        """The rows by column, ended by `counts`, which have been so `since` a moment and are so `now`."""
        rows = self.rows + self._held(now, counts, since)
        return {name: [row[index] for row in rows] for index, name in enumerate(COLUMNS)}
