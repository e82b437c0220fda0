"""Variables whose values a program tells: asked once a run, beside the loop, and written nowhere."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from air_executor import AirExecutorClient
from tests.support import ManagerProcess, by_id, wait_for

SECRET = "s3cret-of-this-test"


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """A file with a byte for each time the program below was run."""
    return tmp_path / "asked"


def telling(asked: Path, *lines: str) -> list[str]:
    """A program that counts how often it is asked, then does `lines`."""
    return ["sh", "-c", "\n".join((f"printf x >> {asked}", *lines))]


def times(asked: Path) -> int:
    return asked.stat().st_size if asked.exists() else 0


def show(task: str, command: list[str], **more: Any) -> dict[str, Any]:
    """A task that says how long its variable is and what it begins with."""
    script = 'printf %s "$TOKEN" | wc -c; printf %.3s "$TOKEN"'
    return {"id": task, "command": script, "shell": True, "env_from": {"TOKEN": {"command": command}}, **more}


def pids_of(text: str) -> list[int]:
    """Processes that have `text` among their arguments."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if text.encode() in Path(f"/proc/{name}/cmdline").read_bytes():
                found.append(int(name))
        except OSError:
            continue
    return found


def test_tasks_of_a_run_share_an_answer_that_is_written_nowhere(
    base: Path, manager: ManagerProcess, asked: Path
) -> None:
    client = AirExecutorClient(base)
    command = telling(asked, f"echo s3cret{SECRET[6:]}", "echo hidden >&2")
    command[2] = command[2].replace(SECRET, "$(printf '%s%s' s3cret " + SECRET[6:] + ")")
    tasks = [show(f"t{n}", command) for n in range(100)]
    client.create_job("shared", [*tasks, show("late", command, final=True), {"id": "plain", "command": "true"}])
    assert client.wait("shared", 60)["state"] == "completed"
    assert times(asked) == 1
    assert {client.logs("shared", task) for task in ("t0", "t99", "late")} == {f"{len(SECRET)}\ns3c"}
    client.create_job("shared", [show("again", command)])
    assert client.wait("shared", 60)["state"] == "completed"
    assert times(asked) == 2  # another run asks for itself
    for path in base.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


def test_what_a_program_is_run_with(base: Path, manager: ManagerProcess, tmp_path: Path) -> None:
    client = AirExecutorClient(base)
    words = [
        "sh",
        "-c",
        'printf "%s|" "$PWD" "$AIR_EXECUTOR_JOB" "$whom" "$@"; cat; test -n "$AIR_EXECUTOR_PYTHON"',
        "sh",
    ]
    told = {"command": [*words, "a b", "$HOME"]}
    task = {"id": "a", "command": "printenv", "args": ["TOLD"], "env_from": {"TOLD": told}, "cwd": "/"}
    client.create_job("told", [task], cwd=tmp_path, params={"whom": "you"})
    assert client.wait("told", 60)["state"] == "completed"
    assert client.logs("told", "a") == f"{tmp_path}|told|you|a b|$HOME|\n"


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (["echo first >&2; echo why >&2; exit 3"], "failed with exit code 3: why"),
        (["echo abcdef; echo abcdef is wrong >&2; exit 1"], "failed with exit code 1: *** is wrong"),
        (["exit 1"], "failed with exit code 1"),
        (["kill -9 $$"], "was ended by signal 9"),
        (["printf 'a\\0b'"], "printed a NUL character, which cannot be passed to a process"),
        (["printf '\\377'"], "printed what is not UTF-8"),
        (["yes"], "printed over 131072 bytes, too long for a variable"),
    ],
)
def test_a_program_that_does_not_tell(
    base: Path, manager: ManagerProcess, asked: Path, lines: list[str], error: str
) -> None:
    client = AirExecutorClient(base)
    command = telling(asked, *lines)
    tasks = [show("a", command), show("b", command), {"id": "c", "command": "true"}]
    client.create_job("untold", [*tasks, show("d", command, dependencies=["c"], retries=3)])
    state = client.wait("untold", 60)
    ended = by_id(base / "jobs" / "untold")
    assert state["progress"]["completed"] == 1
    for task in ("a", "b", "d"):
        assert (ended[task]["reason"], ended[task]["exit_code"]) == ("not_started", 126)
        assert ended[task]["error"] == f"env_from.TOKEN: the command sh {error}"
    assert times(asked) <= 2


def test_no_such_program_or_folder(base: Path, manager: ManagerProcess, tmp_path: Path) -> None:
    client = AirExecutorClient(base)
    client.create_job("a", [show("t", ["/no/such-program"])])
    client.create_job("b", [show("t", ["true"])], cwd=tmp_path / "gone")
    assert client.wait("a", 60)["state"] == client.wait("b", 60)["state"] == "failed"
    begin = "env_from.TOKEN: the command"
    assert (
        by_id(base / "jobs" / "a")["t"]["error"] == f"{begin} such-program cannot be run: No such file or directory"
    )
    where = f"cannot run in {str(tmp_path / 'gone')!r}: No such file or directory"
    assert by_id(base / "jobs" / "b")["t"]["error"] == f"{begin} true {where}"


def test_a_task_that_failed_so_can_be_retried(base: Path, manager: ManagerProcess, asked: Path) -> None:
    client = AirExecutorClient(base)
    client.create_job("mended", [show("a", telling(asked, f"test $(wc -c < {asked}) -gt 1 && echo {SECRET}"))])
    assert client.wait("mended", 60)["state"] == "failed"
    client.retry("mended")
    assert client.wait("mended", 60)["state"] == "completed"
    assert client.find_task("mended", "a")["attempt"] == 2


