"""Processes that are not our children: are they still those we mean, and how did they end."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from air_executor.lifecycle import AttemptEnd
from air_executor.runners.pidfd import pidfd_exit_status
from air_executor.runners.spools import Spooled

__all__ = ["end_by_status", "has_mark", "stat_fields", "status_of", "wait_status"]


def stat_fields(pid: int | str) -> list[str] | None:
    """The fields of `/proc/<pid>/stat` from the state on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def has_mark(pid: int | str, mark: bytes) -> bool:
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def wait_status(pidfd: int, pid: int) -> int | None:
    """The wait status of an ended process: as its parent, else as the kernel keeps it.

    A process that nobody has waited for shows it in /proc; one that was waited for, in its pidfd (6.15 and later).
    """
    with contextlib.suppress(ChildProcessError):
        info = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        if info is not None:
            return status_of(info)
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        if fields[0] in "ZX":
            return int(fields[49])
    return pidfd_exit_status(pidfd)


def status_of(info: os.waitid_result) -> int:
    return info.si_status << 8 if info.si_code == os.CLD_EXITED else info.si_status


def end_by_status(attempt: Spooled, status: int) -> AttemptEnd:
    """The end of a process that was seen without its launcher."""
    run_s = max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - attempt.ticks / os.sysconf("SC_CLK_TCK"))
    end = AttemptEnd(ended_at=time.time(), run_s=run_s)
    if os.WIFSIGNALED(status):
        end.signal = name_of(os.WTERMSIG(status))
        end.reason, end.error = "signal", f"ended by {end.signal}"
    else:
        end.exit_code = os.WEXITSTATUS(status)
        if end.exit_code:
            end.reason, end.error = "exit", f"exit code {end.exit_code}"
    return end


def name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have no name
        return f"SIG{number}"
