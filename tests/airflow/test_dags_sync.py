"""`dags sync` with a real Airflow: what it takes for DAG files, what works in it, what it knows afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from air_executor.cli.dags import SYNC
from tests.acceptance.command_line import air_executor
from tests.acceptance.dags_folder import dangling, seen, write
from tests.airflow.site import AirflowSite, ApiError
from tests.airflow.versions import Version
from tests.support import wait_for

DAG = "from airflow import DAG\nwith DAG('{0}', schedule=None):\n    pass\n"
OPERATOR = """
try:
    from airflow.providers.standard.operators.bash import BashOperator
except ImportError:
    from airflow.operators.bash import BashOperator
"""
NAMED = """\
from pathlib import Path
from airflow import DAG
from lib.steps import step
QUERY = (Path(__file__).parent / "sql" / "q.sql").read_text()
with DAG("{0}", schedule=None, tags=[QUERY.strip()]):
    step("one") >> step("two")
"""


class Target:
    """An installed Airflow that does not run, with a home of its own and no database."""

    def __init__(self, version: Version, folder: Path) -> None:
        self.version = version
        self.folder = folder
        self.dags = folder / "home" / "dags"
        self.dags.mkdir(parents=True)
        self.source = folder / "source"
        self.source.mkdir()
        self.env = {
            "AIRFLOW_HOME": str(folder / "home"),
            "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "TMPDIR": str(folder / "tmp"),
        }
        (folder / "tmp").mkdir()

    def sync(self, *options: str, code: int = 0) -> dict[str, Any]:
        program = str(self.version.python.with_name("airflow"))
        arguments = ("dags", "sync", str(self.source), "--airflow", program, "--json", *options)
        done = air_executor(*arguments, cwd=self.folder, code=code, env=self.env, timeout_s=200)
        assert list((self.folder / "tmp").iterdir()) == []
        found: dict[str, Any] = json.loads(done.stdout)
        assert set(found) == set(SYNC.keys)
        assert found["ok"] is (code == 0)
        return found


@pytest.fixture
def target(version: Version, tmp_path: Path) -> Target:
    return Target(version, tmp_path)


def changes(found: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {one["file"]: (one["kind"], one["what"], " ".join(one["dags"])) for one in found["changes"]}


# ---- what is deployed ----------------------------------------------------------------------------


@pytest.mark.airflow(pre=True)
def test_dag_files_and_what_they_need(target: Target) -> None:
    files = {
        "first.py": NAMED.format("first"),
        "sub/second.py": DAG.format("second") + DAG.format("third"),
        "lib/__init__.py": "",
        "lib/steps.py": OPERATOR + "from .text import TEXT\ndef step(name):\n    return BashOperator("
        "task_id=name, bash_command=TEXT)\n",
        "lib/text.py": "from top import TEXT\n",
        "top.py": "TEXT = 'true'\n",
        "sql/q.sql": "select 1\n",
    }
    left_out = {"ignored/no.py": DAG.format("no") + "1/0\n", "alone.py": "x = 1", "a-note.py": "'about airflow'"}
    write(target.source, files | left_out | {".airflowignore": "ignored\n"})
    write(target.dags, {"theirs.py": DAG.format("theirs")})
    before = seen(target.dags)

    dry = target.sync("--dry-run")
    assert seen(target.dags) == before
    assert [path.name for path in target.dags.iterdir()] == ["theirs.py"]

    found = target.sync()
    assert changes(found) == {
        "first.py": ("dag", "new", "first"),
        "lib/__init__.py": ("module", "new", ""),
        "lib/steps.py": ("module", "new", ""),
        "lib/text.py": ("module", "new", ""),
        "sql/q.sql": ("data", "new", ""),
        "sub/second.py": ("dag", "new", "second third"),
        "top.py": ("module", "new", ""),
    }
    assert (dry["changes"], dry["deployed"], found["deployed"]) == (found["changes"], False, True)
    assert found["left_out"] == ["a-note.py", "alone.py", "ignored/no.py"]
    assert found["warnings"] == []
    assert found["version"] == target.version.version
    assert found["dags_folder"] == str(target.dags)
    assert seen(target.dags) == files | before
    assert not list(target.source.rglob("__pycache__"))

    # Airflow itself passes over our own folder, and finds the rest as if it were files.
    listing = """
import os, sys
from airflow.utils.file import list_py_file_paths
for os.environ["AIRFLOW__CORE__DAG_IGNORE_FILE_SYNTAX"] in ("glob", "regexp"):
    print(sorted(list_py_file_paths(sys.argv[1], safe_mode=True)), file=sys.__stdout__)
