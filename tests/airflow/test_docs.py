"""docs/airflow.md is true: its commands run in each Airflow, its tables say what Airflow does.

A block after `<!-- airflow -->` is run in every version, after `<!-- airflow 3 -->` in 3.x only; one that says `site`
runs against a running Airflow that has the DAGs. All blocks of one kind share a shell.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.airflow.configuration import plain_environment
from tests.airflow.our_dags import FILES, deploy
from tests.airflow.site import AirflowSite
from tests.airflow.versions import ROOT, Version

PAGE = (ROOT / "docs" / "airflow.md").read_text("utf-8")
BLOCK = re.compile(r"<!-- airflow ?(?P<what>\S*) -->\n```sh\n(?P<text>.*?)```", re.DOTALL)
LIMIT_S = 300


def blocks(*what: str) -> str:
    return "".join(block["text"] for block in BLOCK.finditer(PAGE) if block["what"] in what)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def code(cell: str) -> str:
    found = re.fullmatch(r"`(.+)`", cell)
    assert found, cell
    return found[1]


def test_every_block_is_one_that_is_run() -> None:
    assert PAGE.count("```sh\n") == len(BLOCK.findall(PAGE))
    assert {block["what"] for block in BLOCK.finditer(PAGE)} == {"2", "3", "", "site"}


@pytest.mark.timeout(LIMIT_S + 60)
def test_from_nothing_to_a_running_job(version: Version, tmp_path: Path) -> None:
    for name in ("airflow_dags", "constraints"):
        (tmp_path / name).symlink_to(ROOT / name)
    pip = tmp_path / "bin" / "pip"
    pip.parent.mkdir()
    # What the harness has installed by the same constraints; there is no pip in that environment.
    pip.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pip --python "{version.python}" "$@" --no-index\n')
    pip.chmod(0o755)
    env = plain_environment(version, tmp_path)
    env = {name: value for name, value in env.items() if not name.startswith("AIRFLOW")}
    env["PATH"] = f"{pip.parent}:{env['PATH']}"
    script = blocks(str(version.series[0]), "")
    output = tmp_path / "output"
    try:
        with open(output, "wb") as file:
            done = subprocess.run(
                ["sh", "-euxc", script],
                cwd=tmp_path,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                timeout=LIMIT_S,
                check=False,
            )
        text = output.read_text(errors="replace")
        assert done.returncode == 0, text[-6000:]
    finally:
        stop = [version.python, "-m", "air_executor", "stop", "--kill"]
        subprocess.run(stop, cwd=tmp_path, env=env, capture_output=True, timeout=60, check=False)
    assert "Requirement already satisfied: air-executor" in text
    assert "Air-Executor Job Results" in text
    listed = text.rpartition("+ air-executor list\n")[2].partition("\n+ ")[0]
    assert re.search(r"airflow-manual__\S+ +completed", listed), listed


def test_unpause_and_trigger(airflow: AirflowSite) -> None:
    deploy(airflow)
    before = {run["dag_run_id"] for run in airflow.all_of("/dags/air_executor_demo/dagRuns", "dag_runs")}
    for line in blocks("site").splitlines():
        program, *args = shlex.split(line)
        assert program == "airflow"
        airflow.airflow(*args)
    runs = {run["dag_run_id"] for run in airflow.all_of("/dags/air_executor_demo/dagRuns", "dag_runs")}
    (run_id,) = runs - before
    assert airflow.wait_run("air_executor_demo", run_id) == "success"


def test_the_examples_are_those_there_are() -> None:
    listed = {code(row[1]): code(row[0]) for row in rows("The examples") if row[0]}
    assert listed == FILES


# ---- older snippets ----------------------------------------------------------------------------------

TRY_ROWS = """
import json, sys, warnings
from datetime import datetime
from airflow.executors.base_executor import BaseExecutor
from airflow.sdk import DAG
from airflow.providers.standard.operators.python import PythonOperator
from airflow.providers.standard.sensors.python import PythonSensor
from air_executor.airflow import AirExecutorJobOperator, AirExecutorJobSensor

