"""The DAGs of airflow_dags/: they can be imported, they are what their names promise, and the light ones run."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from air_executor import AirExecutorClient
from air_executor.airflow._compat import AIRFLOW_3
from tests.airflow.inside.conftest import Ran

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # 2.10
    from airflow.models.dagbag import DagBag

DAGS = Path(__file__).parents[3] / "airflow_dags"
REAL_USES = {
    "data_partitions": ("count_calls", "check"),
    "hyperparameter_search": ("search", "best", "check"),
    "crawl_site": ("crawl", "wait", "check"),
    "shard_tests": ("run_tests", "check"),
}
CHAINS = {
    "air_executor_demo": (
        "create_air_executor_job",
        "wait_for_air_executor_completion",
        "get_air_executor_results",
    ),
    "air_executor_pipeline": ("create_air_executor_job", "wait_for_completion", "get_job_result"),
    "hybrid_control_flow": ("prepare", "hand_over", "wait", "post_process", "notify"),
    "example_air_executor_dag": ("checksums", "then"),
    **REAL_USES,
}


@pytest.fixture(scope="module")
def bag() -> Any:
    return DagBag(dag_folder=DAGS)


def test_all_of_them_can_be_imported(bag: Any) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == set(CHAINS)
    # Programs of jobs lie below; Airflow may not take them for DAG files.
    read = {Path(stat.file.lstrip("/")).name for stat in bag.dagbag_stats}
    assert read == {path.name for path in DAGS.glob("*.py")}
    warnings = [text for texts in bag.captured_warnings.values() for text in texts]
    # Users copy these files: nothing in them may be deprecated. What Airflow imports is its own affair.
    assert [text for text in warnings if text.startswith(str(DAGS))] == []


def test_what_they_do_in_which_order(bag: Any) -> None:
    for dag_id, chain in CHAINS.items():
        dag = bag.dags[dag_id]
        assert set(dag.task_ids) == set(chain), dag_id
        for before, after in pairwise(chain):
            assert after in dag.get_task(before).downstream_task_ids, dag_id
        assert "air-executor" in dag.tags
        assert not dag.catchup
    assert set(bag.dags["air_executor_demo"].tags) == {"air-executor", "demo", "integration"}
    assert Path(bag.dags["air_executor_demo"].fileloc).name == "air_executor_integration.py"
    assert Path(bag.dags["hybrid_control_flow"].fileloc).name == "hybrid_control_example.py"


def test_job_files_are_there(bag: Any) -> None:
    files = [getattr(task, "job_file", None) for dag_id in REAL_USES for task in bag.dags[dag_id].tasks]
    assert len(list(filter(None, files))) == len(REAL_USES)
    assert all((DAGS / file).is_file() for file in files if file)


@pytest.fixture
def known(bag: Any) -> None:
    """Airflow's database knows them all, so that they can be triggered."""
    if hasattr(bag, "sync_to_db"):  # 2.10
        bag.sync_to_db()
        return
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import sync_bag_to_db

    DagBundlesManager().sync_bundles_to_db()
    sync_bag_to_db(bag, "dags-folder", None)


# ---- the light ones run ------------------------------------------------------------------------------


def test_the_demo(bag: Any, base: Path, run_dag: Callable[..., Ran], capsys: pytest.CaptureFixture[str]) -> None:
    ran = run_dag(bag.dags["air_executor_demo"])
    assert ran.state == "success", ran.tasks
    name = f"airflow-{ran.run_id}"
    assert ran.xcom("create_air_executor_job", "job_name") == name
    client = AirExecutorClient(base)
    assert client.get_job(name)["state"] == "completed"
    tasks = client.tasks(name)
    assert [task["id"] for task in tasks] == ["greet", "process", "complete"]
    assert client.logs(name, "greet") == "hello from air_executor_demo\n"
    said = capsys.readouterr().out
    assert "Air-Executor Job Results" in said
    assert f"Job Name:    {name}" in said
    assert "Final State: completed" in said
    for task in tasks:
        assert f"✔ {task['id']}: completed" in said
        assert f"Command:   {task['command']} {' '.join(task['args'])}" in said
        assert f"Started:   {task['started_at']}" in said
        assert f"Completed: {task['completed_at']}" in said