"""
    env = os.environ | target.env | {"AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    said = target.version.run("python", "-c", listing, str(target.dags), env=env)
    wanted = sorted(str(target.dags / name) for name in ("first.py", "sub/second.py", "theirs.py"))
    assert said.stdout.splitlines()[-2:] == [repr(wanted)] * 2, said

    # A module that is still deployed does not hide that the folder no longer has it.
    (target.source / "top.py").unlink()
    refused = target.sync("--cleanup", code=2)
    assert [problem["file"] for problem in refused["problems"]] == ["first.py"]
    assert "imports top.py, which is deployed" in refused["problems"][0]["text"]
    assert seen(target.dags) == files | before

    write(target.source, {"sub/second.py": DAG.format("second"), "renamed.py": DAG.format("third")})
    found = target.sync("--cleanup")
    assert {name: what for name, (_, what, _) in changes(found).items()} == {
        **dict.fromkeys(
            ("first.py", "lib/__init__.py", "lib/steps.py", "lib/text.py", "sql/q.sql", "top.py"), "removed"
        ),
        "renamed.py": "new",
        "sub/second.py": "changed",
    }
    assert dangling(target.dags) == []
    assert any("metadata database cannot be read" in text for text in found["warnings"])


# ---- what is refused -----------------------------------------------------------------------------


def test_everything_that_is_wrong_is_told_at_once(target: Target) -> None:
    """Each file is imported by a process of its own, whatever it does there."""
    write(
        target.source,
        {
            "syntax.py": DAG.format("syntax") + "x = (\n",
            "raises.py": DAG.format("raises") + "import helper\n",
            "helper.py": "def f():\n    raise ValueError('first line\\nsecond line')\n\nf()\n",
            "missing.py": DAG.format("missing") + "\nimport no_such_module\n",
            "exits.py": DAG.format("exits") + "import sys\nsys.exit(3)\n",
            "killed.py": DAG.format("killed") + "import os\nos.kill(os.getpid(), 9)\n",
            "leaves.py": DAG.format("leaves") + "import os\nos._exit(0)\n",
            "hangs.py": DAG.format("hangs") + "import time\nwhile True:\n    time.sleep(60)\n",
            "deaf.py": DAG.format("deaf") + "import signal, time\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
            "while True:\n    time.sleep(60)\n",
            "twice.py": DAG.format("here"),
            "again.py": DAG.format("here"),
            "stolen.py": DAG.format("theirs"),
            "operator.py": "from airflow import DAG" + OPERATOR + "with DAG('o', schedule=None):\n"
            "    BashOperator(bash_command='true')\n",
            "circle.py": "from airflow import DAG" + OPERATOR + "with DAG('c', schedule=None):\n"
            "    a = BashOperator(task_id='a', bash_command='true')\n    a >> "
            "BashOperator(task_id='b', bash_command='true') >> a\n",
            "noisy.py": "import os, sys\nprint('{\"dags\": []}')\nos.write(1, b'\\xff\\n')\nprint('x' * 99999, file="
            "sys.stderr)\nos.closerange(0, 64)\n" + DAG.format("noisy"),
        },
    )
    write(target.dags, {"theirs.py": DAG.format("theirs"), "broken.py": DAG.format("broken") + "1/0\n"})
    found = target.sync("--import-timeout", "8", code=2)
    told = {problem["file"]: (problem["line"], problem["text"]) for problem in found["problems"]}
    assert set(told) == {*os.listdir(target.source)} - {"noisy.py", "again.py", "raises.py", "__pycache__"}
    assert len(found["problems"]) == len(told)
    assert told["syntax.py"] == (4, "SyntaxError: '(' was never closed")
    assert told["helper.py"] == (2, "ValueError: first line")
    assert told["missing.py"] == (5, "ModuleNotFoundError: No module named 'no_such_module'")
    assert told["exits.py"] == (5, "SystemExit: 3")
    assert told["killed.py"] == (None, "importing it ended its process (signal 9)")
    assert told["leaves.py"] == (None, "importing it ended its process (exit code 0)")
    assert told["hangs.py"][0] == 6
    assert "Timeout" in told["hangs.py"][1]
    assert told["deaf.py"] == (None, "importing it took longer than 8 s")
    assert told["twice.py"] == (None, "DAG id 'here' is also in again.py")
    assert told["stolen.py"][1] == "DAG id 'theirs' is also in theirs.py, somebody else's file in the DAGs folder"
    assert told["operator.py"][0] == 7
    assert "task_id" in told["operator.py"][1]
    assert "ycle" in told["circle.py"][1]
    (warning,) = found["warnings"] or ["broken.py is not looked at twice"]
    assert "broken.py" in warning
    assert sorted(os.listdir(target.dags)) in (
        [".air-executor-dags", "broken.py", "theirs.py"],
        [".air-executor-dags", "__pycache__", "broken.py", "theirs.py"],
    )


def test_other_things_that_are_refused(target: Target) -> None:
    def text(*options: str, code: int) -> str:
        (problem,) = target.sync(*options, code=code)["problems"]
        return str(problem["text"])

    write(target.source, {"notes.txt": "airflow dag", "plain.py": "x = 1"})
    assert f"no DAG file in {target.source}: Airflow takes a Python file for one when" in text(code=2)
    write(target.source, {"seeming.py": "'a dag for airflow'"})
    assert "makes no DAG" in text("--dags-folder", str(target.folder / "elsewhere"), code=2)
    write(target.source, {"good.py": DAG.format("good")})
    (target.dags / "good.py").write_text("theirs")
    assert "was not deployed by `dags sync`" in text("--force", code=4)


def test_a_wrapper_is_asked_for_its_interpreter(target: Target) -> None:
    """What the program is no Python script itself, but starts one with settings of its own."""
    real = target.version.python.with_name("airflow")
    home = target.env.pop("AIRFLOW_HOME")
    wrapper = target.folder / "airflow"
    wrapper.write_text(f"#!/bin/sh\nAIRFLOW_HOME='{home}' exec '{real}' \"$@\"\n")
    wrapper.chmod(0o755)
    write(target.source, {"good.py": DAG.format("good")})
    found = target.sync("--airflow", str(wrapper))
    assert found["dags_folder"] == str(target.dags)
    assert changes(found) == {"good.py": ("dag", "new", "good")}


# ---- what Airflow knows afterwards ---------------------------------------------------------------


def test_unpaused_when_read_and_forgotten_when_gone(airflow: AirflowSite, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    airflow.add_dag("sync_theirs.py", DAG.format("sync_theirs"))
    airflow.api("PATCH", "/dags/sync_theirs", {"is_paused": True})
    program = str(airflow.python.with_name("airflow"))
    paths = [path for path in (airflow.env.get("PYTHONPATH"), os.environ.get("PYTHONPATH")) if path]
    env = airflow.env | {"PYTHONPATH": os.pathsep.join(paths)}

    def sync(*options: str, code: int = 0) -> dict[str, Any]:
        arguments = ("dags", "sync", str(source), "--airflow", program, "--json", "--timeout", "90", *options)
        done = air_executor(*arguments, cwd=tmp_path, env=env, code=code, timeout_s=200)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def paused() -> dict[str, bool]:
        return {
            one["dag_id"]: one["is_paused"]
            for one in airflow.all_of("/dags", "dags")
            if one["dag_id"].startswith("sync_")
        }

    kept = DAG.replace("schedule=None", "schedule=None, is_paused_upon_creation=True")
    write(source, {f"sync_{name}.py": kept.format(f"sync_{name}") for name in ("one", "two", "three")})
    try:
        found = sync("--auto-unpause")
        assert found["dags_folder"] == str(airflow.dags)
        assert set(found["unpaused_dags"]) == {"sync_one", "sync_two", "sync_three"}
        assert paused() == {"sync_one": False, "sync_two": False, "sync_three": False, "sync_theirs": True}
        assert airflow.import_errors() == []

        run_id = airflow.trigger("sync_one")
        assert airflow.wait_run("sync_one", run_id) == "success"

        (source / "sync_two.py").unlink()
        (source / "sync_three.py").rename(source / "sync_four.py")
        assert sync(code=2)["problems"][0]["text"].endswith("--cleanup removes that")
        found = sync("--cleanup", "--auto-unpause")
        assert found["deleted_dags"] == ["sync_two"]
        assert found["unpaused_dags"] == []
        with pytest.raises(ApiError):
            airflow.api("GET", "/dags/sync_two")
        assert {"sync_one": False, "sync_three": False, "sync_theirs": True}.items() <= paused().items()
        assert airflow.run_state("sync_one", run_id) == "success"

        (source / "sync_four.py").write_text(kept.format("sync_five"))
        airflow.kill("dag-processor", signal.SIGSTOP)
        try:
            found = sync("--auto-unpause", "--timeout", "0", code=7)
        finally:
            airflow.kill("dag-processor", signal.SIGCONT)
        assert found["deployed"] is True
        assert "Airflow has not read sync_five within 0 s" in found["problems"][0]["text"]
    finally:
        (airflow.dags / "sync_theirs.py").unlink()
        write(source, {"sync_one.py": kept.format("sync_one")})
        sync("--cleanup", "--force")
        (airflow.dags / "sync_one.py").unlink()
        shutil.rmtree(airflow.dags / ".air-executor-dags")
    wait_for(lambda: airflow.import_errors() == [], "no import errors")
