"""Which run a try of an Airflow task finds or makes: no way of being killed, retried or cleared doubles work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from air_executor import AirExecutorClient
from air_executor.airflow.handover import HandOver
from air_executor.airflow.owner import Owner, origin_of
from tests.support import ManagerProcess, wait_for

FIRST = Owner(
    dag_id="etl",
    run_id="manual__2025-10-02T07:30:00+00:00",
    task_id="work",
    map_index=-1,
    try_number=1,
    max_tries=3,
    begun_at="2025-10-02T07:30:01.000000+00:00",
)
SECOND = replace(FIRST, try_number=2)
THIRD = replace(FIRST, try_number=3)


class Work:
    """A job whose tasks count how often they ran."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = AirExecutorClient(folder / "base")
        self.managers: list[ManagerProcess] = []
        self.submitted: list[str] = []

    def manage(self) -> ManagerProcess:
        manager = ManagerProcess(self.client.base.path).start()
        self.managers.append(manager)
        return manager

    def task(self, name: str, *, until: str | None = None, fail_without: str | None = None) -> dict[str, Any]:
        command = f"echo {name} >> '{self.folder}/ran'"
        if until:
            command += f"; until test -e '{self.folder}/{until}'; do sleep 0.02; done"
        if fail_without:
            command += f"; test -e '{self.folder}/{fail_without}'"
        return {"id": name, "command": command, "shell": True}

    def try_it(self, owner: Owner, *tasks: dict[str, Any], on_retry: Any = "retry_failed") -> tuple[HandOver, str]:
        handover = HandOver(self.client, owner, owner.job_name, on_retry)
        return handover, handover.begin(lambda job_id: self.submit(owner, job_id, tasks))

    def submit(self, owner: Owner, job_id: str, tasks: Any) -> None:
        self.submitted.append(job_id)
        self.client.create_job(
            owner.job_name, tasks, cwd=self.folder, job_id=job_id, origin=owner.origin("air_executor_default")
        )

    def end(self, handover: HandOver) -> dict[str, Any]:
        return wait_for(handover.end, "the end of the run")

    def ran(self) -> list[str]:
        path = self.folder / "ran"
        return sorted(path.read_text().split()) if path.exists() else []


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    work = Work(tmp_path)
    yield work
    for manager in work.managers:
        manager.stop()


def test_a_try_after_a_killed_one_waits_for_the_same_run(work: Work) -> None:
    work.manage()
    _, done = work.try_it(FIRST, work.task("a", until="go"))
    assert done == "handed over"
    wait_for(work.ran, "the task")
    second, done = work.try_it(SECOND, work.task("a", until="go"))
    assert done == "under way since an earlier try"
    assert second.attached
    (work.folder / "go").touch()
    assert work.end(second)["state"] == "completed"
    assert work.ran() == ["a"]
    assert work.submitted == [second.job_id]


def test_a_run_no_manager_has_seen_yet_is_handed_in_once_however_often_that_is_tried(work: Work) -> None:
    for owner in (FIRST, SECOND, THIRD):
        last, _ = work.try_it(owner, work.task("a"), work.task("b"))
    work.manage()
    assert work.end(last)["state"] == "completed"
    assert work.ran() == ["a", "b"]
    assert not work.client.base.job(FIRST.job_name).runs.exists()


def test_so_is_one_that_waits_in_the_inbox_behind_an_earlier_run(work: Work) -> None:
    manager = work.manage()
    before, _ = work.try_it(FIRST, work.task("a"))
    work.end(before)
    manager.kill()
    cleared = replace(FIRST, try_number=2, max_tries=4)
    for owner in (cleared, replace(cleared, try_number=3), replace(cleared, try_number=4)):
        last, done = work.try_it(owner, work.task("a"))
        assert done == "handed over"
    work.manage()
    assert work.end(last)["state"] == "completed"
    assert work.ran() == ["a", "a"], "once for the run before it was cleared, once after"


def test_two_tries_at_the_same_moment_make_one_run(work: Work) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.acceptance.test_airflow_handover import FIRST, Work, replace\n"
        "work = Work(Path(sys.argv[1])); sys.stdin.readline()\n"
        "work.try_it(replace(FIRST, try_number=int(sys.argv[2])), work.task('a'), work.task('b'))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    tries = [
        subprocess.Popen([sys.executable, "-c", script, work.folder, str(number)], stdin=subprocess.PIPE, env=env)
        for number in (1, 2, 3, 4)
    ]
    work.manage()
    for one in tries:
        assert one.stdin is not None
        one.stdin.write(b"go\n")
        one.stdin.flush()
    for one in tries:
        one.communicate(timeout=60)
        assert one.returncode == 0
    last, _ = work.try_it(replace(FIRST, try_number=5), work.task("a"), work.task("b"))
    assert work.end(last)["state"] == "completed"
    assert work.ran() == ["a", "b"]


