"""The jobs of airflow_dags/, run without Airflow: a thousand tasks and more, and the same outcome as a plain loop."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from air_executor import AirExecutorClient
from tests.acceptance.command_line import environment, wait_for

JOBS = Path(__file__).parents[2] / "airflow_dags" / "air_executor_jobs"
pytestmark = pytest.mark.usefixtures("no_manager_left")

LIMIT_S = 600  # on a busy machine; alone each takes half a minute


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def run(job: str, tmp_path: Path, **params: str) -> AirExecutorClient:
    """Run one to its end, as its first lines say; the client of what it left."""
    given = {"python": sys.executable, "folder": str(tmp_path / "out"), **params}
    options = [word for name, value in given.items() for word in ("--param", f"{name}={value}")]
    done = python("-m", "air_executor", "run", str(JOBS / job / "job.yaml"), *options, cwd=tmp_path)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return AirExecutorClient(tmp_path / ".air-executor")


def plain_loop(job: str, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The comparison that belongs to a job."""
    return python(str(JOBS / job / "plain_loop.py"), *arguments, str(tmp_path / "out"), cwd=tmp_path)


def assert_grew_on_two_levels(client: AirExecutorClient, name: str) -> dict[str, dict[str, Any]]:
    """Over a thousand tasks, some queued by tasks that were queued by a task; the tasks by id."""
    tasks = {task["id"]: task for task in client.tasks(name)}
    assert len(tasks) >= 1000
    parents: dict[str, str | None] = {}
    for event in client.events(name):
        if event["type"] == "TaskQueued":
            parents[event["task"]["id"]] = event.get("parent")
    levels = {task: level(task, parents) for task in tasks}
    assert max(levels.values()) >= 2
    assert sum(1 for depth in levels.values() if depth >= 2) >= 900
    assert "merge" in tasks
    return tasks


def level(task: str, parents: dict[str, str | None]) -> int:
    """0 for what the job began with."""
    found = 0
    while (above := parents[task]) is not None:
        found, task = found + 1, above
    return found


def assert_loop_agrees(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same" in done.stdout


def processes_of(program: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if program.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.timeout(LIMIT_S + 60)
def test_data_partitions(tmp_path: Path) -> None:
    client = run("data_partitions", tmp_path)
    tasks = assert_grew_on_two_levels(client, "data-partitions")
    assert {task["status"] for task in tasks.values()} == {"completed"}
    assert_loop_agrees(plain_loop("data_partitions", tmp_path))

    report = tmp_path / "out" / "report.json"
    content = json.loads(report.read_text())
    assert content["rows"] > 10_000
    content["names"]["len"] += 1
    report.write_text(json.dumps(content))
    done = plain_loop("data_partitions", tmp_path)
    assert done.returncode == 1
    assert "differs from a plain loop" in done.stderr


@pytest.mark.timeout(LIMIT_S + 60)
def test_crawl(tmp_path: Path) -> None:
    client = run("crawl", tmp_path)
    tasks = assert_grew_on_two_levels(client, "crawl")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    failed = {task for task in tasks if tasks[task]["status"] == "failed"}
    assert failed == set(report["dead"]) != set()
    assert_loop_agrees(plain_loop("crawl", tmp_path, ""))
    wait_for(lambda: not processes_of(str(JOBS / "crawl" / "serve.py")), "the end of the site with its job")

    del report["pages"]["/"]
    (tmp_path / "out" / "report.json").write_text(json.dumps(report))
    assert plain_loop("crawl", tmp_path, "").returncode == 1


@pytest.mark.timeout(LIMIT_S + 60)
def test_shards(tmp_path: Path) -> None:
    assert importlib.util.find_spec("test.test_enum"), "this Python came without its tests: install them"
    client = run("shard_tests", tmp_path)
    tasks = assert_grew_on_two_levels(client, "shard-tests")
    assert {task["status"] for task in tasks.values()} == {"completed"}
    assert_loop_agrees(plain_loop("shard_tests", tmp_path, ""))
    suite = ElementTree.parse(tmp_path / "out" / "junit.xml").getroot()
    outcomes = json.loads((tmp_path / "out" / "report.json").read_text())
    assert len(suite) == len(outcomes) > 4000
    assert len(suite.findall("testcase/skipped")) == sum(o["outcome"] == "skipped" for o in outcomes.values())


def test_a_red_test_is_reported_and_a_shard_that_dies_as_well(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "import os, unittest\n"
        "class Case(unittest.TestCase):\n"
        "    def test_1_good(self): pass\n"
        "    def test_2_red(self): self.assertEqual(1, 2)\n"
        "    def test_3_dies(self): os._exit(9)\n"
        "    def test_4_after(self): pass\n"
        "    @unittest.skip('not today')\n"
        "    def test_5_skipped(self): pass\n"
    )
    options = ("--param", f"python={sys.executable}", "--param", "modules=broken", "--param", "shard_tests=2")
    more = ("--param", f"folder={tmp_path / 'out'}")
    env = environment(PYTHONPATH=f"{tmp_path}:{JOBS.parents[1] / 'src'}")
    command = [sys.executable, "-m", "air_executor", "run", str(JOBS / "shard_tests" / "job.yaml"), *options, *more]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    outcomes = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {test.rpartition(".")[2]: found["outcome"] for test, found in outcomes.items()} == {
        "test_1_good": "passed",
        "test_2_red": "failed",
        "test_3_dies": "no result",
        "test_4_after": "no result",
        "test_5_skipped": "skipped",
    }
    said = AirExecutorClient(tmp_path / ".air-executor").logs("shard-tests", "merge")
    assert said.splitlines()[1:] == [
        "these need a look:",
        "broken.Case.test_2_red",
        "broken.Case.test_3_dies",
        "broken.Case.test_4_after",
    ]


@pytest.mark.timeout(LIMIT_S + 60)
def test_hyperparameters(tmp_path: Path) -> None:
    client = run("hyperparameters", tmp_path, sklearn_python=sys.executable)
    tasks = assert_grew_on_two_levels(client, "hyperparameters")
    assert {task["status"] for task in tasks.values()} == {"completed"}
    assert [sum(task.get("group") == f"round {n}" for task in tasks.values()) for n in (1, 2, 3)] == [480, 360, 240]
    assert_loop_agrees(plain_loop("hyperparameters", tmp_path))
    wait_for(lambda: not processes_of(str(JOBS / "hyperparameters")), "the end of that process with its job")


def test_an_interpreter_without_scikit_learn_is_named(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    options = ("--param", f"python={sys.executable}", "--param", f"sklearn_python={bare}")
    job = str(JOBS / "hyperparameters" / "job.yaml")
    done = python("-m", "air_executor", "run", job, *options, cwd=tmp_path)
    assert done.returncode == 1
    said = AirExecutorClient(tmp_path / ".air-executor").logs("hyperparameters", "serve")
    assert f"{bare} does not serve models" in said
    wait_for(lambda: not processes_of(str(JOBS / "hyperparameters")), "the end of what watched the job")
