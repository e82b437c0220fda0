"""Every line of bad input gets one clear answer, for its own job only, and nothing hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from air_executor import AirExecutorClient
from air_executor.errors import InvalidInput, InvalidName, JobSealed, NotFound
from tests.support import ManagerProcess, by_id, read, wait_end, wait_for, write_job


def memory_mb(pid: int) -> float:
    """Peak resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1000
    raise AssertionError(pid)


def launcher_pids(manager: ManagerProcess) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == manager.pid and b"launcher.py" in command:
                found.append(int(entry.name))
    return found


def test_empty_job_completes_at_once(base: Path, manager: ManagerProcess) -> None:
    state = wait_end(write_job(base, "empty", []), deadline_s=5)
    assert (state["state"], state["progress"]["total"]) == ("completed", 0)


def test_unknown_dependency_fails_with_the_names(base: Path, manager: ManagerProcess) -> None:
    tasks = [{"id": "a", "command": "true"}, {"id": "b", "command": "true", "dependencies": ["nope", "a"]}]
    folder = write_job(base, "unknown", tasks)
    state = wait_end(folder)
    assert (state["state"], state["reason"]) == ("failed", "unknown_dependency")
    assert "'b' depends on unknown 'nope'" in state["error"]
    assert by_id(folder)["a"]["status"] == "completed"
    assert by_id(folder)["b"]["reason"] == "skipped"


def test_unknown_dependency_of_an_open_job_waits(base: Path, manager: ManagerProcess) -> None:
    client = AirExecutorClient(base)
    client.create_job("open", [{"id": "b", "command": "true", "dependencies": ["later"]}], open=True)
    client.queue_tasks("open", [{"id": "x", "command": "true"}])
    wait_for(lambda: client.get_job("open")["progress"].get("completed") == 1, "x")
    assert client.get_job("open")["state"] == "working"
    client.queue_tasks("open", [{"id": "later", "command": "true"}])
    client.close("open")
    assert client.wait("open", 20)["progress"]["completed"] == 3


def test_cycle_is_refused_at_submit(base: Path) -> None:
    tasks = [
        {"id": "a", "command": "true", "dependencies": ["b"]},
        {"id": "b", "command": "true", "dependencies": ["a"]},
    ]
    with pytest.raises(InvalidInput, match="dependency cycle: a -> b -> a"):
        AirExecutorClient(base).create_job("cycle", tasks)


def test_cycle_in_hand_written_files_fails_naming_it(base: Path, manager: ManagerProcess) -> None:
    tasks = [
        {"id": "a", "command": "true", "dependencies": ["b"]},
        {"id": "b", "command": "true", "dependencies": ["a"]},
        {"id": "c", "command": "true"},
    ]
    folder = write_job(base, "cycle", tasks)
    state = wait_end(folder)
    assert (state["state"], state["reason"]) == ("failed", "cycle")
    assert "a -> b -> a" in state["error"]
    assert by_id(folder)["c"]["status"] == "completed"


def test_cycle_by_later_queueing_fails_naming_it(base: Path, manager: ManagerProcess) -> None:
    client = AirExecutorClient(base)
    client.create_job("late", [{"id": "a", "command": "true", "dependencies": ["b"]}], open=True)
    wait_for((base / "jobs/late/journal.jsonl").exists, "the manager")
    client.queue_tasks("late", [{"id": "b", "command": "true", "dependencies": ["a"]}])
    client.close("late")
    state = client.wait("late", 20)
    assert (state["state"], state["reason"]) == ("failed", "cycle")


def test_duplicate_id_with_other_content_is_refused_at_submit(base: Path) -> None:
    tasks = [{"id": "a", "command": "true"}, {"id": "a", "command": "false"}]
    with pytest.raises(InvalidInput, match=r"tasks\[1\]\.id: 'a' is tasks\[0\]'s id too"):
        AirExecutorClient(base).create_job("twice", tasks)


