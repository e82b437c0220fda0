"""`manager.log` is put aside when it has grown, and standard error goes with it."""

import os
from pathlib import Path

import pytest

from tests.acceptance.command_line import air_executor, manager, sh, shown, wait_for, write_job

pytestmark = pytest.mark.usefixtures("no_manager_left")


def test_it_is_put_aside(tmp_path: Path) -> None:
    base = tmp_path / ".air-executor"
    air_executor("init", cwd=tmp_path)
    (base / "config.toml").write_text("log_max_mb = 0.0005\nlog_keep = 2\n")
    assert shown("config", cwd=tmp_path)["settings"]["log_keep"] == {"value": 2, "from": str(base / "config.toml")}
    job = write_job(tmp_path / "job.json", sh("a", "true"))
    with manager(tmp_path) as pid:
        for _ in range(3):
            for _ in range(10):
                air_executor("submit", job, cwd=tmp_path)
            air_executor("watch", "job", cwd=tmp_path)
            wait_for(lambda: (base / "manager.log").stat().st_ino == os.stat(f"/proc/{pid}/fd/2").st_ino, "stderr")
    logs = sorted(path.name for path in base.glob("manager.log*"))
    assert logs == ["manager.log", "manager.log.1", "manager.log.2"]
    for name in logs:
        assert (base / name).stat().st_size <= 500
        assert (base / name).stat().st_mode & 0o777 == 0o600
        assert all(line[:2] == "20" for line in (base / name).read_text().splitlines())


def test_what_a_manager_died_of_is_told_although_the_log_was_put_aside(tmp_path: Path) -> None:
    base = tmp_path / ".air-executor"
    air_executor("init", cwd=tmp_path)
    (base / "config.toml").write_text("log_max_mb = 0.001\n")
    (base / "manager.log").write_text("x" * 5_000 + "\n")
    (base / "runtime").rmdir()
    (base / "runtime").write_text("no folder")
    said = air_executor("start", cwd=tmp_path, code=6).stderr
    assert "runtime" in said
    assert not (base / "manager.log").read_text().count("Traceback")


def test_a_log_that_cannot_be_put_aside_grows_on(tmp_path: Path) -> None:
    base = tmp_path / ".air-executor"
    air_executor("init", cwd=tmp_path)
    (base / "config.toml").write_text("log_max_mb = 0.0001\nlog_keep = 1\n")
    (base / "manager.log.1").mkdir()
    (base / "manager.log.1" / "in the way").touch()
    done = air_executor("manager", "--until-idle", cwd=tmp_path)
    assert (base / "manager.log").read_text() == done.stderr
    assert done.stderr.count("\n") >= 2
