"""Runs one Airflow for a whole test session: `python -m tests.airflow.supervisor VERSION FOLDER PID [as-installed]`.

It makes itself independent of the test process that began it, writes FOLDER/site.json when all components answer (or
FOLDER/failed), takes requests on the socket FOLDER/control, and ends everything it started when the process PID is
gone, however that ended. `as-installed`: with Airflow's own intervals, for benchmarks.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from tests import postgresql
from tests.airflow import versions
from tests.airflow.configuration import ASK_S, PREPARE, USERS, components, site_environment
from tests.support import wait_for

READY_S = 180.0
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
REAP_S = 0.5
TICKS = os.sysconf("SC_CLK_TCK")

direct = build_opener(ProxyHandler({}))
"""Not through a proxy that the environment names."""


def die_with_parent() -> None:
    """Killed when the process that began this one dies. Runs between fork and exec."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Supervisor:
    """The components, their home, and their database."""

    def __init__(self, version: versions.Version, folder: Path, quick: bool = True) -> None:
        self.version = version
        self.quick = quick
        self.folder = folder
        self.home = folder / "home"
        self.base = folder / "base"
        self.logs = folder / "logs"
        for path in (self.home / "dags", self.logs):
            path.mkdir(parents=True)
        self.base.mkdir(mode=0o700)
        self.port = free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.cleanup = contextlib.ExitStack()
        self.env: dict[str, str] = {}
        self.commands: dict[str, list[str]] = {}

    def start_all(self) -> None:
        """Return when every component has been seen to work."""
        if self.version.series >= (3, 0):
            database = f"sqlite:///{self.home / 'airflow.db'}?timeout=60"
        else:
            cluster = self.cleanup.enter_context(postgresql.cluster(max_connections=200))
            database = f"postgresql+psycopg2://air@/postgres?host={cluster}"
        self.env = site_environment(self.version, self.home, self.base, self.port, database, quick=self.quick)
        users = json.dumps(USERS)
        with open(self.logs / "prepare.log", "wb") as log:
            command = [self.version.python, "-c", PREPARE, users]
            subprocess.run(command, env=self.env, cwd=self.home, stdout=log, stderr=log, check=True)
        self.commands = components(self.version, self.port)
        for name in self.commands:
            self.start(name)
        wait_for(self.ready, "all components of Airflow", READY_S, every_s=ASK_S)
        site = {
            "version": self.version.name,
            "port": self.port,
            "home": str(self.home),
            "base": str(self.base),
            "logs": str(self.logs),
            "env": self.env,
        }
        part = self.folder / "site.part"
        part.write_text(json.dumps(site))
        part.rename(self.folder / "site.json")

    def ready(self) -> bool:
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended with {process.returncode}: {tail(self.logs / f'{name}.log')}")
        return all(self.health().get(name) == "healthy" for name in ("scheduler", "triggerer", "dag_processor"))

    def health(self) -> dict[str, Any]:
        path = "/api/v2/monitor/health" if self.version.series >= (3, 0) else "/api/v1/health"
        try:
            with direct.open(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return {name: part["status"] for name, part in json.load(answer).items()}
        except (URLError, OSError, ValueError):
            return {}

    def start(self, name: str) -> int:
        """Start a component that does not run; its pid."""
        running = self.processes.get(name)
        if running is None or running.poll() is not None:
            program, *args = self.commands[name]
            with open(self.logs / f"{name}.log", "ab") as log:
                self.processes[name] = subprocess.Popen(
                    [self.version.python.parent / program, *args],
                    env=self.env,
                    cwd=self.home,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=die_with_parent,  # noqa: PLW1509 (we have one thread)
                )
        return self.processes[name].pid

    def signal(self, name: str, number: int) -> int:
        """Send a component a signal and wait until it is gone; its pid."""
        process = self.processes[name]
        process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            process.wait(30)
        return process.pid

    def answer(self, request: dict[str, Any]) -> Any:
        match request:
            case {"do": "add", "name": name, "command": command}:
                self.commands[name] = command
                return self.start(name)
            case {"do": "cpu"}:
                self.reap()
                return cpu_s(os.getpid())
            case {"do": "start", "name": name}:
                return self.start(name)
            case {"do": "signal", "name": name, "number": number}:
                return self.signal(name, number)
            case {"do": "pids"}:
                return {name: process.pid for name, process in self.processes.items() if process.poll() is None}
        raise ValueError(f"no such request: {request}")

    def reap(self) -> None:
        """Wait for what others have left to us, which makes its CPU time ours."""
        own = {process.pid for process in self.processes.values()}
        for pid in children(os.getpid()):
            if pid not in own:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

    def close(self) -> None:
        """End what we started, what that started, and the database. Nothing of it is needed again, so at once."""
        for process in self.processes.values():
            process.kill()
            process.wait()
        wait_for(lambda: not kill_marked(f"AIRFLOW_HOME={self.home}"), "the end of all processes of Airflow", 30)
        self.cleanup.close()
        wait_for(lambda: not kill_children(), "the end of what has no environment to be known by", 30)


def children(pid: int) -> list[int]:
    """Of all threads of a process."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds of a process, of all below it, and of those that were waited for there."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    # utime, stime, cutime, cstime
    return sum(map(int, fields[11:15])) / TICKS + sum(map(cpu_s, children(pid)))


def kill_children() -> list[int]:
    """kill -9 whatever is below this process, to which orphans come; the pids found.

    Airflow's workers and gunicorn write their titles over the environment that others are known by.
    """
    found = children(os.getpid())
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    return found


def kill_marked(mark: str) -> list[int]:
    """kill -9 whatever has `mark` in its environment; the pids found."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            if mark.encode() not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue
        found.append(int(entry.name))
    return found


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def tail(path: Path, lines: int = 30) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return str(error)


def serve(
    listening: socket.socket, owner: int, answer: Callable[[dict[str, Any]], Any], reap: Callable[[], None]
) -> None:
    """Answer requests, one a connection, until the process `owner` (a pidfd) has ended."""
    while True:
        ready, _, _ = select.select([listening, owner], [], [], REAP_S)
        reap()
        if owner in ready:
            return
        if not ready:
            continue
        connection, _ = listening.accept()
        with connection, connection.makefile("rw") as stream:
            try:
                said = {"answer": answer(json.loads(stream.readline()))}
            except Exception as error:
                said = {"error": f"{type(error).__name__}: {error}"}
            with contextlib.suppress(OSError):
                stream.write(json.dumps(said) + "\n")
                stream.flush()


def main() -> None:
    name, folder, pid = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    owner = os.pidfd_open(pid)
    if os.fork():
        os._exit(0)
    os.setsid()
    (folder / "supervisor.pid").write_text(f"{os.getpid()}\n")
    # pytest's Ctrl-C is not for us: the end of its process is
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    supervisor = Supervisor(versions.ALL[name], folder, quick="as-installed" not in sys.argv[4:])
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(folder / "control"))
            listening.listen()
            supervisor.start_all()
            serve(listening, owner, supervisor.answer, supervisor.reap)
    except Exception:
        (folder / "failed").write_text(traceback.format_exc())
        raise
    finally:
        supervisor.close()


if __name__ == "__main__":
    main()
