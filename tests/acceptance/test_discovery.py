"""Discoveries as tasks of real jobs: each yield is a task at once, and a rerun queues nothing twice."""

from __future__ import annotations

import json
import os
import signal
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from air_executor import AirExecutorClient, discovery
from tests.support import ManagerProcess, wait_for

Task = dict[str, Any]


def in_steps(folder: str, count: int) -> Iterator[Task]:
    """A task for each number; before each it waits for a file of that name, then goes on."""
    import os
    import time

    for number in range(count):
        while not os.path.exists(f"{folder}/go-{number}"):
            time.sleep(0.01)
        yield {"command": "echo", "args": [f"number {number}"]}


def tree(depth: int, place: str = "") -> Iterator[Task]:
    """A leaf, and two discoveries one level lower."""
    from air_executor import discovery

    yield {"id": f"leaf{place}", "command": "true", "group": "leaves"}
    if depth:
        for side in "lr":
            yield {**discovery.task(tree, depth - 1, f"{place}/{side}"), "id": f"tree{place}/{side}"}


def wrong(kind: str) -> Iterator[Task]:
    import json

    yield {"command": "true"}
    if kind == "task":
        yield {"command": "true", "args": "no list"}
    if kind == "none":
        yield None  # type: ignore[misc]
    value = json.loads("{")
    yield {"command": value}


def wrong_here() -> int:
    return next(i for i, line in enumerate(Path(__file__).read_text().split("\n"), 1) if 'json.loads("{")' in line)


def discover(client: AirExecutorClient, name: str, task: Task, **options: Any) -> dict[str, Any]:
    """The end of a job that begins with one discovery."""
    client.create_job(name, [{"id": "discover", **task}], **options)
    return client.wait(name, 60)


def test_each_yield_is_a_task_at_once(base: Path, manager: ManagerProcess, tmp_path: Path) -> None:
    client = AirExecutorClient(base)
    client.create_job("steps", [{"id": "discover", **discovery.task(in_steps, str(tmp_path), 3)}])
    for number in range(3):
        (tmp_path / f"go-{number}").touch()
        task = f"discover-{number + 1:06d}"
        wait_for(lambda task=task: any(one["id"] == task for one in client.tasks("steps", "completed")), task)
        assert client.logs("steps", task) == f"number {number}\n"
        if number < 2:
            assert client.find_task("steps", "discover")["status"] == "running"
    assert client.wait("steps", 60)["progress"]["total"] == 4
    queued = [event for event in client.events("steps") if event["type"] == "TaskQueued"]
    assert [event.get("parent") for event in queued] == [None, *["discover"] * 3]


@pytest.mark.parametrize("by", ["SIGKILL", "manager"])
def test_a_discovery_that_dies_in_the_middle_queues_nothing_twice(
    base: Path, start_manager: Callable[..., ManagerProcess], tmp_path: Path, by: str
) -> None:
    manager = start_manager("--slots", "4")
    client = AirExecutorClient(base)
    for number in range(2):
        (tmp_path / f"go-{number}").touch()
    task = {**discovery.task(in_steps, str(tmp_path), 4), "retries": 1, "retry_delay_s": 0.01}
    client.create_job("killed", [{"id": "discover", **task}])
    wait_for(lambda: len(client.tasks("killed", "completed")) == 2, "the first two")
    [pid] = [
        int(path.name)
        for path in Path("/proc").glob("[0-9]*")
        if f"AIR_EXECUTOR_BASE={base}\0".encode() in environ_of(path) and b"discovery" in cmdline_of(path)
    ]
    if by == "manager":
        manager.kill()
    os.kill(pid, signal.SIGKILL)
    for number in range(2, 4):
        (tmp_path / f"go-{number}").touch()
    if by == "manager":
        start_manager("--slots", "4")
    assert client.wait("killed", 60)["state"] == "completed"
    assert client.find_task("killed", "discover")["attempt"] == 2
    tasks = client.tasks("killed")
    assert [task["id"] for task in tasks] == ["discover", *(f"discover-{n:06d}" for n in range(1, 5))]
    assert [task["args"] for task in tasks[1:]] == [[f"number {n}"] for n in range(4)]
    assert all(task["attempt"] == 1 for task in tasks[1:])
    assert client.get_job("killed")["warnings"] == []