def test_a_run_that_completed_before_the_try_died_is_taken(work: Work) -> None:
    work.manage()
    first, _ = work.try_it(FIRST, work.task("a"))
    work.end(first)
    second, done = work.try_it(SECOND, work.task("a"))
    assert done == "completed since an earlier try"
    assert second.end() is not None
    assert work.ran() == ["a"]


def test_failed_tasks_get_another_go_and_the_others_do_not(work: Work) -> None:
    work.manage()
    tasks = (work.task("good"), work.task("bad", fail_without="fixed"))
    first, _ = work.try_it(FIRST, *tasks)
    assert work.end(first)["state"] == "failed"
    (work.folder / "fixed").touch()
    second, done = work.try_it(SECOND, *tasks)
    assert done == "its failed tasks get another go"
    assert second.job_id == first.job_id
    assert work.end(second)["state"] == "completed"
    assert work.ran() == ["bad", "bad", "good"]


def test_the_end_before_a_retry_is_not_taken_for_the_one_after_it(work: Work) -> None:
    manager = work.manage()
    first, _ = work.try_it(FIRST, work.task("bad", fail_without="fixed"))
    work.end(first)
    manager.kill()
    second, _ = work.try_it(SECOND)
    assert second.end() is None, "nobody has heard of the retry yet"
    third, _ = work.try_it(THIRD)
    assert third.end() is None
    work.manage()
    assert work.end(third)["state"] == "failed"
    assert work.ran() in (["bad", "bad"], ["bad", "bad", "bad"])


def test_resume_lets_a_failure_stand(work: Work) -> None:
    work.manage()
    first, _ = work.try_it(FIRST, work.task("bad", fail_without="never"))
    work.end(first)
    second, done = work.try_it(SECOND, on_retry="resume")
    assert "that stands" in done
    assert work.end(second)["state"] == "failed"
    assert work.ran() == ["bad"]


def test_restart_makes_a_run_a_try_and_none_more_when_that_is_killed(work: Work) -> None:
    work.manage()
    bad = work.task("bad", fail_without="fixed")
    first, _ = work.try_it(FIRST, bad, on_retry="restart")
    work.end(first)
    second, done = work.try_it(SECOND, work.task("bad", until="go"), on_retry="restart")
    assert done == "handed over"
    assert second.job_id != first.job_id
    wait_for(lambda: len(work.ran()) == 2, "the second run")
    third, _ = work.try_it(THIRD, bad, on_retry="restart")
    assert third.job_id == second.job_id
    (work.folder / "go").touch()
    assert work.end(third)["state"] == "completed"
    assert work.ran() == ["bad", "bad"]


def test_a_run_that_could_not_be_understood_is_made_anew(work: Work) -> None:
    work.manage()
    first, _ = work.try_it(FIRST, {"id": "a", "command": "true", "dependencies": ["nobody"]})
    assert work.end(first)["state"] == "failed"
    folder = work.client.base.job(FIRST.job_name)
    assert folder.path.is_dir()
    second, _ = work.try_it(SECOND, work.task("a"), on_retry="restart")
    assert work.end(second)["state"] == "completed"


def test_clearing_cancels_what_is_under_way_and_makes_a_new_run(work: Work) -> None:
    work.manage()
    first, _ = work.try_it(FIRST, work.task("a", until="never"))
    wait_for(work.ran, "the task")
    cleared = replace(FIRST, try_number=2, max_tries=4)
    second, done = work.try_it(cleared, work.task("a"))
    assert done == "handed over"
    assert work.end(second)["state"] == "completed"
    assert second.job_id != first.job_id
    before = work.client.wait(FIRST.job_name, 0, job_id=first.job_id)
    assert (before["state"], before["reason"]) == ("failed", "cancelled")
    assert origin_of(work.client.get_job(FIRST.job_name))["max_tries"] == 4


