"""The job folder protocol: jobs made by hand in every order, new runs, copies, options, environment."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from air_executor import AirExecutorClient
from air_executor.errors import InvalidName
from tests.support import ManagerProcess, by_id, ended, read, wait_end, wait_for, write_job

ONE = [{"id": "a", "command": "echo", "args": ["hi"]}]


def put(path: Path, value: object, way: str) -> None:
    """Write JSON in place, or by rename."""
    text = json.dumps(value)
    if way == "in place":
        path.write_text(text)
    else:
        new = path.with_name(path.name + ".tmp")
        new.write_text(text)
        new.rename(path)


@pytest.mark.parametrize("way", ["in place", "rename"])
@pytest.mark.parametrize("order", [("state", "tasks"), ("tasks", "state")])
def test_two_files_in_either_order(base: Path, manager: ManagerProcess, order: tuple[str, str], way: str) -> None:
    folder = base / "jobs" / "hand"
    folder.mkdir()
    contents = {"state": {"id": "h1", "name": "hand", "state": "waiting"}, "tasks": ONE}
    put(folder / f"{order[0]}.json", contents[order[0]], way)
    wait_for(lambda: read(folder / f"{order[0]}.json"), "the first file")
    assert ended(folder) is None
    put(folder / f"{order[1]}.json", contents[order[1]], way)
    state = wait_end(folder)
    assert (state["id"], state["state"]) == ("h1", "completed")
    assert (folder / "logs" / "a.log").read_text() == "hi\n"
    task = by_id(folder)["a"]
    assert (task["job_name"], task["status"], task["exit_code"], task["attempt"]) == (
        "hand",
        "completed",
        0,
        1,
    )
    assert task["created_at"].endswith("Z")
    assert task["usage"]["cpu_s"] >= 0


def test_jobs_that_were_there_before_the_manager(base: Path, start_manager: object) -> None:
    folder = write_job(base, "early", ONE)
    client = AirExecutorClient(base)
    client.create_job("early2", [{"id": "x", "command": "true"}])
    start_manager()  # type: ignore[operator]
    assert wait_end(folder)["state"] == "completed"
    assert client.wait("early2", 20)["state"] == "completed"


def test_new_id_in_an_old_folder_is_a_new_run(base: Path, manager: ManagerProcess) -> None:
    folder = write_job(base, "again", ONE)
    wait_end(folder)
    put(folder / "state.json", {"id": "second", "name": "again"}, "rename")
    put(folder / "tasks.json", [{"id": "b", "command": "echo", "args": ["two"]}], "rename")
    state = wait_end(folder, "second")
    assert (state["state"], list(by_id(folder))) == ("completed", ["b"])
    old = folder / "runs" / "again-1"
    assert read(old / "state.json")["state"] == "completed"
    assert read(old / "tasks.json")[0]["id"] == "a"
    assert (old / "logs" / "a.log").read_text() == "hi\n"
    assert (old / "journal.jsonl").exists()
    assert not (folder / "logs" / "a.log").exists()


def test_new_run_with_tasks_written_first(base: Path, manager: ManagerProcess) -> None:
    folder = write_job(base, "again", ONE)
    wait_end(folder)
    put(folder / "tasks.json", [{"id": "b", "command": "true"}], "in place")
    wait_for(lambda: read(folder / "state.json")["warnings"], "the manager to have seen it")
    put(folder / "state.json", {"id": "second", "name": "again"}, "in place")
    wait_end(folder, "second")
    assert list(by_id(folder)) == ["b"]


def test_an_unchanged_old_view_is_never_taken_for_the_new_run(base: Path, manager: ManagerProcess) -> None:
    folder = write_job(base, "again", ONE)
    wait_end(folder)
    put(folder / "state.json", {"id": "second", "name": "again"}, "rename")
    other = write_job(base, "other", ONE)
    wait_end(other)  # the manager has had its time
    assert ended(folder) is None
    assert read(folder / "tasks.json")[0]["id"] == "a"
    put(folder / "tasks.json", [{"id": "c", "command": "true"}], "rename")
    wait_end(folder, "second")
    assert list(by_id(folder)) == ["c"]


def test_a_new_run_waits_for_the_present_one(base: Path, manager: ManagerProcess) -> None:
    gate = base / "gate"
    script = f"while [ ! -e {gate} ]; do sleep 0.02; done"
    folder = write_job(base, "busy", [{"id": "a", "command": script, "shell": True}])
    wait_for(lambda: read(folder / "state.json").get("state") == "working", "the first run")
    put(folder / "state.json", {"id": "second", "name": "busy"}, "rename")
    wait_for(lambda: read(folder / "state.json")["id"] == "busy-1", "the view put back")
    put(folder / "tasks.json", [{"id": "b", "command": "true"}], "rename")
    wait_for(lambda: "a" in by_id(folder), "the view put back")
    assert ended(folder) is None
    gate.touch()
    wait_end(folder, "second")
    assert list(by_id(folder)) == ["b"]
    assert read(folder / "runs" / "busy-1" / "state.json")["progress"]["total"] == 1


def test_both_files_of_a_next_run_written_at_once_over_an_active_one(base: Path, manager: ManagerProcess) -> None:
    gate = base / "gate"
    script = f"while [ ! -e {gate} ]; do sleep 0.02; done"
    folder = write_job(base, "busy", [{"id": "a", "command": script, "shell": True}])
    wait_for(lambda: read(folder / "state.json").get("state") == "working", "the first run")
    put(folder / "state.json", {"id": "second", "name": "busy"}, "rename")
    put(folder / "tasks.json", [{"id": "b", "command": "true"}], "rename")
    wait_for(lambda: read(folder / "state.json").get("warnings"), "the manager to have seen it")
    gate.touch()
    wait_end(folder, "second")
    assert list(by_id(folder)) == ["b"]
    assert read(folder / "runs" / "busy-1" / "state.json")["progress"]["total"] == 1


def test_explicit_values_win_over_defaults(base: Path, manager: ManagerProcess) -> None:
    client = AirExecutorClient(base)
    defaults = {"retries": 2, "retry_delay_s": 0, "shell": True}
    script = "import os; from air_executor import task; task.queue([{'id': 'queued', 'command': 'exit 1'}])"
    tasks = [
        {"id": "explicit", "command": "exit 1", "retries": 0},
        {"id": "default", "command": "exit 1"},
        {"id": "queueing", "command": sys.executable, "args": ["-c", script], "shell": False},
    ]
    client.create_job("defaults", tasks, defaults=defaults)
    client.wait("defaults", 20)
    attempts = {name: task["attempt"] for name, task in by_id(base / "jobs/defaults").items()}
    assert attempts == {"explicit": 1, "default": 3, "queueing": 1, "queued": 3}


def test_submitting_a_name_again_makes_runs_one_after_another(base: Path, manager: ManagerProcess) -> None:
    client = AirExecutorClient(base)
    ids = [client.create_job("nightly", [{"id": f"t{n}", "command": "true"}]) for n in range(4)]
    assert [client.wait("nightly", 30, job_id=job_id)["id"] for job_id in ids] == ids
    assert client.wait("nightly", 30)["id"] == ids[-1]
    assert sorted(os.listdir(base / "jobs" / "nightly" / "runs")) == sorted(ids[:-1])


def test_a_run_of_an_id_begins_once_however_often_it_is_submitted(base: Path, manager: ManagerProcess) -> None:
    client = AirExecutorClient(base)
    count = f"echo x >> '{base}/count'"
    for name in ("one", "one", "two", "one", "two"):
        assert client.create_job("mine", [{"command": count, "shell": True}], job_id=name) == name
    for name in ("one", "two"):
        assert client.wait("mine", 30, job_id=name)["id"] == name
    assert client.create_job("mine", [{"command": count, "shell": True}], job_id="one") == "one"
    last = client.create_job("mine", [{"command": "true"}])
    client.wait("mine", 30, job_id=last)
    assert (base / "count").read_text() == "x\nx\n"
    for wrong in ("", "a\nb", "x" * 256, 7):
        with pytest.raises(InvalidName, match="job id"):
            client.create_job("mine", [], job_id=wrong)  # type: ignore[arg-type]


def test_a_copied_folder_without_journal_is_imported_as_it_stands(base: Path, manager: ManagerProcess) -> None:
    folder = write_job(base, "first", [*ONE, {"id": "bad", "command": "false"}])
    wait_end(folder)
    copy = base / "jobs" / ".copy"
    copy.mkdir()
    for name in ("state.json", "tasks.json"):
        shutil.copy(folder / name, copy / name)
    copy.rename(base / "jobs" / "second")
    wait_for((base / "jobs/second/journal.jsonl").exists, "the import")
    state = wait_end(base / "jobs" / "second")
    assert (state["state"], state["progress"]["failed"]) == ("failed", 1)
    tasks = by_id(base / "jobs" / "second")
    assert (tasks["a"]["status"], tasks["bad"]["exit_code"]) == ("completed", 1)
    client = AirExecutorClient(base)
    client.retry("second")
    wait_for(lambda: by_id(base / "jobs/second")["bad"]["attempt"] == 2, "the retry")


def test_unknown_keys_are_kept(base: Path, manager: ManagerProcess) -> None:
    folder = write_job(
        base, "keys", [{"id": "a", "command": "true", "owner": {"team": "x"}, "dependecies": []}], color="red"
    )
    state = wait_end(folder)
    assert state["color"] == "red"
    assert by_id(folder)["a"]["owner"] == {"team": "x"}
    assert "did you mean 'dependencies'" in state["warnings"][0]


def test_a_view_written_back_changes_nothing(base: Path, manager: ManagerProcess) -> None:
    folder = write_job(base, "edited", [*ONE, {"id": "s", "command": "sleep", "args": ["0.6"]}])
    wait_for(lambda: by_id(folder)["a"].get("status") == "completed", "a")
    tasks = read(folder / "tasks.json")
    for task in tasks:
        task["status"], task["command"] = "failed", "other"
    put(folder / "tasks.json", tasks, "in place")
    state = wait_end(folder)
    assert (state["state"], state["warnings"]) == ("completed", [])
    assert by_id(folder)["a"]["command"] == "echo"


def test_environment_of_a_task(base: Path, manager: ManagerProcess, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cr3t-file\n")
    client = AirExecutorClient(base)
    script = "import json, os, sys; print(json.dumps([dict(os.environ), os.getcwd(), sys.stdin.read()]))"
    task = {
        "id": "env",
        "command": sys.executable,
        "args": ["-c", script],
        "env": {"MINE": "1"},
        "env_from": {"FROM_FILE": {"file": str(secret)}, "FROM_ENV": {"environment": "HOME"}},
    }
    client.create_job("env", [task], params={"region": "eu"}, cwd=tmp_path)
    assert client.wait("env", 20)["state"] == "completed"
    env, cwd, stdin = json.loads(client.logs("env", "env"))
    assert cwd == str(tmp_path)
    assert stdin == ""
    assert env["AIR_EXECUTOR_BASE"] == str(base)
    assert (env["AIR_EXECUTOR_JOB"], env["AIR_EXECUTOR_TASK"], env["AIR_EXECUTOR_ATTEMPT"]) == (
        "env",
        "env",
        "1",
    )
    assert env["AIR_EXECUTOR_RESULT"].endswith(".json")
    assert env["AIR_EXECUTOR_INBOX"].endswith(".jsonl")
    assert (env["MINE"], env["region"], env["FROM_FILE"]) == ("1", "eu", "s3cr3t-file")
    assert env["FROM_ENV"] == os.environ["HOME"]
    for path in base.rglob("*"):
        if path.is_file() and "logs" not in path.parts:
            assert b"s3cr3t-file" not in path.read_bytes(), path


def test_working_directory_is_inherited(base: Path, manager: ManagerProcess, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    client = AirExecutorClient(base)
    queue = "from air_executor import task; task.queue([{'id': 'child', 'command': 'pwd'}])"
    tasks = [
        {"id": "top", "command": "pwd"},
        {"id": "parent", "command": sys.executable, "args": ["-c", queue], "cwd": "sub"},
    ]
    client.create_job("cwd", tasks, cwd=tmp_path)
    client.wait("cwd", 20)
    assert client.logs("cwd", "top") == f"{tmp_path}\n"
    assert client.logs("cwd", "child") == f"{tmp_path / 'sub'}\n"
    folder = write_job(base, "hand", [{"id": "p", "command": "pwd"}])
    wait_end(folder)
    assert (folder / "logs" / "p.log").read_text() == f"{base.parent}\n"


def test_results_and_final_tasks(base: Path, manager: ManagerProcess) -> None:
    parts = "import os; from air_executor import task; n = int(os.environ['N']); task.result({'n': n})"
    merge = """
