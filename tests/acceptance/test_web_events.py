"""Streams of events: nothing is missed or told twice wrongly, whoever breaks off, stalls or is killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from air_executor import events as ev
from air_executor.model import JobOptions, TaskSpec
from air_executor.times import to_iso
from tests.acceptance.web_server import Event, Server, Stream, served
from tests.support import ManagerProcess, read, wait_end, wait_for, write_job

CODES = {"pending": 0, "running": 1, "completed": 2, "failed": 3}


class Grid:
    """What a page keeps: the grid it read once, and the changes that came after."""

    def __init__(self) -> None:
        self.cells = bytearray()
        self.position = -1
        self.snapshots = 0
        self.deltas = 0
        self.job: dict[str, Any] = {}

    def take(self, event: Event, server: Server, name: str) -> None:
        if event.kind == "snapshot":
            self.snapshots += 1
            answer = server.get(f"/jobs/{name}/grid")
            self.cells = bytearray(answer.body)
            self.position = int(answer.headers["x-position"])
        elif event.kind == "delta":
            self.deltas += 1
            if event.data["position"] > self.position:
                self.position = event.data["position"]
                for first, count, code in event.data["cells"]:
                    self.cells.extend(bytes(max(0, first + count - len(self.cells))))
                    self.cells[first : first + count] = bytes([code]) * count
        self.job = event.data.get("job", self.job)


class Writer:
    """Writes a journal as a manager would, so that a test decides what happens when."""

    def __init__(self, base: Path, name: str, run: str = "run-1") -> None:
        self.folder = base / "jobs" / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / "journal.jsonl"
        self.write(
            ev.RunCreated(
                at=self.now(), version=1, id=run, name=name, created_at=self.now(), options=JobOptions(), cwd="/"
            )
        )

    @staticmethod
    def now() -> str:
        return to_iso(time.time())

    def write(self, *events: ev.Event) -> None:
        with self.path.open("ab", buffering=0) as file:
            file.write(ev.encode_events(list(events)))

    def queue(self, count: int) -> None:
        self.write(*(ev.TaskQueued(at=self.now(), task=TaskSpec(id=f"t{n}", command="true")) for n in range(count)))

    def run(self, *numbers: int) -> None:
        at = self.now()
        for n in numbers:
            self.write(
                ev.AttemptStarted(at=at, task=f"t{n}", attempt=1, launcher="l"),
                ev.AttemptExited(at=at, task=f"t{n}", attempt=1, exit_code=0, run_s=0.001),
            )

    def end(self) -> None:
        self.write(ev.RunEnded(at=self.now(), state="completed"))


def test_a_stream_goes_on_exactly_where_it_broke_off(
    base: Path, start_manager: Callable[..., ManagerProcess]
) -> None:
    start_manager("--slots", "4")
    finder = """