def test_the_demo_of_a_job_that_fails(
    bag: Any, base: Path, run_dag: Callable[..., Ran], capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run_dag(bag.dags["air_executor_demo"], {"outcome": "failed"})
    assert ran.state == "failed"
    assert ran.tasks == {
        "create_air_executor_job": "success",
        "wait_for_air_executor_completion": "failed",
        "get_air_executor_results": "failed",
    }
    said = capsys.readouterr().out
    assert "✘ complete: failed" in said
    assert f"job airflow-{ran.run_id} is failed" in said


def test_the_pipeline(bag: Any, base: Path, run_dag: Callable[..., Ran]) -> None:
    ran = run_dag(bag.dags["air_executor_pipeline"], {"parts": 3})
    assert ran.state == "success", ran.tasks
    assert ran.xcom("get_job_result") == 430  # primes below 3,000
    tasks = AirExecutorClient(base).tasks(f"airflow-pipeline-{ran.run_id}")
    assert [task["id"] for task in tasks] == ["0 to 999", "1000 to 1999", "2000 to 2999", "sum"]


def test_hybrid_control(bag: Any, base: Path, run_dag: Callable[..., Ran]) -> None:
    import json
    import sysconfig

    ran = run_dag(bag.dags["hybrid_control_flow"], {"packages": ["json", "wsgiref"]})
    assert ran.state == "success", ran.tasks
    folders = [Path(sysconfig.get_paths()["stdlib"], name) for name in ("json", "wsgiref")]
    files = [path for folder in folders for path in folder.rglob("*.py")]
    lines = sum(path.read_bytes().count(b"\n") for path in files)
    assert ran.xcom("post_process") == {"modules": len(files), "lines": lines}
    name = f"airflow-hybrid-{ran.run_id}"
    events = [json.loads(line) for line in (base / "jobs" / name / "journal.jsonl").read_text().splitlines()]
    parents = {event["task"]["id"]: event.get("parent") for event in events if event["type"] == "TaskQueued"}
    modules = [task for task, parent in parents.items() if parent in ("json", "wsgiref")]
    assert len(modules) == len(files)
    assert parents["json"] == "discover"
    assert parents["discover"] is None


@pytest.mark.usefixtures("known")
def test_the_example(
    bag: Any, base: Path, tmp_path: Path, run_dag: Callable[..., Ran], capsys: pytest.CaptureFixture[str]
) -> None:
    import hashlib

    folder = tmp_path / "files"
    (folder / "below").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "below/c.txt"):
        (folder / name).write_text(name)
    ran = run_dag(bag.dags["example_air_executor_dag"], {"folder": str(folder)})
    assert ran.state == "success", ran.tasks
    summary = ran.xcom("checksums")
    assert (summary["total_tasks"], summary["completed"], summary["failed"]) == (4, 4, 0)
    client = AirExecutorClient(base)
    for name in ("a.txt", "b.txt", "below/c.txt"):
        path = folder / name
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert client.logs(summary["job_name"], str(path)) == f"{digest}  {path}\n"
    assert f"checksums: job {summary['job_name']} has ended with 0 failed tasks" in capsys.readouterr().out


def test_the_dag_of_the_readme(tmp_path: Path) -> None:
    text = (DAGS.parent / "README.md").read_text("utf-8")
    (block,) = (part for part in text.split("```") if "@task.air_executor(" in part)
    code = block.removeprefix("text\n").replace("/srv/air-executor", str(tmp_path / "base"))
    if not AIRFLOW_3:
        code = code.replace("airflow.sdk", "airflow.decorators").replace('schedule="@daily"', "schedule=None")
    (tmp_path / "nightly.py").write_text(code)
    bag = DagBag(dag_folder=tmp_path / "nightly.py")
    assert bag.import_errors == {}
    files = bag.dags["nightly"].get_task("files")
    assert (files.deferrable, files.base_path, files.op_args) == (True, str(tmp_path / "base"), ("/data/incoming",))
