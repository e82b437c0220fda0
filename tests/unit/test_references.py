"""What `env_from` stands for, with real programs and the clock of this test."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from air_executor.lifecycle import Run
from air_executor.manager import references
from air_executor.manager.references import References
from air_executor.model import EnvRef, Task
from air_executor.runners.base import RunContext
from air_executor.store.layout import Base
from tests.support import wait_for
from tests.unit.world import T0, created, spec


class Asking:
    """The manager's part: it asks, listens, and takes back what was held up."""

    def __init__(self, tmp_path: Path) -> None:
        self.poller = select.epoll()
        self.references = References(self.poller)
        env = {"PATH": os.environ["PATH"]}
        self.context = RunContext(Base(tmp_path / "base").job("job"), "r1", str(tmp_path), env)
        self.run = Run()
        self.run.create(created())
        self.asked = tmp_path / "asked"

    def task(self, task_id: str, *lines: str, also: str = "") -> Task:
        """A task with a variable that is told by `lines`; `also`: and one by another program, which prints that."""
        command = ["sh", "-c", "\n".join((f"printf x >> {self.asked}", *lines))]
        env_from = {"A": EnvRef(command=command)}
        if also:
            env_from["B"] = EnvRef(command=["echo", also])
        self.run.queue([spec(task_id, env_from=env_from)], T0)
        return self.run.tasks[task_id]

    def ready(self, task: Task) -> bool:
        return self.references.ready(self.run, self.context, task)

    def listen(self) -> list[Task]:
        """What is released by what there is to hear now."""
        self.references.collect([fd for fd, _ in self.poller.poll(0)])
        return [waiting.task for waiting in self.references.take_released(10)]

    def wait(self, task: Task) -> None:
        """Until it is ready; it may be released several times before."""
        wait_for(lambda: task in self.listen() and self.ready(task), f"the variables of {task.spec.id}")

    @property
    def times(self) -> int:
        return self.asked.stat().st_size if self.asked.exists() else 0


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Asking]:
    asking = Asking(tmp_path)
    yield asking
    asking.references.close()
    asking.poller.close()
    wait_for(reaped, "the end of the programs")


def reaped() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def test_values_are_asked_again_after_their_time(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    task = asking.task("a", "date +%s%N", also="more")
    assert not asking.ready(task)
    asking.wait(task)
    first = asking.references.variables(asking.run, task)
    assert first["B"] == "more"
    assert asking.ready(task)
    assert asking.times == 1
    later, now = time.monotonic() + references.KEPT_S, time.monotonic
    monkeypatch.setattr(references.time, "monotonic", lambda: max(later, now()))
    asking.references.collect([])
    assert not any(asked.values for asked in asking.references._runs.values())  # not in memory either
    monkeypatch.undo()
    assert not asking.ready(task)
    asking.wait(task)
    assert asking.references.variables(asking.run, task)["A"] != first["A"]


@pytest.mark.parametrize("said", [None, 0.5])
def test_a_program_that_takes_too_long(asking: Asking, monkeypatch: pytest.MonkeyPatch, said: float | None) -> None:
    monkeypatch.setattr(references, "LIMIT_S", 600.0 if said else 0.5)
    command = ["sh", "-c", "echo still at it >&2; sleep 600"]
    asking.run.queue([spec("a", env_from={"A": EnvRef(command=command, timeout_s=said)})], T0)
    task = asking.run.tasks["a"]
    assert not asking.ready(task)
    asking.wait(task)
    with pytest.raises(ValueError, match=r"env_from.A: the command sh did not answer within 0.5 s: still at it"):
        asking.references.variables(asking.run, task)


def test_so_many_at_once(asking: Asking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(asking.references, "_at_once", 3)
    go = tmp_path / "go"
    tasks = [asking.task(f"t{n}", f": {n}", f"until test -e {go}; do sleep 0.02; done") for n in range(10)]
    assert not any(asking.ready(task) for task in tasks)
    wait_for(lambda: asking.times == 3, "three questions")
    assert len(asking.references._by_fd) == 3
    go.touch()
    left = {task.spec.id for task in tasks}

    def all_released() -> bool:
        left.difference_update(task.spec.id for task in asking.listen())
        assert len(asking.references._by_fd) <= 3
        return not left

    wait_for(all_released, "all answers")
    assert asking.times == 10
    assert all(asking.ready(task) for task in tasks)


@pytest.mark.parametrize("give_up", ["forget", "close"])
def test_nothing_is_left_of_what_nobody_waits_for(
    asking: Asking, monkeypatch: pytest.MonkeyPatch, give_up: str
) -> None:
    monkeypatch.setattr(asking.references, "_at_once", 1)
    tasks = [asking.task(f"t{n}", f": {n}", "sleep 600") for n in range(3)]
    assert not any(asking.ready(task) for task in tasks)
    wait_for(lambda: asking.times == 1, "a question")
    before = len(os.listdir("/proc/self/fd"))
    ways: dict[str, Callable[[], None]] = {
        "forget": lambda: asking.references.forget(asking.run),
        "close": asking.references.close,
    }
    ways[give_up]()
    assert len(os.listdir("/proc/self/fd")) == before - 3
    assert asking.listen() == []
    wait_for(reaped, "the program's end")
    assert asking.times == 1


def test_other_references_need_no_program(asking: Asking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OTHER", "one")
    (tmp_path / "secret").write_text("two\n")
    env_from = {"A": EnvRef(environment="OTHER"), "B": EnvRef(file=str(tmp_path / "secret"))}
    asking.run.queue([spec("a", env_from=env_from), spec("b", env_from={"C": EnvRef(environment="NONE")})], T0)
    assert asking.ready(asking.run.tasks["a"])
    assert asking.references.variables(asking.run, asking.run.tasks["a"]) == {"A": "one", "B": "two"}
    assert asking.ready(asking.run.tasks["b"])
    with pytest.raises(ValueError, match=r"env_from.C: not set in the manager's environment: NONE"):
        asking.references.variables(asking.run, asking.run.tasks["b"])
    assert not asking.references.busy
