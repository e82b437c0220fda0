"""`manager`, `start`, `stop` and the scripts of the known names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.command_line import (
    air_executor,
    environment,
    manager,
    running,
    sh,
    shown,
    state_of,
    wait_for,
    write_job,
)

pytestmark = pytest.mark.usefixtures("no_manager_left")


def test_start_and_stop(tmp_path: Path) -> None:
    with manager(tmp_path, "--slots", "2") as pid:
        refused = air_executor("start", cwd=tmp_path, code=4).stderr
        assert f"a manager (pid {pid}) already works on" in refused
        refused = air_executor("manager", cwd=tmp_path, code=4).stderr
        assert f"a manager (pid {pid}) already works on" in refused
        assert f"pid {pid}, 2 slots" in air_executor("status", cwd=tmp_path).stdout
        assert air_executor("stop", cwd=tmp_path).stdout == f"manager {pid} has stopped\n"
        air_executor("stop", cwd=tmp_path, code=5)
    log = (tmp_path / ".air-executor" / "manager.log").read_text()
    assert log.count(f"manager {pid} has stopped") == 1


def test_start_tells_why_it_could_not(tmp_path: Path) -> None:
    assert "slots" in air_executor("start", "--slots", "0", cwd=tmp_path, code=2).stderr
    air_executor("init", cwd=tmp_path)
    (tmp_path / ".air-executor" / "manager.lock").mkdir()
    assert "manager.lock" in air_executor("start", cwd=tmp_path, code=6).stderr


def test_stop_by_draining_and_killing(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job.json", sh("a", "sleep 3"), sh("b", "sleep 600", dependencies=["a"]))
    with manager(tmp_path):
        air_executor("submit", job, cwd=tmp_path)
        wait_for(lambda: running(tmp_path, "job") == 1, "the first task")
        air_executor("stop", "--drain", cwd=tmp_path)
        found = shown("status", "job", cwd=tmp_path)
        assert (found["completed"], found["running"], found["pending"]) == (1, 0, 1)
    with manager(tmp_path):
        wait_for(lambda: running(tmp_path, "job") == 1, "the second task")
        assert "had not ended after 0.1 s" in (
            air_executor("stop", "--drain", "--timeout", "0.1", cwd=tmp_path, code=7).stderr
        )
        air_executor("stop", "--kill", cwd=tmp_path)
    assert state_of(tmp_path, "job") == "failed"


@pytest.mark.skipif(os.geteuid() != 0, reason="making a process namespace needs root")
def test_a_manager_of_another_container_is_not_signalled_by_its_number(tmp_path: Path) -> None:
    """From there its pid reads 0, and a signal to 0 would go to the caller and all of its group."""

    def inside(*words: str) -> tuple[int, str]:
        command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-m", "air_executor", *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(), capture_output=True, check=False, text=True, timeout=60,
            start_new_session=True,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    with manager(tmp_path) as pid:
        code, said = inside("stop", "--kill")
        assert code == 4
        assert "in another container or on another machine; stop it there" in said
        code, said = inside("start")
        assert code == 4
        assert "in its container or on its machine" in said
        assert "manager:     in another container" in inside("status")[1]
        assert f"pid {pid}" in air_executor("status", cwd=tmp_path).stdout


def test_manager_in_the_foreground_logs_to_both(tmp_path: Path) -> None:
    done = air_executor("manager", "--until-idle", "--sync", "off", cwd=tmp_path)
    assert "with" in done.stderr
    assert done.stderr == (tmp_path / ".air-executor" / "manager.log").read_text()


def test_scripts_are_thin(tmp_path: Path) -> None:
    scripts = Path(__file__).parents[2] / "scripts"
    done = subprocess.run(
        [sys.executable, str(scripts / "run_manager.py"), "--until-idle"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    for name in ("status", "start-dev", "stop-dev"):
        subprocess.run(["sh", "-n", str(scripts / f"{name}.sh")], check=True)
        assert os.access(scripts / f"{name}.sh", os.X_OK)
