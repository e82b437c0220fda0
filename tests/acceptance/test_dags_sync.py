"""`dags sync` where it does not come to an Airflow: bad input, and finding the target. With one: tests/airflow."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from air_executor.cli.dags import SYNC, sync
from air_executor.dags.target import Airflow, find_airflow, python_of
from air_executor.errors import InvalidInput
from tests.acceptance.command_line import air_executor, environment

SCRIPT = Path(__file__).parents[2] / "scripts" / "sync_dags_to_airflow.sh"


def program(place: Path, text: str) -> str:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    place.chmod(0o755)
    return str(place)


def refused(*arguments: str, cwd: Path, code: int = 2, env: dict[str, str] | None = None) -> str:
    done = air_executor("dags", "sync", *arguments, cwd=cwd, code=code, env=env)
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("air-executor: error: ")
    assert done.stdout == ""
    return "\n".join(lines)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "airflow_dags").mkdir()
    (tmp_path / "airflow_dags" / "a.py").write_text("from airflow import DAG\nDAG('a', schedule=None)\n")
    return tmp_path


def test_folders_that_are_none(tmp_path: Path) -> None:
    assert "no folder airflow_dags; name the folder that holds your DAG files" in refused(cwd=tmp_path)
    assert "no folder nope" in refused("nope", cwd=tmp_path)
    assert "no folder elsewhere" in refused(cwd=tmp_path, env={"AIR_EXECUTOR_DAGS": "elsewhere"})
    (tmp_path / "file").write_text("")
    assert "file is a file" in refused("file", cwd=tmp_path)


def test_no_airflow(folder: Path) -> None:
    nowhere = {"PATH": "/nowhere", "VIRTUAL_ENV": "/nowhere"}
    assert "no `airflow` in PATH or in an active virtual environment; give --airflow" in refused(
        cwd=folder, env=nowhere
    )
    assert "no program 'nope/airflow'" in refused("--airflow", "nope/airflow", cwd=folder)


def test_what_is_no_airflow(folder: Path) -> None:
    without = program(folder / "bin" / "airflow", f"#!{sys.executable}\nprint('hello')\n")
    assert f"Airflow cannot be imported by the interpreter of {without}: ModuleNotFoundError" in refused(
        "--airflow", without, cwd=folder
    )
    gone = program(folder / "gone" / "airflow", "#!/nowhere/bin/python3\n")
    assert "cannot start /nowhere/bin/python3" in refused("--airflow", gone, cwd=folder)
    failing = program(folder / "failing", "#!/bin/sh\necho one; echo last words >&2; exit 3\n")
    assert "`airflow info --output json` failed: last words" in refused("--airflow", failing, cwd=folder)
    chatty = program(folder / "chatty", "#!/bin/sh\necho hello\n")
    assert "names no interpreter of this machine" in refused("--airflow", chatty, cwd=folder)


def test_folders_that_cannot_be_the_target(folder: Path) -> None:
    """Before any Airflow is started."""
    airflow = ("--airflow", program(folder / "airflow", "#!/bin/false\n"))
    source = folder / "airflow_dags"
    for place, why in (
        (folder, "is inside the DAGs folder"),
        (source, "is the DAGs folder itself"),
        (source / "dags", f"is inside {source}"),
        (source / "a.py", "is a file"),
    ):
        assert why in refused(*airflow, "--dags-folder", str(place), cwd=folder)
    assert "the name of a set is" in refused(*airflow, "--set", "../up", cwd=folder)


def test_json_is_printed_also_when_it_is_refused(folder: Path) -> None:
    done = air_executor("dags", "sync", "--json", "--airflow", "nope", cwd=folder, code=2)
    found = json.loads(done.stdout)
    assert set(found) == set(SYNC.keys)
    assert (found["ok"], found["deployed"], found["changes"]) == (False, False, [])
    assert found["problems"] == [
        {"file": None, "line": None, "text": done.stderr.removeprefix("air-executor: error: ").rstrip("\n")}
    ]


def test_bad_usage(folder: Path) -> None:
    assert "missing command" in air_executor("dags", cwd=folder, code=2).stderr.lower()
    assert "no such command 'snyc'" in air_executor("dags", "snyc", cwd=folder, code=2).stderr.lower()
    assert "0.1<=x<=3600" in refused("--import-timeout", "0", cwd=folder)


def test_airflow_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (Path(program(tmp_path / name / "bin" / "airflow", "#!/bin/sh\n")) for name in ("one", "two"))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "two"))
    assert find_airflow(None) == second
    monkeypatch.setenv("PATH", str(first.parent))
    assert find_airflow(None) == first
    assert find_airflow(str(second)) == second
    monkeypatch.chdir(tmp_path)
    assert find_airflow("two/bin/airflow") == second


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("#!/opt/airflow/bin/python\n", ["/opt/airflow/bin/python"]),
        ("#!/usr/bin/python3.11 -E\n", ["/usr/bin/python3.11", "-E"]),
        ("#!/usr/bin/env -S python3 -X utf8\n", ["env python3", "-X", "utf8"]),
        ("#!/bin/sh\n'''exec' \"/a long/path/python3\" \"$0\" \"$@\"\n' '''\nimport sys\n", ["/a long/path/python3"]),
        ("#!/bin/sh\n'''exec' '/a long/python' \"$0\" \"$@\"\n' '''\n", ["/a long/python"]),
        ('#!/bin/bash\ndocker compose exec airflow airflow "$@"\n', None),
        ("\x7fELF", None),
        ("", None),
        ("#!\n", None),
    ],
)
def test_the_interpreter_of_a_program(tmp_path: Path, text: str, python: list[str] | None) -> None:
    import shutil

    found = python_of(Path(program(tmp_path / "airflow", text)))
    if python and python[0].startswith("env "):
        python = [shutil.which(python[0].removeprefix("env ")) or "python3", *python[1:]]
    assert found == python


def test_an_airflow_that_does_not_answer(tmp_path: Path) -> None:
    """Its interpreter hangs: killed, with all it has started."""
    hanging = program(tmp_path / "python", "#!/bin/sh\nsleep 600 & wait\n")
    name = program(tmp_path / "airflow", f"#!{hanging}\n")
    with Airflow(Path(name)) as airflow, pytest.raises(InvalidInput, match=r"did not answer within 0\.2 s"):
        airflow.ask("look", folder="/", within_s=0.2)


def test_the_script_works_from_anywhere(folder: Path) -> None:
    """It stands in a project, with that project's virtual environment, and brings that project's DAGs."""
    project = folder / "a project"
    copy = project / "scripts" / SCRIPT.name
    copy.parent.mkdir(parents=True)
    copy.write_bytes(SCRIPT.read_bytes())
    copy.chmod(0o755)
    own = f'#!/bin/sh\necho "$AIR_EXECUTOR_DAGS"; exec {shlex.quote(sys.executable)} -m air_executor "$@"\n'
    program(project / ".venv" / "bin" / "air-executor", own)
    for arguments, named in (([], project / "airflow_dags"), (["mine", "--dry-run"], "mine")):
        done = subprocess.run(
            [copy, *arguments],
            cwd="/",
            env=environment(PYTHONPATH=os.environ.get("PYTHONPATH", "")),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 2
        assert done.stdout == f"{project / 'airflow_dags'}\n"
        assert f"no folder {named};" in done.stderr


def test_git_sync_brings_the_same_folder() -> None:
    values = yaml.safe_load((SCRIPT.parents[1] / "ops" / "airflow" / "values-git-sync.yaml").read_text("utf-8"))
    folder = next(parameter for parameter in sync.params if parameter.name == "folder")
    assert values["dags"]["gitSync"]["subPath"] == str(folder.default)
    assert values["dags"]["persistence"]["enabled"] is False
