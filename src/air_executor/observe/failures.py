"""Failures that look alike, put together: by why a task failed and the last line it wrote."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

from air_executor.errors import InvalidInput
from air_executor.observe.roll import CODES, REASONS
from air_executor.observe.tail import JournalTail
from air_executor.store.files import open_regular
from air_executor.store.layout import JobFolder, log_name

__all__ = ["FailureLines", "last_line"]

EXAMPLES: Final = 5
MOST_LINES: Final = 200
LOOKED_AT: Final = 5_000
"""So many logs are read; of tasks beyond them the error alone is told."""
OTHER_LINES: Final = "(other errors)"
TAIL_BYTES: Final = 4_096
LINE_LENGTH: Final = 300
OWN_WORDS: Final = frozenset({CODES["exit"], CODES["signal"]})
"""Failures of which a log says more than the error does."""


class FailureLines:
    """The failures of one run. What was read of a log is kept as long as the task's failure is the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], str] = {}
        """(place, where its end stands) -> line"""
        self._run = ""

    def lines(self, tail: JournalTail) -> Iterator[tuple[int, str] | None]:
        """The place and the line of each failed task; None as often as others should have their turn."""
        roll = tail.progress.roll
        if self._run != tail.progress.run_id:
            self._run = tail.progress.run_id
            self._known = {}
        known: dict[tuple[int, int], str] = {}
        for count, place in enumerate(_failed(roll.codes)):
            if count % 100 == 99:
                yield None
            key = (place, roll.told[place])
            line = self._known.get(key)
            if line is None:
                line = self._line(tail, place, count)
            if len(known) < LOOKED_AT:
                known[key] = line
            yield place, line
        self._known = known

    def groups(self, tail: JournalTail) -> Iterator[list[dict[str, Any]] | None]:
        """None as often as others should have their turn, at last the groups, the largest first."""
        roll = tail.progress.roll
        found: dict[tuple[str, str], tuple[int, list[str]]] = {}
        for item in self.lines(tail):
            if item is None:
                yield None
                continue
            place, line = item
            reason = REASONS[roll.codes[place]]
            if reason is None:
                continue  # it was given another go meanwhile
            group = (line, reason)
            if group not in found and len(found) >= MOST_LINES:
                group = (OTHER_LINES, reason)
            number, examples = found.get(group, (0, []))
            if len(examples) < EXAMPLES:
                examples.append(roll.ids[place])
            found[group] = (number + 1, examples)
        ordered = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))
        yield [
            {"line": line, "reason": reason, "count": number, "examples": examples}
            for (line, reason), (number, examples) in ordered
        ]

    def _line(self, tail: JournalTail, place: int, count: int) -> str:
        roll = tail.progress.roll
        if roll.codes[place] in OWN_WORDS and count < LOOKED_AT and (line := last_line(tail.folder, roll.ids[place])):
            return line
        event = tail.event_at(roll.told[place])
        error = getattr(event, "error", None)
        lines = str(error).strip().splitlines() if error else []
        return lines[-1][:LINE_LENGTH] if lines else REASONS[roll.codes[place]] or ""


def _failed(codes: bytearray) -> Iterator[int]:
    """The places of failed tasks; those that ran come first."""
    later = (CODES["skipped"], CODES["cancelled"])
    for wanted in ([code for code in CODES.values() if code not in later], later):
        for code in wanted:
            place = codes.find(code)
            while place >= 0:
                yield place
                place = codes.find(code, place + 1)


def last_line(folder: JobFolder, task: str) -> str:
    """The last line with something in it that a task wrote."""
    try:
        fd = open_regular(folder.logs / log_name(task))
    except (OSError, InvalidInput):
        return ""
    try:
        size = os.fstat(fd).st_size
        data = os.pread(fd, TAIL_BYTES, max(0, size - TAIL_BYTES))
    finally:
        os.close(fd)
    lines = data.decode(errors="replace").strip().splitlines()
    return "".join(c if c.isprintable() else " " for c in lines[-1]).strip()[:LINE_LENGTH] if lines else ""
