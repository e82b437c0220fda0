"""Metrics as Prometheus and OpenTelemetry read them."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from air_executor import events as ev
from air_executor.observe.metrics import BUCKETS_S, FAMILIES, OTHER, Metrics
from air_executor.observe.sinks.otlp import metric_name, payload
from air_executor.store.layout import Base
from tests.observe.journal import START, Journal


def fed(base: Base, *journals: Journal, **options: object) -> Metrics:
    metrics = Metrics(**options)  # type: ignore[arg-type]
    for journal in journals:
        for line in journal.path.read_bytes().splitlines():
            metrics.add(journal.folder.name, ev.decode_event(line))
    return metrics


def read(metrics: Metrics, now: float) -> dict[str, float]:
    """`name{label=value,…}` -> value, as another program understands it."""
    families = list(text_string_to_metric_families(metrics.exposition(now).decode()))
    found = {}
    for family in families:
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def some(base: Base, job: str, began: float = START) -> Journal:
    journal = Journal(base, job, began=began).queue("a", "b", "c")
    journal.start("a").wait(2).exit("a", run_s=2.0).start("b").wait(20).exit("b", run_s=20.0, reason="timeout")
    return journal.start("c")


def test_what_a_job_has_come_to(base: Base) -> None:
    found = read(fed(base, some(base, "nightly")), START + 30)
    of = "{job_name=nightly}"
    assert found[f"air_executor_total_tasks{of}"] == 3
    assert found[f"air_executor_completed_tasks{of}"] == 1
    assert found[f"air_executor_running_tasks{of}"] == 1
    assert found[f"air_executor_failed_tasks{of}"] == 1
    assert found[f"air_executor_pending_tasks{of}"] == 0
    assert found[f"air_executor_progress_percent{of}"] == pytest.approx(33.3333)
    assert found[f"air_executor_tasks_queued_total{of}"] == 3
    assert found[f"air_executor_attempts_started_total{of}"] == 3
    assert found["air_executor_attempts_ended_total{job_name=nightly,outcome=completed}"] == 1
    assert found["air_executor_attempts_ended_total{job_name=nightly,outcome=timeout}"] == 1
    assert found[f"air_executor_last_progress_timestamp_seconds{of}"] == START + 22
    assert found["air_executor_jobs{state=working}"] == 1
    assert found[f"air_executor_run_time_seconds_sum{of}"] == 22
    assert found[f"air_executor_queue_time_seconds_sum{of}"] == 2  # that of c is added when its attempt ends
    buckets = [found[f"air_executor_run_time_seconds_bucket{{job_name=nightly,le={bound:g}}}"] for bound in BUCKETS_S]
    assert [n for n, (a, b) in enumerate(pairwise([0.0, *buckets])) if b > a] == [
        BUCKETS_S.index(2.5),
        BUCKETS_S.index(30.0),
    ]
    assert found["air_executor_run_time_seconds_bucket{job_name=nightly,le=+Inf}"] == 2


def test_a_next_run_begins_its_gauges_anew_and_counts_on(base: Base) -> None:
    first = some(base, "nightly").end("failed")
    metrics = fed(base, first)
    second = Journal(base, "nightly", "r2", START + 100).run_task("x")
    for line in second.path.read_bytes().splitlines():
        metrics.add("nightly", ev.decode_event(line))
    found = read(metrics, START + 110)
    assert found["air_executor_total_tasks{job_name=nightly}"] == 1
    assert found["air_executor_tasks_queued_total{job_name=nightly}"] == 4
    assert found["air_executor_jobs_ended_total{state=failed}"] == 1


def test_what_was_before_is_not_counted(base: Base) -> None:
    found = read(fed(base, some(base, "nightly"), counting_since=START + 10), START + 30)
    assert found["air_executor_tasks_queued_total{job_name=nightly}"] == 0
    assert found["air_executor_run_time_seconds_count{job_name=nightly}"] == 1
    assert found["air_executor_total_tasks{job_name=nightly}"] == 3


def test_series_are_bounded_whatever_jobs_there_are(base: Base) -> None:
    metrics = fed(base, *(some(base, f"job {n}") for n in range(10)), max_jobs=4)
    found = read(metrics, START + 30)
    assert {name for name in found if name.startswith("air_executor_total_tasks")} == {
        *(f"air_executor_total_tasks{{job_name=job {n}}}" for n in range(4)),
        f"air_executor_total_tasks{{job_name={OTHER}}}",
    }
    assert found[f"air_executor_total_tasks{{job_name={OTHER}}}"] == 18
    assert found[f"air_executor_run_time_seconds_count{{job_name={OTHER}}}"] == 12
    assert found["air_executor_jobs{state=working}"] == 10
    none = read(fed(base, some(base, "nightly"), max_jobs=0), START + 30)
    assert none[f"air_executor_total_tasks{{job_name={OTHER}}}"] == 3


def test_ended_jobs_make_room_and_go_after_a_while(base: Base) -> None:
    metrics = fed(base, *(some(base, f"job {n}").end() for n in range(6)), some(base, "now"), max_jobs=3, keep_s=60)
    jobs = {re.sub(r".*job_name=(.*)}", r"\1", n) for n in read(metrics, START + 30) if "total_tasks" in n}
    assert jobs == {"job 4", "job 5", "now"}
    found = read(metrics, START + 200)
    assert {n for n in found if "total_tasks" in n} == {"air_executor_total_tasks{job_name=now}"}
    assert found["air_executor_jobs_ended_total{state=completed}"] == 6


def test_names_that_would_break_the_format(base: Base) -> None:
    name = 'back\\slash "quoted" {x} データ'
    found = read(fed(base, some(base, name)), START + 30)
    assert found[f"air_executor_total_tasks{{job_name={name}}}"] == 3


def test_a_task_is_never_a_label(base: Base) -> None:
    text = fed(base, some(base, "nightly")).exposition(START + 30).decode()
    labels = set(re.findall(r"[{,](\w+)=", text))
    assert labels == {"job_name", "le", "outcome", "state"}


def test_every_metric_is_of_a_known_family(base: Base) -> None:
    metrics = fed(base, some(base, "nightly"))
    metrics.put("air_executor_manager_up", 1)
    families = {family.name for family in metrics.families(START + 30)}
    assert families <= set(FAMILIES)
    with pytest.raises(AssertionError):
        metrics.put("air_executor_made_up", 1)


def test_otlp_is_what_the_protocol_says(base: Base) -> None:
    metrics = fed(base, some(base, "nightly").end())
    families = metrics.families(START + 30)
    body = json.dumps(payload(families, START, START + 30, {"service.name": "air-executor"}))
    request = json_format.Parse(body, ExportMetricsServiceRequest())  # the protocol's own reader: no unknown field
    (resource,) = request.resource_metrics
    assert resource.resource.attributes[0].value.string_value == "air-executor"
    (scope,) = resource.scope_metrics
    by_name = {metric.name: metric for metric in scope.metrics}
    assert by_name.keys() == {metric_name(family.name) for family in families}
    assert by_name["air_executor.total_tasks"].gauge.data_points[0].as_int == 3
    ended = by_name["air_executor.attempts_ended"].sum
    assert ended.is_monotonic
    assert ended.aggregation_temporality == 2
    times = by_name["air_executor.run_time"]
    (point,) = times.histogram.data_points
    assert (times.unit, point.count, point.sum, sum(point.bucket_counts)) == ("s", 2, 22.0, 2)
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert point.time_unix_nano == int((START + 30) * 1e9)
    assert point.start_time_unix_nano == int(START * 1e9)
