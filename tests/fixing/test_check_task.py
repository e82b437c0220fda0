"""A check as a task: what it does with a tool that leaves processes, and with a reader of ours that is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from air_executor.fixing.check import Tool
from air_executor.fixing.checking import check_task
from air_executor.fixing.checking.execution import execute
from air_executor.fixing.outcome import CheckResult
from tests.fixing.conftest import Write, program, project_of, run_check
from tests.support import wait_for

COBOL = """
    from pathlib import Path
    from air_executor.fixing.check import Command, Findings, Tool
    from air_executor.fixing.languages import Language

    class Wrong:
        name, kind, version_args, reads = "wrong", "lint", ("--version",), None

        def applies(self, project):
            return True

        def loads_code(self, project):
            return False

        def find(self, project):
            return Tool((str(project.path / "tool"),), None, True)

        def configuration(self, project):
            return []

        def command(self, project, tool):
            return Command(argv=tool.argv, cwd=project.path)

        def parse(self, project, run):
            return Findings(issues=[run.stdout.read_text().split()[99]])

    COBOL = Language(name="cobol", suffixes=frozenset({".cob"}), manifests=(), checks=(Wrong(),))
"""


def test_a_reader_that_fails_is_our_fault_and_no_clean_result(
    repository: Write, tmp_path: Path, distribution: Callable[[str], None]
):
    distribution(COBOL)
    place = repository({"a.cob": ""})
    program(place / "tool", "#!/bin/sh\necho 1.0 fine\n")
    result = run_check(project_of(place, "cobol"), "wrong", tmp_path / "run")
    assert result.outcome == "could_not_run"
    assert "a bug of Air-Executor's check wrong: IndexError in cobol_language.py:25" in (result.reason or "")
    assert str(tmp_path / "run") in (result.mend or "")
    assert (tmp_path / "run" / "stdout").read_text() == "1.0 fine\n"


def spec_for(place: Path, folder: Path, name: str) -> Path:
    folder.mkdir()
    (folder / "project.json").write_bytes(check_task.encode(project_of(place)))
    spec = check_task.Spec(
        language="python",
        check=name,
        project=str(folder / "project.json"),
        tool=Tool((str(place / ".venv" / "bin" / name),), None, True),
        folder=str(folder),
        cache=str(folder / "cache"),
        reads=None,
        result=str(folder / "result.json"),
        sandboxed=False,
        timeout_s=60,
    )
    (folder / "spec.json").write_bytes(msgspec.json.encode(spec))
    return folder / "spec.json"


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("how", ["it ends", "terminated"])
def test_what_a_tool_leaves_behind_is_ended(repository: Write, tmp_path: Path, how: str):
    """Also what has left its group and session and lost its parent."""
    place = repository({"a.py": ""})
    pids = place / "pid"
    hidden = f"(setsid sh -c 'echo $$ >{pids}.part; mv {pids}.part {pids}; exec sleep 600' &)"
    last = "echo '[]'" if how == "it ends" else "sleep 600"
    waits = f"while [ ! -e {pids} ]; do sleep 0.01; done"
    program(
        place / ".venv" / "bin" / "ruff",
        f'#!/bin/sh\ncase "$*" in *--version*) echo 1.0; exit;; esac\n{hidden}\n{waits}\n{last}\n',
    )
    program(place / ".venv" / "bin" / "python", "#!/bin/sh\n")
    spec = spec_for(place, tmp_path / "run", "ruff")
    process = subprocess.Popen([sys.executable, "-m", "air_executor.fixing.checking.check_task", str(spec)])
    try:
        wait_for(pids.exists, "the process that the tool leaves")
        pid = int(pids.read_text())
        if how == "terminated":
            process.terminate()
            assert process.wait(20) == 143
            assert not (tmp_path / "run" / "result.json").exists()
        else:
            assert process.wait(20) == 0
            result = msgspec.json.decode((tmp_path / "run" / "result.json").read_bytes(), type=CheckResult)
            assert result.outcome == "ok"
        wait_for(lambda: not lives(pid), "its end", 5)
    finally:
        process.kill()
        process.wait()
        if pids.exists() and lives(int(pids.read_text())):
            os.kill(int(pids.read_text()), signal.SIGKILL)


def test_homes_and_copies_are_removed(repository: Write, with_tools: Path, tmp_path: Path):
    place = repository({"pyproject.toml": "[project]\nname = 'x'\n", "test_a.py": "def test_a(tmp_path): ...\n"})
    result = run_check(project_of(place), "pytest", tmp_path / "run", sandboxed=True)
    assert result.outcome == "ok"
    assert sorted(path.name for path in (tmp_path / "run").iterdir() if path.is_dir()) == ["cache", "out"]


def test_children_from_before_are_left_alone(tmp_path: Path):
    """Whoever runs a tool in his own process keeps his other ones."""
    before = subprocess.Popen(["sleep", "600"])
    try:
        files = {"stdout": tmp_path / "out", "stderr": tmp_path / "err"}
        execute(["sh", "-c", "sleep 600 & true"], cwd=tmp_path, env=dict(os.environ), timeout_s=30, **files)
        assert before.poll() is None
    finally:
        before.kill()
        before.wait()
