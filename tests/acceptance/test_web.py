"""What `air-executor serve` tells of jobs and tasks, against what the files say."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from tests.acceptance.web_server import Server, served
from tests.support import ManagerProcess, by_id, read, wait_end, wait_for, write_job

SLASHED = "pages/a b%2F☃"
HOSTILE = "<img src=x onerror=alert(1)>"
LONG = "ü" * 500  # 1,000 bytes

TASKS: list[dict[str, Any]] = [
    {"id": SLASHED, "command": "echo one; echo zwei ☃; echo drei", "shell": True, "group": "pages"},
    {"id": "bad", "command": "echo it went wrong 17 >&2; exit 3", "shell": True, "group": "pages", "retries": 1,
     "retry_delay_s": 0.01, "env": {"API_TOKEN": "geheim", "PLAIN": "seen"}},
    {"id": "after", "command": "true", "dependencies": ["bad"]},
    {"id": HOSTILE, "command": "true", "colour": HOSTILE},
    {"id": LONG, "command": "true"},
    {"id": "..", "command": "echo dots", "shell": True},
    {"id": "result", "command": """echo '{"n": [1, 2]}' > "$AIR_EXECUTOR_RESULT" """, "shell": True},
    *({"id": f"t{n:03}", "command": "true", "group": "many"} for n in range(250)),
]  # fmt: skip
JOB = "näme 100% #1?"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A server, and a job that has ended."""
    base = tmp_path_factory.mktemp("web") / "base"
    (base / "jobs").mkdir(parents=True)
    base.chmod(0o700)
    folder = write_job(base, JOB, TASKS, params={"day": "x", "api_key": "geheim"})
    manager = ManagerProcess(base, "--slots", "4").start()
    try:
        wait_end(folder)
        with served(base) as server:
            yield server, folder
    finally:
        manager.stop()


def path(*parts: str) -> str:
    return "/jobs/" + "/".join([quote(JOB, safe=""), *parts])


def task_path(task: str, *parts: str) -> str:
    return path("tasks", quote(task, safe=""), *parts)


def test_progress_has_the_known_keys_and_agrees_with_the_files(scene: tuple[Server, Path]) -> None:
    server, folder = scene
    answer = server.get(path("progress")).json
    assert list(answer) == ["job_name", "state", "total_tasks", "completed", "running", "failed", "pending", "tasks"]
    assert answer["tasks"] == read(folder / "tasks.json")
    state = read(folder / "state.json")
    assert (answer["job_name"], answer["state"]) == (JOB, "failed") == (state["name"], state["state"])
    assert {key: answer[key] for key in ("pending", "running", "completed", "failed")} == {
        key: value for key, value in state["progress"].items() if key != "total"
    }
    assert answer["total_tasks"] == len(TASKS) == state["progress"]["total"]
    short = server.get(path("progress?tasks=0")).json
    assert short == {key: value for key, value in answer.items() if key != "tasks"}


def test_an_unknown_job_is_404_with_the_reason(scene: tuple[Server, Path]) -> None:
    server, _ = scene
    for place in ("/jobs/nobody", "/jobs/nobody/progress", "/jobs/nobody/tasks", "/events?job=nobody"):
        answer = server.get(place)
        assert answer.status == 404, place
        assert list(answer.json) == ["error"]
        assert "nobody" in answer.json["error"]


def test_jobs_and_one_job(scene: tuple[Server, Path]) -> None:
    server, folder = scene
    found = server.get("/jobs").json
    assert found["next"] is None
    (listed,) = found["jobs"]
    detail = server.get("/jobs/" + quote(JOB, safe="")).json
    assert {**detail, "warnings": len(detail["warnings"])} | listed == {**detail, "warnings": 0}
    assert detail["skipped"] == 1
    assert detail["retries"] == 1
    assert detail["reasons"] == {"exit": 1, "skipped": 1}
    assert detail["groups"]["pages"] == {"pending": 0, "running": 0, "completed": 1, "failed": 1}
    assert detail["groups"]["many"]["completed"] == 250
    assert detail["options"]["params"] == {"day": "x", "api_key": "***"}
    assert detail["failed_tasks"][0]["id"] == "bad"
    assert detail["run_time_s"]["count"] == len(TASKS)  # 'bad' ran twice, 'after' never
    assert len(detail["recently_completed"]) == 5
    assert detail["reading"] is None
    assert read(folder / "state.json")["id"] == detail["id"]
    info = server.get("/info").json
    assert info["counts"] == {"waiting": 0, "working": 0, "completed": 0, "failed": 1}
    assert info["write"] is True
    assert info["manager"]["slots"] == info["slots"] == 4


