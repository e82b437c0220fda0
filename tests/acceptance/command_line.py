"""The command line as tests call it: a process of its own, in a clean environment."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from air_executor.store.layout import Base
from air_executor.store.lock import manager_pid

COMMAND = [sys.executable, "-m", "air_executor"]


def environment(**more: str) -> dict[str, str]:
    """What the session has set for itself must not choose the base, or turn warnings into errors."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIR_EXECUTOR_", "PYTHONWARN"))}
    return {**kept, **more}


def air_executor(
    *arguments: str,
    cwd: Path,
    code: int = 0,
    env: dict[str, str] | None = None,
    stdin: str = "",
    timeout_s: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, which must come with exit code `code`."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(**(env or {})),
        input=stdin,
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=timeout_s,
    )
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    assert "Traceback" not in done.stderr
    return done


def shown(*arguments: str, cwd: Path) -> Any:
    """What a command prints with `--json`."""
    return json.loads(air_executor(*arguments, "--json", cwd=cwd).stdout)


@contextmanager
def background(*arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on while the test does something else; killed if the test leaves it."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@contextmanager
def manager(cwd: Path, *options: str) -> Iterator[int]:
    """A manager in the background of the test; gives its pid."""
    air_executor("start", *options, cwd=cwd)
    facts = json.loads((cwd / ".air-executor" / "manager.json").read_text())
    try:
        yield facts["pid"]
    finally:
        end_manager(cwd)


def end_manager(cwd: Path) -> None:
    """End whatever manager works there, with all its tasks; none is fine too."""
    subprocess.run(
        [*COMMAND, "stop", "--kill", "--timeout", "30"],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        check=False,
        timeout=60,
    )


def wait_for(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.02)


def write_job(path: Path, *tasks: dict[str, Any], **options: Any) -> str:
    path.write_text(json.dumps({**options, "tasks": list(tasks)}))
    return str(path)


def sh(task_id: str, line: str, **more: Any) -> dict[str, Any]:
    return {"id": task_id, "command": line, "shell": True, **more}


FAILING = (
    sh("good", "echo fine"),
    sh("bad", "echo first; echo last words; exit 3"),
    sh("after", "true", dependencies=["bad"]),
)


def state_of(folder: Path, job: str) -> str:
    try:
        state: str = json.loads((folder / ".air-executor" / "jobs" / job / "state.json").read_text())["state"]
    except (FileNotFoundError, ValueError):
        return "nothing"
    return state


def running(folder: Path, job: str) -> int:
    journal = folder / ".air-executor" / "jobs" / job / "journal.jsonl"
    text = journal.read_text() if journal.exists() else ""
    return text.count('"AttemptStarted"') - text.count('"AttemptExited"')


def manager_of(folder: Path) -> int | None:
    return manager_pid(Base(folder / ".air-executor"))