import json, os
inbox = os.open(os.environ["AIR_EXECUTOR_INBOX"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
for n in range(400):
    task = {"id": f"n{n}", "command": "sh", "args": ["-c", f"sleep 0.01; exit {int(n % 7 == 0)}"]}
    os.write(inbox, b"\\n" + json.dumps(task).encode() + b"\\n")
"""
    tasks = [{"id": "find", "command": sys.executable, "args": ["-c", finder]}]
    grid = Grid()
    chance = random.Random(7)
    last_id, broken = "", 0
    server = Server(base)
    try:
        server.post("/jobs", {"name": "grows", "tasks": tasks, "allow_failures": "50%"})
        while grid.job.get("state") not in ("completed", "failed"):
            headers = {"Last_Event_ID": last_id} if last_id else {}
            stream = Stream(server, "/events?job=grows", **headers)
            patience = chance.randint(1, 4)
            for event in stream:
                grid.take(event, server, "grows")
                last_id = stream.last_id
                patience -= 1
                if patience == 0 or grid.job["state"] in ("completed", "failed"):
                    break
            stream.close()
            broken += 1
            if broken == 4:  # a server that dies is no reason to begin anew either
                server.stop(signal.SIGKILL)
                server = Server(base)
        final = read(base / "jobs" / "grows" / "tasks.json") if wait_end(base / "jobs" / "grows") else []
        assert len(final) == 401
        assert list(grid.cells) == [CODES[task["status"]] for task in final]
        assert grid.cells == server.get("/jobs/grows/grid").body
        assert grid.cells.count(3) == 58
        assert broken > 4
        assert grid.snapshots <= 2  # one of a job that nobody had taken up yet
        assert grid.deltas >= broken - grid.snapshots
    finally:
        server.stop()


def test_whoever_resumes_gets_what_he_missed_and_no_snapshot(base: Path) -> None:
    job = Writer(base, "job")
    job.queue(1_000)
    with served(base) as server:
        stream = Stream(server, "/events?job=job")
        first = stream.until("snapshot")
        stream.close()
        job.run(3, 4, 5, 900)
        resumed = Stream(server, "/events?job=job", Last_Event_ID=first.id)
        event = next(iter(resumed))
        assert (event.kind, event.data["cells"]) == ("delta", [[3, 3, 2], [900, 1, 2]])
        assert event.data["job"]["completed"] == 4
        job.run(7)
        assert next(iter(resumed)).data["cells"] == [[7, 1, 2]]
        resumed.close()
        for stranger in ("run-2@100", "run-1@7", "run-1@99999999", "run-1@x", "nonsense", "run-1@-5", "run-1@0"):
            stream = Stream(server, "/events?job=job", Last_Event_ID=stranger)
            assert next(iter(stream)).kind == "snapshot", stranger
            stream.close()


def test_listeners_hear_of_what_others_have_asked_about(base: Path) -> None:
    job = Writer(base, "job")
    job.queue(10)
    with served(base) as server:
        stream = Stream(server, "/events?job=job")
        stream.until("snapshot")
        for number in range(10):
            job.run(number)
            assert server.get("/jobs/job").json["completed"] == number + 1  # reads the journal before the stream does
            assert stream.until("delta").data["job"]["completed"] == number + 1


def test_a_run_may_be_called_anything(base: Path) -> None:
    run = "rün\nevent: snapshot\ndata: {}\n\n☃"
    job = Writer(base, "job", run)
    job.queue(3)
    with served(base) as server:
        stream = Stream(server, "/events?job=job")
        first = next(iter(stream))
        assert (first.kind, first.data["job"]["id"]) == ("snapshot", run)
        job.run(1)
        assert next(iter(stream)).kind == "delta"
        resumed = Stream(server, "/events?job=job", Last_Event_ID=first.id)
        assert next(iter(resumed)).data["cells"] == [[1, 1, 2]]
        assert server.get("/jobs/job/grid").headers["x-run"] == first.id.rpartition("@")[0]


def test_without_cells_none_are_sent(base: Path) -> None:
    job = Writer(base, "job")
    job.queue(10)
    with served(base) as server:
        stream = Stream(server, "/events?job=job&cells=0")
        stream.until("snapshot")
        job.run(1)
        assert "cells" not in stream.until("delta").data
        stream.close()


def test_a_next_run_begins_with_a_snapshot(base: Path) -> None:
    job = Writer(base, "job")
    job.queue(10)
    job.run(*range(10))
    job.end()
    with served(base) as server:
        stream = Stream(server, "/events?job=job")
        assert stream.until("snapshot").data["job"]["id"] == "run-1"
        (job.folder / "runs" / "run-1").mkdir(parents=True)
        job.path.rename(job.folder / "runs" / "run-1" / "journal.jsonl")
        Writer(base, "job", "run-2").queue(3)
        event = stream.until(lambda e: e.data["job"]["id"] == "run-2")
        assert event.kind == "snapshot"
        assert event.id.startswith("run-2@")
        stream.close()


def test_a_job_that_is_removed_ends_its_stream(base: Path) -> None:
    job = Writer(base, "job")
    with served(base) as server:
        stream = Stream(server, "/events?job=job")
        stream.until("snapshot")
        shutil.rmtree(job.folder)
        assert [event.kind for event in stream][-1] == "gone"
        assert server.get("/jobs/job").status == 404


def test_too_much_at_once_is_a_resync_and_then_a_snapshot(base: Path) -> None:
    job = Writer(base, "job")
    job.queue(60_000)
    with served(base) as server:
        stream = Stream(server, "/events?job=job")
        stream.until("snapshot")
        at = job.now()
        scattered = [
            event
            for n in range(0, 60_000, 2)
            for event in (
                ev.AttemptStarted(at=at, task=f"t{n}", attempt=1, launcher="l"),
                ev.AttemptExited(at=at, task=f"t{n}", attempt=1, exit_code=0),
            )
        ]
        job.write(*scattered)
        grid = Grid()
        stream.until("resync")
        event = stream.until("snapshot")
        grid.take(event, server, "job")
        while grid.job["completed"] < 30_000:
            event = next(iter(stream))
            grid.take(event, server, "job")
        assert bytes(grid.cells) == b"\2\0" * 30_000
        stream.close()


class Busy:
    """Tasks that start and end in a random order, as fast as told, until told to stop."""

    def __init__(self, job: Writer, numbers: list[int], a_second: int) -> None:
        self._job, self._numbers, self._a_second = job, numbers, a_second
        self._stop = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        step = max(1, self._a_second // 50)
        for first in range(0, len(self._numbers), step):
            self._job.run(*self._numbers[first : first + step])
            if self._stop.wait(0.02):
                return

    def stop(self) -> None:
        self._stop.set()
        self.thread.join()


@pytest.fixture
def busy_job(base: Path) -> Iterator[str]:
    """A job of 30,000 tasks in which about 1,500 a second come to their end, here and there."""
    job = Writer(base, "busy")
    job.queue(30_000)
    numbers = list(range(30_000))
    random.Random(3).shuffle(numbers)
    busy = Busy(job, numbers, 1_500)
    yield "busy"
    busy.stop()


def test_updates_take_no_more_than_they_may(base: Path, busy_job: str) -> None:
    with served(base) as server:
        stream = Stream(server, f"/events?job={busy_job}")
        stream.until("snapshot")
        began = time.monotonic()
        size = events = 0
        while time.monotonic() < began + 4.0:
            line = stream.answer.readline()
            size += len(line)
            events += line.startswith(b"event:")
        took = time.monotonic() - began
        assert size / took < 60_000
        assert 2 < events / took <= 10.5
        stream.close()


def test_stalled_clients_cost_nothing_and_disturb_nobody(base: Path, busy_job: str) -> None:
    with served(base) as server:
        listening = Stream(server, f"/events?job={busy_job}")
        listening.until("snapshot")
        before = server.memory_mb()
        stalled = []
        for _ in range(20):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(f"GET /events?job={busy_job} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            stalled.append(connection)
        began = time.monotonic()
        try:
            for event in listening:
                if event.kind == "delta" and time.monotonic() > began + 5.0:
                    break
            assert server.memory_mb() - before < 30
            assert server.get("/healthz").status == 200
        finally:
            for connection in stalled:
                connection.close()
            listening.close()
        wait_for(lambda: _connections(server) <= 1, "that the server lets go of those who have left")


def _connections(server: Server) -> int:
    fds = Path(f"/proc/{server.process.pid}/fd")
    count = 0
    for fd in fds.iterdir():
        try:
            count += os.readlink(fd).startswith("socket:")
        except OSError:
            continue
    return count - 3  # the listener, and the loop's own pair


def test_the_server_ends_at_once_although_streams_are_open(base: Path, busy_job: str) -> None:
    server = Server(base)
    streams = [Stream(server, path) for path in ("/events", f"/events?job={busy_job}") * 3]
    assert server.stop() < 7.0  # it would wait ten seconds for streams that do not end
    assert server.process.returncode == 0
    for stream in streams:
        list(stream)
        stream.close()


def test_the_overview_tells_of_jobs_as_they_come_change_and_go(
    base: Path, start_manager: Callable[..., ManagerProcess]
) -> None:
    start_manager()
    old = write_job(base, "old", [{"id": "a", "command": "true"}])
    wait_end(old)
    with served(base) as server:
        stream = Stream(server, "/events")
        first = next(iter(stream))
        assert first.kind == "jobs"
        assert [job["name"] for job in first.data["jobs"]] == ["old"]
        assert first.data["info"]["counts"]["completed"] == 1
        server.post("/jobs", {"name": "new", "tasks": [{"id": "a", "command": "sleep", "args": ["0.3"]}]})
        done = stream.until(lambda e: any(j["name"] == "new" and j["state"] == "completed" for j in e.data["jobs"]))
        assert "old" not in [job["name"] for job in done.data["jobs"]]
        shutil.rmtree(old)
        assert stream.until(lambda e: e.data["gone"]).data["gone"] == ["old"]
        stream.close()


def test_a_log_is_followed_while_it_is_written(
    base: Path, start_manager: Callable[..., ManagerProcess], tmp_path: Path
) -> None:
    start_manager()
    script = (
        f"echo first ☃; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; printf 'half \\342'; sleep 0.3; "
        f"printf '\\230\\203\\n'; while [ ! -e {tmp_path}/on ]; do sleep 0.02; done; echo last"
    )
    tasks = [{"id": "a/b", "command": script, "shell": True}]
    with served(base) as server:
        server.post("/jobs", {"name": "job", "tasks": tasks})
        wait_for(lambda: server.get("/jobs/job").json["running"] == 1, "a running task")
        stream = Stream(server, "/jobs/job/tasks/a%2Fb/log?follow=1")
        first = stream.until("log")
        assert first.data == {"at": 0, "text": "first ☃\n"}
        (tmp_path / "go").touch()
        text = ""
        while not text.endswith("\n"):
            text += stream.until("log").data["text"]
        assert text == "half ☃\n"
        (tmp_path / "on").touch()
        rest = list(stream)
        assert "".join(e.data["text"] for e in rest if e.kind == "log") == "last\n"
        assert (rest[-1].kind, rest[-1].data) == ("end", {"status": "completed"})
        again = Stream(server, "/jobs/job/tasks/a%2Fb/log?follow=1", Last_Event_ID=first.id)
        assert "".join(e.data["text"] for e in again if e.kind == "log") == "half ☃\nlast\n"
        tail = Stream(server, "/jobs/job/tasks/a%2Fb/log?follow=1&tail=5")
        assert tail.until("log").data["text"] == "last\n"
        for each in (stream, again, tail):
            each.close()


def test_following_a_log_goes_on_with_the_next_attempt(
    base: Path, start_manager: Callable[..., ManagerProcess]
) -> None:
    start_manager()
    task = {"id": "t", "command": "echo attempt $AIR_EXECUTOR_ATTEMPT; sleep 0.3; [ $AIR_EXECUTOR_ATTEMPT = 3 ]"}
    with served(base) as server:
        tasks = [{**task, "shell": True, "retries": 2, "retry_delay_s": 0.05}]
        server.post("/jobs", {"name": "job", "tasks": tasks})
        wait_for(lambda: server.get("/jobs/job").json["running"] == 1, "a running task")
        stream = Stream(server, "/jobs/job/tasks/t/log?follow=1")
        events = list(stream)
        assert [e.data["text"] for e in events if e.kind == "log"] == [f"attempt {n}\n" for n in (1, 2, 3)]
        assert events[-1].data == {"status": "completed"}
        stream.close()


def test_events_of_a_job_as_lines(base: Path, start_manager: Callable[..., ManagerProcess]) -> None:
    start_manager()
    with served(base) as server:
        server.post("/jobs", {"name": "job", "tasks": [{"id": "t", "command": "sleep", "args": ["0.5"]}]})
        wait_for(lambda: server.get("/jobs/job").json["running"] == 1, "a running task")
        followed = server.get("/jobs/job/journal?follow=1")
        assert followed.headers["content-type"].startswith("application/x-ndjson")
        assert b'"RunEnded"' in followed.body.split(b"\n")[-2]
        wait_end(base / "jobs" / "job")
        assert server.get("/jobs/job/journal").body == (base / "jobs" / "job" / "journal.jsonl").read_bytes()