@pytest.mark.parametrize(
    "again",
    [
        replace(FIRST, try_number=2, max_tries=4),
        replace(FIRST, begun_at="2025-10-03T00:00:00.000000+00:00"),
        replace(FIRST, try_number=2, begun_at="2025-10-03T00:00:00.000000+00:00"),
        FIRST,
    ],
    ids=["cleared", "DAG run made anew", "DAG run cleared", "tested again at the same date"],
)
def test_a_task_that_is_no_retry_makes_a_new_run(work: Work, again: Owner) -> None:
    work.manage()
    first, _ = work.try_it(FIRST, work.task("a"))
    work.end(first)
    second, done = work.try_it(again, work.task("a"))
    assert done == "handed over"
    assert second.job_id != first.job_id
    assert work.end(second)["state"] == "completed"
    assert work.ran() == ["a", "a"]
    third, done = work.try_it(replace(again, try_number=again.try_number + 1), work.task("a"))
    assert done == "completed since an earlier try"
    assert third.job_id == second.job_id


def test_what_was_cancelled_with_its_task_goes_on_at_the_next_try(work: Work) -> None:
    work.manage()
    work.client.base.create()
    first, _ = work.try_it(FIRST, work.task("a"), {**work.task("b", until="go"), "dependencies": ["a"]})
    wait_for(lambda: work.ran() == ["a", "b"], "both tasks")
    first.cancel(10)
    (work.folder / "go").touch()
    second, done = work.try_it(SECOND)
    assert done == "its failed tasks get another go"
    assert work.end(second)["state"] == "completed"
    assert work.ran() == ["a", "b", "b"]


def test_cancelling_a_run_that_waits_for_another_leaves_that_alone(work: Work) -> None:
    work.manage()
    other = replace(FIRST, run_id="another", task_id="another")
    before = HandOver(work.client, other, "shared")
    before.begin(
        lambda job_id: work.client.create_job("shared", [work.task("a", until="go")], job_id=job_id) and None
    )
    wait_for(work.ran, "the task of the other")
    mine = HandOver(work.client, FIRST, "shared")
    mine.begin(
        lambda job_id: work.client.create_job("shared", [work.task("b", until="never")], job_id=job_id) and None
    )
    assert "as soon as a manager" in mine.cancel(0.3)
    (work.folder / "go").touch()
    assert work.end(before)["state"] == "completed"
    end = work.end(mine)
    assert (end["state"], end["reason"]) == ("failed", "cancelled")
    assert mine.cancel(1) == "job 'shared' had ended"


def test_a_manager_killed_at_the_hand_over_loses_nothing(work: Work) -> None:
    manager = work.manage()
    first, _ = work.try_it(FIRST, work.task("a", until="go"))
    manager.kill()
    second, _ = work.try_it(SECOND, work.task("a", until="go"))
    (work.folder / "go").touch()
    work.manage()
    assert work.end(second)["state"] == "completed"
    assert second.job_id == first.job_id
    assert work.ran() == ["a"]


def test_a_job_whose_folder_was_removed_is_handed_over_anew(work: Work) -> None:
    import shutil

    from air_executor.errors import NotFound

    work.manage()
    first, _ = work.try_it(FIRST, work.task("a", until="never"))
    wait_for(work.ran, "the task")
    shutil.rmtree(work.client.base.job(FIRST.job_name).path)
    with pytest.raises(NotFound):
        first.look()
    second, done = work.try_it(SECOND, work.task("a"))
    assert done == "handed over"
    assert work.end(second)["state"] == "completed"


def test_a_killed_process_between_handing_over_and_remembering(work: Work) -> None:
    """kill -9 of the very process that handed the job over."""
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tests.acceptance.test_airflow_handover import FIRST, Work\n"
        "work = Work(Path(sys.argv[1])); work.try_it(FIRST, work.task('a')); os.kill(os.getpid(), signal.SIGKILL)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", script, work.folder], env=env, check=False)
    assert done.returncode == -signal.SIGKILL
    work.manage()
    second, _ = work.try_it(SECOND, work.task("a"))
    assert work.end(second)["state"] == "completed"
    assert work.ran() == ["a"]


def test_a_hundred_at_once_are_a_hundred_jobs_however_often_they_are_tried(work: Work) -> None:
    from concurrent.futures import ThreadPoolExecutor

    owners = [replace(FIRST, map_index=index, try_number=number) for index in range(100) for number in (1, 2)]
    with ThreadPoolExecutor(16) as pool:
        begun = pool.map(lambda owner: work.try_it(owner, work.task(f"t{owner.map_index}"))[0], owners)
        work.manage()
        last = list(begun)
    for handover in last:
        assert work.end(handover)["state"] == "completed"
    assert work.ran() == sorted(f"t{index}" for index in range(100))
    assert len(work.client.jobs()) == 100