def test_nobody_waits_for_a_slow_program(
    base: Path, start_manager: Callable[..., ManagerProcess], asked: Path
) -> None:
    start_manager("--slots", "2")
    client = AirExecutorClient(base)
    slow = telling(asked, "exec sleep 600 # of this test")
    held = [show(f"held-{n}", slow, priority=9) for n in range(2_500)]
    plain = [{"id": f"plain-{n}", "command": "true"} for n in range(50)]
    client.create_job("slow", [*held, *plain])
    client.create_job("other", plain)
    assert client.wait("other", 30)["state"] == "completed"
    wait_for(lambda: client.get_job("slow")["progress"]["completed"] == 50, "the tasks that need no program")
    assert client.get_job("slow")["progress"]["running"] == 0
    began = time.monotonic()
    client.cancel("slow")
    assert client.wait("slow", 30)["reason"] == "cancelled"
    assert time.monotonic() - began < 10
    assert times(asked) == 1
    wait_for(lambda: not pids_of("exec sleep 600 # of this test"), "the program's end")


def test_a_paused_and_an_open_job_wait_for_their_program(base: Path, asked: Path, tmp_path: Path) -> None:
    """A manager that ends when it is idle is not idle while a program is asked."""
    client = AirExecutorClient(base)
    go = tmp_path / "go"
    client.create_job(
        "open", [show("a", telling(asked, f"until test -e {go}; do sleep 0.02; done; echo {SECRET}"))], open=True
    )
    manager = ManagerProcess(base, "--until-idle").start()
    try:
        wait_for(lambda: times(asked), "the question")
        client.pause("open")
        wait_for(lambda: client.get_job("open").get("paused"), "the pause")
        go.touch()
        wait_for(lambda: manager.process is not None and manager.process.poll() is not None, "the manager's end")
        assert client.get_job("open")["progress"]["pending"] == 1
        client.resume("open")
        manager.start()
        wait_for(lambda: client.get_job("open")["progress"]["completed"] == 1, "the task")
    finally:
        manager.stop()


def test_a_killed_manager_takes_its_programs_along_and_the_next_one_asks_again(
    base: Path, start_manager: Callable[..., ManagerProcess], asked: Path, tmp_path: Path
) -> None:
    first = start_manager("--slots", "2")
    client = AirExecutorClient(base)
    go = tmp_path / "go"
    command = telling(asked, f"until test -e {go}; do sleep 0.02; done; echo {SECRET}")
    client.create_job("killed", [show(f"t{n}", command) for n in range(5)])
    wait_for(lambda: times(asked) == 1, "the question")
    first.kill()
    wait_for(lambda: not pids_of(str(go)), "the end of the program that nobody listens to")
    go.touch()
    start_manager("--slots", "2")
    assert client.wait("killed", 60)["state"] == "completed"
    assert times(asked) == 2
    tasks = client.tasks("killed")
    assert [task["attempt"] for task in tasks] == [1] * 5
    assert client.logs("killed", "t4") == f"{len(SECRET)}\ns3c"
    events = [event["type"] for event in client.events("killed")]
    assert events.count("AttemptStarted") == events.count("AttemptExited") == 5


def test_an_attempt_that_no_launcher_took_is_handed_over_when_its_variable_is_known(
    base: Path, start_manager: Callable[..., ManagerProcess], asked: Path, tmp_path: Path
) -> None:
    """The journal says that it was started, and nobody has its value any more."""
    client = AirExecutorClient(base)
    first = start_manager("--slots", "4")
    go = tmp_path / "go"
    command = telling(asked, f"until test -e {go}; do sleep 0.02; done; echo {SECRET}")
    tasks = [show("a", command), show("b", command), {"id": "c", "command": "sleep", "args": ["600"]}]
    client.create_job("handed", tasks)
    wait_for(lambda: client.get_job("handed")["progress"]["running"] == 1, "the task that needs no program")
    first.kill()
    journal = base / "jobs" / "handed" / "journal.jsonl"
    started = [line for line in journal.read_text().splitlines() if '"AttemptStarted"' in line]
    with journal.open("a") as file:
        file.write(started[0].replace('"task":"c"', '"task":"a"') + "\n")
        file.write(started[0].replace('"task":"c"', '"task":"b"') + "\n")
    start_manager("--slots", "4")
    wait_for(lambda: times(asked) == 2, "the question")
    client.cancel("handed", "b")
    wait_for(lambda: client.find_task("handed", "b")["status"] == "failed", "the one that waits no longer")
    assert client.find_task("handed", "b")["error"] == "cancelled while it ran"
    assert client.find_task("handed", "a")["status"] == "running"
    go.touch()
    wait_for(lambda: client.find_task("handed", "a")["status"] == "completed", "the other one")
    client.cancel("handed")
    client.wait("handed", 60)
    assert client.find_task("handed", "a")["attempt"] == 1
    assert client.logs("handed", "a") == f"{len(SECRET)}\ns3c"


def test_an_asking_process_that_is_killed(base: Path, manager: ManagerProcess, asked: Path) -> None:
    client = AirExecutorClient(base)
    client.create_job("shot", [show("a", telling(asked, "exec sleep 601 # of this test"))])
    wait_for(lambda: times(asked), "the question")
    [asking] = [pid for pid in pids_of("asking.py") if b"sleep 601" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(asking, signal.SIGKILL)
    assert client.wait("shot", 60)["state"] == "failed"
    assert client.find_task("shot", "a")["error"] == "env_from.TOKEN: the command sh was ended before it answered"
    for pid in pids_of("exec sleep 601 # of this test"):
        os.kill(pid, signal.SIGKILL)  # nobody is left who could
