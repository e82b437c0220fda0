"""Managers and launchers to kill: at a named point, or at any moment."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import air_executor
from tests.support import ended, wait_for

DRIVER = str(Path(__file__).with_name("crashing.py"))
DEADLINE_S = float(os.environ.get("FAULTS_DEADLINE_S", "40"))


class Faulty:
    """A base folder whose managers are made to die; ends everything it started."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.note = base.parent / "crashes.txt"
        self.errors = base.parent / "managers.txt"
        self.managers: list[subprocess.Popen[bytes]] = []
        self.reached: list[str] = []

    def start(self, **plan: Any) -> subprocess.Popen[bytes]:
        """Start a manager that dies as `plan` says (see `crashing.py`)."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("AIR_EXECUTOR_")}
        env["PYTHONPATH"] = str(Path(air_executor.__file__).parents[1])
        with self.errors.open("ab") as errors:
            manager = subprocess.Popen(
                [sys.executable, DRIVER, "manager", str(self.base), json.dumps({"note": str(self.note), **plan})],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=env,
            )
        self.managers.append(manager)
        return manager

    def crash(self, folder: Path, job_id: str | None = None, **plan: Any) -> bool:
        """Run a manager until it dies or the job ends; whether it died at the point named."""
        manager = self.start(**plan)
        wait_for(
            lambda: manager.poll() is not None or ended(folder, job_id),
            f"a crash at {plan}, or the end of {folder.name}",
            DEADLINE_S,
        )
        died = manager.poll() is not None
        if not died:
            self.kill(manager)
            return False
        assert manager.returncode == -signal.SIGKILL, f"the manager ended by itself: {self.complaints()}"
        self.reached.append(f"{plan.get('effect')} {plan.get('n')} {plan.get('how', 'before')}")
        return True

    def runs(self, manager: subprocess.Popen[bytes]) -> bool:
        """True; fails when the manager has ended by itself."""
        assert manager.poll() is None, f"the manager ended by itself: {self.complaints()}"
        return True

    def kill(self, manager: subprocess.Popen[bytes]) -> None:
        """kill -9."""
        manager.kill()
        manager.wait()

    def look_on(self, manager: subprocess.Popen[bytes], seconds: float) -> None:
        """Let it work for a moment; it must not end by itself."""
        time.sleep(seconds)
        self.runs(manager)

    def crash_after(self, seconds: float) -> None:
        """Run a manager for a moment, then kill it."""
        manager = self.start()
        self.look_on(manager, seconds)
        self.kill(manager)

    def finish(self, folder: Path, job_id: str | None = None, **plan: Any) -> dict[str, Any]:
        """Let an undisturbed manager bring the job to its end, then stop it."""
        manager = self.start(**plan)
        state = self.wait_end(manager, folder, job_id)
        self.stop(manager)
        return state

    def wait_end(self, manager: subprocess.Popen[bytes], folder: Path, job_id: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = wait_for(
            lambda: self.runs(manager) and ended(folder, job_id), f"the end of {folder.name}", DEADLINE_S
        )
        return found

    def stop(self, manager: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
        if manager.poll() is None:
            manager.send_signal(number)
            manager.wait(30)

    def launchers(self) -> list[int]:
        """The launcher programs of this base."""
        runtime = os.fsencode(self.base / "runtime")
        # A child that has not exec'd yet has the same command line, but leads no session.
        return [pid for pid, line in _commands() if line and line[-1] == runtime and _leads_session(pid)]

    def tasks(self) -> list[int]:
        """The task processes of this base."""
        mark = b"AIR_EXECUTOR_BASE=" + os.fsencode(self.base)
        found = []
        for pid, _ in _commands():
            with contextlib.suppress(OSError):
                if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    found.append(pid)
        return found

    def complaints(self) -> str:
        """What managers and launchers said that they should not have had to say."""
        text = self.errors.read_text(errors="replace") if self.errors.exists() else ""
        lines = text.splitlines()
        bad = [n for n, line in enumerate(lines) if "Traceback" in line or "internal error" in line]
        return "\n".join(lines[max(0, bad[0] - 2) : bad[0] + 40]) if bad else ""

    def close(self) -> None:
        """End what is left."""
        for manager in self.managers:
            if manager.poll() is None:
                self.kill(manager)
        for pid in [*self.launchers(), *self.tasks()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while (self.launchers() or self.tasks()) and time.monotonic() < deadline:
            time.sleep(0.01)


def _leads_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def _commands() -> Iterator[tuple[int, list[bytes]]]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                yield int(name), Path(f"/proc/{name}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")


def kill_some(pids: list[int], chance: random.Random, count: int) -> list[int]:
    """kill -9 of up to `count` of these processes; gives those that were there."""
    killed = []
    for pid in chance.sample(pids, min(count, len(pids))):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
    return killed