rows, STATE = json.loads(sys.argv[1]), sys.argv[2]

def outcome(code):
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            try:
                value = eval(code, globals())
            except SyntaxError:
                value = None
                exec(code, {})
    except Exception as error:
        return type(error).__name__, None
    ours = [one.category.__name__ for one in seen if "Deprecated" in one.category.__name__]
    return (ours[0] if ours else "works"), value

told = []
for old, new in rows:
    (was, sensor), (today, other) = outcome(old), outcome(new)
    poked = []
    if isinstance(sensor, PythonSensor):
        poked.append(bool(sensor.poke({})))
        try:
            other.poke({})
        except Exception as error:
            poked.append(str(error))
    told.append([was, today, poked])
print("\\n" + json.dumps(told))
"""


@pytest.mark.airflow(since=(3, 3))
def test_older_snippets(version: Version, tmp_path: Path) -> None:
    """Each older form fails or warns as the table says, and each of today's works without a word."""
    table = [(code(old), said, code(new)) for old, said, new in rows("From older snippets")]
    commands = [row for row in table if row[0].startswith("airflow ")]
    snippets = [row for row in table if row not in commands]
    assert len(commands) >= 2
    assert len(snippets) >= 10

    job = tmp_path / "j.json"
    job.write_text(json.dumps({"tasks": [{"command": "false"}]}))
    base = tmp_path / "base"
    run = [sys.executable, "-m", "air_executor", "run", str(job), "--base", str(base)]
    assert subprocess.run(run, capture_output=True, timeout=60, check=False).returncode == 1
    (base_folder,) = base.parent.rglob("jobs/j")
    env = {**plain_environment(version, tmp_path), "AIRFLOW__AIR_EXECUTOR__BASE_PATH": str(base)}

    given = json.dumps([(old, new) for old, _, new in snippets])
    done = version.run("python", "-c", TRY_ROWS, given, str(base_folder / "state.json"), env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    for (old, said, new), (was, today, poked) in zip(snippets, json.loads(done.stdout.splitlines()[-1]), strict=True):
        assert today == "works", new
        if poked:
            # The old sensor goes on waiting for a job that has failed; ours says why it failed.
            assert said.startswith("waits")
            assert poked[0] is False
            assert "exit code 1" in poked[1]
        else:
            assert was == code(said), old

    for old, said, new in commands:
        refused = version.run(*shlex.split(old), env=env)
        assert f"exit code {refused.returncode}" == said, old
        assert version.run(*shlex.split(new), "--help", env=env).returncode == 0, new


PARSE = """
import json, sys
from airflow.cli import cli_parser
for command in json.loads(sys.argv[1]):
    try:
        cli_parser.get_parser().parse_args(command)
    except SystemExit as end:
        if end.code:
            print("refused:", *command)
"""


def test_commands_of_the_symptoms_exist(version: Version, tmp_path: Path) -> None:
    cells = [cell for row in rows("When something does not work") for cell in row]
    commands = [found for cell in cells for found in re.findall(r"`airflow ([^`]+)`", cell)]
    assert len(commands) >= 6
    three_only = {"dag-processor"}
    given = [shlex.split(one) for one in commands if version.series >= (3, 0) or one not in three_only]
    done = version.run("python", "-c", PARSE, json.dumps(given), env=plain_environment(version, tmp_path))
    assert done.returncode == 0, done.stderr
    assert "refused" not in done.stdout, done.stdout


def test_what_is_quoted_is_what_is_said() -> None:
    """Messages of ours among the symptoms stand in the source."""
    source = "\n".join(path.read_text("utf-8") for path in (ROOT / "src" / "air_executor").rglob("*.py"))
    for quoted in ("nothing says where jobs are handed over to", "its owner was not heard of", "not_started"):
        assert f"`{quoted}" in PAGE
        assert quoted in source
