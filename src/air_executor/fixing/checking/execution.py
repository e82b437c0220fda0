"""Running a tool: output into files, a limit on what it writes, a time-out, and nothing of it left alive."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from air_executor.fixing.check import CouldNotRun

__all__ = ["OUTPUT_LIMIT_MB", "Ended", "adopt_descendants", "execute"]

OUTPUT_LIMIT_MB: Final = 64
LOOK_S: Final = 0.05
PR_SET_CHILD_SUBREAPER: Final = 36


class Ended:
    """How a program ended."""

    def __init__(self, code: int, duration_s: float) -> None:
        self.exit_code = code if code >= 0 else None
        self.signal = None if code >= 0 else signal.Signals(-code).name
        self.duration_s = duration_s


def adopt_descendants() -> None:
    """From now on, what this process's children leave behind becomes its own children, so that it can be ended."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def execute(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdout: Path,
    stderr: Path,
    timeout_s: float,
    watched: Iterable[Path] = (),
) -> Ended:
    """Run a program to its end, and end what it leaves behind, as far as that comes to this process
    (`adopt_descendants`). Standard output, error and each of `watched` may grow to `OUTPUT_LIMIT_MB`.

    Raises `CouldNotRun` when it cannot be started, takes too long, or writes too much.
    """
    name = os.path.basename(argv[0])
    began = time.monotonic()
    others = frozenset(_children(os.getpid()))
    with stdout.open("wb") as out, stderr.open("wb") as err:
        try:
            process = subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        except OSError as error:
            raise CouldNotRun(
                f"{argv[0]} cannot be started: {error.strerror}", f"install {name} anew, or mend its permissions"
            ) from error
    try:
        _wait(process, name, began + timeout_s, timeout_s, (stdout, stderr, *watched))
    finally:
        if process.poll() is None:
            _kill([process.pid])
            process.wait()
        _end_children(others)
    return Ended(process.returncode, time.monotonic() - began)


def _wait(
    process: subprocess.Popen[bytes], name: str, deadline: float, timeout_s: float, watched: Sequence[Path]
) -> None:
    fd = os.pidfd_open(process.pid)
    try:
        while True:
            left = deadline - time.monotonic()
            ended, _, _ = select.select([fd], [], [], max(0.0, min(LOOK_S, left)))
            for path in watched:
                if _size(path) > OUTPUT_LIMIT_MB * 1_000_000:
                    raise CouldNotRun(
                        f"{name} wrote more than {OUTPUT_LIMIT_MB} MB ({path.name})",
                        "find out why it says so much, or leave out what it talks about",
                    )
            if ended:
                return
            if left <= 0:
                raise CouldNotRun(
                    f"{name} did not end within {timeout_s:g} s",
                    "find out why it hangs, or allow it more time in the configuration",
                )
    finally:
        os.close(fd)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _end_children(others: frozenset[int]) -> None:
    """Kill and collect all children but `others`, and those they leave, until there are none."""
    while children := [pid for pid in _children(os.getpid()) if pid not in others]:
        _kill(children)
        for pid in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _kill(children: Iterable[int]) -> None:
    for pid in _tree(children):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _tree(pids: Iterable[int]) -> list[int]:
    found = []
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += _children(pid)
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found += map(int, file.read().split())
    except OSError:
        return found
    return found