def test_tasks_come_in_pages_by_key(scene: tuple[Server, Path]) -> None:
    server, folder = scene
    in_file = [task["id"] for task in read(folder / "tasks.json")]
    rows: list[dict[str, Any]] = []
    after = ""
    while True:
        page = server.get(path(f"tasks?limit=60{after}")).json
        assert page["total"] == len(TASKS)
        rows += page["tasks"]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert [row["id"] for row in rows] == in_file
    assert [row["n"] for row in rows] == list(range(len(TASKS)))
    shown = by_id(folder)
    for row in rows:
        task = shown[row["id"]]
        for key in ("status", "created_at", "started_at", "completed_at", "error"):
            assert row[key] == task[key], (row["id"], key)
        for key in ("reason", "group", "exit_code", "run_s"):
            assert row[key] == task.get(key), (row["id"], key)
        assert row["attempt"] == task.get("attempt", 0)
    from_there = server.get(path("tasks?from=100&limit=2")).json["tasks"]
    assert [row["n"] for row in from_there] == [100, 101]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=failed", ["bad", "after"]),
        ("status=failed,running", ["bad", "after"]),
        ("reason=skipped", ["after"]),
        ("reason=exit", ["bad"]),
        ("status=completed&group=pages", [SLASHED]),
        ("group=nobody", []),
        ("q=T24", [f"t24{n}" for n in range(10)]),
        ("q=onerror", [HOSTILE]),
        ("status=pending", []),
    ],
)
def test_tasks_can_be_chosen(scene: tuple[Server, Path], query: str, expected: list[str]) -> None:
    server, _ = scene
    found = server.get(path(f"tasks?{query}")).json
    assert [row["id"] for row in found["tasks"]] == expected
    assert found["total"] == len(expected)
    assert found["next"] is None


def test_bad_questions_are_told_what_was_expected(scene: tuple[Server, Path]) -> None:
    server, _ = scene
    questions = ("tasks?status=odd", "tasks?limit=0", "tasks?after=x", "timeline?from=x", "progress?tasks=2")
    for question in questions:
        answer = server.get(path(question))
        assert answer.status == 422, question
        assert answer.json["error"]
    assert server.get("/jobs?after=x").status == 422
    assert server.get("/jobs?state=odd").status == 422


def test_one_task_with_its_attempts(scene: tuple[Server, Path]) -> None:
    server, folder = scene
    for number, task in enumerate(by_id(folder).values()):
        if number > 8:
            break
        detail = server.get(task_path(task["id"])).json
        assert {key: detail[key] for key in task} == task
        assert detail["n"] == number
        assert [a["attempt"] for a in detail["attempts"]] == list(range(1, task.get("attempt", 0) + 1))
    bad = server.get(task_path("bad")).json
    assert bad["env"] == {"API_TOKEN": "***", "PLAIN": "seen"}
    assert [(a["reason"], a["exit_code"], a["log"]) for a in bad["attempts"]] == [("exit", 3, True)] * 2
    assert bad["attempts"][0]["memory_mb"] > 1
    assert bad["log_size"] == len("it went wrong 17\n")
    assert server.get(task_path("nobody")).status == 404
    assert server.get(task_path(HOSTILE)).json["colour"] == HOSTILE


def test_secrets_are_masked_wherever_they_could_show(scene: tuple[Server, Path]) -> None:
    server, _ = scene
    places = ["/jobs", "/info", path("progress"), path("tasks"), task_path("bad"), path("journal"), path("end")]
    places += [path("history"), path("graph"), path("failures"), "/jobs/" + quote(JOB, safe="")]
    for place in places:
        assert b"geheim" not in server.get(place).body, place


