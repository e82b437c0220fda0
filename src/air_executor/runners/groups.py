"""Process groups: whether they live, to signal them, what memory they hold.

Standard library only, and nothing of this package: the launcher, which runs apart from it, loads this file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


def group_of(pid: int) -> int:
    """The process group of a process; 0 when there is no such process."""
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(pid)
    return 0


def signal_group(pgid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, number)


def group_lives(pgid: int) -> bool:
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def resident_mb(groups: Iterable[int]) -> dict[int, float]:
    """Resident memory of the processes of each of these groups together."""
    used = dict.fromkeys(groups, 0.0)
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        group = int(fields[2])
        if group in used:
            used[group] += int(fields[21]) * PAGE_MB
    return used
