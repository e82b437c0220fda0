"""The observer beside a real manager: it tells everything exactly once, and its troubles are its own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from air_executor import AirExecutorClient
from air_executor.settings import Settings, load_settings, shown_settings
from air_executor.store.layout import Base
from tests.observe.journal import Journal
from tests.observe.receivers import HttpReceiver, free_port, http_receiver, udp_receiver
from tests.support import ManagerProcess, ended, read, wait_end, wait_for, write_job


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as found:
        yield found


@pytest.fixture
def start_manager(base: Base) -> Iterator[Callable[..., ManagerProcess]]:
    started: list[ManagerProcess] = []

    def start(*options: str, **environment: str) -> ManagerProcess:
        started.append(ManagerProcess(base.path, "--slots", "8", *options, **environment).start())
        return started[-1]

    yield start
    for manager in started:
        manager.stop()
    wait_for(lambda: observers(base) == [], "the observers to end with their managers")


def observers(base: Base) -> list[int]:
    """The observers of a base that are alive."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                alive = (entry / "stat").read_text().rpartition(") ")[2][0] != "Z"
            except OSError:
                continue
            if alive and b"observe" in words and str(base.path).encode() in words:
                found.append(int(entry.name))
    return found


def history(base: Base, query: str, *values: Any) -> list[Any]:
    """Rows of the history, read by nothing of ours."""
    try:
        with closing(sqlite3.connect(f"file:{base.path}/history.sqlite?mode=ro", uri=True)) as connection:
            return connection.execute(query, values).fetchall()
    except sqlite3.OperationalError:
        return []


def get(port: int, path: str = "/metrics") -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return answer.read().decode()  # type: ignore[no-any-return]


def journal_counts(base: Base, job: str) -> tuple[int, int, int]:
    """Tasks, attempts that ended, and those without a reason, by counting lines."""
    lines = base.job(job).journal.read_bytes().splitlines()
    ends = [line for line in lines if b'"type":"AttemptExited"' in line]
    good = [line for line in ends if b'"reason"' not in line]
    return sum(b'"type":"TaskQueued"' in line for line in lines), len(ends), len(good)


def numbered(count: int, command: str = "/bin/true", **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"t{n}", "command": command, **more} for n in range(count)]


def test_a_manager_and_everybody_who_is_told(
    base: Base, start_manager: Callable[..., ManagerProcess], receiver: HttpReceiver
) -> None:
    port = free_port()
    with udp_receiver() as udp:
        manager = start_manager(
            "--history", "sqlite", "--metrics-port", str(port), "--statsd", f"127.0.0.1:{udp.port}",
            "--otlp", receiver.url + "/v1/metrics", "--webhook", receiver.url + "/hook",
            AIR_EXECUTOR_OTLP_INTERVAL_S="0.2",
        )  # fmt: skip
        folder = write_job(base.path, "nightly", [*numbered(50), {"id": "bad", "command": "/bin/false"}])
        assert wait_end(folder)["state"] == "failed"
        wait_for(lambda: [one for one in receiver.received if one.path == "/hook"], "the alert")
        wait_for(lambda: history(base, "SELECT 1 FROM air_executor_runs WHERE state = 'failed'"), "the history")
        total = 'air_executor_total_tasks{job_name="nightly"} 51'
        wait_for(lambda: total in get(port), "the metrics")
        text = get(port)
        assert 'air_executor_attempts_ended_total{job_name="nightly",outcome="exit"} 1' in text
        assert "air_executor_manager_up 1" in text
        assert "air_executor_slots 8" in text
        assert json.loads(get(port, "/healthz")) == {"ok": True}
        wait_for(lambda: "air_executor.failed_tasks:1|g|#job:nightly" in udp.lines, "StatsD")
        wait_for(lambda: any(b'"nightly"' in one.body for one in receiver.received if "metrics" in one.path), "OTLP")
        status = read(base.path / "observer" / "status.json")
        assert all(sink["up"] for sink in status["sinks"].values()), status
        command = [sys.executable, "-m", "air_executor", "status", "--base", str(base.path)]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        (pid,) = observers(base)
        assert f"observer:    pid {pid}: webhook, statsd, otlp, history, metrics on port {port}\n" in shown
        manager.stop(signal.SIGTERM)
    wait_for(lambda: observers(base) == [], "the observer to end")
    assert not (base.path / "observer" / "status.json").exists()


