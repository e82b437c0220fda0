"""The trigger: one event on every path, control back at once, and nothing left behind."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from air_executor.airflow import _compat
from air_executor.airflow.trigger import SETTLED_S, AirExecutorJobTrigger
from air_executor.times import from_iso
from tests.airflow.inside.jobs import Jobs, Lines, own, server_of
from tests.support import wait_for

MANY = int(os.environ.get("AIR_EXECUTOR_TEST_MANY", "60"))
"""Triggers at once; 500 takes a minute."""
Event = dict[str, Any]

pytestmark = pytest.mark.usefixtures("nothing_left")


def trigger_of(jobs: Jobs, name: str, job_id: str | None = None, **more: Any) -> AirExecutorJobTrigger:
    """The trigger as a triggerer makes it, from what was stored of it."""
    given = AirExecutorJobTrigger(name, job_id, base_path=str(jobs.base), **more)
    path, arguments = given.serialize()
    module, _, kind = path.rpartition(".")
    made: AirExecutorJobTrigger = getattr(importlib.import_module(module), kind)(**json.loads(json.dumps(arguments)))
    assert made.serialize() == (path, arguments)
    return made


async def events_of(trigger: AirExecutorJobTrigger) -> list[Event]:
    """All that it fires until it has ended, which must not take for ever."""
    async with asyncio.timeout(60):
        return [event.payload async for event in trigger.run()]


async def event_of(trigger: AirExecutorJobTrigger) -> Event:
    (event,) = await events_of(trigger)
    assert json.loads(json.dumps(event)) == event
    assert set(event) == {"status", "job_name", "job_id", "state", "message", "progress_history"}
    return event


def fired(trigger: AirExecutorJobTrigger) -> Event:
    return asyncio.run(event_of(trigger))


# ---- ends -----------------------------------------------------------------------------------------


def test_a_job_that_ended_before_is_told_at_once(jobs: Jobs) -> None:
    jobs.manage()
    ids = {}
    for name, command in (("good", "true"), ("bad", "false")):
        ids[name] = jobs.client.create_job(name, [{"id": "t", "command": command}], cwd=jobs.base)
        jobs.client.wait(name, 30)
    began = time.monotonic()
    good = fired(trigger_of(jobs, "good", ids["good"], visibility="log,xcom"))
    assert SETTLED_S <= time.monotonic() - began < SETTLED_S + 1.5
    assert good | {"progress_history": []} == {
        "status": "ended",
        "job_name": "good",
        "job_id": ids["good"],
        "state": "completed",
        "message": "job 'good' completed: 1 of 1 tasks done, 0 running, 0 failed",
        "progress_history": [],
    }
    assert good["progress_history"][-1]["completed"] == 1
    bad = fired(trigger_of(jobs, "bad"))
    assert (bad["status"], bad["state"], bad["job_id"]) == ("ended", "failed", ids["bad"])
    assert bad["progress_history"] == [], "it is carried only where XCom is wanted"


def test_the_run_that_is_meant_counts_not_the_next_one(jobs: Jobs, tmp_path: Path) -> None:
    go = tmp_path / "go"
    first = jobs.until("rows", go)
    jobs.manage()

    async def main() -> None:
        one = asyncio.create_task(event_of(trigger_of(jobs, "rows", first)))
        last = asyncio.create_task(event_of(trigger_of(jobs, "rows")))
        then = tmp_path / "then"
        second = jobs.until("rows", then)
        two = asyncio.create_task(event_of(trigger_of(jobs, "rows", second)))
        go.touch()
        assert (await one)["job_id"] == first
        assert not two.done()
        assert not last.done(), "a next run is in line"
        then.touch()
        assert (await two)["job_id"] == second
        assert (await last)["job_id"] == second

    asyncio.run(main())


def test_an_end_that_a_retry_undoes_is_not_told(jobs: Jobs, tmp_path: Path) -> None:
    manager = jobs.manage()
    marker = tmp_path / "marker"
    job_id = jobs.client.create_job("again", [{"command": f"test -e {marker}", "shell": True}], cwd=jobs.base)
    assert jobs.client.wait("again", 30)["state"] == "failed"
    manager.stop()
    marker.touch()
    jobs.client.retry("again")

    async def main() -> None:
        waiting = asyncio.create_task(event_of(trigger_of(jobs, "again", job_id)))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await asyncio.to_thread(jobs.manage)
        assert (await waiting)["state"] == "completed"

    asyncio.run(main())


def test_a_job_that_is_cancelled_by_hand_has_ended(jobs: Jobs, tmp_path: Path) -> None:
    jobs.manage()
    job_id = jobs.until("job", tmp_path / "never")

    async def main() -> None:
        waiting = asyncio.create_task(event_of(trigger_of(jobs, "job", job_id)))
        await asyncio.to_thread(jobs.client.cancel, "job")
        event = await waiting
        assert (event["status"], event["state"]) == ("ended", "failed")

    asyncio.run(main())


# ---- what may go wrong ----------------------------------------------------------------------------


def test_a_folder_that_is_removed_is_missing(jobs: Jobs, tmp_path: Path) -> None:
    job_id = jobs.until("gone", tmp_path / "never")

    async def main() -> None:
        both = [asyncio.create_task(event_of(trigger_of(jobs, "gone", run))) for run in (job_id, None)]
        await asyncio.sleep(0.5)
        shutil.rmtree(jobs.folder("gone"))
        for task in both:
            event = await task
            assert event["status"] == "missing"
            assert event["message"].startswith("job 'gone' is gone: its folder, or this run of it, was removed")

    asyncio.run(main())


def test_what_was_removed_before_is_missing_and_another_folder_is_thought_of(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("air_executor.airflow.waiting.NEVER_SEEN_S", 0.5)
    event = fired(trigger_of(jobs, "job", "20260101T000000-00000000"))
    assert event["status"] == "missing"
    assert "or that is not the folder that the task handed it over to" in event["message"]
    shutil.rmtree(jobs.base)
    event = fired(trigger_of(jobs, "job", "20260101T000000-00000000"))
    assert event["status"] == "error"
    assert f"no base folder at {jobs.base}" in event["message"]


def test_a_job_that_is_not_there_yet_is_waited_for(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("air_executor.airflow.waiting.NEVER_SEEN_S", 0.2)
    jobs.manage()

    async def main() -> None:
        waiting = asyncio.create_task(event_of(trigger_of(jobs, "later")))
        await asyncio.sleep(1.0)
        assert not waiting.done()
        await asyncio.to_thread(jobs.client.create_job, "later", [{"command": "true"}], cwd=jobs.base)
        assert (await waiting)["state"] == "completed"

    asyncio.run(main())


def test_a_bug_is_an_event_too(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr("air_executor.airflow.trigger.Patience", broken)
    event = fired(trigger_of(jobs, "job"))
    assert event["status"] == "error"
    assert event["message"] == "job 'job' cannot be waited for: no such luck"


def test_a_connection_that_is_not_there_is_an_event_too() -> None:
    event = fired(AirExecutorJobTrigger("job", air_executor_conn_id="nobody_knows_this_one"))
    assert event["status"] == "error"
    assert "nobody_knows_this_one" in event["message"]


def test_a_server_may_be_down_for_a_while_but_not_for_ever(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.manage()
    go = tmp_path / "go"
    job_id = jobs.until("job", go)

    async def main() -> None:
        with server_of(jobs.base) as server:
            monkeypatch.setenv("AIR_EXECUTOR_TEST_URL", server.url)
            monkeypatch.setenv("AIRFLOW_CONN_AIR_TEST", json.dumps({"conn_type": "air_executor", "host": server.url}))
            patient, other = (
                AirExecutorJobTrigger("job", job_id, air_executor_conn_id="air_test", patience_s=patience)
                for patience in (600.0, 2.0)
            )
            lines = Lines()
            patient._log = lines
            first, second = (asyncio.create_task(event_of(trigger)) for trigger in (patient, other))
            await asyncio.sleep(1.0)
            assert not first.done()
            await asyncio.to_thread(server.stop)
            event = await second
            assert event["status"] == "error"
            assert event["message"] == f"given up after 2 s: {server.url} cannot be asked: Connection refused"
            go.touch()
            assert not first.done()
            await asyncio.to_thread(server.start)
            assert (await first)["state"] == "completed"
            assert any("waiting for it to be there again" in line for line in lines.warned)
            assert any("can be seen again" in line for line in lines.warned)

    asyncio.run(main())


# ---- who runs it ----------------------------------------------------------------------------------


def test_a_trigger_that_is_cancelled_fires_nothing_and_leaves_nothing(jobs: Jobs, tmp_path: Path) -> None:
    jobs.manage()
    job_id = jobs.until("job", tmp_path / "never")
    before = own()

    async def main() -> None:
        trigger = trigger_of(jobs, "job", job_id, lease_s=3.0, visibility="log,xcom,metrics")
        waiting = asyncio.create_task(events_of(trigger))
        await asyncio.sleep(1.0)
        waiting.cancel("user-action")
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await trigger.cleanup()
        wanted = {("thread", name) for kind, name in own() - before if kind == "thread"}
        await asyncio.to_thread(
            wait_for, lambda: not {n for _, n in own() - before if "air-executor" in n}, f"the end of {wanted}", 5
        )

    asyncio.run(main())
    assert jobs.client.get_job("job")["state"] == "working"


TRIGGERER = """
import asyncio, sys
from air_executor.airflow.trigger import AirExecutorJobTrigger

