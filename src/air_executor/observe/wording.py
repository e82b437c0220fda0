"""How numbers, times and texts from elsewhere are put into words, the same wherever a job is told of."""

from __future__ import annotations

import re
from typing import Final

from air_executor.observe.pace import Estimate
from air_executor.observe.progress import Failure, Progress

__all__ = [
    "GLYPHS",
    "clean",
    "clock",
    "counts_line",
    "duration",
    "failure_text",
    "left_text",
    "number",
    "plural",
    "rate_text",
]

GLYPHS: Final = {"completed": ("✔", "+"), "running": ("▶", ">"), "pending": ("·", "."), "failed": ("✘", "x")}
"""Status -> its mark, and the one where only ASCII can be shown."""
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\-_])")


def clean(text: str) -> str:
    """Text from elsewhere on one line, without what would move the cursor or colour the terminal."""
    text = " ".join(_ESCAPES.sub("", text).split())
    return text if text.isprintable() else "".join(c if c.isprintable() else "·" for c in text)


def number(value: int) -> str:
    return f"{value:,}"


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def duration(seconds: float) -> str:
    """`0.042 s`, `4.2 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`; a whole number stays one."""
    if isinstance(seconds, int) and seconds < 60:
        return f"{seconds} s"
    if seconds < 0.0995:
        return f"{max(0.0, seconds):.3f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, below, unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {name} {rest} {unit}" if rest else f"{whole // size} {name}"
    return f"{whole} s"


def clock(seconds: float) -> str:
    """`0:07`, `12:34`, `1:02:03`: of even width, for what is redrawn."""
    whole = int(max(0.0, seconds))
    hours, minutes = whole // 3_600, whole % 3_600 // 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def failure_text(failure: Failure) -> str:
    """Why a task failed, on one line."""
    if failure.error:
        return clean(failure.error)
    if failure.exit_code is not None:
        return f"exit code {failure.exit_code}"
    return failure.signal or failure.reason


def left_text(estimate: Estimate) -> str:
    """`about 4 s left (3–6 s)`."""
    low, mid, high = (max(1, round(seconds)) for seconds in estimate)
    spread = f"{low}–{high} s" if high < 60 else f"{duration(low)} to {duration(high)}"
    return f"about {duration(mid)} left" + (f" ({spread})" if duration(low) != duration(high) else "")


def rate_text(rate: float) -> str:
    """`312 tasks/s`, `1.5 tasks/s`, `12 tasks/min`."""
    if rate >= 100:
        return f"{rate:,.0f} tasks/s"
    if rate >= 0.95:
        return f"{rate:.1f} tasks/s"
    return f"{rate * 60:.0f} tasks/min"


def counts_line(progress: Progress) -> str:
    """`[Progress] 789/1234 tasks (63.9%)`, the short form that log readers look for."""
    return f"[Progress] {progress.counts['completed']}/{progress.total} tasks ({progress.percent:.1f}%)"
