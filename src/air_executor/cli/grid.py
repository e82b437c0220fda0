"""One cell a task, in the order they were queued; where there are more tasks than cells, one cell for several."""

from __future__ import annotations

from typing import Final

from rich.style import Style
from rich.text import Text

from air_executor import events as ev

__all__ = ["Cells", "grid", "rows_needed"]

PENDING, RUNNING, COMPLETED, FAILED, NOT_RUN = range(5)
MARKS: Final = ("·", "▶", "■", "✘", "-")
PLAIN_MARKS: Final = (".", ">", "#", "x", "-")
COLOURS: Final = ("grey37", "cyan", "green", "red", "yellow")
WORDS: Final = ("pending", "running", "completed", "failed", "not run")
SOME: Final = "dark_sea_green4"
"""Several tasks in one cell, of which some have completed and some not."""


class Cells:
    """The state of each task of a run, a byte a task. Fed with its events in order."""

    def __init__(self) -> None:
        self.codes = bytearray()
        self._places: dict[str, int] = {}

    def add(self, event: ev.Event) -> None:
        if isinstance(event, ev.RunCreated):
            self.codes.clear()
            self._places.clear()
        elif isinstance(event, ev.TaskQueued):
            self._append(event.task.id, PENDING)
        elif isinstance(event, ev.TaskImported):
            self._append(event.task.id, COMPLETED if event.status == "completed" else _failure(event.reason))
        elif isinstance(event, ev.AttemptStarted):
            self._put(event.task, RUNNING)
        elif isinstance(event, ev.AttemptExited):
            again = event.retry_at is not None
            self._put(event.task, PENDING if again else COMPLETED if event.reason is None else _failure(event.reason))
        elif isinstance(event, ev.TaskSkipped | ev.TaskCancelled):
            self._put(event.task, NOT_RUN)
        elif isinstance(event, ev.TaskRetried):
            self._put(event.task, PENDING)

    def state_of(self, task: str) -> tuple[str, str]:
        """The state of a task as a word, and its colour."""
        place = self._places.get(task)
        code = PENDING if place is None else self.codes[place]
        return WORDS[code], COLOURS[code]

    def _append(self, task: str, code: int) -> None:
        self._places[task] = len(self.codes)
        self.codes.append(code)

    def _put(self, task: str, code: int) -> None:
        place = self._places.get(task)
        if place is not None:
            self.codes[place] = code


def _failure(reason: str | None) -> int:
    return NOT_RUN if reason in ("skipped", "cancelled") else FAILED


def rows_needed(tasks: int, width: int, most: int) -> int:
    """How many lines a grid of so many tasks takes, at most `most`."""
    return min(most, -(-tasks // max(1, width)))


def grid(cells: Cells, width: int, rows: int, *, utf8: bool = True) -> tuple[list[Text], int]:
    """The lines, and for how many tasks one cell stands."""
    codes, room = cells.codes, width * rows
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
