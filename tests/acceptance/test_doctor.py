"""`doctor` on real folders, managers, launchers and tasks, some of them killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from air_executor.cli.doctor import DOCTOR
from air_executor.observe.doctor import CHECKS
from air_executor.observe.doctor import processes as ps
from tests.acceptance.command_line import (
    COMMAND,
    air_executor,
    environment,
    manager,
    running,
    sh,
    wait_for,
    write_job,
)

pytestmark = pytest.mark.usefixtures("no_manager_left")


def examined(cwd: Path, *arguments: str, code: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Check -> its findings."""
    found = json.loads(air_executor("doctor", "--json", *arguments, cwd=cwd, code=code).stdout)
    assert set(found) == set(DOCTOR.keys)
    levels = {finding["level"] for finding in found["findings"]}
    assert found["worst"] == next(level for level in ("problem", "warning", "ok") if level in levels)
    assert (found["worst"] == "problem") == (code == 1)
    by_check: dict[str, list[dict[str, Any]]] = {name: [] for name in CHECKS}
    for finding in found["findings"]:
        by_check[finding["check"]].append(finding)
    return by_check


def complaints(found: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """Check -> what is said of it, for those that are not well and are ours, not the machine's."""
    machine = {"room", "limits", "notification", "parents", "supervisor", "files"}
    return {
        name: " ".join(
            f"{one['level']}: {one['found']} -> {one['advice']}" for one in findings if one["level"] != "ok"
        )
        for name, findings in found.items()
        if name not in machine and any(one["level"] != "ok" for one in findings)
    }


def launchers(base: Path) -> list[int]:
    return [p.pid for p in ps.processes() if ps.name_of(p, str(base / "runtime"))]


def test_without_a_base_and_with_a_fresh_one(tmp_path: Path) -> None:
    found = examined(tmp_path)
    assert complaints(found) == {}
    assert "init" in found["base"][0]["advice"]
    assert not (tmp_path / ".air-executor").exists()
    air_executor("init", cwd=tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert complaints(examined(tmp_path)) == {}
    assert sorted(tmp_path.rglob("*")) == before
    text = air_executor("doctor", cwd=tmp_path).stdout
    assert all(f" {name} " in text for name in CHECKS if name != "supervisor")
    assert text.splitlines()[-1].startswith("0 problems, ")


def test_with_a_manager_at_work(tmp_path: Path) -> None:
    base = tmp_path / ".air-executor"
    with manager(tmp_path, "--slots", "3", "--launchers", "1") as pid:
        air_executor("submit", write_job(tmp_path / "job.json", sh("a", "sleep 600")), cwd=tmp_path)
        wait_for(lambda: running(tmp_path, "job") == 1, "the task")
        found = examined(tmp_path)
        assert complaints(found) == {}
        assert f"pid {pid} is running" in found["manager"][0]["found"]
        assert found["settings"][0]["found"] == "3 slots, 1 launchers"
        assert "1 running" in found["launchers"][0]["found"]
        assert "processes of tasks, all with a launcher" in found["tasks"][0]["found"]
        assert found["jobs"][0]["found"] == "1 jobs, 1 not ended"
        assert len(found["supervisor"]) == 1
        facts = json.loads((base / "manager.json").read_text())
        (base / "manager.json").write_text(json.dumps(facts | {"version": "0.0.1"}))
        assert "is version 0.0.1" in complaints(examined(tmp_path))["manager"]


def test_after_the_manager_and_then_the_launchers_were_killed(tmp_path: Path) -> None:
    base = tmp_path / ".air-executor"
    with manager(tmp_path, "--slots", "2", "--launchers", "1") as pid:
        air_executor("submit", write_job(tmp_path / "job.json", sh("a", "sleep 600")), cwd=tmp_path)
        wait_for(lambda: '"running": 1' in (base / "jobs/job/state.json").read_text(), "the view")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: launchers(base) and "killed" in complaints(examined(tmp_path)).get("manager", ""), "its end")
        said = complaints(examined(tmp_path))
        assert set(said) == {"manager", "launchers", "jobs"}
        assert f"(pid {pid}) that was killed" in said["manager"]
        assert "1 without a manager" in said["launchers"]
        assert "1 have not ended, and no manager runs: job" in said["jobs"]
        (launcher,) = launchers(base)
        os.kill(launcher, signal.SIGKILL)
        wait_for(lambda: not launchers(base), "the launcher's end")
        said = complaints(examined(tmp_path))
        assert set(said) == {"manager", "tasks", "spools", "jobs"}
        assert "neither launcher nor manager: job job, task a (pid " in said["tasks"]
        assert "air-executor start" in said["tasks"]
        assert "ends of tasks wait in launcher-" in said["spools"]
        with manager(tmp_path, "--slots", "2", "--launchers", "1"):
            found = examined(tmp_path)
            assert complaints(found) == {}
            assert "since their launcher is gone: job job, task a" in found["tasks"][0]["found"]
    assert complaints(examined(tmp_path)) == {}


def test_what_tasks_left_behind(tmp_path: Path) -> None:
    """A process with the marks of a task that has ended, with nobody of ours above it."""
    base = tmp_path / ".air-executor"
    air_executor("run", write_job(tmp_path / "job.json", sh("a", "true")), cwd=tmp_path)
    marks = {
        f"AIR_EXECUTOR_{n}": v for n, v in (("BASE", str(base)), ("JOB", "job"), ("TASK", "a"), ("ATTEMPT", "1"))
    }
    stray = subprocess.Popen(["sleep", "600"], env=environment(**marks))
    try:
        said = complaints(examined(tmp_path))
        assert "processes of tasks that have ended: job job, task a" in said["tasks"]
        assert f"kill {stray.pid}" in said["tasks"]
    finally:
        stray.kill()
        stray.wait()


def test_rights(tmp_path: Path) -> None:
    air_executor("init", cwd=tmp_path)
    base = tmp_path / ".air-executor"
    base.chmod(0o777)
    assert "everybody can write to it" in complaints(examined(tmp_path, code=1))["base"]
    base.chmod(0o755)
    assert "chmod 700" in complaints(examined(tmp_path))["base"]
    base.chmod(0o700)
    (base / "jobs").chmod(0o777)
    assert "jobs can be written by everybody" in complaints(examined(tmp_path, code=1))["base"]
    (base / "jobs").rmdir()
    assert "has no jobs folder" in complaints(examined(tmp_path, code=1))["base"]
    tmp_path.chmod(0o777)
    assert "can be written by everybody" in examined(tmp_path, code=1)["parents"][0]["found"]


def test_limits_are_seen(tmp_path: Path) -> None:
    line = f"ulimit -n 64; exec '{sys.executable}' -m air_executor doctor --json"
    env = environment(AIR_EXECUTOR_SLOTS="400", AIR_EXECUTOR_LAUNCHERS="2")
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, env=env, capture_output=True, check=True, text=True)
    said = [one for one in json.loads(done.stdout)["findings"] if one["check"] == "limits"]
    assert said[0]["level"] == "warning"
    assert "open files: 64, at most 64; 400 slots on 2 launchers need about 440" in said[0]["found"]
    assert "ulimit -n 440" in said[0]["advice"]


