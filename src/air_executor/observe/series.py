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

    def add(self, at: float, counts: dict[str, int]) -> None:
        """Note `counts` as they are at the moment `at`, which is `next_at` or later."""
        completed, running, failed = counts["completed"], counts["running"], counts["failed"]
        self.rows.append((at, counts["pending"] + completed + running + failed, completed, running, failed))
        if len(self.rows) >= MOST:
            del self.rows[1::2]
            self.step_s = max(2 * self.step_s, (at - self.rows[0][0]) / (MOST // 2))
        self.next_at = at + self.step_s

    def columns(self, now: float, counts: dict[str, int]) -> dict[str, list[float]]:
        """The rows by column, ended by what holds `now`."""
        completed, running, failed = counts["completed"], counts["running"], counts["failed"]
        last = (now, sum(counts.values()), completed, running, failed)
        rows = [*self.rows, last]
        return {name: [row[index] for row in rows] for index, name in enumerate(COLUMNS)}
