"""One cell a task, in the order they were queued; where there are more tasks than cells, one cell for several."""

from __future__ import annotations

from typing import Final

from rich.style import Style
from rich.text import Text

from air_executor.observe.progress import Progress
from air_executor.observe.roll import CODES, REASONS

__all__ = ["grid", "rows_needed", "state_of"]

PENDING, RUNNING, COMPLETED, FAILED, NOT_RUN = range(5)
MARKS: Final = ("·", "▶", "■", "✘", "-")
PLAIN_MARKS: Final = (".", ">", "#", "x", "-")
COLOURS: Final = ("grey37", "cyan", "green", "red", "yellow")
WORDS: Final = ("pending", "running", "completed", "failed", "not run")
SOME: Final = "dark_sea_green4"
"""Several tasks in one cell, of which some have completed and some not."""


_SHORT: Final = bytes(
    min(code, COMPLETED) if code >= len(REASONS) or REASONS[code] is None
    else NOT_RUN if code in (CODES["skipped"], CODES["cancelled"]) else FAILED
    for code in range(256)
)  # fmt: skip
"""Translates the codes of the roll: why a task failed does not matter here."""


def state_of(progress: Progress, task: str) -> tuple[str, str]:
    """The state of a task as a word, and its colour."""
    place = progress.roll.places.get(task)
    code = PENDING if place is None else _SHORT[progress.roll.codes[place]]
    return WORDS[code], COLOURS[code]


def rows_needed(tasks: int, width: int, most: int) -> int:
    """How many lines a grid of so many tasks takes, at most `most`."""
    return min(most, -(-tasks // max(1, width)))


def grid(codes: bytes | bytearray, width: int, rows: int, *, utf8: bool = True) -> tuple[list[Text], int]:
    """The lines, and for how many tasks one cell stands. `codes` are those of the roll."""
    codes, room = codes.translate(_SHORT), width * rows
    if not codes or room <= 0:
        return [], 1
    marks = MARKS if utf8 else PLAIN_MARKS
    if len(codes) <= room:
        return [_marked(codes[at : at + width], marks) for at in range(0, len(codes), width)], 1
    if not utf8:
        per = -(-len(codes) // room)
        found = [_together(codes[at : at + per]) for at in range(0, len(codes), per)]
        return [
            _marked(bytes(code for code, _ in found[at : at + width]), marks) for at in range(0, len(found), width)
        ], per
    per = max(1, -(-len(codes) // (2 * room)))
    colours = [_colour(*_together(codes[at : at + per])) for at in range(0, len(codes), per)]
    return _halves(colours, width), per


def _marked(codes: bytes | bytearray, marks: tuple[str, ...]) -> Text:
    line = Text()
    start = 0
    for at in range(1, len(codes) + 1):
        if at == len(codes) or codes[at] != codes[start]:
            line.append(marks[codes[start]] * (at - start), style=COLOURS[codes[start]])
            start = at
    return line


def _together(codes: bytes | bytearray) -> tuple[int, bool]:
    """What several tasks look like in one cell, and whether they differ: a failure is never hidden."""
    for code in (FAILED, RUNNING):
        if code in codes:
            return code, False
    done = codes.count(COMPLETED)
    if done:
        return COMPLETED, done < len(codes)
    return (NOT_RUN, False) if NOT_RUN in codes else (PENDING, False)


def _colour(code: int, differ: bool) -> str:
    return SOME if differ else COLOURS[code]


def _halves(colours: list[str], width: int) -> list[Text]:
    """Two rows of cells a line: the upper half block in the colour of one, on the colour of the other."""
    lines = []
    for at in range(0, len(colours), 2 * width):
        upper, lower = colours[at : at + width], colours[at + width : at + 2 * width]
        line = Text()
        for place, colour in enumerate(upper):
            below = lower[place] if place < len(lower) else None
            line.append("▀" if colour != below else "█", style=_style(colour, below))
        lines.append(line)
    return lines


_styles: dict[tuple[str, str | None], Style] = {}


def _style(colour: str, below: str | None) -> Style:
    found = _styles.get((colour, below))
    if found is None:
        found = _styles[colour, below] = Style(color=colour, bgcolor=below if below != colour else None)
    return found
