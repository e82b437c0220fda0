"""What a request to the page inside Airflow asks for: no other job is asked about than was decided about."""

from __future__ import annotations

from urllib.parse import parse_qs, quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_executor.airflow.ui.asked import Denied, asked, dag_of

NAMES = st.text(min_size=1).filter(lambda text: text not in (".", "..") and text.isprintable() and "/" not in text)
IDS = st.text(min_size=1).filter(lambda text: text not in (".", "..") and text.isprintable())


@given(NAMES, IDS)
def test_a_log_is_of_the_job_that_is_decided_about(job: str, task: str) -> None:
    found = asked("GET", f"/jobs/{quote(job, safe='')}/tasks/{quote(task, safe='')}/log", "follow=1")
    assert (found.kind, found.job, found.rights, found.streamed) == ("job", job, {"see", "logs"}, True)
    segments = found.path.split("/")
    assert [unquote(segments[2]), segments[3], unquote(segments[4]), segments[5]] == [job, "tasks", task, "log"]
    assert len(segments) == 6


@given(st.text(alphabet="/%.\\jobstasklg25F\0~+é", max_size=40), st.text(max_size=30))
def test_whatever_comes_is_of_one_job_or_none(path: str, query: str) -> None:
    try:
        found = asked("GET", f"/{path}", query)
    except Denied:
        return
    if found.kind == "job" and found.path.startswith("/jobs/"):
        assert unquote(found.path.split("/")[2]) == found.job
    assert found.path.isascii()


@given(NAMES)
def test_events_are_of_the_job_that_is_decided_about(job: str) -> None:
    found = asked("GET", "/events", f"dag_id=other&job={quote(job, safe='')}&cells=0&more=1")
    assert found.job == job
    assert parse_qs(found.query, keep_blank_values=True) == {"job": [job], "cells": ["0"]}


@pytest.mark.parametrize(
    "query", ["job=a&job=b", "job=a&job=a", "x", "job=%ff", "&".join(f"a{n}=1" for n in range(60))]
)
def test_a_question_that_can_be_read_in_two_ways_is_refused(query: str) -> None:
    with pytest.raises(Denied) as refused:
        asked("GET", "/events", query)
    assert refused.value.status == 400


@pytest.mark.parametrize("what", ["cancel", "retry", "pause", "resume", "close"])
def test_what_changes_a_job(what: str) -> None:
    assert asked("POST", f"/jobs/a/{what}", "dag_id=b").rights == {"see", "change"}
    with pytest.raises(Denied):
        asked("GET", f"/jobs/a/{what}", "")


@pytest.mark.parametrize("path", ["/jobs", "/jobs/a", "/jobs/a/tasks", "/jobs/a/renew", "/jobs/a/results"])
def test_nothing_is_handed_in(path: str) -> None:
    with pytest.raises(Denied) as refused:
        asked("POST", path, "")
    assert refused.value.status == 403


@pytest.mark.parametrize(
    "path",
    ["/metrics/", "/ends/x", "/jobs/a/results", "/jobs/a/report", "/jobs/", "/jobs/../x", "/a/b", "//", "/.hidden"],
)
def test_what_is_not_listed_is_not_there(path: str) -> None:
    with pytest.raises(Denied) as refused:
        asked("GET", path, "")
    assert refused.value.status == 404


@pytest.mark.parametrize(
    "origin",
    [None, [], "x", {}, {"airflow": None}, {"airflow": {}}, {"airflow": {"dag_id": 3}}, {"airflow": {"dag_id": ""}}],
)
def test_a_job_of_no_dag(origin: object) -> None:
    assert dag_of(origin) is None


def test_a_job_of_a_dag() -> None:
    assert dag_of({"airflow": {"dag_id": "etl"}}) == "etl"
