"""StatsD over a real socket; webhooks and OTLP to a real HTTP server."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from air_executor import events as ev
from air_executor.errors import InvalidInput
from air_executor.observe.alerts import Alerts
from air_executor.observe.metrics import Counts, Metrics
from air_executor.observe.sinks import webhook
from air_executor.observe.sinks.health import Health
from air_executor.observe.sinks.otlp import Otlp
from air_executor.observe.sinks.posting import check_url, post
from air_executor.observe.sinks.statsd import StatsD, parse_address
from air_executor.observe.sinks.webhook import Outbox
from air_executor.store.layout import Base
from tests.observe.journal import START, Journal
from tests.observe.receivers import HttpReceiver, free_port, http_receiver, udp_receiver
from tests.support import wait_for

COUNTS = Counts("nightly", 1237, 400, 4, 789, 44)


# ---- StatsD --------------------------------------------------------------------------------------


def test_statsd_with_the_job_as_a_tag() -> None:
    with udp_receiver() as udp:
        statsd = StatsD(f"127.0.0.1:{udp.port}", "tags", Health("statsd"))
        statsd.send([COUNTS], 3)
        assert udp.lines == [
            "air_executor.total_tasks:1237|g|#job:nightly",
            "air_executor.completed_tasks:789|g|#job:nightly",
            "air_executor.running_tasks:4|g|#job:nightly",
            "air_executor.failed_tasks:44|g|#job:nightly",
            "air_executor.progress_percent:63.78|g|#job:nightly",
            "air_executor.polls:3|c",
        ]
        statsd.send([COUNTS], 5)  # nothing has changed
        assert udp.lines[6:] == ["air_executor.polls:2|c"]
        statsd.close()


def test_statsd_with_the_job_in_the_name() -> None:
    with udp_receiver(socket.AF_INET6) as udp:
        statsd = StatsD(f"[::1]:{udp.port}", "names", Health("statsd"))
        statsd.send([COUNTS._replace(job="manual__2025-10-02T07:30:00+00:00 ü")], 0)
        assert udp.lines == [
            f"air_executor.manual__2025-10-02T07_30_00_00_00__.{rest}"
            for rest in (
                "total_tasks:1237|g",
                "completed_tasks:789|g",
                "running_tasks:4|g",
                "failed_tasks:44|g",
                "progress:63.78|g",
            )
        ]
        statsd.close()


def test_statsd_tags_cannot_be_broken_out_of_and_datagrams_stay_whole() -> None:
    with udp_receiver() as udp:
        statsd = StatsD(f"127.0.0.1:{udp.port}", "tags", Health("statsd"))
        statsd.send([COUNTS._replace(job=f"a|c,b:#\n{n}") for n in range(100)], 0)
        assert len(udp.lines) == 500
        assert all(line.count("|") == 2 and line.count("#") == 1 for line in udp.lines)
        assert max(map(len, udp.datagrams)) <= 1_432
        statsd.close()


def test_statsd_nobody_listens() -> None:
    health = Health("statsd")
    statsd = StatsD(f"127.0.0.1:{free_port()}", "tags", health)
    errors = []
    for n in range(1, 4):  # the refusal of one datagram is told to the next
        statsd.send([COUNTS._replace(total=n)], n)
        errors.append(health.error)
    assert any("refused" in str(error) for error in errors)
    statsd.close()


@pytest.mark.parametrize("text", ["", "host", ":8125", "host:", "host:x", "host:0", "host:70000"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(InvalidInput, match="expected HOST:PORT"):
        parse_address(text)


# ---- OTLP ----------------------------------------------------------------------------------------


def test_otlp_is_pushed_now_and_then_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s%3Dcret,other=1")
    with http_receiver() as http:
        http.answers = [503]
        health, metrics = Health("otlp"), Metrics()
        otlp = Otlp(http.url, "/base", metrics, health, 0.01)
        stop = threading.Event()
        thread = threading.Thread(target=otlp.run, args=(stop,))
        thread.start()
        wait_for(lambda: len(http.received) >= 3, "pushes")
        assert health.up
        metrics.put("air_executor_polls_total", 77)
        stop.set()
        thread.join()
        last = http.received[-1]
    assert last.path == "/v1/metrics"
    assert last.headers["Api-Key"] == "s=cret"
    assert last.headers["Content-Type"] == "application/json"
    found = json.loads(last.body)["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    polls = next(metric for metric in found if metric["name"] == "air_executor.polls")
    assert polls["sum"]["dataPoints"][0]["asInt"] == "77"


# ---- webhooks ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "FIRST_RETRY_S", 0.02)


@contextmanager
def delivering(outbox: Outbox) -> Iterator[None]:
    thread = threading.Thread(target=outbox.run)
    thread.start()
    try:
        yield
    finally:
        outbox.stop()
        thread.join()


class Watched:
    """An outbox, alerts and metrics, fed like an observer does it."""

    def __init__(self, path: Path, url: str | None, form: webhook.Form = "json", **options: float | None) -> None:
        self.health = Health("webhook")
        self.outbox = Outbox(path / "alerts.json", self.health, b"a secret")
        self.metrics = Metrics()
        minutes = options.pop("no_progress_s", None)
        self.alerts = Alerts("/base", self.outbox, self.metrics, url=url, form=form, no_progress_s=minutes)
        self.alerts.begin_at(options.pop("since", None) or 0.0)

    def feed(self, journal: Journal) -> None:
        for line in journal.path.read_bytes().splitlines():
            event = ev.decode_event(line)
            self.metrics.add(journal.folder.name, event)
            self.alerts.add(journal.folder.name, event)


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as found:
        yield found


def test_an_end_is_told_once_signed_and_tried_until_it_is_taken(
    tmp_path: Path, base: Base, receiver: HttpReceiver
) -> None:
    receiver.answers = [500, 302, 429]
    journal = Journal(base, "nightly").run_task("a").end("failed", reason="failures", error="no <good> & bad")
    watched = Watched(tmp_path, receiver.url + "/hook?token=x")
    watched.feed(journal)
    watched.feed(journal)  # read again, by another observer say
    with delivering(watched.outbox):
        wait_for(lambda: watched.outbox.waiting == 0, "the alert to be taken")
    assert len(receiver.received) == 4
    assert len({(one.body, one.headers["X-Air-Executor-Delivery"]) for one in receiver.received}) == 1
    one = receiver.received[-1]
    assert one.path == "/hook?token=x"
    good = hmac.new(b"a secret", one.body, hashlib.sha256).hexdigest()
    assert one.headers["X-Air-Executor-Signature"] == f"sha256={good}"
    assert one.headers["X-Air-Executor-Alert"] == "job_ended"
    told = json.loads(one.body)
    assert (told["job_name"], told["state"], told["reason"]) == ("nightly", "failed", "failures")
    assert (told["total_tasks"], told["completed"], told["duration_s"]) == (1, 1, 1.0)
    assert told["text"] == "Job 'nightly' failed after 1.0 s: 1 of 1 tasks completed"
    assert "token" not in str(watched.health.error)


def test_alerts_survive_the_observer(tmp_path: Path, base: Base, receiver: HttpReceiver) -> None:
    journal = Journal(base, "nightly").run_task("a").end()
    Watched(tmp_path, receiver.url).feed(journal)  # raised, and then it is killed
    again = Watched(tmp_path, receiver.url)
    again.feed(journal)
    assert again.outbox.waiting == 1
    with delivering(again.outbox):
        wait_for(lambda: again.outbox.waiting == 0, "the alert to be taken")
    third = Watched(tmp_path, receiver.url)
    third.feed(journal)
    assert third.outbox.waiting == 0
    assert len(receiver.received) == 1


def test_slack(tmp_path: Path, base: Base, receiver: HttpReceiver) -> None:
    journal = Journal(base, "nightly & <more>").run_task("a").end("failed", error="<!channel>")
    watched = Watched(tmp_path, receiver.url, "slack")
    watched.feed(journal)
    with delivering(watched.outbox):
        wait_for(lambda: receiver.received, "the alert")
    told = json.loads(receiver.received[0].body)
    assert told["text"] == "Job 'nightly &amp; &lt;more&gt;' failed after 1.0 s: 1 of 1 tasks completed"
    (attachment,) = told["attachments"]
    assert (attachment["color"], attachment["text"]) == ("#e01e5a", "&lt;!channel&gt;")


def test_a_missed_deadline_and_the_jobs_own_webhook(tmp_path: Path, base: Base, receiver: HttpReceiver) -> None:
    journal = Journal(base, "nightly", on_end=receiver.url + "/own").queue("a").start("a").wait(5)
    journal.put(ev.CancelRequested, task="a").put(ev.CancelRequested, cause="deadline")
    journal.exit("a", reason="cancelled").end("failed", reason="deadline")
    watched = Watched(tmp_path, receiver.url + "/all")
    watched.feed(journal)
    with delivering(watched.outbox):
        wait_for(lambda: watched.outbox.waiting == 0, "all alerts to be taken")
    told = [(one.path, one.headers["X-Air-Executor-Alert"]) for one in receiver.received]
    assert sorted(told) == [("/all", "deadline_missed"), ("/all", "job_ended"), ("/own", "job_ended")]


def test_no_progress_is_told_once_for_each_standstill(tmp_path: Path, base: Base, receiver: HttpReceiver) -> None:
    watched = Watched(tmp_path, receiver.url, no_progress_s=60.0)
    watched.feed(Journal(base, "stuck").queue("a", "b").start("a"))
    watched.feed(Journal(base, "paused").queue("a").put(ev.RunPaused))
    watched.feed(Journal(base, "open", open=True))
    watched.feed(Journal(base, "over").run_task("a").end())
    before = watched.outbox.waiting  # the end of the last
    watched.alerts.look(START + 59)
    assert watched.outbox.waiting == before
    for seconds in (61, 62, 4000):
        watched.alerts.look(START + seconds)
    assert watched.outbox.waiting == before + 1
    moved = ev.decode_event(
        ev.encode_events([ev.AttemptStarted(at="2026-09-21T16:00:00Z", task="b", attempt=1, launcher="l")]).strip()
    )
    watched.metrics.add("stuck", moved)
    watched.alerts.add("stuck", moved)
    at = watched.metrics.stalled(1e12)[0][1]
    watched.alerts.look(at + 61)
    assert watched.outbox.waiting == before + 2
    with delivering(watched.outbox):
        wait_for(lambda: watched.outbox.waiting == 0, "all alerts to be taken")
    texts = [json.loads(one.body)["text"] for one in receiver.received]
    assert "Job 'stuck' makes no progress since 1 min 1 s: 0 of 2 tasks completed, 1 running" in texts


def test_what_was_over_before_is_nobodys_business(tmp_path: Path, base: Base, receiver: HttpReceiver) -> None:
    watched = Watched(tmp_path, receiver.url, since=START + 100)
    watched.feed(Journal(base, "old").run_task("a").end())
    watched.feed(Journal(base, "new", began=START + 99).run_task("a").end())
    assert watched.outbox.waiting == 1


def test_delivering_does_not_wait_for_who_does_not_answer(tmp_path: Path, base: Base) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never says a word
        watched = Watched(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}/")
        began = time.monotonic()
        for n in range(50):
            watched.feed(Journal(base, f"job {n}").run_task("a").end())
        assert time.monotonic() - began < 5
        assert watched.outbox.waiting == 50
        watched.outbox.flush(0.3)
        assert time.monotonic() - began < 10
        assert watched.outbox.waiting == 50


def test_one_that_is_down_does_not_keep_others_waiting(
    tmp_path: Path, base: Base, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "MOST_WAITING", 30)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dead = Watched(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}/")
        for n in range(40):
            dead.feed(Journal(base, f"job {n}").run_task("a").end())
        assert dead.outbox.waiting == 30  # the oldest are given up
        dead.feed(Journal(base, "own", on_end=receiver.url).run_task("a").end())
        monkeypatch.setattr(webhook, "FIRST_RETRY_S", 60.0)
        monkeypatch.setattr(webhook, "post", lambda url, *args, **_: post(url, *args, timeout_s=0.2))
        with delivering(dead.outbox):
            wait_for(lambda: receiver.received, "the alert for somebody else")
    assert dead.outbox.waiting == 29


@pytest.mark.parametrize("url", ["", "ftp://x/", "http://", "http://x:y/", "http://a b/", "file:///etc/passwd"])
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(InvalidInput, match="expected an http"):
        check_url(url, "webhook")


def test_a_redirect_is_not_followed(receiver: HttpReceiver) -> None:
    receiver.answers, receiver.headers = [307], {"Location": receiver.url + "/elsewhere"}
    assert post(receiver.url + "/hook", b"{}", {}) == f"{receiver.url}/… answered 307"
    assert [one.path for one in receiver.received] == ["/hook"]
