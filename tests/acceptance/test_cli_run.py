"""`air-executor run`: a job from start to end, with a manager of its own or another's."""

import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.command_line import (
    COMMAND,
    FAILING,
    air_executor,
    background,
    environment,
    manager,
    manager_of,
    running,
    sh,
    shown,
    state_of,
    wait_for,
    write_job,
)

pytestmark = pytest.mark.usefixtures("no_manager_left")


def test_run_needs_no_manager_and_leaves_none(tmp_path: Path) -> None:
    job = write_job(tmp_path / "small.json", *(sh(f"t{i}", f"echo {i}") for i in range(20)))
    printed = air_executor("run", job, "--slots", "4", cwd=tmp_path).stdout
    assert "[Progress] 20/20 tasks (100.0%)" in printed
    assert re.search(r"job 'small' completed after \d", printed)
    assert f"logs: {tmp_path}/.air-executor/jobs/small/logs" in printed
    assert state_of(tmp_path, "small") == "completed"
    wait_for(lambda: manager_of(tmp_path) is None, "the manager's end")
    assert air_executor("logs", "small", "t7", cwd=tmp_path).stdout == "7\n"


def test_run_of_a_growing_job(tmp_path: Path) -> None:
    lines = f"seq 1 30 | {' '.join(COMMAND)} queue --each --id page:{{}} -- echo"
    job = write_job(tmp_path / "grow.json", sh("discover", lines), sh("last", "true", final=True))
    printed = air_executor("run", job, cwd=tmp_path).stdout
    assert "32 tasks: 32 completed" in printed
    assert air_executor("logs", "grow", "page:12", cwd=tmp_path).stdout == "12\n"


def test_run_of_a_failing_job(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job.json", *FAILING)
    printed = air_executor("run", job, cwd=tmp_path, code=1).stdout
    assert "job 'job' failed" in printed
    assert "1 of 3 tasks failed: 'bad'" in printed
    assert "3 tasks: 1 completed, 2 failed (1 skipped)" in printed
    assert "bad: exit code 3\n    first\n    last words\n" in printed


def test_run_with_params_and_name(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job.json", sh("say", "echo ${what}"), params={"what": "nothing"})
    air_executor("run", job, "--param", "what=this", "--name", "other", cwd=tmp_path)
    assert air_executor("logs", "other", "say", cwd=tmp_path).stdout == "this\n"


def test_run_uses_a_manager_that_is_there(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job.json", sh("a", "true"))
    with manager(tmp_path, "--slots", "3") as pid:
        done = air_executor("run", job, "--slots", "9", cwd=tmp_path)
        assert f"manager {pid} is at work here already with 3 slots: --slots can have no effect" in done.stderr
        assert manager_of(tmp_path) == pid


def test_two_runs_share_a_manager(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job.json", *(sh(f"t{i}", "sleep 0.05") for i in range(10)))
    with (
        background("run", job, "--name", "one", cwd=tmp_path) as first,
        background("run", job, "--name", "two", cwd=tmp_path) as second,
    ):
        for process in (first, second):
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0, out + err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_job_and_waits(number: signal.Signals, code: int, tmp_path: Path) -> None:
    job = write_job(tmp_path / "job.json", sh("a", "sleep 600"), sh("b", "true", dependencies=["a"]))
    with background("run", job, cwd=tmp_path) as process:
        wait_for(lambda: running(tmp_path, "job") == 1, "the task's start")
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == code
    assert "job 'job' failed" in out
    state = json.loads((tmp_path / ".air-executor/jobs/job/state.json").read_text())
    assert (state["state"], state["reason"]) == ("failed", "cancelled")


def test_a_second_signal_leaves_at_once(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job.json", sh("a", "trap '' TERM; echo deaf; sleep 600"))
    log = tmp_path / ".air-executor/jobs/job/logs/a.log"
    with background("run", job, cwd=tmp_path) as process:
        wait_for(lambda: log.exists() and log.read_text(), "the task to be deaf")
        process.send_signal(signal.SIGINT)
        journal = tmp_path / ".air-executor/jobs/job/journal.jsonl"
        wait_for(lambda: "CancelRequested" in journal.read_text(), "the cancel")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130
    assert "left job 'job' while it is being cancelled" in err
    wait_for(lambda: state_of(tmp_path, "job") == "failed", "the cancel to be carried out without us")


def test_a_manager_that_dies_is_told_of(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job.json", sh("a", "sleep 600"))
    with background("run", job, cwd=tmp_path) as process:
        wait_for(lambda: running(tmp_path, "job") == 1, "the task's start")
        pid = manager_of(tmp_path)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 5
    assert f"the manager (pid {pid}) ended by signal 9" in err
    assert len(err.strip().splitlines()) == 1
    air_executor("start", cwd=tmp_path)
    air_executor("cancel", "job", cwd=tmp_path)
    wait_for(lambda: state_of(tmp_path, "job") == "failed", "the job's end under the next manager")


def test_another_manager_that_goes_is_told_of(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job.json", sh("a", "sleep 600"))
    with manager(tmp_path) as pid, background("run", job, cwd=tmp_path) as process:
        wait_for(lambda: running(tmp_path, "job") == 1, "the task's start")
        assert "1 running task went on" in air_executor("stop", cwd=tmp_path).stdout
        _, err = process.communicate(timeout=60)
        assert process.returncode == 5
        assert f"manager {pid}, which worked on job 'job', is gone" in err
        air_executor("start", cwd=tmp_path)


def test_run_waits_for_an_open_job_to_be_closed(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job.json", sh("a", "true"), open=True)
    with background("run", job, cwd=tmp_path) as process:
        wait_for(lambda: state_of(tmp_path, "job") == "working" and manager_of(tmp_path) is None, "idleness")
        air_executor("queue", "--job", "job", "--id", "b", "--", "true", cwd=tmp_path)
        wait_for(lambda: shown("status", "job", cwd=tmp_path)["completed"] == 2, "the queued task")
        air_executor("close", "job", cwd=tmp_path)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
    assert "2 tasks: 2 completed" in out


def test_run_on_a_terminal_draws(tmp_path: Path) -> None:
    line = f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"
    job = write_job(tmp_path / "job.json", *(sh(f"t{i}", line) for i in range(6)))
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "run", job, "--slots", "3"],
        cwd=tmp_path,
        env=environment(TERM="xterm-256color", COLUMNS="80", LINES="24"),
        stdin=subprocess.DEVNULL,
        stdout=secondary,
        stderr=secondary,
    )
    os.close(secondary)
    drawn = b""
    while True:
        try:
            data = os.read(primary, 65536)
        except OSError:  # how Linux tells that nobody has the other side open
            break
        if not data:
            break
        drawn += data
        if "▶ 3 running" in drawn.decode(errors="ignore"):
            (tmp_path / "go").touch()
    os.close(primary)
    assert process.wait(timeout=60) == 0
    text = drawn.decode()
    assert "\x1b[" in text
    assert "━" in text
    assert "✔ 6 completed" not in text.rpartition("\x1b[")[2]  # the picture is gone, the result stands there
    assert "6 tasks: 6 completed" in text
    assert "[Progress]" not in text
    assert text.rstrip().endswith("jobs/job/logs")
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h")  # the cursor is back