def test_logs_whole_and_in_parts(scene: tuple[Server, Path]) -> None:
    server, _ = scene
    text = "one\nzwei ☃\ndrei\n".encode()
    whole = server.get(task_path(SLASHED, "log"))
    assert (whole.status, whole.body) == (200, text)
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    assert whole.headers["x-content-type-options"] == "nosniff"
    for asked, part in {"0-2": text[:3], "4-": text[4:], "-5": text[-5:], "3-1000": text[3:], "-99": text}.items():
        answer = server.get(task_path(SLASHED, "log"), Range=f"bytes={asked}")
        assert (answer.status, answer.body) == (206, part), asked
        first = len(text) - len(part) if not asked.startswith("0") else 0
        assert answer.headers["content-range"] == f"bytes {first}-{first + len(part) - 1}/{len(text)}"
    beyond = server.get(task_path(SLASHED, "log"), Range="bytes=100-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(text)}")
    for odd in ("bytes=5-2", "lines=1-2", "bytes=1-2,4-5", "bytes=-"):
        assert server.get(task_path(SLASHED, "log"), Range=odd).status == 200, odd
    assert server.get(task_path("..", "log")).body == b"dots\n"
    assert server.get(task_path("bad", "log?attempt=1")).body == b"it went wrong 17\n"
    assert server.get(task_path("bad", "log?attempt=7")).status == 404
    assert server.get(task_path("t000", "log")).status == 404


def test_grid_timeline_series_failures_graph_and_history(scene: tuple[Server, Path]) -> None:
    server, folder = scene
    grid = server.get(path("grid"))
    codes = [{"completed": 2, "failed": 3}[task["status"]] for task in read(folder / "tasks.json")]
    codes[2] = 4  # skipped
    assert list(grid.body) == codes
    assert unquote(grid.headers["x-run"]) == read(folder / "state.json")["id"]
    assert int(grid.headers["x-position"]) == (folder / "journal.jsonl").stat().st_size
    packed = server.get(path("grid"), Accept_Encoding="gzip")
    assert packed.headers.get("content-encoding") is None  # too short to be worth it
    line = server.get(path("timeline")).json
    assert len(line["spans"]) == len(TASKS)
    assert line["lanes"] == 4
    lanes: dict[int, float] = {}
    for lane, n, started, ended, code, attempt in line["spans"]:
        assert started >= lanes.get(lane, 0.0), "two attempts at once on one slot"
        lanes[lane] = ended
        assert (code, attempt) in ((2, 1), (3, 1), (3, 2)), n
    middle = line["spans"][130][2]
    window = server.get(path(f"timeline?from={middle}&to={middle}")).json["spans"]
    assert window == [span for span in line["spans"] if span[2] <= middle <= span[3]]
    few = server.get(path("timeline?limit=10")).json
    assert (few["spans"], few["truncated"]) == (line["spans"][-10:], True)
    series = server.get(path("series")).json
    assert {name: values[-1] for name, values in series.items() if name != "t"} == {
        "total": len(TASKS), "completed": len(TASKS) - 2, "running": 0, "failed": 2
    }  # fmt: skip
    assert series["t"] == sorted(series["t"])
    groups = server.get(path("failures")).json
    assert {"line": "it went wrong 17", "reason": "exit", "count": 1, "examples": ["bad"]} in groups
    assert server.get(path("graph")).status == 413
    rows = server.get(path("tasks?line=" + quote("it went wrong 17"))).json
    assert ([row["id"] for row in rows["tasks"]], rows["total"]) == (["bad"], 1)
    assert server.get(path("tasks?line=other")).json["total"] == 0
    (run,) = server.get(path("history")).json["runs"]
    assert (run["state"], run["total_tasks"], run["failed"]) == ("failed", len(TASKS), 2)


def test_charts_are_drawn(scene: tuple[Server, Path]) -> None:
    server, _ = scene
    png = server.get(path("chart.png"))
    assert (png.status, png.headers["content-type"], png.body[:8]) == (200, "image/png", b"\x89PNG\r\n\x1a\n")
    svg = server.get(path("chart.svg"))
    assert (svg.status, svg.headers["content-type"]) == (200, "image/svg+xml")
    assert b"<svg" in svg.body
    assert b"<script" not in svg.body