def test_duplicate_id_in_a_raw_file_is_set_aside_and_reported(base: Path, manager: ManagerProcess) -> None:
    tasks = [
        {"id": "a", "command": "true"},
        {"id": "a", "command": "false"},
        {"id": "b", "command": "true"},
        {"id": "b", "command": "true"},
    ]
    folder = write_job(base, "twice", tasks)
    state = wait_end(folder)
    assert (state["state"], state["progress"]["total"]) == ("completed", 2)
    (warning,) = state["warnings"]
    assert "'a'" in warning
    kept = folder / warning.rsplit(" ", 1)[-1]
    assert json.loads(kept.read_text())["command"] == "false"


NOT_STARTED = {
    "not found": ({"command": "no-such-command-here"}, 127, "not found in PATH"),
    "no such file": ({"command": "./no/such/file"}, 127, "no such file"),
    "spaces": ({"command": "echo hello"}, 127, "put the words into `args`, or set `shell: true`"),
    "not executable": ({"command": "/etc/passwd"}, 126, "not executable"),
    "directory": ({"command": "/etc"}, 126, "is a directory"),
    "no cwd": ({"command": "true", "cwd": "/no/such/folder"}, 127, "working directory '/no/such/folder'"),
    "no secret": (
        {"command": "true", "env_from": {"A": {"environment": "NO_SUCH_VARIABLE"}}},
        126,
        "NO_SUCH_VARIABLE",
    ),
    "no secret file": (
        {"command": "true", "env_from": {"A": {"file": "/no/such/file"}}},
        126,
        "/no/such/file",
    ),
    "too many cpus": ({"command": "true", "cpus": 4_000}, 126, "needs 4000 cpus"),
    "too much memory": ({"command": "true", "memory_mb": 1e12}, 126, "MB of memory"),
    "too long": ({"command": "true", "args": ["x" * 200_000]}, 126, "too long"),
}


def test_what_cannot_start_fails_with_a_reason(base: Path, manager: ManagerProcess) -> None:
    tasks = [{"id": name, **fields} for name, (fields, _, _) in NOT_STARTED.items()]
    folder = write_job(base, "unstartable", tasks)
    state = wait_end(folder)
    assert state["state"] == "failed"
    for name, (_, code, text) in NOT_STARTED.items():
        task = by_id(folder)[name]
        assert (task["status"], task["reason"], task["exit_code"]) == ("failed", "not_started", code), task
        assert text in task["error"], task


def test_secrets_that_cannot_be_passed_on_stop_their_task_alone(
    base: Path, manager: ManagerProcess, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")  # nobody ever writes to it
    for name, data in {"nul": b"a\0b", "bytes": b"\xff", "long": b"x" * 200_000}.items():
        (tmp_path / name).write_bytes(data)
    said = {"fifo": "not a file", "nul": "a NUL character", "bytes": "not UTF-8", "long": "too long", ".": "director"}
    tasks = [{"id": n, "command": "true", "env_from": {"A": {"file": str(tmp_path / n)}}} for n in said]
    folder = write_job(
        base, "secrets", [*tasks, {"id": "zero", "command": "true", "env_from": {"A": {"file": "/dev/zero"}}}]
    )
    assert wait_end(folder)["progress"]["failed"] == len(said) + 1
    for name, text in said.items():
        task = by_id(folder)[name]
        assert task["reason"] == "not_started"
        assert text in task["error"]
        assert str(tmp_path) in task["error"]
    assert "/dev/zero: not a file" in by_id(folder)["zero"]["error"]
    assert wait_end(write_job(base, "next", [{"command": "true"}]))["state"] == "completed"


def test_variables_that_are_no_text_are_passed_on_as_they_are(tmp_path: Path) -> None:
    """A manager inherits what there is; a folder once visited with a name in Latin-1 is enough (`OLDPWD`)."""
    (tmp_path / "job.json").write_text('[{"id": "a", "command": "printenv", "args": ["OLDPWD"]}]')
    command = [sys.executable, "-m", "air_executor", "run", "job.json"]
    env = {**os.environb, b"OLDPWD": b"/tmp/b\xfccher"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".air-executor/jobs/job/logs/a.log").read_bytes() == b"/tmp/b\xfccher\n"


def test_folders_whose_names_are_no_text_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('[{"command": "true"}]')
    folder = os.fsencode(tmp_path) + b"/b\xfccher"
    os.mkdir(folder)
    command = [sys.executable, "-m", "air_executor", "run", "../job.json"]
    for base, code in ((b"", 6), (os.fsencode(tmp_path) + b"/base", 2)):
        env = {**os.environb, b"AIR_EXECUTOR_BASE": base}
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, check=False, timeout=60)
        assert (done.returncode, done.stderr.count(b"\n")) == (code, 1), done.stderr
        assert b"b\\xfccher" in done.stderr
        assert b"not UTF-8" in done.stderr