async def main():
    trigger = AirExecutorJobTrigger(sys.argv[2], sys.argv[3], base_path=sys.argv[1], poll_interval=0.05)
    print("begun", flush=True)
    async for event in trigger.run():
        print("fired", event.payload["state"], flush=True)

asyncio.run(main())
"""


def test_a_killed_triggerer_is_followed_by_another_and_two_at_once_say_the_same(jobs: Jobs, tmp_path: Path) -> None:
    jobs.manage()
    go = tmp_path / "go"
    job_id = jobs.until("job", go)
    command = [sys.executable, "-c", TRIGGERER, str(jobs.base), "job", job_id]
    triggerer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert triggerer.stdout is not None
    while "begun" not in triggerer.stdout.readline():
        assert triggerer.poll() is None
    wait_for(lambda: _inotify(triggerer.pid), "the watcher of the triggerer")
    triggerer.send_signal(signal.SIGKILL)
    out, _ = triggerer.communicate()
    assert "fired" not in out

    async def main() -> None:
        elsewhere = [asyncio.create_task(event_of(trigger_of(jobs, "job", job_id))) for _ in range(2)]
        await asyncio.sleep(0.5)
        go.touch()
        one, two = await asyncio.gather(*elsewhere)
        assert one == two
        assert one["state"] == "completed"

    asyncio.run(main())


def _inotify(pid: int) -> bool:
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(os.readlink(entry))
        except OSError:
            continue
    return "anon_inode:inotify" in links


class Task:
    """What a trigger knows of the task that waits for it."""

    dag_id, task_id, run_id, map_index, task = "dag", "task", "run", -1, None


@pytest.mark.parametrize(
    ("state", "cancels"),
    [("failed", True), (None, True), ("scheduled", True), ("deferred", False), (OSError("down"), None)],
)
def test_only_a_task_that_waits_no_longer_cancels_its_job(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: Any, cancels: bool | None
) -> None:
    def asked(_: Any) -> Any:
        if isinstance(state, Exception):
            raise state
        return state

    monkeypatch.setattr(_compat, "state_of_task", asked)
    jobs.manage()
    job_id = jobs.until("job", tmp_path / "never")
    if cancels is None:  # it cannot be known: Airflow's word counts where it gives one
        cancels = _compat.TRIGGERS_ARE_KILLED

    async def main() -> None:
        trigger = trigger_of(jobs, "job", job_id)
        trigger.task_instance = Task()
        waiting = asyncio.create_task(events_of(trigger))
        await asyncio.sleep(0.5)
        waiting.cancel("user-action")
        with pytest.raises(asyncio.CancelledError):
            await waiting
        if _compat.TRIGGERS_ARE_KILLED:
            await trigger.on_kill()

    asyncio.run(main())
    if cancels:
        assert jobs.client.wait("job", 30, job_id=job_id)["reason"] == "cancelled"
    else:
        assert not list((jobs.folder("job") / "inbox").glob("*.drop.jsonl"))
        assert jobs.client.get_job("job")["state"] == "working"


def test_a_later_run_of_the_name_is_not_cancelled(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_compat, "state_of_task", lambda _: None)
    jobs.manage()
    first = jobs.client.create_job("job", [{"command": "true"}], cwd=jobs.base)
    jobs.client.wait("job", 30, job_id=first)
    second = jobs.until("job", tmp_path / "never")
    wait_for(lambda: jobs.client.get_job("job")["id"] == second, "the second run")
    for keep in (first, second):
        trigger = trigger_of(jobs, "job", keep, cancel_on_kill=keep == first)
        trigger.task_instance = Task()
        asyncio.run(trigger.on_kill())
    inbox = jobs.folder("job") / "inbox"
    wait_for(lambda: not list(inbox.glob("*.drop.jsonl")), "the manager to read the request")
    wait_for(lambda: jobs.client.find_task("job", "wait")["status"] == "running", "its task to run")
    state = jobs.client.get_job("job")
    assert (state["id"], state["state"]) == (second, "working")


def test_the_lease_holds_while_the_trigger_runs_and_no_longer(jobs: Jobs, tmp_path: Path) -> None:
    jobs.manage()
    job_id = jobs.until("leased", tmp_path / "never", lease_s=2)

    async def main() -> None:
        waiting = asyncio.create_task(events_of(trigger_of(jobs, "leased", job_id, lease_s=2.0)))
        await asyncio.sleep(5.0)
        assert jobs.client.get_job("leased")["state"] == "working"
        waiting.cancel()
        await asyncio.wait([waiting])

    asyncio.run(main())
    state = jobs.client.wait("leased", 30, job_id=job_id)
    assert state["reason"] == "cancelled"
    assert "was not heard of for 2 s" in state["error"]


# ---- what is seen meanwhile -----------------------------------------------------------------------


def test_progress_and_failures_appear_in_the_log_of_the_trigger(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.manage()
    go = tmp_path / "go"
    job_id = jobs.until("seen", go, {"id": "bad", "command": "exit 3", "shell": True})
    lines, xcom = Lines(), dict[str, Any]()
    monkeypatch.setattr(_compat, "xcom_of", lambda _: xcom.__setitem__)

    async def main() -> Event:
        trigger = trigger_of(jobs, "seen", job_id, visibility="log,xcom")
        trigger._log = lines
        waiting = asyncio.create_task(event_of(trigger))
        async with asyncio.timeout(30):
            while xcom.get("failed_tasks") != 1:
                await asyncio.sleep(0.05)
        assert "✘ bad: exit code 3" in lines.text
        go.touch()
        return await waiting

    event = asyncio.run(main())
    assert lines.said[-1] == event["message"] == "job 'seen' failed: 2 of 2 tasks done, 0 running, 1 failed"
    assert event["progress_history"][-1]["completed"] == 1


# ---- many -----------------------------------------------------------------------------------------


class Watchdog:
    """As a triggerer's: how long the event loop was held up, and how much of that was its own work.

    On a busy machine any process is held up by others; what the loop's thread itself worked tells the two apart.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.worked_s = 0.0

    async def watch(self) -> None:
        while True:
            began, worked = time.monotonic(), time.thread_time()
            await asyncio.sleep(0.1)
            self.longest_s = max(self.longest_s, time.monotonic() - began - 0.1)
            self.worked_s = max(self.worked_s, time.thread_time() - worked)


