"""Fixtures of the tests that run inside an environment with Airflow: a job folder, a manager, a DAG run.

test_inside.py runs these tests once a version, in an AIRFLOW_HOME with a migrated SQLite database. By hand:
    .venv/bin/python -m pytest tests/airflow/test_inside.py -k 3.3.2 --inside "-k operator"
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.airflow.inside.jobs import Jobs, jobs_in, own
from tests.support import ManagerProcess, wait_for

assert "AIRFLOW_HOME" in os.environ, "needs an AIRFLOW_HOME of its own: run tests/airflow/test_inside.py"


@pytest.fixture(autouse=True)
def no_base_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests do not see the Air-Executor they may themselves run in."""
    for name in [name for name in os.environ if name.startswith(("AIR_EXECUTOR_", "AIRFLOW__AIR_EXECUTOR__"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def base(tmp_path: Path, no_base_from_outside: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty job folder, which Airflow's config names too."""
    folder = tmp_path / "base"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("AIRFLOW__AIR_EXECUTOR__BASE_PATH", str(folder))
    return folder


@pytest.fixture
def manager(base: Path) -> Iterator[ManagerProcess]:
    """A manager on `base`."""
    process = ManagerProcess(base).start()
    yield process
    process.stop()


@dataclass(frozen=True)
class Ran:
    """A DAG run that has ended."""

    dag_id: str
    run_id: str
    state: str
    tasks: dict[str, str]
    """The state of each task, of mapped ones by `task_id[map index]`."""

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """The value in the database, None where there is none."""
        from airflow.utils.session import create_session

        try:
            from airflow.models.xcom import XComModel as Model
        except ImportError:  # 2.10 gives the value itself
            from airflow.models.xcom import BaseXCom as Model
        with create_session() as session:
            found = (
                session.query(Model)
                .filter_by(dag_id=self.dag_id, run_id=self.run_id, task_id=task_id, key=key, map_index=map_index)
                .one_or_none()
            )
            if found is None or Model.__name__ == "BaseXCom":
                return found and found.value
            return Model.deserialize_value(found)


@pytest.fixture
def run_dag() -> Callable[..., Ran]:
    """Runs a DAG to its end in this process, with `dag.test()`: triggers too."""

    def run(dag: Any, conf: dict[str, Any] | None = None) -> Ran:
        _store(dag)
        ran = dag.test(run_conf=conf or {})
        states = {
            one.task_id if one.map_index < 0 else f"{one.task_id}[{one.map_index}]": str(one.state)
            for one in ran.get_task_instances()
        }
        return Ran(ran.dag_id, ran.run_id, str(ran.state), states)

    return run


def _store(dag: Any) -> None:
    """3.x runs only what its database knows, and would look for it in the DAGs folder."""
    try:
        from airflow.dag_processing.bundles.manager import DagBundlesManager
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    except ImportError:
        return
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(collect_dags=False)
    bag.dags[dag.dag_id] = dag
    sync_bag_to_db(bag, "dags-folder", None)


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with jobs_in(tmp_path) as jobs:
        yield jobs


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """No thread, no inotify instance, no file, no connection that was not there before."""
    before = own()
    yield
    wait_for(lambda: own() <= before, "the end of all threads and files of what waited", 5)