def test_what_no_process_can_be_given_does_not_cost_a_launcher(base: Path, manager: ManagerProcess) -> None:
    """A launcher that dies takes nothing with it, but is lost to all jobs for a while."""
    bad = {"nul": {"environment": {"A": "b\0c"}}, "name": {"environment": {"A=B": "c"}}, "folder": {"cwd": "/tmp/\0"}}
    jobs = {
        name: write_job(base, name, [{"id": "a", "command": "/bin/true"}], **state) for name, state in bad.items()
    }
    for name, folder in jobs.items():
        assert wait_end(folder)["state"] == "failed", name
        task = by_id(folder).get("a", {"reason": "not_started"})  # or the job was refused as a whole
        assert task["reason"] == "not_started", (name, task)
    long = {"id": "a", "command": "true", "timeout_s": 1e15, "retry_delay_s": 1e15}
    assert wait_end(write_job(base, "long", [long], deadline_s=1e15))["state"] == "completed"
    assert "Traceback" not in (base / "manager.log").read_text()


def test_script_without_interpreter_line_and_with_a_missing_one(
    base: Path, manager: ManagerProcess, tmp_path: Path
) -> None:
    bare, missing = tmp_path / "bare", tmp_path / "missing"
    bare.write_text("echo hi\n")
    missing.write_text("#!/no/such/interpreter\n")
    for path in (bare, missing):
        path.chmod(0o755)
    tasks = [{"id": "bare", "command": str(bare)}, {"id": "missing", "command": str(missing)}]
    folder = write_job(base, "scripts", tasks)
    wait_end(folder)
    assert "#! line" in by_id(folder)["bare"]["error"]
    assert "interpreter" in by_id(folder)["missing"]["error"]


BAD_VIEWS = {
    "truncated tasks": ("tasks.json", '[{"id": "a", "command": "true"},', "tasks.json, line 1 column"),
    "not a list": ("tasks.json", '{"id": "a"}', "tasks.json, line 1: expected a list of task objects"),
    "empty tasks": ("tasks.json", "", "tasks.json, line 1 column 1"),
    "truncated state": ("state.json", '{"id": "x",\n "name"', "state.json, line 2 column"),
    "state is a list": ("state.json", "[]", "state.json, line 1: expected an object"),
}


@pytest.mark.parametrize("case", BAD_VIEWS)
def test_unreadable_view_fails_that_job_only_and_is_kept(base: Path, manager: ManagerProcess, case: str) -> None:
    name, text, problem = BAD_VIEWS[case]
    good = write_job(base, "good", [{"id": "a", "command": "sleep", "args": ["0.3"]}])
    folder = base / "jobs" / "bad"
    folder.mkdir()
    contents = {
        "tasks.json": '[{"id": "a", "command": "true"}]',
        "state.json": '{"id": "r1", "name": "bad"}',
        name: text,
    }
    for file, content in contents.items():
        (folder / file).write_text(content)
    began = time.monotonic()
    state = wait_end(folder)
    assert time.monotonic() - began > 1.5  # it might still have been written
    assert (state["state"], state["reason"]) == ("failed", "invalid")
    assert problem in state["error"]
    kept = folder / state["error"].rsplit(" ", 1)[-1].rstrip(")")
    assert kept.read_text() == text
    assert wait_end(good)["state"] == "completed"


