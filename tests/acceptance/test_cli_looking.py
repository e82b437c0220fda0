"""What `status`, `list`, `tasks`, `logs`, `events` and `watch` print."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from air_executor.cli import shapes
from air_executor.cli.setup import CONFIG
from air_executor.client import AirExecutorClient
from tests.acceptance.command_line import (
    FAILING,
    air_executor,
    background,
    manager,
    sh,
    shown,
    write_job,
)

pytestmark = pytest.mark.usefixtures("no_manager_left")


def test_what_reading_commands_print(tmp_path: Path) -> None:
    air_executor("run", write_job(tmp_path / "job.json", *FAILING), cwd=tmp_path, code=1)

    found = shown("status", "job", cwd=tmp_path)
    assert set(found) == set(shapes.STATUS.keys)
    assert (found["state"], found["reason"], found["total_tasks"]) == ("failed", "failures", 3)
    assert (found["completed"], found["failed"], found["skipped"], found["pending"]) == (1, 2, 1, 0)
    assert [task["id"] for task in found["recently_completed"]] == ["good"]
    assert found["failed_tasks"][0]["exit_code"] == 3
    assert found["run_time_s"]["count"] == 2

    overview = shown("status", cwd=tmp_path)
    assert set(overview) == set(shapes.OVERVIEW.keys)
    (job,) = overview["jobs"]
    assert set(job) == set(shapes.JOBS.keys)
    assert shown("list", cwd=tmp_path) == overview["jobs"]
    assert {key: found[key] for key in job if key != "updated_at"} == {
        key: value for key, value in job.items() if key != "updated_at"
    }

    tasks = shown("tasks", "job", cwd=tmp_path)
    assert all(set(shapes.TASKS.keys) <= set(task) for task in tasks)
    assert [task["id"] for task in tasks] == ["good", "bad", "after"]
    assert [task["id"] for task in shown("tasks", "job", "--status", "completed", cwd=tmp_path)] == ["good"]

    log = shown("logs", "job", "bad", cwd=tmp_path)
    assert set(log) == set(shapes.LOG.keys)
    assert log["text"] == "first\nlast words\n"
    assert (
        "no log of an attempt 7" in air_executor("logs", "job", "bad", "--attempt", "7", cwd=tmp_path, code=3).stderr
    )

    lines = air_executor("events", "job", "--json", cwd=tmp_path).stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert all(set(shapes.EVENT.keys) <= set(event) for event in events)
    assert (events[0]["type"], events[-1]["type"]) == ("RunCreated", "RunEnded")
    assert len(air_executor("events", "job", cwd=tmp_path).stdout.splitlines()) == len(events)
    assert air_executor("events", "job", "-f", cwd=tmp_path).stdout.count("RunEnded") == 1

    watched = air_executor("watch", "job", "--json", cwd=tmp_path, code=1).stdout.splitlines()
    assert set(json.loads(watched[-1])) == set(shapes.STATUS.keys)
    assert json.loads(air_executor("watch", "--json", cwd=tmp_path).stdout) == overview["jobs"]
    assert set(shown("config", cwd=tmp_path)) == set(CONFIG.keys)


REPORT = """\
======================================================================
Air-Executor Progress Report
======================================================================
Job:      job
State:    failed (failures)
Error:    1 of 3 tasks failed: 'bad'
Took:     T

Tasks overview
  Total:           3
  Completed:       1  (33.3%)
  Running:         0
  Pending:         0
  Failed:          2  (66.7%)

Recently completed
  ✔ good  T

Failed
  ✘ bad: exit code 3
======================================================================
"""


def test_the_report(tmp_path: Path) -> None:
    air_executor("run", write_job(tmp_path / "job.json", *FAILING), cwd=tmp_path, code=1)
    printed = air_executor("status", "job", cwd=tmp_path).stdout
    assert re.sub(r"\d+(\.\d+)? s$", "T", printed, flags=re.M) == REPORT


def test_a_job_that_nobody_has_taken_up(tmp_path: Path) -> None:
    air_executor("submit", write_job(tmp_path / "job.json", *FAILING), cwd=tmp_path)
    found = shown("status", "job", cwd=tmp_path)
    assert (found["state"], found["total_tasks"], found["pending"]) == ("waiting", 3, 3)
    printed = air_executor("status", "job", cwd=tmp_path).stdout
    assert "no manager is running, so nothing starts: `air-executor start" in printed
    assert "waiting" in air_executor("list", cwd=tmp_path).stdout


def test_logs_are_followed_to_the_end_of_the_task(tmp_path: Path) -> None:
    line = f"echo one; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; printf '\\377two'"
    with manager(tmp_path):
        air_executor("submit", write_job(tmp_path / "job.json", sh("a", line)), cwd=tmp_path)
        with background("logs", "job", "a", "-f", cwd=tmp_path) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "one\n"
            (tmp_path / "go").touch()
            assert os.read(process.stdout.fileno(), 100) == b"\xfftwo"
            assert process.wait(timeout=30) == 0


def test_closed_standard_streams_are_no_bug(tmp_path: Path) -> None:
    """`>&-` closes one: what is opened next would take its place, and Python has no `sys.stdout`."""
    (tmp_path / "job.json").write_text('[{"id": "a", "command": "echo", "args": ["hi"]}]')
    line = f"{sys.executable} -m air_executor"
    for words, code in ((f"{line} run job.json <&- >&- 2>&-", 0), (f"{line} tasks job --json >&-", 0)):
        done = subprocess.run(
            ["sh", "-c", words], cwd=tmp_path, capture_output=True, check=False, text=True, timeout=60
        )
        assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
    assert air_executor("logs", "job", "a", cwd=tmp_path).stdout == "hi\n"
    line_of_errors = subprocess.run(
        ["sh", "-c", f"{line} status none 2>&-"], cwd=tmp_path, capture_output=True, check=False, timeout=60
    )
    assert line_of_errors.returncode == 3


def test_a_task_whose_name_is_no_text_and_a_base_of_nobody(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('[{"command": "true"}]')
    air_executor("run", "job.json", cwd=tmp_path)
    assert "not valid Unicode" in air_executor("logs", "job", "\udcff", cwd=tmp_path, code=2).stderr
    assert "no base folder" in air_executor("list", "--base", "~nobody-of-that-name", cwd=tmp_path, code=6).stderr


def test_views_that_nobody_has_read_yet_may_hold_anything(tmp_path: Path) -> None:
    air_executor("init", cwd=tmp_path)
    folder = tmp_path / ".air-executor" / "jobs" / "odd"
    folder.mkdir()
    tasks = [
        {"id": 5, "command": ["x"], "args": 5, "error": [1], "status": "failed", "reason": {}},
        {"status": ["y"]},
    ]
    (folder / "tasks.json").write_text(json.dumps(tasks))
    state = {"name": 5, "state": "working", "progress": [], "created_at": 5, "warnings": {"a": 1}, "error": [1]}
    (folder / "state.json").write_text(json.dumps(state))
    for words in (
        "tasks odd",
        "tasks odd --json",
        "list",
        "list --json",
        "status",
        "status odd",
        "status odd --json",
    ):
        assert "odd" in air_executor(*words.split(), cwd=tmp_path).stdout or words.startswith("tasks")
    client = AirExecutorClient(tmp_path)
    assert client.get_job("odd")["name"] == "odd"
    assert (client.progress("odd")["failed"], client.progress("odd")["pending"]) == (1, 1)
    with manager(tmp_path):
        assert "has stopped" in air_executor("stop", cwd=tmp_path).stdout
