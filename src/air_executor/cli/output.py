"""How things are printed: JSON, tables, numbers, times, and text that others wrote."""

from __future__ import annotations

import sys

from air_executor.observe.wording import GLYPHS, clean, clock, duration, number, plural
from air_executor.terminal import cut, print_json, print_table, terminal_width, warn

__all__ = [
    "clean",
    "clock",
    "cut",
    "duration",
    "glyph",
    "number",
    "plural",
    "print_json",
    "print_table",
    "terminal_width",
    "warn",
]


def glyph(status: str) -> str:
    """The mark of a task status, in ASCII where nothing else can be shown."""
    fancy, plain = GLYPHS[status]
    return fancy if "utf" in (sys.stdout.encoding or "").lower() else plain
