"""The history, on real SQLite and real PostgreSQL."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from air_executor import events as ev
from air_executor.errors import BaseUnusable, InvalidInput, NotFound
from air_executor.observe.history import queries, schema
from air_executor.observe.history.database import open_database, shown_url
from air_executor.observe.history.feed import HistoryFeed, rebuild
from air_executor.observe.history.rows import Sampler
from air_executor.observe.history.schema import migrate
from air_executor.observe.sinks.health import Health
from air_executor.store.layout import Base
from tests.observe.journal import START, Journal
from tests.support import wait_for


@contextmanager
def reading(url: str, base: Base) -> Iterator[sa.engine.Connection]:
    engine = open_database(url, base, reading=True)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def table(url: str, base: Base, which: sa.Table) -> list[dict[str, Any]]:
    """All rows of a table, without the keys that depend on the order of writing."""
    with reading(url, base) as connection:
        rows = [dict(row) for row in connection.execute(sa.select(which)).mappings()]
    for row in rows:
        row.pop("run", None)
    return sorted(rows, key=repr)


def tables(url: str, base: Base) -> dict[str, list[dict[str, Any]]]:
    return {t.name: table(url, base, t) for t in (schema.progress, schema.runs, schema.attempts, schema.groups)}


def follow_once(base: Base, url: str) -> Health:
    """What an observer does that is started, reads what there is, and is told to stop."""
    health = Health("history")
    stop = threading.Event()
    stop.set()
    HistoryFeed(base, url, health).run(stop)
    return health


@contextmanager
def following(base: Base, url: str) -> Iterator[Health]:
    health, stop = Health("history"), threading.Event()
    feed = HistoryFeed(base, url, health, look_s=0.01)
    thread = threading.Thread(target=feed.run, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: health.up or health.error, "the database, or what is wrong with it")
        yield health
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def some_run(base: Base, job: str = "nightly", run: str = "r1", began: float = START) -> Journal:
    journal = Journal(base, job, run, began)
    journal.queue("a", "b", group="pages").queue("c")
    journal.start("a").wait(0.5).start("b").wait(2).exit("a", run_s=2.5)
    journal.exit("b", run_s=2.0, reason="exit", exit_code=3, error="bad\0luck", retry_at=began + 4.0)
    journal.wait(2).start("b", 2).wait(0.25).exit("b", 2, run_s=0.25)
    journal.put(ev.TaskSkipped, task="c", error="not today")
    return journal


def progress_of(url: str, base: Base, job: str = "nightly") -> list[tuple[float, int, int, int, int]]:
    rows = [row for row in table(url, base, schema.progress) if row["job_name"] == job]
    return sorted(
        (
            round(row["timestamp"] - START, 3),
            row["total_tasks"],
            row["completed_tasks"],
            row["running_tasks"],
            row["failed_tasks"],
        )
        for row in rows
    )


def test_the_table_of_progress_has_the_promised_columns(url: str, base: Base) -> None:
    follow_once(base, url)
    with reading(url, base) as connection:
        columns = [column["name"] for column in sa.inspect(connection).get_columns("air_executor_progress")]
    assert columns == ["job_name", "timestamp", "total_tasks", "completed_tasks", "running_tasks", "failed_tasks"]


def test_what_became_of_a_run(url: str, base: Base) -> None:
    some_run(base).end("failed", reason="failures", error="1 of 3 tasks failed")
    follow_once(base, url)
    assert progress_of(url, base) == [
        (0.0, 3, 0, 1, 0),
        (1.0, 3, 0, 2, 0),
        (2.5, 3, 1, 0, 0),
        (4.5, 3, 1, 1, 0),
        (4.75, 3, 2, 0, 1),
    ]
    (run,) = table(url, base, schema.runs)
    assert (run["id"], run["state"], run["reason"], run["began_at"]) == ("r1", "failed", "failures", START)
    assert run["ended_at"] == START + 4.75
    assert (run["total_tasks"], run["completed_tasks"], run["failed_tasks"], run["skipped_tasks"]) == (3, 2, 1, 1)
    assert (run["attempts"], run["retries"], run["run_s"]) == (3, 1, 4.75)
    attempts = {(row["task"], row["attempt"]): row for row in table(url, base, schema.attempts)}
    assert attempts.keys() == {("a", 1), ("b", 1), ("b", 2)}
    assert (attempts["b", 1]["reason"], attempts["b", 1]["exit_code"]) == ("exit", 3)
    assert attempts["b", 1]["error"] == "bad\ufffdluck"
    assert (attempts["b", 1]["queue_s"], attempts["b", 2]["queue_s"]) == (0.5, 0.5)  # from `retry_at` on
    groups = {row["task_group"]: row for row in table(url, base, schema.groups)}
    assert (groups["pages"]["tasks"], groups["pages"]["completed"], groups["pages"]["attempts"]) == (2, 2, 3)
    assert (groups["pages"]["run_s"], groups["pages"]["cpu_s"]) == (4.75, 1.5)
    assert (groups[""]["tasks"], groups[""]["failed"], groups[""]["attempts"]) == (1, 1, 0)


def test_reading_on_after_every_event_gives_the_same_as_reading_at_once(url: str, base: Base) -> None:
    began = round(time.time()) + 1e6  # nothing can be late then, so rows come by the events' own time alone
    some_run(base, "whole", began=began).end()
    lines = base.job("whole").journal.read_bytes().splitlines(keepends=True)
    whole = follow_once(base, url) and tables(url, base)
    for row in [row for rows in whole.values() for row in rows]:
        assert row.get("job_name", "whole") == "whole"
    base.job("bits").create()
    for count in range(1, len(lines) + 1):
        data = b"".join(lines[:count]).replace(b'"name":"whole"', b'"name":"bits"')
        base.job("bits").journal.write_bytes(data + lines[count][:7] if count < len(lines) else data)
        follow_once(base, url)  # each time a new observer, that knows only what the database knows
    found = tables(url, base)
    for name, rows in whole.items():
        bits = [{**row, "job_name": "whole"} if "job_name" in row else row for row in found[name]]
        for row in (*bits, *rows):
            row.pop("position", None)
        assert sorted(bits, key=repr) == sorted(rows * 2, key=repr), name


def test_runs_that_came_and_went_unseen(url: str, base: Base) -> None:
    first = some_run(base, run="r1").end()
    follow_once(base, url)
    first.archive()
    some_run(base, run="r2", began=START + 100).end().archive()
    some_run(base, run="r3", began=START + 200)
    follow_once(base, url)
    assert [run["id"] for run in table(url, base, schema.runs)] == ["r1", "r2", "r3"]
    assert len(table(url, base, schema.attempts)) == 9


def test_a_run_is_followed_while_it_is_moved_away(url: str, base: Base) -> None:
    journal = some_run(base, run="r1")
    with following(base, url):
        wait_for(lambda: len(table(url, base, schema.attempts)) == 3, "the first attempts")
        journal.run_task("late").end()
        journal.archive()
        some_run(base, run="r2", began=START + 100).end()
        wait_for(lambda: len(table(url, base, schema.attempts)) == 7, "all attempts")
    assert [(run["id"], run["ended_at"] is not None) for run in table(url, base, schema.runs)] == [
        ("r1", True),
        ("r2", True),
    ]


def test_a_reopened_run_goes_on(url: str, base: Base) -> None:
    journal = some_run(base).end()
    follow_once(base, url)
    journal.wait(50).put(ev.RunReopened).run_task("more").wait(0.1).end()
    follow_once(base, url)
    (run,) = table(url, base, schema.runs)
    assert (run["total_tasks"], run["completed_tasks"], run["ended_at"]) == (4, 3, START + 4.75 + 50 + 1.1)
    assert progress_of(url, base)[-1] == (55.75, 4, 3, 0, 1)


def test_a_journal_that_lost_its_end_is_read_anew(url: str, base: Base) -> None:
    journal = some_run(base)
    follow_once(base, url)
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(b"".join(lines[:5]))  # what a power failure may leave
    follow_once(base, url)
    (run,) = table(url, base, schema.runs)
    assert (run["total_tasks"], run["attempts"], table(url, base, schema.attempts)) == (3, 0, [])


def test_two_observers_at_once_write_nothing_twice(url: str, base: Base) -> None:
    journal = Journal(base, "nightly")
    with following(base, url), following(base, url):
        for n in range(60):
            journal.run_task(f"t{n}", 0.1)
        wait_for(lambda: len(table(url, base, schema.attempts)) >= 60, "all attempts")
        journal.end()
    assert len(table(url, base, schema.attempts)) == 60
    (run,) = table(url, base, schema.runs)
    assert (run["attempts"], run["state"]) == (60, "completed")


def test_rebuilding_gives_what_following_gave_and_keeps_what_was_pruned(url: str, base: Base) -> None:
    some_run(base, run="r1").end().archive()
    some_run(base, run="r2", began=START + 100).end()
    some_run(base, "pruned").end()
    follow_once(base, url)
    before = tables(url, base)
    import shutil

    shutil.rmtree(base.job("pruned").path)
    engine = open_database(url, base)
    with engine.begin() as connection:
        connection.execute(schema.attempts.update().values(run_s=99))
        connection.execute(schema.progress.delete().where(schema.progress.c.job_name == "nightly"))
    done = [(job, run["id"]) for job, run in rebuild(base, engine)]
    engine.dispose()
    assert done == [("nightly", "r1"), ("nightly", "r2")]
    after = tables(url, base)
    assert len([row for row in after["air_executor_attempts"] if row["run_s"] == 99]) == 3  # those of the pruned job
    del before["air_executor_attempts"], after["air_executor_attempts"]
    assert after == before


def test_rebuilding_under_an_observer(url: str, base: Base) -> None:
    journal = some_run(base, began=round(time.time()) + 1e6)
    with following(base, url):
        wait_for(lambda: len(table(url, base, schema.attempts)) == 3, "the first attempts")
        engine = open_database(url, base)
        journal.run_task("more")
        list(rebuild(base, engine, "nightly"))
        journal.run_task("yet more").end()
        wait_for(lambda: len(table(url, base, schema.attempts)) == 5, "all attempts")
        with pytest.raises(NotFound, match="no journal of a job 'other'"):
            list(rebuild(base, engine, "other"))
        engine.dispose()
    followed = tables(url, base)
    engine = open_database(url, base)
    list(rebuild(base, engine))
    engine.dispose()
    assert tables(url, base) == followed


def test_a_database_that_is_down_is_waited_for(base: Base, cluster: str, postgres: str) -> None:
    admin = sa.create_engine(
        postgres.replace("/history", "/postgres").replace("+psycopg:", f"+{_driver()}:"),
        isolation_level="AUTOCOMMIT",
        future=True,
    )
    journal = some_run(base)
    with admin.connect() as connection, following(base, postgres) as health:
        wait_for(lambda: len(table(postgres, base, schema.attempts)) == 3, "the first attempts")
        connection.execute(sa.text("ALTER DATABASE history ALLOW_CONNECTIONS false"))
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'history'")
        )
        for n in range(20):
            journal.run_task(f"t{n}")
        wait_for(lambda: health.error, "the sink to say that it is down")
        report = health.report()
        assert "not currently accepting connections" in report["error"]
        assert not report["up"]
        wait_for(lambda: health.report()["lag_s"] > 1, "a lag")
        connection.execute(sa.text("ALTER DATABASE history ALLOW_CONNECTIONS true"))
        wait_for(lambda: health.up, "the sink to work again")
        wait_for(lambda: len(table(postgres, base, schema.attempts)) == 23, "all attempts")
        wait_for(lambda: health.report()["lag_s"] < 0.5, "no lag")
    admin.dispose()


def _driver() -> str:
    return "psycopg2" if sa.__version__.startswith("1.") else "psycopg"


def test_stopping_while_the_database_is_down(base: Base, cluster: str) -> None:
    url = f"postgresql+psycopg://air@/nothere?host={cluster}"
    some_run(base).end()
    with following(base, url) as health:
        wait_for(lambda: health.error, "an error")
    assert "nothere" in str(health.error)
    assert not health.up


def test_tables_of_an_older_version_are_brought_up(url: str, base: Base) -> None:
    engine = open_database(url, base)
    with engine.begin() as connection:  # a table that somebody has made for dashboards, with rows
        connection.execute(
            sa.text(
                "CREATE TABLE air_executor_progress (job_name TEXT, timestamp TIMESTAMP, total_tasks INTEGER, "
                "completed_tasks INTEGER, running_tasks INTEGER, failed_tasks INTEGER)"
            )
        )
        connection.execute(
            sa.text("INSERT INTO air_executor_progress VALUES ('old', '2025-01-01 00:00:00.000000', 5, 5, 0, 0)")
        )
    migrate(engine)
    migrate(engine)
    with engine.connect() as connection:
        assert {index["name"] for index in sa.inspect(connection).get_indexes("air_executor_progress")} == {
            "air_executor_progress_of_job"
        }
    engine.dispose()
    some_run(base).end()
    follow_once(base, url)
    assert [row["job_name"] for row in table(url, base, schema.progress)].count("old") == 1
    assert len(progress_of(url, base)) == 5


def test_each_step_of_a_migration_is_done_once(url: str, base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_database(url, base)
    migrate(engine)
    done: list[str] = []
    step = sa.text("ALTER TABLE air_executor_runs ADD COLUMN note TEXT")
    more = [*schema.MIGRATIONS, lambda c: done.append("note") or c.execute(step)]
    monkeypatch.setattr(schema, "MIGRATIONS", more)
    migrate(engine)
    migrate(engine)
    assert done == ["note"]
    monkeypatch.undo()
    with pytest.raises(BaseUnusable, match=r"written by a newer Air-Executor .* upgrade"):
        migrate(engine)
    engine.dispose()


def test_questions(url: str, base: Base) -> None:
    for n in range(4):
        journal = Journal(base, "nightly", f"r{n}", START + 1000 * n)
        journal.run_task("quick", 0.1, "small").run_task("slow", 10.0 + n, "big")
        if n % 2:
            journal.queue("flaky").start("flaky").exit("flaky", run_s=1, reason="exit", error=f"no {n}", exit_code=1)
        else:
            journal.run_task("flaky")
        journal.end("failed" if n % 2 else "completed").archive()
    Journal(base, "other").run_task("quick", 20.0)
    follow_once(base, url)
    with reading(url, base) as connection:
        runs = queries.past_runs(connection, "nightly", 3)
        assert [run["id"] for run in runs] == ["r3", "r2", "r1"]
        assert (runs[0]["duration_s"], runs[0]["total_tasks"], runs[0]["failed"]) == (13.1, 3, 1)
        assert [run["job_name"] for run in queries.past_runs(connection, None, 10)].count("other") == 1
        slow = queries.slowest_tasks(connection, None, 2)
        assert [(row["job_name"], row["task"], row["attempts"]) for row in slow] == [
            ("other", "quick", 1),
            ("nightly", "slow", 4),
        ]
        assert (slow[1]["mean_s"], slow[1]["max_s"], slow[1]["group"]) == (11.5, 13.0, "big")
        (flaky,) = queries.flaky_tasks(connection, "nightly", 10)
        assert (flaky["task"], flaky["attempts"], flaky["failures"], flaky["failure_percent"]) == (
            "flaky",
            4,
            2,
            50.0,
        )
        assert (flaky["last_error"], flaky["runs"]) == ("no 3", 4)
        (trend,) = queries.trends(connection, "nightly", 10)
        assert (trend["runs"], trend["completed_runs"], len(trend["durations_s"])) == (4, 2, 4)
        assert trend["duration_change_percent"] == 18.02  # 11.1 s and 13.1 s
        assert trend["failed_percent"] == pytest.approx(100 / 6, abs=0.01)
        groups = queries.time_per_group(connection, "nightly", 10)
        assert [(row["group"], row["run_s"], row["runs"]) for row in groups] == [
            ("big", 46.0, 4),
            (None, 4.0, 4),
            ("small", 0.4, 4),
        ]


@pytest.mark.parametrize("url", ["mysql://x@y/z", "nonsense", "sqlite+nope", ""])
def test_other_databases_are_refused(url: str, base: Base) -> None:
    with pytest.raises(InvalidInput, match="expected `sqlite`"):
        open_database(url, base)


def test_passwords_are_not_shown() -> None:
    assert shown_url("postgresql+psycopg://me:secret@host/db") == "postgresql+psycopg://me:***@host/db"


def test_the_file_is_as_private_as_the_base(base: Base) -> None:
    follow_once(base, "sqlite")
    assert os.stat(base.path / "history.sqlite").st_mode & 0o777 == 0o600


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=40), st.booleans())
def test_rows_of_progress_come_at_most_once_a_second_and_always_the_last(
    steps: list[tuple[float, bool]], resumed: bool
) -> None:
    sampler, at, rows, seen = Sampler(), START, [], []
    for n, (pause, changes) in enumerate(steps, 1):
        at += pause
        if not changes:
            continue
        counts = (n, 0, 0, 0)
        seen.append((at, counts))
        if row := sampler.change(at, counts):
            rows.append(row)
        if resumed:  # a new observer that has read all this again, and knows the last row only
            sampler.resume(sampler.last)
    if row := sampler.end(at):
        rows.append(row)
    times = [row[0] for row in rows]
    assert all(later - earlier >= 1 - 1e-6 for earlier, later in pairwise(times[:-1]))
    assert times == sorted(times)
    assert [row[1] for row in rows[-1:]] == [counts for _, counts in seen[-1:]]
    for when, counts in rows:  # each is what was true at its time
        assert counts == [c for t, c in seen if t <= when][-1]


def test_a_damaged_journal_harms_its_own_history_alone(url: str, base: Base) -> None:
    some_run(base, "good").end()
    bad = Journal(base, "bad").queue("a")
    lines = (
        {"type": "AttemptStarted", "at": "no time", "task": "a", "attempt": 1, "launcher": "l"},
        {"type": "AttemptExited", "at": "9999-12-31T23:59:59.999999Z", "task": "unknown", "attempt": 2**40},
        {"type": "TaskRetried", "at": "0001-01-01T00:00:00Z", "task": "never heard of"},
        {"type": "RunEnded", "at": "9999-12-31T23:59:59.999999Z", "state": "completed"},
    )
    with bad.path.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    (base.jobs / "no time").mkdir()
    (base.jobs / "no time" / "journal.jsonl").write_text(
        '{"type":"RunCreated","at":"never","id":"x","name":"x","created_at":"","options":{},"cwd":"/"}\n'
    )
    with following(base, url) as health:
        wait_for(
            lambda: [run["job_name"] for run in table(url, base, schema.runs)].count("good") == 1, "the good one"
        )
        some_run(base, "later").end()
        wait_for(lambda: [run["job_name"] for run in table(url, base, schema.runs)].count("later") == 1, "the next")
        assert health.error is None
