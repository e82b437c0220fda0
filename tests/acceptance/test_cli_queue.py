"""`air-executor queue`: every form, inside a task (its inbox file) and outside."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.command_line import air_executor, write_job


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    return tmp_path / "inbox.jsonl"


def queued(inbox: Path, *arguments: str, stdin: str = "", code: int = 0) -> list[dict[str, Any]] | str:
    """What stands in the inbox after a `queue` inside a task, or the error."""
    env = {"AIR_EXECUTOR_INBOX": str(inbox), "AIR_EXECUTOR_JOB": "job"}
    done = air_executor("queue", *arguments, cwd=inbox.parent, env=env, stdin=stdin, code=code)
    if code:
        assert not inbox.exists()
        return done.stderr
    assert (done.stdout, done.stderr) == ("", "")
    data = inbox.read_bytes() if inbox.exists() else b"\n\n"
    assert data[:1] == data[-1:] == b"\n"
    return [json.loads(line) for line in data.splitlines() if line]


def test_a_command(inbox: Path) -> None:
    assert queued(inbox, "--", "python", "process.py", "--fast", "a.csv") == [
        {"command": "python", "args": ["process.py", "--fast", "a.csv"]}
    ]


def test_options_of_the_command_need_no_dashes(inbox: Path) -> None:
    assert queued(inbox, "ls", "-l", "--all") == [{"command": "ls", "args": ["-l", "--all"]}]


def test_all_options(inbox: Path) -> None:
    options = (
        "--id a --group g --priority 3 --after x --after y --all-done --retries 2 --retry-delay 0.5 "
        "--timeout 9 --final --idempotent --shell --cwd /tmp --env A=1 --env B=x=y --cpus 2 --memory-mb 100"
    )
    assert queued(inbox, *options.split(), "--", "true") == [
        {
            "id": "a",
            "group": "g",
            "priority": 3,
            "dependencies": ["x", "y"],
            "trigger_rule": "all_done",
            "retries": 2,
            "retry_delay_s": 0.5,
            "timeout_s": 9.0,
            "final": True,
            "idempotent": True,
            "shell": True,
            "cwd": "/tmp",
            "env": {"A": "1", "B": "x=y"},
            "cpus": 2.0,
            "memory_mb": 100.0,
            "command": "true",
            "args": [],
        }
    ]


def test_each_line_is_a_task(inbox: Path) -> None:
    found = queued(inbox, "--each", "--id", "f:{}", "--", "cp", "{}", "{}.bak", stdin="a b.csv\n\n  c\nd")
    assert [task["args"] for task in found] == [
        ["a b.csv", "a b.csv.bak"],
        ["  c", "  c.bak"],
        ["d", "d.bak"],
    ]
    assert [task["id"] for task in found] == ["f:a b.csv", "f:  c", "f:d"]


def test_each_appends_where_there_is_no_place(inbox: Path) -> None:
    assert queued(inbox, "--each", "--", "wc", "-l", stdin="a\nb\n") == [
        {"command": "wc", "args": ["-l", "a"]},
        {"command": "wc", "args": ["-l", "b"]},
    ]


def test_each_with_nul(inbox: Path) -> None:
    found = queued(inbox, "--each", "-0", "--", "wc", stdin="a\nb\0c\0")
    assert [task["args"] for task in found] == [["a\nb"], ["c"]]


def test_each_of_nothing(inbox: Path) -> None:
    assert queued(inbox, "--each", "--", "wc", stdin="") == []


TASKS = [{"id": "a", "command": "true"}, {"id": "b", "command": "echo", "args": ["ü"], "group": "own"}]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(TASKS),
        json.dumps(TASKS, indent=2, ensure_ascii=False),
        json.dumps({"tasks": TASKS}),
        "\n".join(map(json.dumps, TASKS)),
        "\n\n" + "\n\n".join(map(json.dumps, TASKS)) + "\n\n",
    ],
)
@pytest.mark.parametrize("source", ["file", "-"])
def test_files(inbox: Path, text: str, source: str) -> None:
    (inbox.parent / "file").write_text(text, encoding="utf-8")
    found = queued(inbox, "--file", source, "--group", "g", stdin=text)
    assert found == [{"group": "g", **TASKS[0]}, TASKS[1]]


def test_one_object_is_one_task(inbox: Path) -> None:
    assert queued(inbox, "--file", "-", stdin='{"command": "true"}') == [{"command": "true"}]


@pytest.mark.parametrize(
    ("arguments", "stdin", "text"),
    [
        ([], "", "expected a COMMAND, or --file"),
        (["--each"], "a", "expected a COMMAND"),
        (["--file", "-", "--", "true"], "[]", "does not go with COMMAND"),
        (["--file", "-", "--id", "x"], "[]", "--id does not go with --file"),
        (["--file", "nowhere"], "", "nowhere: No such file or directory"),
        (["--file", "-"], '{"command": "true"}\n{"command": \n', "standard input, line 2 column 13"),
        (["--file", "-"], "[1]", "expected a list of task objects"),
        (["--file", "-"], "nothing", "standard input, line 1 column 1"),
        (["--file", "-"], '[{"command": "true"}, {"args": []}]', "tasks[1].command: expected a command"),
        (
            ["--file", "-"],
            '[{"command": "true", "retries": "2"}]',
            "tasks[0].retries: expected a whole number",
        ),
        (["--each", "--id", "x", "--", "true"], "a\nb", "--id needs {}"),
        (["--null", "--", "true"], "", "--null only goes with --each"),
        (["--env", "A", "--", "true"], "", "expected NAME=VALUE"),
        (["--reopen", "--", "true"], "", "has not ended"),
    ],
)
def test_what_is_refused(inbox: Path, arguments: list[str], stdin: str, text: str) -> None:
    code = 6 if "nowhere" in arguments else 2
    assert text in queued(inbox, *arguments, stdin=stdin, code=code)


def test_outside_a_task(tmp_path: Path) -> None:
    air_executor("submit", write_job(tmp_path / "job.json", open=True), cwd=tmp_path)
    done = air_executor("queue", "--job", "job", "--", "true", cwd=tmp_path)
    assert done.stdout == "queued 1 task in job 'job'\n"
    assert "no manager is running" in done.stderr
    done = air_executor("queue", "--job", "job", "--id", "mine", "--json", "--", "true", cwd=tmp_path)
    assert json.loads(done.stdout) == {"job_name": "job", "ids": ["mine"]}
    assert "no job 'none'" in air_executor("queue", "--job", "none", "--", "true", cwd=tmp_path, code=3).stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 5_000 + "]" * 5_000, "nested too deeply"),
        ('{"command": "true"}\n' + '{"command":' * 5_000 + "0" + "}" * 5_000, "line 2: nested too deeply"),
        ('[{"command": "true", "priority": ' + "1" * 5_000 + "}]", "digits"),
    ],
    ids=["deep", "deep line", "long number"],
)
def test_json_that_no_reader_takes_is_refused_in_one_line(inbox: Path, text: str, said: str) -> None:
    error = queued(inbox, "--file", "-", stdin=text, code=2)
    assert said in error
    assert error.count("\n") == 1
