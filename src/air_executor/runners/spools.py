"""What launchers wrote down before telling anybody: their spool files, read."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from air_executor.lifecycle import AttemptEnd
from air_executor.model import Usage
from air_executor.runners.base import AttemptKey

__all__ = ["SPOOL_NAME", "Remains", "Spooled", "end_of", "lost", "read_spools", "worth_of"]

log = logging.getLogger("air_executor.runners")

SPOOL_NAME = re.compile(r"(?P<launcher>.+)\.(?P<segment>\d{6})\.spool")
_Pid = Annotated[int, Meta(gt=0, lt=1 << 31)]
_Time = Annotated[float, Meta(ge=0, lt=1e11)]
_Slot = Annotated[str, Meta(pattern="^(@slot-[^/]*)?$")]
_Why = Literal["exit", "signal", "timeout", "memory", "not_started", "lost", "cancelled"]
_End = tuple[
    str,
    int,
    int | None,
    str | None,
    _Why | None,
    str | None,
    float | None,
    float | None,
    float | None,
    _Time,
]
_decode_line: Final = {
    b'["a"': msgspec.json.Decoder(tuple[str, int, AttemptKey]).decode,
    b'["s"': msgspec.json.Decoder(tuple[str, int, _Pid, int, _Slot]).decode,
    b'["x"': msgspec.json.Decoder(_End).decode,
}
"""By their first bytes, what the lines of a spool must be."""


class Spooled:
    """What the spools of one launcher say of one attempt."""

    __slots__ = (
        *("begun", "end", "grace_s", "key", "kill_at", "pid", "remains", "slot", "ticks", "timeout_at"),
        *("token", "why"),
    )

    def __init__(self, token: int, key: AttemptKey) -> None:
        self.token = token
        self.key = key
        self.begun = True
        """False: others accepted before it had not been started either, so no process of it was ever made."""
        self.remains: Remains | None = None
        self.pid = 0
        self.ticks = 0
        self.slot = ""
        self.kill_at = 0.0
        self.timeout_at = 0.0
        self.grace_s = 0.0
        self.why: Any = ""
        self.end: AttemptEnd | None = None


class Remains:
    """The spools of a dead launcher, which must stay while attempts of it are watched."""

    __slots__ = ("paths", "watched")

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.watched = 0


def read_spools(paths: list[Path], unspooled: bytes = b"") -> dict[int, Spooled]:
    """Token -> attempt, from all segments of one launcher; a torn last line is passed over.

    `unspooled`: the lines that a living launcher says there was no room for.
    """
    attempts: dict[int, Spooled] = {}
    damaged = False
    for path in (*paths, None):
        try:
            data = unspooled if path is None else path.read_bytes()
        except OSError:
            damaged = True
            continue
        *lines, torn = data.split(b"\n")
        for line in (*lines, torn):
            try:
                record = _decode_line[line[:4]](line)
            except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                damaged = damaged or (line is not torn and bool(line))
                continue
            token = record[1]
            if record[0] == "a":
                attempts.setdefault(token, Spooled(token, record[2]))
            elif (attempt := attempts.get(token)) is None:
                continue
            elif record[0] == "s":
                attempt.pid, attempt.ticks, attempt.slot = record[2:]
            else:
                attempt.end = end_of(record)
    if damaged:
        log.warning("%s: passed over damaged lines", paths[0])
    else:
        # Attempts are begun in order, and the start of one is written down before the next is begun.
        waiting = [attempt for _, attempt in sorted(attempts.items()) if not attempt.pid and attempt.end is None]
        for attempt in waiting[1:]:
            attempt.begun = False
    return attempts


def worth_of(attempt: Spooled, alive: set[int]) -> int:
    """How much a spool knows of an attempt; 0: that it was never begun."""
    if attempt.end is not None:
        return 4
    if attempt.token in alive:
        return 3
    if attempt.pid:
        return 2
    return 1 if attempt.begun else 0


def end_of(message: Any) -> AttemptEnd:
    _, _, code, signal_name, reason, error, run_s, cpu_s, memory_mb, ended_at = message
    usage = None if cpu_s is None else Usage(cpu_s, memory_mb)
    return AttemptEnd(
        ended_at=ended_at,
        exit_code=code,
        signal=signal_name,
        reason=reason,
        error=error,
        run_s=run_s,
        usage=usage,
    )


def lost(why: str) -> AttemptEnd:
    return AttemptEnd(ended_at=time.time(), reason="lost", error=f"lost: {why}")