def test_metrics_are_counted_from_the_beginning_of_the_server(
    base: Path, start_manager: Callable[..., ManagerProcess]
) -> None:
    start_manager("--slots", "3")
    wait_end(write_job(base, "before", [{"id": "t", "command": "true"}]))
    with served(base) as server:
        wait_end(write_job(base, "job", [{"id": f"t{n}", "command": "true"} for n in range(7)]))
        for _ in range(2):  # what was counted is not counted again
            answer = server.get("/metrics")
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            lines = answer.body.decode().splitlines()
            assert 'air_executor_completed_tasks{job_name="job"} 7' in lines
            assert 'air_executor_attempts_ended_total{job_name="job",outcome="completed"} 7' in lines
            assert 'air_executor_completed_tasks{job_name="before"} 1' in lines
            assert 'air_executor_attempts_started_total{job_name="before"} 0' in lines
            assert "air_executor_manager_up 1" in lines
            assert "air_executor_slots 3" in lines


def test_what_a_task_says_of_itself_is_shown(
    base: Path, start_manager: Callable[..., ManagerProcess], tmp_path: Path
) -> None:
    start_manager()
    script = (
        "import os, time\nfrom air_executor import task\ntask.progress(0.25, 'page 1 <b>')\n"
        f"while not os.path.exists('{tmp_path}/go'): time.sleep(0.02)"
    )
    folder = write_job(base, "job", [{"id": "t", "command": sys.executable, "args": ["-c", script]}])
    with served(base) as server:

        def shown() -> Any:
            found = server.get("/jobs/job").json["running_tasks"]
            return found and found[0]["progress"] and found[0]

        running = wait_for(shown, "the progress of the task")
        assert (running["id"], running["progress"], running["text"]) == ("t", 0.25, "page 1 <b>")
        assert server.get("/jobs/job/progress").json["tasks"] == read(folder / "tasks.json")
        (tmp_path / "go").touch()
        wait_end(folder)
        assert server.get("/jobs/job/progress").json["tasks"] == read(folder / "tasks.json")


def test_a_long_grid_is_packed(base: Path) -> None:
    write_job(base, "waits", [{"id": f"t{n}", "command": "true"} for n in range(5_000)])
    with served(base) as server:
        packed = server.get("/jobs/waits/grid", Accept_Encoding="gzip")
        assert gzip.decompress(packed.body) == bytes(5_000)
        assert len(packed.body) < 100


def test_a_job_that_nobody_has_taken_up_is_shown_from_its_files(base: Path) -> None:
    tasks = [
        {"id": "a", "command": "true", "env": {"API_TOKEN": "geheim"}},
        {"id": "b", "command": "true", "status": "completed", "exit_code": 0},
        {"id": "c", "command": "true", "status": "failed", "reason": "timeout", "error": "timed out"},
        {"command": "true"},
    ]
    write_job(base, "waits", tasks)
    (base / "jobs" / "empty").mkdir()
    (base / "jobs" / "odd").mkdir()
    (base / "jobs" / "odd" / "state.json").write_text('{"state": 7, "progress": [], "updated_at": "yesterday"}')
    (base / "jobs" / "odd" / "tasks.json").write_text("[3, {")
    with served(base) as server:
        assert {job["name"]: job["state"] for job in server.get("/jobs").json["jobs"]} == {
            "waits": "waiting", "empty": "waiting", "odd": "waiting"
        }  # fmt: skip
        answer = server.get("/jobs/waits/progress")
        assert b"geheim" not in answer.body
        assert {key: answer.json[key] for key in ("pending", "completed", "failed")} == {
            "pending": 2, "completed": 1, "failed": 1
        }  # fmt: skip
        assert server.get("/jobs/waits").json["reasons"] == {"timeout": 1}
        assert list(server.get("/jobs/waits/grid").body) == [0, 2, 3, 0]
        assert server.get("/jobs/odd/tasks").json["total"] == 0
        graph = server.get("/jobs/waits/graph").json
        assert [node["id"] for node in graph["nodes"][:3]] == ["a", "b", "c"]
        manager = ManagerProcess(base).start()  # and then somebody does
        try:
            wait_end(base / "jobs" / "waits")
            assert server.get("/jobs/waits").json["completed"] == 3
            assert server.get("/jobs/waits/progress").json["tasks"] == read(base / "jobs" / "waits" / "tasks.json")
        finally:
            manager.stop()