def environ_of(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""


def cmdline_of(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def listed(folder: str) -> Iterator[Task]:
    """Two equal tasks, a task for each file, and at its first attempt an accident."""
    import os
    import sys

    yield {"command": "true"}
    yield {"command": "true"}
    for name in sorted(os.listdir(folder)):
        yield {"command": "echo", "args": [name]}
    if os.environ["AIR_EXECUTOR_ATTEMPT"] == "1":
        with open(f"{folder}/0-new", "w"):
            pass
        sys.exit(7)


def test_what_has_changed_since_the_first_attempt_is_queued_once(
    base: Path, manager: ManagerProcess, tmp_path: Path
) -> None:
    """The new file comes first, so that the numbers of all others would move."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name in "abc":
        (folder / name).touch()
    client = AirExecutorClient(base)
    task = {**discovery.task(listed, str(folder)), "retries": 1, "retry_delay_s": 0.01}
    assert discover(client, "changed", task, defaults={"group": "g", "timeout_s": 60})["state"] == "completed"
    tasks = {task["id"]: task["args"] for task in client.tasks("changed")}
    assert client.find_task("changed", "discover")["attempt"] == 2
    assert [tasks[f"discover-{n:06d}"] for n in range(1, 7)] == [[], [], ["a"], ["b"], ["c"], ["0-new"]]
    assert len(tasks) == 7
    assert client.get_job("changed")["warnings"] == []


def test_discoveries_may_yield_discoveries(base: Path, manager: ManagerProcess) -> None:
    client = AirExecutorClient(base)
    assert discover(client, "tree", discovery.task(tree, 4))["state"] == "completed"
    leaves = [task["id"] for task in client.tasks("tree") if task.get("group") == "leaves"]
    assert len(leaves) == len(set(leaves)) == 2**5 - 1
    assert "leaf/l/r/l/r" in leaves


def test_a_key_gives_ids(base: Path, manager: ManagerProcess) -> None:
    def pages(n: int) -> Any:
        for number in range(n):
            yield {"command": "echo", "args": [f"page {number % 3}"]}
        return {"pages": n}

    client = AirExecutorClient(base)
    by_page = discovery.Discovery(pages, key=lambda task: task["args"][0]).task(9)
    assert discover(client, "keys", by_page)["state"] == "completed"
    assert [task["id"] for task in client.tasks("keys")] == ["discover", "page 0", "page 1", "page 2"]
    assert client.results("keys") == {"discover": {"pages": 9}}
    bad = discovery.Discovery(pages, key=lambda task: 2).task(1)  # type: ignore[arg-type, return-value]
    assert discover(client, "bad-key", bad)["state"] == "failed"
    assert "InvalidTask: expected key to give a text that is not empty, not 2" in client.logs("bad-key", "discover")


@pytest.mark.parametrize(
    ("kind", "after", "said"),
    [
        ("task", -3, "InvalidTask: task 2.args: expected a list of strings"),
        ("none", -1, "InvalidTask: expected a task, an object like {'command': 'echo', 'args': ['hi']}, not None"),
        ("json", 0, "JSONDecodeError: Expecting property name enclosed in double quotes"),
    ],
)
def test_errors_are_told_with_the_lines_of_the_user(
    base: Path, manager: ManagerProcess, kind: str, after: int, said: str
) -> None:
    client = AirExecutorClient(base)
    state = discover(client, "wrong", discovery.task(wrong, kind))
    assert (state["state"], state["progress"]["total"]) == ("failed", 2)
    log = client.logs("wrong", "discover")
    lines = log.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == f'  File "{__file__}", line {wrong_here() + after}, in wrong'
    assert lines[2].strip() == Path(__file__).read_text().split("\n")[wrong_here() + after - 1].strip()
    assert said in lines[-1]
    assert "air_executor/discovery/function.py" not in log


def test_wrong_arguments_are_told_in_a_line(base: Path, manager: ManagerProcess) -> None:
    client = AirExecutorClient(base)
    assert discover(client, "few", discovery.task(wrong))["state"] == "failed"
    assert client.logs("few", "discover") == ("TypeError: wrong() missing 1 required positional argument: 'kind'\n")


def test_a_function_of_a_module(base: Path, manager: ManagerProcess, tmp_path: Path) -> None:
    (tmp_path / "bundle" / "of_this_test").mkdir(parents=True)
    (tmp_path / "bundle" / "of_this_test" / "__init__.py").touch()
    (tmp_path / "bundle" / "of_this_test" / "finding.py").write_text(
        "from air_executor import discovery\n"
        "WORDS = ['a', 'b']\n"
        "def words(*more):\n"
        "    for word in [*WORDS, *more]:\n"
        "        yield {'id': word, 'command': 'echo', 'args': [word]}\n"
        "    if not more:\n"
        "        yield {**discovery.task(words, 'c'), 'id': 'again'}\n"
        "        yield {**discovery.task(others), 'id': 'others'}\n"
        "def others():\n"
        "    return [{'id': word * 2, 'command': 'true'} for word in WORDS]\n"
    )
    client = AirExecutorClient(base)
    call = "of_this_test.finding:words"
    task = discovery.Discovery(call, paths=[str(tmp_path / "bundle")]).task()
    assert discover(client, "module", task)["state"] == "completed"
    ids = {task["id"] for task in client.tasks("module")}
    assert ids == {"discover", "a", "b", "again", "others", "c", "aa", "bb"}
    assert discover(client, "nowhere", discovery.task(call))["state"] == "failed"
    log = client.logs("nowhere", "discover")
    assert log.startswith("looked for modules in: ")
    assert log.endswith("ModuleNotFoundError: No module named 'of_this_test'\n")


def test_another_interpreter(base: Path, manager: ManagerProcess, tmp_path: Path) -> None:
    """One that has nothing of ours."""

    def elsewhere(kind: str) -> Any:
        import importlib.util
        import os
        import sys

        print("in", sys.prefix)
        assert importlib.util.find_spec("msgspec") is None
        yield {"command": "echo", "args": [sys.prefix]}
        if kind == "killed":
            os.kill(os.getpid(), 9)
        if kind == "set":
            yield {"command": {1}}
        yield {"command": 7} if kind == "wrong" else {"command": "true"}
        return [1]

    venv.create(tmp_path / "other", symlinks=True)
    python = str(tmp_path / "other" / "bin" / "python")
    client = AirExecutorClient(base)
    there = discovery.Discovery(elsewhere, python=python, key=lambda task: " ".join(map(str, task.values())))
    assert discover(client, "elsewhere", there.task("well"))["state"] == "completed"
    echoed = f"echo ['{tmp_path / 'other'}']"
    assert [task["id"] for task in client.tasks("elsewhere")] == ["discover", echoed, "true"]
    assert client.logs("elsewhere", "discover") == f"in {tmp_path / 'other'}\n"
    assert client.results("elsewhere") == {"discover": [1]}
    for kind, said in (
        ("wrong", "InvalidTask: task 2.command: expected a string\n"),
        ("set", "InvalidTask: expected what JSON can hold: Object of type set is not JSON serializable\n"),
        ("killed", f"air-executor: error: {python} was ended by signal 9\n"),
    ):
        assert discover(client, kind, there.task(kind))["state"] == "failed"
        assert client.logs(kind, "discover").endswith(said)
    gone = discovery.Discovery(elsewhere, python="/no/such/python").task("well")
    assert discover(client, "gone", gone)["state"] == "failed"
    assert client.find_task("gone", "discover")["exit_code"] == 127
    assert client.logs("gone", "discover") == (
        "air-executor: error: python: /no/such/python: No such file or directory\n"
    )


def test_its_source_is_not_handed_to_processes_it_starts(base: Path, manager: ManagerProcess) -> None:
    def env() -> Any:
        import subprocess

        print(subprocess.run(["env"], capture_output=True, text=True, check=True).stdout)
        return []

    client = AirExecutorClient(base)
    assert discover(client, "env", discovery.task(env))["state"] == "completed"
    names = [line.partition("=")[0] for line in client.logs("env", "discover").splitlines()]
    assert "AIR_EXECUTOR_INBOX" in names
    assert "AIR_EXECUTOR_DISCOVERY" not in names


def test_outside_a_task_it_says_so(tmp_path: Path) -> None:
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "air_executor.discovery"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 3
    assert done.stderr.startswith("air-executor: error: AIR_EXECUTOR_DISCOVERY is not set")
    payload = json.dumps({"function": {"call": "os:getcwd"}, "args": [], "kwargs": {}})
    done = subprocess.run(
        [sys.executable, "-m", "air_executor.discovery"],
        env={**os.environ, "AIR_EXECUTOR_DISCOVERY": payload},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "AIR_EXECUTOR_TASK is not set" in done.stderr