@pytest.mark.parametrize("together", [False, True], ids=["one-by-one", "all-at-once"])
def test_control_is_back_within_a_second_with_many_on_one_triggerer(
    jobs: Jobs, tmp_path: Path, together: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.manage("--slots", str(MANY + 8))
    locks = tmp_path / "locks"
    locks.mkdir()
    holder = subprocess.Popen(
        ["flock", str(locks / "held"), "sh", "-c", "echo held; read x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    names = [f"airflow-dag~manual__2026-10-02T07:30:00+00:00~task@{n}" for n in range(MANY)]
    # each waits in a read of a pipe of its own, or all of them for the one lock: neither takes any CPU
    for n, name in enumerate(names):
        os.mkfifo(locks / str(n))
        gate = ["flock", "--shared", str(locks / "held"), "true"] if together else ["cat", str(locks / str(n))]
        jobs.client.create_job(name, [{"id": "gate", "command": gate[0], "args": gate[1:]}], cwd=jobs.base)
    wait_for(lambda: all(jobs.client.get_job(n)["progress"].get("running") for n in names), "all jobs under way", 120)

    async def one(name: str) -> tuple[float, Event]:
        event = await event_of(trigger_of(jobs, name))
        return time.time(), event

    async def main() -> tuple[list[float], Watchdog, int]:
        dog = Watchdog()
        watching = asyncio.create_task(dog.watch())
        before = len([thread for kind, thread in own() if kind == "thread"])
        tasks = []
        for name in names:
            tasks.append(asyncio.create_task(one(name)))
            await asyncio.sleep(0)  # as a triggerer does
        await asyncio.sleep(2.0)
        grown = len([thread for kind, thread in own() if kind == "thread"]) - before
        if together:
            await asyncio.to_thread(holder.communicate, b"\n")
        else:
            for n in range(MANY):
                fd = os.open(locks / str(n), os.O_WRONLY)
                os.close(fd)
                await asyncio.sleep(0.01)
        ended = await asyncio.gather(*tasks)
        watching.cancel()
        late = []
        for at, event in ended:
            assert event["status"] == "ended"
            late.append(at - from_iso(jobs.client.get_job(event["job_name"])["updated_at"]))
        return late, dog, grown

    try:
        late, dog, grown = asyncio.run(main())
    finally:
        holder.kill()
        holder.communicate()
    late.sort()
    median, most = late[len(late) // 2], late[-1]
    how = "all at once" if together else "one by one"
    with capsys.disabled():
        print(
            f"\n{MANY} triggers, {how}: control back after {median:.3f} s (median), {most:.3f} s (at most);", end=" "
        )
        print(f"event loop held up {dog.longest_s:.3f} s, at work {dog.worked_s:.3f} s at most; {grown} threads more")
    assert most < 1.0
    assert dog.worked_s < 0.2, "Airflow warns of a blocked event loop beyond that"
    assert grown <= 4