def test_a_view_written_slowly_is_waited_for(base: Path, manager: ManagerProcess) -> None:
    folder = base / "jobs" / "slow"
    folder.mkdir()
    (folder / "state.json").write_text('{"id": "r1", "name": "slow"}')
    text = json.dumps([{"id": f"t{n}", "command": "true"} for n in range(20)])
    with open(folder / "tasks.json", "w") as file:
        for start in range(0, len(text), 200):
            file.write(text[start : start + 200])
            file.flush()
            time.sleep(0.4)
    assert wait_end(folder)["progress"]["completed"] == 20


def test_garbage_in_a_running_jobs_view_fails_it_after_its_other_work(base: Path, manager: ManagerProcess) -> None:
    view = base / "jobs" / "garbled" / "tasks.json"
    script = f"printf '[{{\"id\":' > {view}"
    tasks = [{"id": "w", "command": script, "shell": True}, {"id": "s", "command": "sleep", "args": ["0.5"]}]
    folder = write_job(base, "garbled", tasks)
    state = wait_end(folder)
    assert (state["state"], state["reason"]) == ("failed", "invalid")
    assert "tasks.json, line 1" in state["error"]
    assert [task["status"] for task in by_id(folder).values()] == ["completed", "completed"]


def test_wrong_types_name_path_and_expectation(base: Path, manager: ManagerProcess) -> None:
    tasks = [{"id": str(n), "command": "true"} for n in range(4)]
    tasks[3]["args"] = "oops"
    with pytest.raises(InvalidInput, match=r"tasks\[3\]\.args: expected a list of strings"):
        AirExecutorClient(base).create_job("types", tasks)
    state = wait_end(write_job(base, "types", tasks))
    assert (state["state"], state["reason"]) == ("failed", "invalid")
    assert "tasks[3].args: expected a list of strings" in state["error"]


@pytest.mark.parametrize(
    "name", ["a/b", "../up", ".hidden", "", "nul\0", "line\nbreak", "x" * 256, "\u00e9" * 128, "bad\udcff"]
)
def test_bad_job_names_are_refused(base: Path, name: str) -> None:
    client = AirExecutorClient(base)
    for call in (client.create_job, client.get_job, client.cancel, client.tasks):
        with pytest.raises(InvalidName):
            call(name)  # type: ignore[operator]
    assert os.listdir(base / "jobs") == []


def test_unusual_names_work(base: Path, manager: ManagerProcess) -> None:
    client = AirExecutorClient(base)
    ids = ["a/b", "..", "../../etc/passwd", "ünï — 完", "x" * 900, "sp ace", "%2F", "a@1", "-rf"]
    for name in ("manual__2025-10-02T07:30:00+00:00", "完了 ✓", "a" * 255, "-x"):
        client.create_job(name, [{"id": i, "command": "echo", "args": [i]} for i in ids])
        assert client.wait(name, 20)["state"] == "completed"
        for task_id in ids:
            assert client.logs(name, task_id) == task_id + "\n"
        assert all(path.parent.name == "logs" for path in (base / "jobs" / name / "logs").rglob("*.log"))


def test_hand_made_folder_with_a_bad_name_is_passed_over(base: Path, manager: ManagerProcess) -> None:
    os.mkdir(os.fsencode(base / "jobs") + b"/bad\xff")
    assert wait_end(write_job(base, "good", [{"command": "true"}]))["state"] == "completed"
    assert "passed over" in (base / "manager.log").read_text()


