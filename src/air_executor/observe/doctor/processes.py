"""What `/proc` tells of processes: launchers and tasks of a base folder, limits, and who supervises whom."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

__all__ = [
    "PROC",
    "Attempt",
    "Process",
    "cgroup2_of",
    "limits_of",
    "name_of",
    "processes",
    "task_of",
    "threads_of_user",
    "under",
    "unit_of",
]

PROC: Final = Path("/proc")


class Process(NamedTuple):
    """One process as `/proc` shows it; `marks` are the AIR_EXECUTOR_ variables it was started with, if we may see."""

    pid: int
    parent: int
    args: list[str]
    marks: dict[str, str]


class Attempt(NamedTuple):
    """The attempt of a task that a process was started for."""

    job: str
    task: str
    attempt: int


def processes(proc: Path = PROC) -> Iterator[Process]:
    """All processes there are; those that end meanwhile are passed over."""
    for entry in os.listdir(proc):
        if not entry.isdigit():
            continue
        try:
            stat = (proc / entry / "stat").read_bytes()
            args = (proc / entry / "cmdline").read_bytes()
        except OSError:
            continue
        parent = int(stat.rpartition(b")")[2].split()[1])
        yield Process(int(entry), parent, [os.fsdecode(a) for a in args.split(b"\0")[:-1]], _marks(proc / entry))


def _marks(folder: Path) -> dict[str, str]:
    try:
        variables = (folder / "environ").read_bytes().split(b"\0")
    except OSError:  # another user's
        return {}
    marks = (os.fsdecode(v).partition("=") for v in variables if v.startswith(b"AIR_EXECUTOR_"))
    return {name.removeprefix("AIR_EXECUTOR_"): value for name, _, value in marks}


def name_of(process: Process, runtime: str) -> str | None:
    """The name of the launcher that a process is, for the base with this runtime folder."""
    args = process.args
    if (
        len(args) > 4
        and args[-4].endswith("/launcher.py")
        and os.path.realpath(args[-1]) == os.path.realpath(runtime)
    ):
        return args[-3]
    return None


def task_of(process: Process, base: str) -> Attempt | None:
    """The attempt a process belongs to, of the base folder `base`."""
    marks = process.marks
    if not {"BASE", "JOB", "TASK", "ATTEMPT"} <= marks.keys() or not marks["ATTEMPT"].isdigit():
        return None
    if os.path.realpath(marks["BASE"]) != os.path.realpath(base):
        return None
    return Attempt(marks["JOB"], marks["TASK"], int(marks["ATTEMPT"]))


def under(pid: int, parents: dict[int, int], tops: Iterable[int]) -> bool:
    """Whether one of `tops` is the process itself or above it."""
    wanted = set(tops)
    seen: set[int] = set()
    while pid > 0 and pid not in seen:
        if pid in wanted:
            return True
        seen.add(pid)
        pid = parents.get(pid, 0)
    return False


def limits_of(text: str) -> dict[str, tuple[float, float]]:
    """`/proc/<pid>/limits`: name -> soft and hard, `inf` for unlimited."""
    found = {}
    for line in text.splitlines()[1:]:
        name, rest = line[:26].strip(), line[26:].split()
        if len(rest) >= 2:
            found[name] = (_number(rest[0]), _number(rest[1]))
    return found


def _number(text: str) -> float:
    return float("inf") if text in ("unlimited", "max") else float(text)


def threads_of_user(uid: int, proc: Path = PROC) -> int:
    """Threads of a user, which RLIMIT_NPROC counts."""
    count = 0
    for entry in os.listdir(proc):
        if entry.isdigit():
            try:
                if os.stat(proc / entry).st_uid == uid:
                    count += len(os.listdir(proc / entry / "task"))
            except OSError:
                continue
    return count


def cgroup2_of(cgroups: str, mounts: str) -> Path | None:
    """The cgroup v2 folder of a process, from its `cgroup` and `mountinfo` files; None where there is none."""
    inside = next((line[3:] for line in cgroups.splitlines() if line.startswith("0::")), None)
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if inside is not None and after.split()[:1] == ["cgroup2"] and len(fields) > 4:
            root = fields[3].rstrip("/")
            return Path(fields[4] + "/" + inside.removeprefix(root).lstrip("/"))
    return None


def unit_of(cgroups: str) -> tuple[str, bool] | None:
    """The systemd unit a process belongs to, and whether it is one of a user's own manager.

    None when it is under no unit, or in a login session or the user's manager itself.
    """
    for line in cgroups.splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers not in ("", "name=systemd"):
            continue
        parts = path.split("/")
        for number in range(len(parts) - 1, 0, -1):
            part = parts[number]
            if part.endswith(".scope") or (part.startswith("user@") and part.endswith(".service")):
                break
            if part.endswith(".service"):
                return part, any(above.startswith("user@") for above in parts[:number])
    return None