from air_executor import task
found = task.results(group="parts")
task.result({"sum": sum(r["n"] for r in found.values()), "count": len(found)})
"""
    tasks = [
        {
            "id": f"p{n}",
            "command": sys.executable,
            "args": ["-c", parts],
            "env": {"N": str(n)},
            "group": "parts",
        }
        for n in range(10)
    ]
    tasks.append({"id": "merge", "command": sys.executable, "args": ["-c", merge], "final": True})
    folder = write_job(base, "results", tasks)
    assert wait_end(folder)["state"] == "completed"
    assert by_id(folder)["merge"]["result"] == {"sum": 45, "count": 10}


def test_bad_results_fail_the_task(base: Path, manager: ManagerProcess) -> None:
    tasks = [
        {"id": "text", "command": 'echo no json > "$AIR_EXECUTOR_RESULT"', "shell": True},
        {"id": "large", "command": 'head -c 2000000 /dev/zero > "$AIR_EXECUTOR_RESULT"', "shell": True},
    ]
    folder = write_job(base, "results", tasks)
    wait_end(folder)
    assert "not JSON" in by_id(folder)["text"]["error"]
    assert "over the limit" in by_id(folder)["large"]["error"]


def test_stdout_and_stderr_in_the_order_written(base: Path, manager: ManagerProcess) -> None:
    script = "for n in 1 2 3 4 5; do echo out $n; echo err $n >&2; done"
    folder = write_job(base, "order", [{"id": "a", "command": script, "shell": True}])
    wait_end(folder)
    expected = "".join(f"out {n}\nerr {n}\n" for n in range(1, 6))
    assert (folder / "logs" / "a.log").read_text() == expected


def test_output_of_a_child_that_outlives_its_task_goes_to_that_tasks_log(base: Path, manager: ManagerProcess) -> None:
    go = base / "go"
    script = f"(while [ ! -e {go} ]; do sleep 0.02; done; echo late) &"
    tasks = [{"id": "parent", "command": script, "shell": True}]
    tasks += [{"id": f"n{n}", "command": "echo", "args": ["x"], "dependencies": ["parent"]} for n in range(20)]
    folder = write_job(base, "children", tasks)
    wait_end(folder)
    go.touch()
    wait_for(lambda: (folder / "logs" / "parent.log").read_text() == "late\n", "the child's word")
    assert all((folder / "logs" / f"n{n}.log").read_text() == "x\n" for n in range(20))


def test_log_of_a_running_task_can_be_read(base: Path, manager: ManagerProcess) -> None:
    folder = write_job(base, "live", [{"id": "a", "command": "echo begun; sleep 30", "shell": True}])
    log = folder / "logs" / "a.log"
    wait_for(lambda: log.exists() and log.read_text() == "begun\n", "the log while it runs")
    AirExecutorClient(base).cancel("live")
    wait_end(folder)


def test_logs_of_earlier_attempts_are_kept(base: Path, manager: ManagerProcess) -> None:
    task = {
        "id": "a",
        "command": 'echo attempt $AIR_EXECUTOR_ATTEMPT; [ "$AIR_EXECUTOR_ATTEMPT" = 3 ]',
        "shell": True,
        "retries": 2,
        "retry_delay_s": 0.01,
    }
    folder = write_job(base, "attempts", [task])
    assert wait_end(folder)["state"] == "completed"
    client = AirExecutorClient(base)
    assert [client.logs("attempts", "a", n) for n in (1, 2, 3)] == [f"attempt {n}\n" for n in (1, 2, 3)]
    assert client.logs("attempts", "a") == "attempt 3\n"
