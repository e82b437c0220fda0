"""A manager, or a launcher, that kills itself at the n-th call of a named system effect.

    python tests/faults/crashing.py manager BASE PLAN
    (as a launcher it is started by such a manager, see `launcher.py`)

The product's code is not changed: the functions it calls are wrapped before it runs. `PLAN` is a JSON object:

    effect     a key of `EFFECTS`
    n          the call at which to die, from 1 on
    match      optional: what the arguments of the call must contain for it to count
    how        before the call | torn (half of the data is written) | after it | fails (the system says no)
    error      which error `fails` gives, by name
    times      how many calls in a row `fails`
    fuse       optional: a file; only who can remove it dies (so that one of several processes does)
    exchange   false: as on a file system that cannot exchange two names
    settings   of the manager
    view_interval_s   how often views are written (they are swapped more often then)
    boot       what tells this start of the machine from others (8 hexadecimal digits)
    launcher   a plan for the launchers it starts
    counts     optional: a file that gets the number of calls of each effect when the manager ends by itself
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

EFFECTS = (
    "write", "pwrite", "fdatasync", "fsync", "rename", "exchange", "link", "unlink", "send", "spawn",
)  # fmt: skip
"""What the manager does to the world."""
LAUNCHER_EFFECTS = ("write", "rename", "posix_spawn", "wait4", "send")

_write = os.write
_unlink = os.unlink
_lock = threading.Lock()
_calls: Counter[str] = Counter()
_plan: dict[str, Any] = {}


def _shown(arguments: tuple[Any, ...]) -> str:
    return " ".join(str(one)[:60] for one in arguments if isinstance(one, str | int | bytes | Path))


def _mine() -> bool:
    """Whether it is this process that is to die."""
    fuse = _plan.get("fuse")
    try:
        if fuse is not None:
            _unlink(fuse)
    except FileNotFoundError:
        return False
    return True


def _die(effect: str, arguments: tuple[Any, ...]) -> None:
    if note := _plan.get("note"):
        fd = os.open(note, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        _write(fd, f"{os.getpid()} {effect} {_plan['n']} {_plan.get('how')} {_shown(arguments)}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def _due(effect: str, arguments: tuple[Any, ...]) -> bool:
    with _lock:
        match = _plan.get("match", "") if effect == _plan.get("effect") else ""
        if match and not any(match in os.fspath(one) for one in arguments if isinstance(one, str | Path)):
            return False
        _calls[effect] += 1
        times = _plan.get("times", 1)
        return _plan.get("effect") == effect and _plan["n"] <= _calls[effect] < _plan["n"] + times


def wrapped(effect: str, call: Callable[..., Any], data_at: int | None = None) -> Callable[..., Any]:
    """`call`, counted, and deadly when its turn comes; `data_at`: which argument holds what is written."""

    def counted(*arguments: Any, **named: Any) -> Any:
        due = _due(effect, arguments)
        how = _plan.get("how", "before")
        if due and how == "fails":
            code = getattr(errno, _plan["error"])
            raise OSError(code, os.strerror(code))
        if not due or not _mine():
            return call(*arguments, **named)
        if how == "before":
            _die(effect, arguments)
        if how == "torn" and data_at is not None:
            data = bytes(arguments[data_at])
            torn = [*arguments]
            torn[data_at] = data[: max(1, len(data) // 2)]
            call(*torn, **named)
            _die(effect, arguments)
        result = call(*arguments, **named)
        _die(effect, arguments)
        return result

    return counted


def _wrap_os(effects: tuple[str, ...]) -> None:
    for name, data_at in (
        ("write", 1), ("pwrite", 1), ("fdatasync", None), ("fsync", None), ("rename", None), ("link", None),
        ("unlink", None), ("posix_spawn", None), ("wait4", None),
    ):  # fmt: skip
        if name in effects:
            setattr(os, name, wrapped(name, getattr(os, name), data_at))
    socket.socket.send = wrapped("send", socket.socket.send, 1)  # type: ignore[method-assign]


def run_manager(base: str) -> None:
    """Run a manager on `base` as `air-executor manager` does, with the plan's crash in it."""
    from air_executor.cli.manager_log import log_to
    from air_executor.manager import Manager
    from air_executor.manager import views as job_views
    from air_executor.runners import local
    from air_executor.settings import Settings
    from air_executor.store import files, views
    from air_executor.store.layout import Base

    def exchange(first: Path, second: Path) -> bool:
        return files.exchange(first, second) if _plan.get("exchange", True) else False

    _wrap_os(EFFECTS)
    views.exchange = wrapped("exchange", exchange)

    class Popen(subprocess.Popen):  # type: ignore[type-arg]
        __init__ = wrapped("spawn", subprocess.Popen.__init__)  # type: ignore[assignment]

    subprocess.Popen = Popen  # type: ignore[misc]
    if interval_s := _plan.get("view_interval_s"):
        job_views.INTERVAL_S = job_views.FIRST_S = interval_s  # type: ignore[misc]
        job_views.COST_FACTOR = 1.0  # type: ignore[misc]
    if boot := _plan.get("boot"):
        local._boot = lambda: boot
    if launcher_plan := _plan.get("launcher"):
        local.__file__ = str(Path(__file__).with_name("local.py"))  # beside which `launcher.py` is looked for
        os.environ["FAULTS_LAUNCHER_PLAN"] = json.dumps(launcher_plan)
    folder = Base(base)
    folder.create()
    log = log_to(folder, Settings())
    settings = {"slots": 6, "launchers": 2, "grace_s": 1.0, **_plan.get("settings", {})}
    try:
        Manager(folder, Settings(**settings)).run()
    except BaseException:
        log.exception("the manager ends because of a bug")
        raise
    if counts := _plan.get("counts"):
        Path(counts).write_text(json.dumps(_calls))


def run_launcher(code: Path) -> None:
    """Run the launcher program `code` with the crash of the plan in the environment."""
    import runpy

    _plan.update(json.loads(os.environ["FAULTS_LAUNCHER_PLAN"]))
    _wrap_os(LAUNCHER_EFFECTS)
    runpy.run_path(str(code), run_name="__main__")


if __name__ == "__main__" and sys.argv[1] == "manager":
    _plan.update(json.loads(sys.argv[3]))
    run_manager(sys.argv[2])
