"""Instants as the files show them: ISO 8601 in UTC with microseconds and `Z`."""

from __future__ import annotations

import time
from datetime import datetime

__all__ = ["from_iso", "to_iso"]

_second = -1
_prefix = ""


def to_iso(epoch_s: float) -> str:
    """`1759390200.5` -> `2025-10-02T07:30:00.500000Z`."""
    global _second, _prefix  # noqa: PLW0603  (strftime is 3 µs; a manager calls this several times a task)
    micros = round(epoch_s * 1_000_000)
    second, micros = divmod(micros, 1_000_000)
    if second != _second:
        _prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        _second = second
    return f"{_prefix}{micros:06d}Z"


def from_iso(text: str) -> float:
    """Seconds since 1970 of what `to_iso` wrote, or of any ISO 8601 time with a zone."""
    return datetime.fromisoformat(text).timestamp()
