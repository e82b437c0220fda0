"""Work that a running task adds is never lost: every way of adding, many at once, at the last moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ManagerProcess, by_id, read, wait_end, write_job

RENAMING = """
import json, os, sys
view, count, prefix = sys.argv[1], int(sys.argv[2]), sys.argv[3]
tasks = json.load(open(view))
tasks += [{"id": f"{prefix}-{n}", "command": "true"} for n in range(count)]
with open(view + f".{prefix}.new", "w") as file:
    json.dump(tasks, file)
os.rename(view + f".{prefix}.new", view)
"""
IN_PLACE = """
import json, sys
view, count, prefix = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with open(view, "r+") as file:
    tasks = json.load(file)
    tasks += [{"id": f"{prefix}-{n}", "command": "true"} for n in range(count)]
    file.seek(0)
    json.dump(tasks, file, indent=1)
    file.truncate()
"""
WITHOUT_IDS = """
import json, os, sys
view, count, prefix = sys.argv[1], int(sys.argv[2]), sys.argv[3]
tasks = json.load(open(view))
tasks += [{"command": "true"}] * count
with open(view + ".new", "w") as file:
    json.dump(tasks, file)
os.rename(view + ".new", view)
"""


def python(script: str, *args: object, **fields: object) -> dict[str, object]:
    return {"command": sys.executable, "args": ["-I", "-S", "-c", script, *map(str, args)], **fields}


@pytest.mark.parametrize("script", [RENAMING, IN_PLACE, WITHOUT_IDS], ids=["rename", "in place", "no ids"])
def test_500_tasks_appended_by_a_running_task_all_run(base: Path, manager: ManagerProcess, script: str) -> None:
    view = base / "jobs" / "grow" / "tasks.json"
    folder = write_job(base, "grow", [python(script, view, 500, "more", id="discover")])
    state = wait_end(folder)
    assert state["state"] == "completed", state
    assert state["progress"]["completed"] == 501


@pytest.mark.parametrize("script", [RENAMING, IN_PLACE], ids=["rename", "in place"])
def test_none_is_lost_while_2000_other_tasks_end(base: Path, manager: ManagerProcess, script: str) -> None:
    view = base / "jobs" / "busy" / "tasks.json"
    tasks = [python(script, view, 500, "more", id="discover", priority=-1, dependencies=["t-300"])]
    tasks += [{"id": f"t-{n}", "command": "true"} for n in range(2_000)]
    state = wait_end(write_job(base, "busy", tasks))
    assert (state["state"], state["progress"]["completed"]) == ("completed", 2_501), state


def test_eight_tasks_one_after_another_append_50_each(base: Path, manager: ManagerProcess) -> None:
    view = base / "jobs" / "chain" / "tasks.json"
    tasks = [
        python(
            [RENAMING, IN_PLACE][n % 2], view, 50, f"w{n}", id=f"writer-{n}",
            dependencies=[f"writer-{n - 1}"] if n else [],
        )
        for n in range(8)
    ]  # fmt: skip
    state = wait_end(write_job(base, "chain", tasks))
    assert (state["state"], state["progress"]["completed"]) == ("completed", 408), state


QUEUE_WAYS = {
    "task.queue": "from air_executor import task\nfor n in range(50): task.queue([{'command': 'true'}])",
    "printf": 'for n in $(seq 50); do printf \'\\n{"command":"true"}\\n\' >> "$AIR_EXECUTOR_INBOX"; done',
    "cli": 'seq 50 | "$0" -m air_executor queue --each -- true {}',
}


@pytest.mark.parametrize("way", QUEUE_WAYS)
def test_eight_at_the_same_moment_queue_50_each(base: Path, manager: ManagerProcess, way: str) -> None:
    script = QUEUE_WAYS[way]
    argv = ["-c", script] if way == "task.queue" else ["-c", script, sys.executable]
    command = sys.executable if way == "task.queue" else "sh"
    tasks = [{"id": f"writer-{n}", "command": command, "args": argv} for n in range(8)]
    state = wait_end(write_job(base, "eight", tasks))
    assert (state["state"], state["progress"]["completed"]) == ("completed", 408), state


def test_10000_through_16_processes_of_one_task(base: Path, manager: ManagerProcess) -> None:
    script = """
import os
children = []
for process in range(16):
    pid = os.fork()
    if pid == 0:
        from air_executor import task
        for n in range(125):
            task.queue([{"id": f"p{process}-{n}-{k}", "command": "true"} for k in range(5)])
        os._exit(0)
    children.append(pid)
assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
"""
    tasks = [{"id": "discover", "command": sys.executable, "args": ["-c", script]}]
    state = wait_end(write_job(base, "many", tasks), deadline_s=100)
    assert (state["state"], state["progress"]["completed"]) == ("completed", 10_001), state


def test_outside_queue_into_an_open_job(base: Path, manager: ManagerProcess) -> None:
    from air_executor import AirExecutorClient

    client = AirExecutorClient(base)
    job_id = client.create_job("open", open=True)
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "air_executor",
                "queue",
                "--base",
                str(base),
                "--job",
                "open",
                "--",
                "true",
            ]
        )
        for _ in range(8)
    ]
    assert [p.wait(30) for p in processes] == [0] * 8
    ids = client.queue_tasks("open", [{"command": "true"}] * 20)
    assert len(set(ids)) == 20
    client.close("open")
    state = client.wait("open", 30, job_id=job_id)
    assert (state["state"], state["progress"]["completed"]) == ("completed", 28)


def test_same_id_and_content_queued_twice_runs_once(base: Path, manager: ManagerProcess) -> None:
    script = """
from air_executor import task
for _ in range(3):
    task.queue([{"id": "once", "command": "true"}])
"""
    tasks = [{"id": "discover", "command": sys.executable, "args": ["-c", script]}]
    state = wait_end(write_job(base, "twice", tasks))
    assert (state["state"], state["progress"]["total"], state["warnings"]) == ("completed", 2, [])


def test_a_repeated_attempt_that_queues_the_same_again_doubles_nothing(base: Path, manager: ManagerProcess) -> None:
    script = """
import os, sys
from air_executor import task
task.queue([{"command": "echo", "args": [str(n)]} for n in range(20)])
sys.exit(os.environ["AIR_EXECUTOR_ATTEMPT"] == "1")
"""
    tasks = [
        {
            "id": "discover",
            "command": sys.executable,
            "args": ["-c", script],
            "retries": 1,
            "retry_delay_s": 0,
        }
    ]
    state = wait_end(write_job(base, "again", tasks))
    assert (state["state"], state["progress"]["total"]) == ("completed", 21), state


def test_views_are_readable_with_open_and_json_at_every_moment(base: Path, manager: ManagerProcess) -> None:
    """A reader polling 20 times a second never sees half a file, an unknown word, or a count going back."""
    view = base / "jobs" / "polled" / "tasks.json"
    tasks = [python(RENAMING, view, 800, "more", id="discover")]
    tasks += [{"id": f"t-{n}", "command": "sleep", "args": ["0.01"]} for n in range(800)]
    folder = write_job(base, "polled", tasks)
    script = """
import json, sys, time
folder, reads, seen = sys.argv[1], 0, [{}, {}]
words = {"pending", "running", "completed", "failed"}
while True:
    with open(folder + "/state.json") as file:
        state = json.load(file)
    with open(folder + "/tasks.json") as file:
        tasks = json.load(file)
    counts = {}
    for task in tasks:
        status = task.get("status", "pending")
        assert status in words, task
        counts[status] = counts.get(status, 0) + 1
    counts["total"] = len(tasks)
    for before, now in zip(seen, (state.get("progress", {}), counts)):
        for key in ("completed", "failed", "total"):
            assert now.get(key, 0) >= before.get(key, 0), (before, now)
    seen = [state.get("progress", {}), counts]
    reads += 1
    if state.get("state") in ("completed", "failed"):
        break
    time.sleep(0.05)
print(json.dumps([reads, state["progress"], counts]))
"""
    reader = subprocess.run(
        [sys.executable, "-I", "-c", script, str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert reader.returncode == 0, reader.stderr
    reads, progress, counts = json.loads(reader.stdout)
    assert reads > 10
    assert progress["completed"] == counts["completed"] == 1_601


def test_1237_discovered_tasks_run_in_parallel(base: Path, start_manager: object) -> None:
    start_manager("--slots", "1300")  # type: ignore[operator]
    script = """
from air_executor import task
task.queue([{"id": f"s{n}", "command": "sleep", "args": ["1"]} for n in range(1237)])
"""
    tasks = [{"id": "discover", "command": sys.executable, "args": ["-c", script]}]
    folder = write_job(base, "wide", tasks)
    state = wait_end(folder)
    assert (state["state"], state["progress"]["completed"]) == ("completed", 1_238)
    began = min(task["started_at"] for task in by_id(folder).values())
    last_start = max(task["started_at"] for task in by_id(folder).values())
    first_end = min(t["completed_at"] for i, t in by_id(folder).items() if i.startswith("s"))
    assert began < last_start
    assert last_start < first_end or os.cpu_count() == 1  # all of them ran at once


def test_tasks_json_is_a_list_in_stable_order(base: Path, manager: ManagerProcess) -> None:
    folder = write_job(base, "order", [{"id": f"t{n}", "command": "true"} for n in range(30)])
    wait_end(folder)
    tasks = read(folder / "tasks.json")
    assert [task["id"] for task in tasks] == [f"t{n}" for n in range(30)]
    lines = (folder / "tasks.json").read_text().splitlines()
    assert lines[0] == "["
    assert lines[1] == "  {"
    assert lines[2] == '    "id": "t0",'
