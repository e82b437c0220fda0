"""What tests of real processes share: a manager to start and to end, and waiting with a deadline."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DEADLINE_S = 60.0


def wait_for(
    condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S, *, every_s: float = 0.01
) -> Any:
    """Return the first true value of `condition`; fail naming `what` after the deadline."""
    deadline = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        time.sleep(every_s)


class ManagerProcess:
    """A real manager on a base folder of its own."""

    def __init__(self, base: Path, *options: str, **environment: str) -> None:
        self.base = base
        self.options = options
        self.environment = environment
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> ManagerProcess:
        """Start it and wait until it works."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("AIR_EXECUTOR_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "air_executor", "manager", "--base", str(self.base), *self.options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=env | self.environment,
        )
        wait_for(lambda: self.pid_in_file() == self.pid or self.process.poll() is not None, "a manager")
        assert self.process.poll() is None, (self.base / "manager.log").read_text()
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def pid_in_file(self) -> int | None:
        try:
            return int(json.loads((self.base / "manager.json").read_text())["pid"])
        except (OSError, ValueError):
            return None

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, number: int = signal.SIGUSR2) -> None:
        """End it and, unless told otherwise, all its tasks."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise


def read(path: Path) -> Any:
    """A view, by `open` and `json` alone."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def write_job(base: Path, name: str, tasks: Any, **state: Any) -> Path:
    """Make a job by hand: two files, tasks first."""
    folder = base / "jobs" / name
    folder.mkdir(parents=True)
    (folder / "tasks.json").write_text(json.dumps(tasks))
    (folder / "state.json").write_text(json.dumps({"id": f"{name}-1", "name": name, **state}))
    return folder


def ended(folder: Path, job_id: str | None = None) -> dict[str, Any] | None:
    """The state of a job that has ended, else None."""
    try:
        state = read(folder / "state.json")
    except (OSError, ValueError):
        return None
    if not isinstance(state, dict) or state.get("state") not in ("completed", "failed"):
        return None
    if job_id and state.get("id") != job_id:
        return None
    return state  # type: ignore[no-any-return]


def wait_end(folder: Path, job_id: str | None = None, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
    """Wait for the end of a job and return its state."""
    return wait_for(lambda: ended(folder, job_id), f"the end of {folder.name}", deadline_s)


def by_id(folder: Path) -> dict[str, dict[str, Any]]:
    """The tasks of `tasks.json` by id."""
    return {task["id"]: task for task in read(folder / "tasks.json")}
