"""What a job tells those who follow data: extras of asset events, and OpenLineage."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from air_executor.airflow import AirExecutorJobOperator
from air_executor.airflow._compat import Asset
from air_executor.airflow.lineage import FACET, note_assets, openlineage_of
from tests.airflow.inside.dags import a_dag, say
from tests.support import ManagerProcess

TOLD = {
    "job_name": "nightly",
    "job_id": "20251002T073000-1",
    "state": "completed",
    "total_tasks": 3,
    "completed": 3,
    "failed": 0,
    "skipped": 0,
    "cancelled": 0,
    "duration_s": 1.5,
    "results": {"a": 1},
}
HAS_OPENLINEAGE = importlib.util.find_spec("openlineage") is not None


def asset_events(name: str) -> list[dict[str, Any]]:
    from airflow.utils.session import create_session

    try:
        from airflow.models.asset import AssetEvent as Event
        from airflow.models.asset import AssetModel as Model
    except ImportError:
        from airflow.models.dataset import DatasetEvent as Event
        from airflow.models.dataset import DatasetModel as Model
    with create_session() as session:
        ids = [one.id for one in session.query(Model).filter(Model.uri == name)]
        key = Event.asset_id if hasattr(Event, "asset_id") else Event.dataset_id
        return [dict(event.extra) for event in session.query(Event).filter(key.in_(ids))]


def test_the_event_of_an_asset_says_which_job_made_it(
    manager: ManagerProcess, base: Path, run_dag: Callable[..., Any]
) -> None:
    stamp = datetime.now(UTC).strftime("%H%M%S%f")
    uri = f"file://data.example.org/orders-{stamp}"
    dag = a_dag(f"lineage_asset_{stamp}", tasks=[say("a"), say("b")], outlets=[Asset(uri)], visibility="")
    if hasattr(dag, "sync_to_db"):  # 2.10 has no event of an asset that it has not read in a DAG file
        dag.sync_to_db()
    ran = run_dag(dag)
    assert ran.tasks == {"job": "success"}
    told = ran.xcom("job")
    (extra,) = asset_events(uri)
    wanted = {"job_name": told["job_name"], "job_id": told["job_id"], "total_tasks": 2, "completed": 2, "failed": 0}
    assert wanted.items() <= extra.items()


def test_a_task_without_assets_has_nothing_to_note() -> None:
    note_assets({}, None, TOLD)
    note_assets({}, ["a name"], TOLD)


def test_openlineage_is_told_only_when_asked() -> None:
    for asked in (False, True):
        operator = AirExecutorJobOperator(task_id="job", tasks=[], openlineage=asked)
        assert operator.get_openlineage_facets_on_complete(None) is None, "nothing has run yet"
        operator._told = dict(TOLD)
        found = operator.get_openlineage_facets_on_complete(None)
        assert (found is not None) is (asked and HAS_OPENLINEAGE)


@pytest.mark.skipif(not HAS_OPENLINEAGE, reason="the OpenLineage provider is not installed here")
def test_a_facet_has_names_of_openlineages_kind() -> None:
    facet = openlineage_of(TOLD).run_facets[FACET]
    assert (facet.jobName, facet.totalTasks, facet.durationSeconds) == ("nightly", 3, 1.5)
    assert not hasattr(facet, "results")


@pytest.mark.skipif(HAS_OPENLINEAGE, reason="the OpenLineage provider is installed here")
def test_without_the_provider_nothing_is_told() -> None:
    assert openlineage_of(TOLD) is None
