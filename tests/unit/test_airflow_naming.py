"""Names of jobs and ids of runs that Airflow tasks hand over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_executor.airflow import naming
from air_executor.airflow.owner import Owner, origin_of
from air_executor.model import parse_options
from air_executor.names import check_job_id, check_job_name

RUN = "manual__2025-10-02T07:30:00+00:00"
OWNER = Owner(
    dag_id="etl",
    run_id=RUN,
    task_id="group.work",
    map_index=-1,
    try_number=1,
    max_tries=2,
    begun_at="2025-10-02T07:30:01.500000+00:00",
)


def test_a_name_says_dag_run_task_and_index() -> None:
    assert naming.job_name("etl", RUN, "work") == f"airflow-etl~{RUN}~work"
    assert naming.job_name("etl", RUN, "work", 7) == f"airflow-etl~{RUN}~work@7"
    assert OWNER.job_name == f"airflow-etl~{RUN}~group.work"


@pytest.mark.parametrize(
    ("dag", "run", "task"),
    [
        ("d" * 250, RUN, "t" * 250),
        ("d" * 250, "r" * 250, "t"),
        ("daten", "manual__ä/ö", "größe"),
        ("d", "a/b\n\0c", "t"),
        ("d", "\ud800", "t"),
        ("漢" * 250, RUN, "字" * 250),
    ],
)
def test_whatever_ids_there_are_a_job_may_be_called_so(dag: str, run: str, task: str) -> None:
    name = naming.job_name(dag, run, task, 3)
    assert check_job_name(name).startswith("airflow-")
    assert len(name.encode()) <= naming.MAX_BYTES
    assert name == naming.job_name(dag, run, task, 3)
    assert name != naming.job_name(dag, run, task, 4)
    assert name != naming.job_name(dag, f"{run}x", task, 3)


def test_what_had_to_be_replaced_or_cut_keeps_names_apart() -> None:
    names = {naming.shortened(name) for name in ("a/b", "a_b", "a\nb", ".a", "_a", "x" * 300, "x" * 301, "x" * 200)}
    assert len(names) == 8
    assert naming.shortened("x" * 200) == "x" * 200
    for name in names:
        check_job_name(name)


@given(st.text(min_size=1))
def test_every_text_becomes_a_name(text: str) -> None:
    assert check_job_name(naming.shortened(text))


def test_ids_of_runs_are_the_same_for_every_try_and_sort_by_time() -> None:
    later = replace(OWNER, try_number=2)
    assert later.job_id(0) == OWNER.job_id(0)
    assert OWNER.job_id(0).startswith("20251002T073001-")
    check_job_id(OWNER.job_id(0))
    others = [
        OWNER.job_id(1),
        replace(OWNER, max_tries=3).job_id(0),
        replace(OWNER, begun_at="2025-10-02T07:30:01.600000+00:00").job_id(0),
        replace(OWNER, map_index=0).job_id(0),
        replace(OWNER, run_id="x").job_id(0),
        replace(OWNER, begun_at="").job_id(0),
    ]
    assert len({OWNER.job_id(0), *others}) == 7
    assert others[-1].startswith("00000000T000000-")


def test_an_owner_comes_from_what_airflow_says_and_knows_its_jobs() -> None:
    ti = SimpleNamespace(dag_id="etl", run_id=RUN, task_id="group.work", map_index=None, try_number=1, max_tries=2)
    begun = datetime(2025, 10, 2, 7, 30, 1, 500_000, tzinfo=UTC)
    dag_run = SimpleNamespace(start_date=begun)
    assert Owner.of({"ti": ti, "dag_run": dag_run}) == OWNER
    state = {"state": "working", "origin": OWNER.origin("mine")}
    assert OWNER.owns(state)
    assert replace(OWNER, try_number=3, max_tries=9).owns(state)
    assert not replace(OWNER, map_index=0).owns(state)
    assert origin_of(state)["conn_id"] == "mine"
    for other in ({}, {"origin": None}, {"origin": {"airflow": "?"}}, {"origin": {"cron": {}}}):
        assert origin_of(other) == {}
        assert not OWNER.owns(other)


def test_the_longest_ids_fit_into_what_a_job_keeps_of_its_origin() -> None:
    longest = replace(OWNER, dag_id="ä" * 250, run_id="漢" * 250, task_id="d" * 250)
    assert parse_options({"origin": longest.origin("c" * 250)}).origin is not None