def test_what_happens_just_before_the_end_is_told_too(
    base: Base, start_manager: Callable[..., ManagerProcess], receiver: HttpReceiver
) -> None:
    manager = start_manager("--history", "sqlite", "--webhook", receiver.url)
    wait_for(lambda: observers(base), "the observer")
    folder = write_job(base.path, "last", numbered(20))
    wait_end(folder)
    manager.stop(signal.SIGTERM)
    wait_for(lambda: observers(base) == [], "the observer to end")
    assert history(base, "SELECT state, completed_tasks FROM air_executor_runs") == [("completed", 20)]
    assert len(receiver.received) == 1


def test_history_is_exact_whenever_the_observer_is_killed(
    base: Base, start_manager: Callable[..., ManagerProcess]
) -> None:
    start_manager("--history", "sqlite")
    failing = {"command": "/bin/false", "retries": 1, "retry_delay_s": 0.01}
    tasks = [*numbered(1500, group="g"), *({"id": f"bad{n}", **failing} for n in range(40))]
    AirExecutorClient(base.path).create_job("big", tasks)
    folder = base.job("big").path
    killed: set[int] = set()
    rows = "SELECT count(*) FROM air_executor_attempts"
    seen = 0
    while not (ended(folder) and len(killed) >= 3):
        for pid in wait_for(lambda: observers(base), "an observer"):
            found = history(base, rows)
            if pid not in killed and found and (found[0][0] > seen or ended(folder)):
                seen = found[0][0]
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
    assert wait_end(folder)["progress"]["failed"] == 40
    assert journal_counts(base, "big") == (1540, 1580, 1500)
    wait_for(lambda: history(base, "SELECT 1 FROM air_executor_runs WHERE ended_at IS NOT NULL"), "the whole history")
    run = "SELECT total_tasks, completed_tasks, failed_tasks, retries, attempts FROM air_executor_runs"
    assert history(base, run) == [(1540, 1500, 40, 40, 1580)]
    distinct = (
        "SELECT count(*), count(DISTINCT task || '@' || attempt), sum(reason IS NULL) FROM air_executor_attempts"
    )
    assert history(base, distinct) == [(1580, 1580, 1500)]
    groups = "SELECT task_group, tasks, completed, failed, attempts FROM air_executor_groups ORDER BY 1"
    assert history(base, groups) == [("", 40, 0, 40, 80), ("g", 1500, 1500, 0, 1500)]
    progress = history(base, "SELECT total_tasks, completed_tasks, failed_tasks FROM air_executor_progress")
    assert progress[-1] == (1540, 1500, 40)


def test_the_observer_ends_with_a_manager_that_is_killed(
    base: Base, start_manager: Callable[..., ManagerProcess]
) -> None:
    manager = start_manager("--history", "sqlite")
    wait_for(lambda: observers(base), "the observer")
    wait_end(write_job(base.path, "job", numbered(5)))
    manager.kill()
    wait_for(lambda: observers(base) == [], "the observer to end")
    assert history(base, "SELECT completed_tasks FROM air_executor_runs") == [(5,)]
    start_manager()  # what it left behind is no trouble to the next


def test_a_port_that_is_taken_is_the_observers_trouble_alone(
    base: Base, start_manager: Callable[..., ManagerProcess], receiver: HttpReceiver
) -> None:
    taken = receiver.url.rpartition(":")[2]
    start_manager("--metrics-port", taken)
    assert wait_end(write_job(base.path, "job", numbered(5)))["state"] == "completed"
    log = base.path / "manager.log"
    wait_for(lambda: "the observer has ended; it is started again" in log.read_text(), "another try")
    assert f"observer: air-executor: error: metrics_port: cannot listen on 127.0.0.1:{taken}" in log.read_text()
    assert wait_end(write_job(base.path, "next", numbered(5)))["state"] == "completed"