def test_earlier_runs_are_told_of(base: Path, start_manager: Callable[..., ManagerProcess]) -> None:
    start_manager()
    with served(base) as server:
        ids = []
        for number in range(3):
            tasks = [{"id": "t", "command": "sh", "args": ["-c", f"exit {number % 2}"]}]
            ids.append(server.post("/jobs", {"name": "again", "tasks": tasks}).json["id"])
            wait_for(lambda: server.get(f"/jobs/again/end?run={ids[-1]}").json["ended"], "the end of a run")
        runs = server.get("/jobs/again/history").json["runs"]
        assert [run["id"] for run in runs] == ids[::-1]
        assert [run["state"] for run in runs] == ["completed", "failed", "completed"]
        assert server.get("/jobs/again").json["runs"] == 2
        first = server.get(f"/jobs/again/end?run={ids[0]}").json
        assert (first["ended"], first["state"]["state"]) == (True, "completed")


def test_it_works_whether_or_not_a_manager_does(
    base: Path, start_manager: Callable[..., ManagerProcess], tmp_path: Path
) -> None:
    manager = start_manager("--slots", "2")
    go = tmp_path / "go"
    with served(base) as server, served(base) as other:
        wait = f"while [ ! -e {go} ]; do sleep 0.02; done; echo done"
        server.post("/jobs", {"name": "long", "tasks": [{"id": "w", "command": wait, "shell": True}]})
        wait_for(lambda: other.get("/jobs").json["jobs"], "the job in the other server's list")
        wait_for(lambda: server.get("/jobs/long").json["running"] == 1, "a running task")
        manager.kill()
        wait_for(lambda: server.get("/info").json["manager"] is None, "that nobody manages")
        assert other.get("/jobs/long").json["running"] == 1
        assert other.post("/jobs/long/tasks", {"tasks": [{"id": "more", "command": "true"}]}).status == 202
        go.touch()
        start_manager()
        wait_for(lambda: server.get("/jobs/long/progress?tasks=0").json["completed"] == 2, "both tasks")
        assert server.get("/jobs/long").json == other.get("/jobs/long").json
    wait_end(base / "jobs" / "long")


def test_a_journal_that_is_not_whole_is_read_as_far_as_it_goes(base: Path) -> None:
    folder = base / "jobs" / "torn"
    folder.mkdir()
    good = (
        b'{"type":"RunCreated","at":"2026-01-02T03:04:05.000000Z","version":1,"id":"r1","name":"torn",'
        b'"created_at":"2026-01-02T03:04:05.000000Z","options":{},"cwd":"/","environment":{}}\n'
        b'{"type":"TaskQueued","at":"2026-01-02T03:04:05.000000Z","task":{"id":"a","command":"true"}}\n'
    )
    later = b'{"type":"AttemptStarted","at":"2026-01-02T03:04:06.000000Z","task":"a","attempt":1,"launcher":"l"}\n'
    (folder / "journal.jsonl").write_bytes(good + b'{"type":"FromTheFuture","at":"x"}\n' + later[:20])
    with served(base) as server:
        assert server.get("/jobs/torn").json["pending"] == 1
        with (folder / "journal.jsonl").open("ab") as file:
            file.write(later[20:])
        assert server.get("/jobs/torn").json["running"] == 1
        assert server.get("/jobs/torn/grid").body == b"\x01"


def test_the_page_says_how_it_is_built_when_it_is_not(scene: tuple[Server, Path]) -> None:
    server, _ = scene
    answer = server.get("/")
    assert answer.status == 200
    assert b"make dashboard" in answer.body or b"<html" in answer.body.lower()
    assert server.get("/assets/none.js").status == 404
    documents = server.get("/docs")
    assert b"/jobs/{name}/progress" in documents.body
    assert b"http://" not in documents.body
    assert b"https://" not in documents.body
    assert json.loads(server.get("/openapi.json").body)["openapi"].startswith("3.")
