"""What a user can steer: limits, priorities, retries, time-outs, cancel, pause, retry, capacity."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from air_executor import AirExecutorClient
from air_executor.times import from_iso
from tests.support import ManagerProcess, by_id, read, wait_end, wait_for, write_job


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def most_at_once(tasks: list[dict[str, str]]) -> int:
    """How many of ended tasks ran at the same time, by their own clocks."""
    changes = [(from_iso(t["started_at"]), 1) for t in tasks] + [(from_iso(t["completed_at"]), -1) for t in tasks]
    running = most = 0
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return most


def test_max_parallel_and_group_limits(base: Path, manager: ManagerProcess) -> None:
    tasks = [{"id": f"t{n}", "command": "sleep", "args": ["0.05"]} for n in range(12)]
    folder = write_job(base, "parallel", tasks, max_parallel=3)
    grouped = [{**task, "group": "db"} for task in tasks]
    other = write_job(base, "grouped", grouped, groups={"db": {"limit": 2}})
    assert wait_end(folder)["state"] == wait_end(other)["state"] == "completed"
    assert most_at_once(list(by_id(folder).values())) <= 3
    assert most_at_once(list(by_id(other).values())) <= 2


def test_group_rate(base: Path, manager: ManagerProcess) -> None:
    tasks = [{"id": f"t{n}", "command": "true", "group": "api"} for n in range(6)]
    folder = write_job(base, "rate", tasks, groups={"api": {"rate": 10}})
    wait_end(folder)
    starts = sorted(from_iso(task["started_at"]) for task in by_id(folder).values())
    assert starts[-1] - starts[0] >= 0.49


def test_priorities_higher_first(base: Path, start_manager: Callable[..., ManagerProcess]) -> None:
    start_manager("--slots", "1")
    tasks = [{"id": f"p{n}", "command": "true", "priority": n} for n in range(6)]
    folder = write_job(base, "priority", tasks)
    wait_end(folder)
    order = sorted(by_id(folder).values(), key=lambda task: task["started_at"])
    assert [task["id"] for task in order] == ["p5", "p4", "p3", "p2", "p1", "p0"]


def test_a_new_small_job_starts_at_the_next_free_slot(base: Path, manager: ManagerProcess) -> None:
    """100,000 tasks of one job wait; a one-task job does not wait behind them."""
    client = AirExecutorClient(base)
    client.create_job("huge", [{"id": str(n), "command": "sleep", "args": ["0.2"]} for n in range(100_000)])
    wait_for(lambda: client.get_job("huge")["state"] == "working", "the huge job to start")
    client.create_job("small", [{"id": "a", "command": "true"}])
    state = client.wait("small", 20)
    assert state["state"] == "completed"
    started = from_iso(by_id(base / "jobs" / "small")["a"]["started_at"])
    assert started - from_iso(state["created_at"]) < 5.0
    assert client.get_job("huge")["progress"]["pending"] > 99_000
    client.cancel("huge")
    assert client.wait("huge", 60)["reason"] == "cancelled"


def test_cpus_and_memory_are_capacity(base: Path, start_manager: Callable[..., ManagerProcess]) -> None:
    start_manager("--slots", "8", "--cpus", "4", "--memory-mb", "1000")
    tasks = [{"id": f"c{n}", "command": "sleep", "args": ["0.05"], "cpus": 2} for n in range(6)]
    tasks += [{"id": f"m{n}", "command": "sleep", "args": ["0.05"], "memory_mb": 600} for n in range(4)]
    folder = write_job(base, "capacity", tasks)
    wait_end(folder)
    found = by_id(folder)
    assert most_at_once([t for i, t in found.items() if i.startswith("c")]) <= 2
    assert most_at_once([t for i, t in found.items() if i.startswith("m")]) == 1


def test_retries_with_growing_pauses(base: Path, manager: ManagerProcess) -> None:
    task = {"id": "a", "command": "false", "retries": 3, "retry_delay_s": 0.1}
    folder = write_job(base, "retries", [task, {"id": "b", "command": "true", "dependencies": ["a"]}])
    state = wait_end(folder)
    assert state["state"] == "failed"
    a = by_id(folder)["a"]
    assert (a["attempt"], a["reason"], a["exit_code"]) == (4, "exit", 1)
    assert by_id(folder)["b"]["reason"] == "skipped"
    starts = [from_iso(e["at"]) for e in AirExecutorClient(base).events("retries") if e["type"] == "AttemptStarted"]
    pauses = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert all(low <= pause for low, pause in zip((0.075, 0.15, 0.3), pauses, strict=True)), pauses


def test_signal_is_named(base: Path, manager: ManagerProcess) -> None:
    folder = write_job(base, "signal", [{"id": "a", "command": "kill -SEGV $$", "shell": True}])
    wait_end(folder)
    task = by_id(folder)["a"]
    assert (task["reason"], task["signal"], task.get("exit_code", None)) == (
        "signal",
        "SIGSEGV",
        None,
    )


def test_sigpipe_is_at_its_default_in_tasks(base: Path, manager: ManagerProcess) -> None:
    folder = write_job(base, "pipe", [{"id": "a", "command": "yes | head -1", "shell": True}])
    assert wait_end(folder)["state"] == "completed"
    assert (folder / "logs" / "a.log").read_text() == "y\n"


def test_timeout_ends_the_whole_group(base: Path, start_manager: Callable[..., ManagerProcess]) -> None:
    start_manager("--slots", "8", AIR_EXECUTOR_GRACE_S="0.3")
    script = "trap '' TERM; sleep 1000 & echo $! $$; wait; sleep 1000"
    tasks = [
        {"id": "stubborn", "command": script, "shell": True, "timeout_s": 0.3},
        {
            "id": "polite",
            "command": "trap 'echo bye; exit 7' TERM; while :; do sleep 0.05; done",
            "shell": True,
            "timeout_s": 0.3,
        },
        {
            "id": "again",
            "command": "sleep 1000",
            "shell": True,
            "timeout_s": 0.1,
            "retries": 1,
            "retry_delay_s": 0,
        },
    ]
    folder = write_job(base, "timeout", tasks)
    wait_end(folder)
    found = by_id(folder)
    assert {task["reason"] for task in found.values()} == {"timeout"}
    assert (folder / "logs" / "polite.log").read_text().endswith("bye\n")
    assert found["again"]["attempt"] == 2
    pids = (folder / "logs" / "stubborn.log").read_text().split()
    assert len(pids) == 2
    assert not any(alive(int(pid)) for pid in pids)


def test_cancel_a_running_task_and_then_the_job(base: Path, manager: ManagerProcess) -> None:
    client = AirExecutorClient(base)
    tasks = [
        {"id": "a", "command": "echo $$; sleep 1000", "shell": True},
        {"id": "after a", "command": "true", "dependencies": ["a"]},
        {"id": "b", "command": "echo $$; sleep 1000", "shell": True},
        {"id": "waiting", "command": "true", "dependencies": ["b"]},
        {"id": "last", "command": "true", "final": True},
    ]
    client.create_job("cancel", tasks)
    wait_for(lambda: client.logs("cancel", "a") and client.logs("cancel", "b"), "both to run")
    client.cancel("cancel", "a")
    wait_for(lambda: by_id(base / "jobs/cancel")["a"]["status"] == "failed", "a to be cancelled")
    assert by_id(base / "jobs/cancel")["a"]["reason"] == "cancelled"
    assert by_id(base / "jobs/cancel")["after a"]["reason"] == "skipped"
    wait_for(lambda: client.get_job("cancel")["state"] == "working", "the job to go on")
    client.cancel("cancel")
    state = client.wait("cancel", 20)
    assert (state["state"], state["reason"]) == ("failed", "cancelled")
    found = by_id(base / "jobs/cancel")
    assert found["b"]["reason"] == found["waiting"]["reason"] == found["last"]["reason"] == "cancelled"
    assert not any(alive(int(client.logs("cancel", task))) for task in "ab")


def test_pause_and_resume(base: Path, start_manager: Callable[..., ManagerProcess]) -> None:
    start_manager("--slots", "1")
    client = AirExecutorClient(base)
    client.create_job("pause", [{"id": f"t{n}", "command": "sleep", "args": ["0.1"]} for n in range(10)])
    wait_for(lambda: client.get_job("pause")["state"] == "working", "the start")
    client.pause("pause")
    wait_for(lambda: client.get_job("pause").get("paused"), "the pause")
    wait_for(lambda: client.get_job("pause")["progress"]["running"] == 0, "what ran to end")
    done = client.get_job("pause")["progress"]["completed"]
    client.create_job("other", [{"id": "x", "command": "true"}])
    client.wait("other", 20)  # the slot is free for others
    assert client.get_job("pause")["progress"]["completed"] == done < 10
    client.resume("pause")
    assert client.wait("pause", 20)["progress"]["completed"] == 10


def test_retry_brings_skipped_dependants_back(base: Path, manager: ManagerProcess, tmp_path: Path) -> None:
    client = AirExecutorClient(base)
    flag = tmp_path / "flag"
    tasks = [
        {"id": "a", "command": "test", "args": ["-e", str(flag)]},
        {"id": "b", "command": "true", "dependencies": ["a"]},
        {"id": "c", "command": "true", "dependencies": ["b"]},
        {"id": "ok", "command": "true"},
    ]
    client.create_job("retry", tasks)
    state = client.wait("retry", 20)
    assert (state["state"], state["progress"]["failed"]) == ("failed", 3)
    flag.touch()
    client.retry("retry")
    wait_for(lambda: client.get_job("retry")["progress"]["completed"] == 4, "the retried tasks")
    state = client.wait("retry", 20)
    assert (state["state"], state["error"]) == ("completed", None)
    assert by_id(base / "jobs/retry")["ok"]["attempt"] == 1


def test_trigger_rule_all_done(base: Path, manager: ManagerProcess) -> None:
    tasks = [
        {"id": "bad", "command": "false"},
        {"id": "clean", "command": "true", "dependencies": ["bad"], "trigger_rule": "all_done"},
    ]
    folder = write_job(base, "rules", tasks)
    wait_end(folder)
    assert by_id(folder)["clean"]["status"] == "completed"


def test_allow_failures_and_max_failures(base: Path, start_manager: Callable[..., ManagerProcess]) -> None:
    start_manager("--slots", "1")
    tasks = [{"id": f"t{n}", "command": "false" if n < 2 else "true"} for n in range(20)]
    assert wait_end(write_job(base, "two", tasks, allow_failures=2))["state"] == "completed"
    assert wait_end(write_job(base, "percent", tasks, allow_failures="10%"))["state"] == "completed"
    assert wait_end(write_job(base, "one", tasks, allow_failures=1))["state"] == "failed"
    state = wait_end(write_job(base, "early", tasks, max_failures=2))
    assert (state["reason"], state["progress"]["completed"]) == ("max_failures", 0)


def test_deadline(base: Path, manager: ManagerProcess) -> None:
    folder = write_job(base, "deadline", [{"id": "a", "command": "sleep", "args": ["1000"]}], deadline_s=0.3)
    state = wait_end(folder, deadline_s=20)
    assert (state["state"], state["reason"]) == ("failed", "deadline")


def test_an_open_job_waits_until_closed(base: Path, manager: ManagerProcess) -> None:
    client = AirExecutorClient(base)
    client.create_job("open", [{"id": "last", "command": "true", "final": True}], open=True)
    client.queue_tasks("open", [{"id": "a", "command": "true"}])
    wait_for(lambda: client.get_job("open")["progress"]["completed"] == 1, "a")
    assert by_id(base / "jobs/open")["last"]["status"] == "pending"
    client.close("open")
    assert client.wait("open", 20)["progress"]["completed"] == 2


def test_2000_sleeping_tasks_at_once(base: Path, start_manager: Callable[..., ManagerProcess]) -> None:
    start_manager("--slots", "2000")
    gate = base / "gate"
    script = f"while [ ! -e {gate} ]; do sleep 1; done"
    folder = write_job(base, "wide", [{"id": str(n), "command": script, "shell": True} for n in range(2_000)])
    wait_for(lambda: read(folder / "state.json").get("progress", {}).get("running") == 2_000, "2,000 running")
    gate.touch()
    assert wait_end(folder)["progress"]["completed"] == 2_000


def test_killed_manager_is_followed_by_one_that_goes_on(
    base: Path, start_manager: Callable[..., ManagerProcess]
) -> None:
    first = start_manager("--slots", "4")
    out = base / "out"
    out.mkdir()
    script = "sleep 0.2; echo x >> $0/$AIR_EXECUTOR_TASK; exit $(( $1 % 3 == 0 ))"
    tasks = [{"id": f"t{n}", "command": "sh", "args": ["-c", script, str(out), str(n)]} for n in range(60)]
    folder = write_job(base, "killed", tasks)
    for wanted in (5, 15):
        wait_for(lambda: len(os.listdir(out)) >= wanted, "some tasks")  # noqa: B023
        first.kill()
        time.sleep(0.3)  # tasks end meanwhile
        first = start_manager("--slots", "4")
    state = wait_end(folder)
    assert state["progress"] == {"total": 60, "pending": 0, "running": 0, "completed": 40, "failed": 20}
    assert {name: (out / name).read_text() for name in os.listdir(out)} == {f"t{n}": "x\n" for n in range(60)}
    assert all(
        task["attempt"] == 1 and task["reason"] != "lost" for task in by_id(folder).values() if "reason" in task
    )


def test_killed_launcher_is_replaced_and_its_tasks_are_seen_to_end(
    base: Path, start_manager: Callable[..., ManagerProcess]
) -> None:
    from tests.acceptance.test_bad_input import launcher_pids

    manager = start_manager("--slots", "4", "--launchers", "1")
    gate = base / "gate"
    script = f"while [ ! -e {gate} ]; do sleep 0.02; done; exit 3"
    folder = write_job(base, "launcher", [{"id": str(n), "command": script, "shell": True} for n in range(8)])
    wait_for(lambda: read(folder / "state.json").get("progress", {}).get("running") == 4, "four running")
    (pid,) = launcher_pids(manager)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: launcher_pids(manager) not in ([], [pid]), "another launcher")
    gate.touch()
    wait_end(folder)
    assert [(t["reason"], t["exit_code"], t["attempt"]) for t in by_id(folder).values()] == [("exit", 3, 1)] * 8


def test_a_stopped_manager_leaves_tasks_running(base: Path, start_manager: Callable[..., ManagerProcess]) -> None:
    manager = start_manager("--slots", "2")
    folder = write_job(base, "leave", [{"id": "a", "command": "sleep 1; echo end", "shell": True}])
    wait_for(lambda: read(folder / "state.json").get("state") == "working", "the start")
    manager.stop(signal.SIGTERM)
    wait_for(lambda: (folder / "logs/a.log").exists() and (folder / "logs/a.log").read_text() == "end\n", "its end")
    start_manager("--slots", "2")
    assert wait_end(folder)["state"] == "completed"
    assert by_id(folder)["a"]["attempt"] == 1


def test_a_manager_stops_while_somebody_is_writing_a_view(
    base: Path, start_manager: Callable[..., ManagerProcess]
) -> None:
    manager = start_manager("--slots", "2")
    gate = base.parent / "gate"
    waiting = f"while [ ! -e {gate} ]; do sleep 0.02; done"
    folder = write_job(base, "job", [{"id": "a", "command": waiting, "shell": True}, {"id": "b", "command": "true"}])
    wait_for(lambda: read(folder / "state.json").get("progress", {}).get("completed") == 1, "one end")
    extended = [*read(folder / "tasks.json"), {"id": "c", "command": "true"}]
    with (folder / "tasks.json").open("w") as file:
        file.write(json.dumps(extended)[:-2])  # the rest comes later
        file.flush()
        gate.touch()  # now the views are to be written
        wait_for(lambda: (folder / "journal.jsonl").read_text().count("AttemptExited") == 2, "its end")
        manager.stop(signal.SIGTERM)
        start_manager("--slots", "2")
        file.write(json.dumps(extended)[-2:])
    assert wait_end(folder)["state"] == "completed"
    assert by_id(folder).keys() == {"a", "b", "c"}


def test_drain_ends_what_runs_and_starts_nothing_more(
    base: Path, start_manager: Callable[..., ManagerProcess]
) -> None:
    manager = start_manager("--slots", "1")
    folder = write_job(base, "drain", [{"id": f"t{n}", "command": "sleep", "args": ["0.5"]} for n in range(3)])
    wait_for(lambda: read(folder / "state.json").get("state") == "working", "the start")
    manager.stop(signal.SIGUSR1)
    statuses = [task["status"] for task in by_id(folder).values()]
    assert statuses == ["completed", "pending", "pending"]
    start_manager("--slots", "1")
    assert wait_end(folder)["state"] == "completed"


def test_idle_manager_costs_nothing(base: Path, manager: ManagerProcess) -> None:
    """With 200 ended jobs an idle manager uses next to no CPU: nothing is read over and over."""
    client = AirExecutorClient(base)
    for n in range(200):
        client.create_job(f"j{n}", [])
    for n in range(200):
        client.wait(f"j{n}", 30)

    def cpu_s() -> float:
        fields = Path(f"/proc/{manager.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    time.sleep(1.0)
    before = cpu_s()
    time.sleep(3.0)
    assert cpu_s() - before < 0.06, sys.version


def test_wait_after_a_retry_waits_for_the_new_end(base: Path, manager: ManagerProcess, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    client = AirExecutorClient(base)
    tasks = [{"id": f"t{n}", "command": "sh", "args": ["-c", f"sleep 0.05; test -e {marker}"]} for n in range(2)]
    job_id = client.create_job("again", tasks)
    assert client.wait("again", 60)["state"] == "failed"
    for ask in (
        lambda: client.retry("again"),
        lambda: client.queue_tasks("again", [{"command": "true"}], reopen=True),
    ):
        for given in (None, job_id):
            before = client.get_job("again")["updated_at"]
            ask()
            state = client.wait("again", 60, job_id=given)
            assert (state["state"], state["updated_at"] > before) == ("failed", True)
    marker.touch()
    client.retry("again")
    assert client.wait("again", 60)["state"] == "completed"


def test_a_run_made_again_under_its_id_is_left_alone(
    base: Path, start_manager: Callable[..., ManagerProcess], tmp_path: Path
) -> None:
    """What is ended of a job whose folder was removed is not what carries the same name, task and run id."""
    start_manager("--slots", "8", AIR_EXECUTOR_GRACE_S="0.5")
    client = AirExecutorClient(base)
    stubborn = {"id": "t", "command": "sh", "args": ["-c", f"trap '' TERM; echo $$ >{tmp_path}/pid; sleep 600"]}
    client.create_job("again", [stubborn], job_id="mine")
    pid = int(wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the first"))
    shutil.rmtree(base / "jobs" / "again")
    quick = {"id": "t", "command": "sh", "args": ["-c", f"until test -e {tmp_path}/go; do sleep 0.02; done"]}
    client.create_job("again", [quick], job_id="mine")
    wait_for(lambda: client.get_job("again").get("progress", {}).get("running"), "the second")
    wait_for(lambda: not alive(pid), "the end of the first")
    client.create_job("marker", [{"command": "true"}])
    client.wait("marker", 60)  # whatever the manager made of that end, it has done by now
    (tmp_path / "go").touch()
    assert client.wait("again", 60)["state"] == "completed", (base / "manager.log").read_text()
