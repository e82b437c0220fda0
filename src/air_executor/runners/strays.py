"""Processes of an attempt that have left its process group: found by the mark in their environment.

Standard library only, and nothing of this package: the launcher, which runs apart from it, loads this file too.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Container

RESULT = b"AIR_EXECUTOR_RESULT="
RUN = b"AIR_EXECUTOR_RUN="
BEGAN = b"AIR_EXECUTOR_BEGAN="

Mark = tuple[bytes, bytes, bytes]
"""Where an attempt writes its result to, its run's id, and when that was made: together those of no other attempt.

The id alone would not do: it may have been given by whoever made the job, and made it again when its folder was gone.
"""


class MarksOfRun:
    """The marks of an attempt of which it is not known when its run was made."""

    def __init__(self, result: bytes, run: bytes) -> None:
        self._known = (result, run)

    def __contains__(self, mark: object) -> bool:
        return isinstance(mark, tuple) and mark[:2] == self._known


def mark_of(environ: bytes) -> Mark | None:
    """The mark in what `/proc/<pid>/environ` holds."""
    if RESULT not in environ:
        return None
    entries = environ.split(b"\0")
    result, run, began = (next((e for e in entries if e.startswith(name)), name) for name in (RESULT, RUN, BEGAN))
    return None if result == RESULT else (result, run, began)


def strays_of(marks: Container[Mark]) -> dict[Mark, list[int]]:
    """The processes that carry one of these marks, from one look at all processes; not this one."""
    found: dict[Mark, list[int]] = {}
    own = str(os.getpid())
    for name in os.listdir("/proc"):
        if name.isdigit() and name != own and (mark := _mark_of_process(name)) is not None and mark in marks:
            found.setdefault(mark, []).append(int(name))
    return found


def signal_strays(pids: list[int], mark: Mark, *numbers: int) -> None:
    """Signal those of the processes that still carry the mark: a number may have gone to another one."""
    for pid in pids:
        with contextlib.suppress(OSError):
            pidfd = os.pidfd_open(pid)
            try:
                if _mark_of_process(str(pid)) == mark:
                    for number in numbers:
                        signal.pidfd_send_signal(pidfd, number)
            finally:
                os.close(pidfd)


def _mark_of_process(pid: str) -> Mark | None:
    try:
        fd = os.open(f"/proc/{pid}/environ", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = b""
        while more := os.read(fd, 1 << 20):
            data += more
        return mark_of(data)
    except OSError:  # it has just ended, or is another user's
        return None
    finally:
        os.close(fd)