def test_a_job_names_its_own_webhook(
    base: Base, start_manager: Callable[..., ManagerProcess], receiver: HttpReceiver
) -> None:
    start_manager()
    wait_end(write_job(base.path, "silent", numbered(1)))
    assert observers(base) == []  # nobody wants to be told of anything
    wait_end(write_job(base.path, "quick", numbered(1), on_end=receiver.url + "/own"))
    wait_for(lambda: receiver.received, "the alert")
    assert read(base.job("quick").state)["on_end"] == receiver.url + "/***"  # whoever may read this may not post
    told = json.loads(receiver.received[0].body)
    assert (receiver.received[0].path, told["job_name"], told["state"]) == ("/own", "quick", "completed")


def test_a_webhook_is_told_also_by_a_manager_that_has_nothing_more_to_do(base: Base, receiver: HttpReceiver) -> None:
    job = base.path.parent / "job.json"
    job.write_text(json.dumps({"tasks": numbered(2), "on_end": receiver.url}))
    command = [sys.executable, "-m", "air_executor", "run", str(job), "--base", str(base.path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    wait_for(lambda: receiver.received, "the alert")
    wait_for(lambda: observers(base) == [], "the observer to end")
    assert len(receiver.received) == 1


def test_secrets_stay_with_the_observer(
    base: Base, start_manager: Callable[..., ManagerProcess], receiver: HttpReceiver
) -> None:
    secret = receiver.url + "/T0KEN"
    manager = start_manager(AIR_EXECUTOR_WEBHOOK=secret, AIR_EXECUTOR_WEBHOOK_FORM="slack")
    folder = write_job(base.path, "job", [{"id": "env", "command": "env"}])
    wait_end(folder)
    wait_for((folder / "logs" / "env.log").exists, "the log")
    assert "T0KEN" not in (folder / "logs" / "env.log").read_text()
    assert "T0KEN" not in (base.path / "manager.json").read_text()
    (pid,) = wait_for(lambda: observers(base), "the observer")
    assert b"T0KEN" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    wait_for(lambda: receiver.received, "the alert")
    assert receiver.received[0].path == "/T0KEN"
    manager.stop(signal.SIGTERM)
    assert "T0KEN" not in (base.path / "manager.log").read_text()


def test_settings_are_shown_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        'history = "postgresql+psycopg://me:pw@host/db"\nwebhook = "https://hooks.example/T/B/x"\n'
    )
    settings, _ = load_settings(tmp_path / "config.toml", {"otlp": "http://me:pw@host:4318/v1/metrics"})
    shown = shown_settings(settings)
    assert shown["history"] == "postgresql+psycopg://me:***@host/db"
    assert shown["webhook"] == "https://hooks.example/…"
    assert shown["otlp"] == "http://me:***@host:4318/v1/metrics"
    assert shown_settings(Settings(history="sqlite"))["history"] == "sqlite"


# ---- as a command of its own ---------------------------------------------------------------------


def observe(base: Base, *options: str, code: int) -> str:
    command = [sys.executable, "-m", "air_executor", "observe", "--base", str(base.path), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_what_cannot_be_observed(base: Base, start_manager: Callable[..., ManagerProcess]) -> None:
    assert "nobody to tell: give at least one of --history" in observe(base, code=2)
    assert "expected HOST:PORT" in observe(base, "--statsd", "nowhere", code=2)
    assert "expected an http:// or https:// URL" in observe(base, "--webhook", "ftp://x", code=2)
    assert "expected `sqlite`" in observe(base, "--history", "mysql://x/y", code=2)
    (base.path / "config.toml").write_text('webhook_secret_file = "/nowhere"\n')
    assert "webhook_secret_file /nowhere: No such file" in observe(base, "--history", "sqlite", code=6)
    (base.path / "config.toml").unlink()
    start_manager("--history", "sqlite")
    wait_for((base.path / "observer" / "status.json").exists, "the observer")
    assert "an observer already works on" in observe(base, "--history", "sqlite", code=4)


def test_observing_without_a_manager(base: Base) -> None:
    Journal(base, "old").run_task("a").end()
    observe(base, "--history", "sqlite", "--while-stdin", code=0)  # its standard input has ended
    assert history(base, "SELECT job_name, state FROM air_executor_runs") == [("old", "completed")]
