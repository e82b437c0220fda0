"""`submit`, `watch` and what a job is asked for, with a manager that is running."""

import signal
from pathlib import Path

import pytest

from air_executor.cli.submitting import SUBMITTED
from tests.acceptance.command_line import (
    FAILING,
    air_executor,
    background,
    manager,
    running,
    sh,
    shown,
    state_of,
    wait_for,
    write_job,
)

pytestmark = pytest.mark.usefixtures("no_manager_left")


def test_submit_and_wait(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job.json", *FAILING)
    assert "no manager is running" in air_executor("submit", job, "--wait", cwd=tmp_path, code=5).stderr
    with manager(tmp_path):
        done = air_executor("submit", job, "--name", "two", "--wait", cwd=tmp_path, code=1)
        assert "submitted job 'two'" in done.stdout
        assert "job 'two' failed" in done.stdout
        assert set(shown("submit", job, "--name", "three", cwd=tmp_path)) == set(SUBMITTED.keys)
        assert "job 'three' failed" in air_executor("watch", "three", cwd=tmp_path, code=1).stdout
        assert air_executor("watch", cwd=tmp_path).stdout.startswith("JOB ")


def test_pause_resume_cancel_and_retry(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    line = f"test -e {gate}"
    job = write_job(tmp_path / "job.json", sh("a", line), sh("b", "true", dependencies=["a"]), open=True)
    with manager(tmp_path):
        air_executor("submit", job, cwd=tmp_path)
        wait_for(lambda: shown("status", "job", cwd=tmp_path)["failed"] == 2, "the failures")
        air_executor("pause", "job", cwd=tmp_path)
        wait_for(lambda: shown("status", "job", cwd=tmp_path)["paused"], "the pause")
        gate.touch()
        assert "1 failed task" in air_executor("retry", "job", "a", cwd=tmp_path).stdout
        wait_for(lambda: shown("status", "job", cwd=tmp_path)["pending"] == 2, "the retry")
        air_executor("resume", "job", cwd=tmp_path)
        wait_for(lambda: shown("status", "job", cwd=tmp_path)["completed"] == 2, "both tasks")
        assert "no failed task" in air_executor("retry", "job", "--failed", cwd=tmp_path, code=4).stderr
        assert "no task 'x'" in air_executor("cancel", "job", "x", cwd=tmp_path, code=3).stderr
        air_executor("cancel", "job", cwd=tmp_path)
        wait_for(lambda: state_of(tmp_path, "job") == "failed", "the cancel")
    for request in ("cancel", "pause", "resume", "close"):
        assert "has ended already (failed)" in air_executor(request, "job", cwd=tmp_path, code=4).stderr
    assert "has ended" in air_executor("queue", "--job", "job", "--", "true", cwd=tmp_path, code=4).stderr


def test_interrupting_watch_leaves_the_job_alone(tmp_path: Path) -> None:
    with manager(tmp_path):
        air_executor("submit", write_job(tmp_path / "job.json", sh("a", "sleep 600")), cwd=tmp_path)
        wait_for(lambda: running(tmp_path, "job") == 1, "the task's start")
        with background("watch", "job", cwd=tmp_path) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("[Progress] 0/1 tasks")
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
            assert (process.returncode, err.strip()) == (130, "")
        assert shown("status", "job", cwd=tmp_path)["running"] == 1
