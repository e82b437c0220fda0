"""What ran when: attempts as spans on the slots they took."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from air_executor.observe.progress import Progress
from air_executor.observe.roll import BLOCK, GRID, RUNNING, Roll

__all__ = ["timeline"]


def timeline(
    progress: Progress, now: float, limit: int, begin: float | None = None, end: float | None = None
) -> dict[str, Any]:
    """The last `limit` attempts that ran between two moments, or at all; in the order of their starts."""
    roll = progress.roll
    last = len(roll.tasks) if end is None else bisect_right(roll.started, end)
    chosen, truncated = _chosen(roll, last, limit, begin)
    until = now if progress.ended_at is None else progress.ended_at
    return {
        "from": begin if begin is not None else (roll.started[chosen[0]] if chosen else until),
        "to": end if end is not None else until,
        "began": roll.started[0] if roll.tasks else None,
        "now": until,
        "lanes": roll.lane_count,
        "spans": [
            [
                roll.lanes[a],
                roll.tasks[a],
                round(roll.started[a], 6),
                None if roll.ends[a] == RUNNING else round(roll.ended[a], 6),
                GRID[roll.ends[a]],
                roll.numbers[a],
            ]
            for a in chosen
        ],
        "truncated": truncated,
    }


def _chosen(roll: Roll, last: int, limit: int, begin: float | None) -> tuple[range | list[int], bool]:
    if begin is None:
        first = max(0, last - limit)
        return range(first, last), first > 0
    found: list[int] = []
    for block in range((last - 1) // BLOCK if last else -1, -1, -1):
        if not roll.reaches(block, begin):
            continue
        for attempt in range(min(last, (block + 1) * BLOCK) - 1, block * BLOCK - 1, -1):
            if roll.ends[attempt] == RUNNING or roll.ended[attempt] >= begin:
                if len(found) == limit:
                    return found[::-1], True
                found.append(attempt)
    return found[::-1], False