def test_bad_settings(tmp_path: Path) -> None:
    air_executor("init", cwd=tmp_path)
    (tmp_path / ".air-executor" / "config.toml").write_text("slots = 0\n")
    assert "slots" in complaints(examined(tmp_path, code=1))["settings"]


def test_what_stands_in_the_job_folders(tmp_path: Path) -> None:
    air_executor("submit", write_job(tmp_path / "waits.json", sh("a", "true")), cwd=tmp_path)
    for name in ("done", "newer", "damaged", "torn"):
        air_executor("run", write_job(tmp_path / f"{name}.json", sh("a", "true")), cwd=tmp_path)
    jobs = tmp_path / ".air-executor" / "jobs"
    assert set(complaints(examined(tmp_path))) <= {"jobs"}  # `waits`, unless a `run` took it along

    newer = (jobs / "newer" / "journal.jsonl").read_text().replace('"version":1', '"version":99')
    (jobs / "newer" / "journal.jsonl").write_text(newer)
    (jobs / "damaged" / "journal.jsonl").write_bytes(b"\0" * 50 + b"\n")
    for name in ("torn", "waits"):
        (jobs / name / "state.json").write_text('{"id": "x", "state": "working"}')
    with (jobs / "torn" / "journal.jsonl").open("a") as file:
        file.write('{"type":"Tas')
    (jobs / ".new-999999999-abc").mkdir()
    (jobs / ".new-1-abc").mkdir()  # a client that may still be at it
    (jobs / ".pruned-1-abc").mkdir()
    (jobs / "elsewhere").symlink_to(tmp_path)
    (jobs / "done" / "late-tasks-0").write_text("[]")
    (jobs / "done" / ".tasks.json.displaced-0").write_text("[]")

    said = complaints(examined(tmp_path, code=1))
    assert set(said) == {"jobs", "journals", "leftovers"}
    assert "2 have not ended, and no manager runs: torn, waits" in said["jobs"]
    assert "'elsewhere' (a symbolic link)" in said["jobs"]
    assert "newer Air-Executor (journal version 99)" in said["journals"]
    assert "damaged/journal.jsonl, line 1" in said["journals"]
    assert "a torn end: torn" in said["journals"]
    assert "half-made jobs: .new-999999999-abc ->" in said["leftovers"]
    assert "interrupted prune: .pruned-1-abc" in said["leftovers"]
    assert "not read yet: done/.tasks.json.displaced-0" in said["leftovers"]
    assert "set aside: done/late-tasks-0" in said["leftovers"]
    (jobs / "elsewhere").unlink()


def test_a_full_line_for_each_finding(tmp_path: Path) -> None:
    """What others wrote cannot draw on the terminal."""
    air_executor("init", cwd=tmp_path)
    job = tmp_path / ".air-executor" / "jobs" / "job"
    job.mkdir()
    (job / "state.json").write_text(json.dumps({"state": "failed", "reason": "unreadable", "error": "\x1b[31mred\n"}))
    (job / "journal.jsonl").write_text("\x1b]0;title\x07\n")
    done = subprocess.run(
        [*COMMAND, "doctor"], cwd=tmp_path, env=environment(), capture_output=True, check=False, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    assert done.stdout.count("PROBLEM") == 1
