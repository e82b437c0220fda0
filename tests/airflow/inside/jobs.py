"""Real jobs for the tests inside Airflow: a base folder, its managers, and what a test listens with."""

from __future__ import annotations

import contextlib
import http.client
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from air_executor import AirExecutorClient
from tests.support import ManagerProcess, wait_for

SERVER_PYTHON = os.environ.get("AIR_EXECUTOR_TEST_SERVER_PYTHON")
"""An interpreter that can run `air-executor serve`, where that of the tests cannot: Airflow 2.10 has no FastAPI."""


class Jobs:
    """A base folder of a test, with a manager that is started when it is wanted."""

    def __init__(self, folder: Path) -> None:
        self.base = folder / "base"
        self.client = AirExecutorClient(self.base)
        self.client.base.create()
        self.managers: list[ManagerProcess] = []

    def manage(self, *options: str) -> ManagerProcess:
        manager = ManagerProcess(self.base, *(options or ("--slots", "4"))).start()
        self.managers.append(manager)
        return manager

    def folder(self, name: str) -> Path:
        return self.base / "jobs" / name

    def until(self, name: str, go: Path, *before: dict[str, Any], **options: Any) -> str:
        """Make a job that ends when there is a file `go`; gives its id."""
        wait = {"id": "wait", "command": f"until test -e '{go}'; do sleep 0.02; done", "shell": True}
        return self.client.create_job(name, [*before, wait], cwd=self.base, **options)


@contextlib.contextmanager
def jobs_in(folder: Path) -> Iterator[Jobs]:
    jobs = Jobs(folder)
    try:
        yield jobs
    finally:
        for manager in jobs.managers:
            manager.stop()


@contextlib.contextmanager
def server_of(base: Path, *options: str) -> Iterator[ServerProcess]:
    server = ServerProcess(base, *options)
    try:
        server.start()
        yield server
    finally:
        server.stop()


class ServerProcess:
    """`air-executor serve` that can be stopped and started again on the same port."""

    def __init__(self, base: Path, *options: str) -> None:
        self.base = base
        self.options = options
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("AIR_EXECUTOR_", "PYTHON"))}
        env |= {"XDG_CACHE_HOME": str(self.base.parent / "cache"), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        if SERVER_PYTHON:
            import air_executor

            env["PYTHONPATH"] = str(Path(air_executor.__file__).parents[1])
        command = [SERVER_PYTHON or sys.executable, "-m", "air_executor", "serve", "--base", str(self.base)]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), *self.options],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], 60.0)
        line = self.process.stdout.readline().decode() if readable else "nothing within a minute"
        assert line.startswith("serving "), line + (self.process.stdout.read().decode() if readable else "")
        self.port = int(line.split()[-1].rstrip("/").rsplit(":", 1)[1])
        wait_for(self._answers, "an answer of the server")

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self, number: int = signal.SIGTERM) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert process.stdout is not None
        process.stdout.close()


def own() -> set[tuple[str, str]]:
    """Threads of this process, and what it has open of what watchers use: it should not grow."""
    found = {("thread", thread.name) for thread in threading.enumerate() if "air-executor" in thread.name}
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            what = os.readlink(f"/proc/self/fd/{entry}")
            if what in ("anon_inode:inotify", "anon_inode:[eventfd]") or "/jobs/" in what:
                found.add((entry, what))
    return found


class Lines:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def info(self, event: str, *args: Any) -> None:
        self.said.append(event % args if args else event)

    def warning(self, event: str, *args: Any) -> None:
        self.warned.append(event % args if args else event)

    @property
    def text(self) -> str:
        return "\n".join(self.said)