def test_output_is_kept_whole_and_memory_does_not_move(base: Path, manager: ManagerProcess) -> None:
    wait_end(write_job(base, "warm", [{"id": str(n), "command": "true"} for n in range(50)]))
    before = [memory_mb(pid) for pid in (manager.pid, *launcher_pids(manager))]
    assert len(before) > 1
    tasks = [
        {"id": "bytes", "command": r"printf '\377\376\000x'", "shell": True},
        {"id": "big", "command": "head -c 100000000 /dev/zero", "shell": True},
        {"id": "line", "command": "head -c 10000000 /dev/zero | tr '\\0' x; echo end >&2", "shell": True},
    ]
    folder = write_job(base, "output", tasks)
    assert wait_end(folder)["state"] == "completed"
    assert (folder / "logs" / "bytes.log").read_bytes() == b"\xff\xfe\x00x"
    assert (folder / "logs" / "big.log").stat().st_size == 100_000_000
    assert (folder / "logs" / "line.log").read_bytes() == b"x" * 10_000_000 + b"end\n"
    after = [memory_mb(pid) for pid in (manager.pid, *launcher_pids(manager))]
    assert all(b - a < 5 for a, b in zip(before, after, strict=True)), (before, after)


def test_second_manager_is_refused_naming_the_first(base: Path, manager: ManagerProcess) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "air_executor", "manager", "--base", str(base)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 4
    assert f"pid {manager.pid}" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1


def test_sealed_job_refuses_more_work_unless_reopened(base: Path, manager: ManagerProcess) -> None:
    client = AirExecutorClient(base)
    client.create_job("done", [{"id": "a", "command": "true"}, {"id": "z", "command": "true", "final": True}])
    client.wait("done", 20)
    with pytest.raises(JobSealed, match="reopen"):
        client.queue_tasks("done", [{"id": "b", "command": "true"}])
    client.queue_tasks("done", [{"id": "b", "command": "true"}], reopen=True)
    wait_for(lambda: client.get_job("done")["progress"]["total"] == 3, "the reopened job")
    assert client.wait("done", 20)["progress"]["completed"] == 3
    assert by_id(base / "jobs/done")["z"]["attempt"] == 2  # the final task ran again


def test_late_raw_additions_are_set_aside_and_reported(base: Path, manager: ManagerProcess) -> None:
    folder = write_job(base, "late", [{"id": "a", "command": "true"}])
    wait_end(folder)
    tasks = read(folder / "tasks.json")
    (folder / "new").write_text(json.dumps([*tasks, {"id": "b", "command": "true"}]))
    (folder / "new").rename(folder / "tasks.json")
    state = wait_for(lambda: (s := read(folder / "state.json")) and s["warnings"] and s, "a warning")
    assert "after the job had ended" in state["warnings"][0]
    kept = folder / state["warnings"][0].rsplit(" ", 1)[-1]
    assert json.loads(kept.read_text()) == [{"id": "b", "command": "true"}]
    wait_for(lambda: len(read(folder / "tasks.json")) == 1, "the view put back")


def test_unknown_job_and_task(base: Path, manager: ManagerProcess) -> None:
    client = AirExecutorClient(base)
    with pytest.raises(NotFound, match="no job 'nope'"):
        client.get_job("nope")
    client.create_job("j", [{"id": "a", "command": "true"}])
    client.wait("j", 20)
    with pytest.raises(NotFound, match="no task 'nope'"):
        client.logs("j", "nope")
    assert client.logs("j", "a") == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_full_disk_stops_new_work_and_goes_on_when_there_is_room(
    tmp_path: Path, start_manager: Callable[..., ManagerProcess], base: Path
) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "none", str(base)], check=True)
    try:
        (base / "jobs").mkdir()
        manager = start_manager("--slots", "4")
        folder = write_job(base, "full", [{"id": f"t{n}", "command": "true"} for n in range(3_000)])
        filler = base / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4_096)
            except OSError:
                pass
        wait_for(lambda: "no new work starts" in (base / "manager.log").read_text(), "the message")
        done = read(folder / "state.json").get("progress", {}).get("completed", 0)
        assert done < 3_000
        filler.unlink()
        # The journal of 3,000 tasks needs more than what is left: make the room it asks for.
        subprocess.run(["mount", "-o", "remount,size=60m", str(base)], check=True)
        state = wait_end(folder)
        assert (state["state"], state["progress"]["completed"]) == ("completed", 3_000)
        manager.stop()
    finally:
        subprocess.run(["umount", "-l", str(base)], check=True)
