"""A manager for whoever needs one: started once however many ask, nobody's child, gone when there is no work."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from air_executor import AirExecutorClient, errors
from air_executor.private_manager import ensure_manager
from air_executor.store.layout import Base
from air_executor.store.lock import manager_pid
from tests.acceptance.command_line import COMMAND, air_executor, end_manager, environment
from tests.support import ManagerProcess, wait_for

ASK = """
import sys
from concurrent.futures import ThreadPoolExecutor
from air_executor.private_manager import ensure_manager
with ThreadPoolExecutor(25) as pool:
    found = list(pool.map(lambda _: ensure_manager(sys.argv[1], linger_s=60, slots=3), range(25)))
print(*found)
"""


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / ".air-executor"
    end_manager(tmp_path)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def said(base: Path, text: str) -> int:
    """How often the manager's log has it."""
    return (base / "manager.log").read_text().count(text)


def test_a_hundred_callers_at_once_get_one_manager(base: Path) -> None:
    asking = [
        subprocess.Popen([sys.executable, "-c", ASK, str(base)], env=environment(), stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    answers = [process.communicate()[0].split() for process in asking]
    assert [process.returncode for process in asking] == [0, 0, 0, 0]
    found = [int(pid) for answer in answers for pid in answer]
    assert len(found) == 100
    assert set(found) == {manager_pid(Base(base))}
    wait_for(lambda: said(base, " with 3 slots"), "what it says of itself")
    assert said(base, f"manager {found[0]} on ") == said(base, " slots") == 1
    assert said(base, "error") == 0  # there was no second one that had to go
    assert parent_of(found[0]) not in {process.pid for process in asking}
    assert os.getsid(found[0]) != os.getsid(0)


def test_it_works_and_goes_when_there_is_no_work(base: Path, tmp_path: Path) -> None:
    client = AirExecutorClient(base)
    client.create_job("one", [{"id": "a", "command": "sleep", "args": ["0.5"]}])
    pid = ensure_manager(base, linger_s=1.0)
    assert pid is not None
    assert parent_of(pid) != os.getpid()
    assert client.wait("one", 30)["state"] == "completed"
    ended_at = time.monotonic()
    client.create_job("two", [{"id": "a", "command": "pwd"}], cwd="/")
    assert client.wait("two", 30)["state"] == "completed"
    assert ensure_manager(base) == pid
    wait_for(lambda: manager_pid(Base(base)) is None, "the manager's end")
    assert time.monotonic() - ended_at >= 1.0
    assert said(base, f"manager {pid} has stopped") == 1
    assert ensure_manager(base, linger_s=60) not in (pid, None)


def test_one_that_finds_nothing_to_do_may_have_gone(base: Path) -> None:
    before = time.monotonic()
    pid = ensure_manager(base, linger_s=0)
    assert time.monotonic() - before < 30
    wait_for(lambda: manager_pid(Base(base)) is None, "the manager's end")
    assert said(base, "has stopped") == 1
    assert pid is None or said(base, f"manager {pid} has stopped") == 1


def test_a_manager_that_is_there_is_left_alone(tmp_path: Path) -> None:
    base = tmp_path / "base"
    (base / "jobs").mkdir(parents=True)
    base.chmod(0o700)
    manager = ManagerProcess(base, "--slots", "2").start()
    try:
        assert ensure_manager(base, slots=7) == manager.pid
        assert not (base / "runtime" / "starting.lock").exists()
    finally:
        manager.stop()


def test_why_there_is_none(base: Path) -> None:
    with pytest.raises(errors.InvalidInput, match="slots"):
        ensure_manager(base, slots="many")
    base.chmod(0o777)
    with pytest.raises(errors.NoManager, match="can be written by everybody") as failed:
        ensure_manager(base)
    assert str(base / "manager.log") in str(failed.value)
    base.chmod(0o700)
    (base / "manager.log").unlink()
    (base / "manager.log").mkdir()
    with pytest.raises(errors.BaseUnusable, match=r"manager\.log: Is a directory"):
        ensure_manager(base)
    (base / "manager.log").rmdir()


def test_what_belongs_to_one_airflow_task_stays_behind(base: Path) -> None:
    given = {**environment(), "AIRFLOW_HOME": "/af", "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    of_one_task = {
        "AIRFLOW_CTX_DAG_ID": "d",
        "__AIRFLOW_SUPERVISOR_FDS": "3",
        "_AIRFLOW_PARSING_CONTEXT_TASK_ID": "t",
    }
    assert ensure_manager(base, environment={**given, **of_one_task}, linger_s=60) is not None
    client = AirExecutorClient(base)
    client.create_job("env", [{"id": "a", "command": "env"}])
    assert client.wait("env", 30)["state"] == "completed"
    names = {line.partition("=")[0] for line in client.logs("env", "a").splitlines()}
    assert {"AIRFLOW_HOME", "AIRFLOW__CORE__LOAD_EXAMPLES", "PATH", "AIR_EXECUTOR_PYTHON"} <= names
    assert not names & of_one_task.keys()


def test_what_may_be_secret_is_not_among_its_arguments(base: Path) -> None:
    pid = ensure_manager(base, webhook="http://127.0.0.1:9/hook-of-mine", linger_s=60)
    arguments = Path(f"/proc/{pid}/cmdline").read_text()
    assert "--linger" in arguments
    assert "hook-of-mine" not in arguments
    assert b"hook-of-mine" in Path(f"/proc/{pid}/environ").read_bytes()


def test_callers_of_many_threads_do_not_wait_for_a_stuck_one_for_ever(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    Base(base).create()
    with open(base / "runtime" / "starting.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        monkeypatch.setattr("air_executor.private_manager.READY_S", 0.3)
        with ThreadPoolExecutor(5) as pool:
            asked = [pool.submit(ensure_manager, base) for _ in range(5)]
            for one in asked:
                with pytest.raises(errors.NoManager, match="another process has been starting a manager"):
                    one.result(30)


def test_linger_goes_with_until_idle(tmp_path: Path) -> None:
    done = air_executor("manager", "--linger", "1", cwd=tmp_path, code=2)
    assert "--linger: goes with --until-idle only" in done.stderr
    before = time.monotonic()
    subprocess.run(
        [*COMMAND, "manager", "--until-idle", "--linger", "0.7"],
        cwd=tmp_path,
        env=environment(),
        check=True,
        stderr=subprocess.DEVNULL,
    )
    assert time.monotonic() - before >= 0.7
