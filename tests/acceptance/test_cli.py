"""The command line as a whole: help, errors, exit codes, settings, completion, what it imports."""

import importlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import click
import pytest

from air_executor.cli import main
from air_executor.cli.app import COMMANDS, cli
from air_executor.cli.reference import render
from tests.acceptance.command_line import COMMAND, air_executor, environment, write_job

ROOT = Path(__file__).parents[2]


GROUPS = {"dags": ["sync"], "fix": ["health", "issues", "plan", "flaky", "doctor", "init"]}
BELOW = [f"{group} {name}" for group, names in GROUPS.items() for name in names]
NAMES = [*(name for name in COMMANDS if name not in GROUPS), *BELOW]
WITHOUT_BASE = {"completion", *BELOW}


def command(name: str) -> click.Command:
    found: click.Command | None = cli
    for word in name.split():
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found, **cli.context_settings), word)
    assert found is not None
    return found


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In-process commands see neither this clone nor the session's variables."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("AIR_EXECUTOR_"):
            monkeypatch.delenv(name)


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr().err
    assert captured.startswith("air-executor: error: ")
    assert captured.count("\n") == 1, captured
    return captured.removeprefix("air-executor: error: ").rstrip("\n")


# ---- help and reference --------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_and_base(name: str) -> None:
    one = command(name)
    assert one.help
    summary = one.help.split("\n")[0]
    assert summary.endswith(".")
    assert len(summary) <= 75
    options = {option for parameter in one.params for option in parameter.opts}
    assert "--base" in options or name in WITHOUT_BASE
    for parameter in one.params:
        assert not isinstance(parameter, click.Option) or parameter.help, parameter.name


def test_reading_commands_print_json() -> None:
    names = ("status", "list", "watch", "tasks", "logs", "events", "config", "doctor", "prune", "dags sync")
    for name in (*names, "fix health", "fix issues", "fix plan", "fix flaky", "fix doctor"):
        assert getattr(command(name).callback, "json_shapes", None), name


def test_the_reference_is_current() -> None:
    text = (ROOT / "docs" / "cli.md").read_text("utf-8")
    assert text == render(), "make it anew: air-executor reference > docs/cli.md"


def test_every_command_of_a_group_is_looked_at() -> None:
    for name in COMMANDS:
        group = command(name)
        if isinstance(group, click.Group):
            assert sorted(GROUPS[name]) == sorted(group.commands)


def test_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-h"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {name} " in printed for name in COMMANDS)


# ---- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["statsu"], 2, "did you mean 'status'?"),
        (["status", "--jason"], 2, "--jason"),
        (["run"], 2, "missing argument 'FILE' (see `air-executor run --help`)"),
        (["run", "nowhere.yaml"], 2, "nowhere.yaml: No such file or directory"),
        (["run", "job.json", "--param", "x"], 2, "expected NAME=VALUE, got 'x'"),
        (["run", "job.json", "--slots", "0"], 2, "slots"),
        (["submit", "bad.json"], 2, "bad.json: tasks[1].args: expected a list of strings"),
        (["submit", "bad.yaml"], 2, "bad.yaml, line 3 column "),
        (["submit", "job.json", "--name", "a/b"], 2, "'/' is not allowed"),
        (["queue", "--", "true"], 2, "name the job with --job"),
        (["queue", "--job", "x"], 2, "expected a COMMAND"),
        (["list"], 6, "no base folder at "),
        (["list", "--base", "base"], 6, "no base folder at "),
        (["status", "nope", "--base", "made"], 3, "no job 'nope'"),
        (["status", "../up", "--base", "made"], 2, "'/' is not allowed"),
        (["logs", "nope", "t", "--base", "made"], 3, "no job 'nope'"),
        (["stop", "--base", "made"], 5, "no manager is running on "),
        (["init", "--group", "nobody-is-in-this"], 2, "no group of users is called 'nobody-is-in-this'"),
        (["init", "--base", "/proc/there"], 6, "cannot make the base folder /proc/there"),
    ],
)
def test_errors_are_one_line_with_a_code(
    arguments: list[str], code: int, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_job(tmp_path / "job.json", {"command": "true"})
    write_job(tmp_path / "bad.json", {"command": "true"}, {"command": "echo", "args": "not a list"})
    (tmp_path / "bad.yaml").write_text("tasks:\n  - {command: true\n")
    (tmp_path / "made" / "jobs").mkdir(parents=True)
    assert main(arguments) == code
    assert text in error_of(capsys)


def test_an_unreadable_file_is_no_bug(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "job.json").mkdir()
    assert main(["submit", "job.json"]) == 2
    assert "job.json" in error_of(capsys)


def test_a_bug_is_told_in_one_line_and_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("what happened")

    monkeypatch.setattr(importlib.import_module("air_executor.client").AirExecutorClient, "jobs", broken)
    assert main(["list"]) == 70
    told = error_of(capsys)
    assert "KeyError" in told
    details = Path(told.rpartition(" ")[2])
    assert "Traceback" in details.read_text()
    details.unlink()
    monkeypatch.setenv("AIR_EXECUTOR_DEBUG", "1")
    with pytest.raises(KeyError):
        main(["list"])


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job.json", *({"id": f"t{i}", "command": "true"} for i in range(3000)))
    air_executor("submit", job, cwd=tmp_path)
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*COMMAND, "tasks", "job"],
        cwd=tmp_path,
        env=environment(),
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


# ---- settings, base, completion ------------------------------------------------------------------


def test_init_makes_a_private_folder(tmp_path: Path) -> None:
    assert "is ready" in air_executor("init", cwd=tmp_path).stdout
    base = tmp_path / ".air-executor"
    assert stat.S_IMODE(base.stat().st_mode) == 0o700
    assert "was there already" in air_executor("init", cwd=tmp_path).stdout


def test_init_for_a_group(tmp_path: Path) -> None:
    import grp

    group = grp.getgrgid(os.getgid()).gr_name
    air_executor("init", "--base", "shared", "--group", group, cwd=tmp_path)
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o2770


def test_config_tells_where_values_come_from(tmp_path: Path) -> None:
    (tmp_path / "base" / "jobs").mkdir(parents=True)
    (tmp_path / "base" / "config.toml").write_text('sync = "each"\ngrace_s = 1.5\n')
    env = {"AIR_EXECUTOR_BASE": str(tmp_path / "base"), "AIR_EXECUTOR_SLOTS": "7"}
    found = json.loads(air_executor("config", "--json", cwd=tmp_path, env=env).stdout)
    assert found["base"] == str(tmp_path / "base")
    assert found["settings"]["slots"] == {"value": 7, "from": "AIR_EXECUTOR_SLOTS"}
    assert found["settings"]["sync"] == {"value": "each", "from": str(tmp_path / "base" / "config.toml")}
    assert found["settings"]["launchers"]["from"] == "default"
    printed = air_executor("config", cwd=tmp_path, env=env).stdout
    assert "AIR_EXECUTOR_SLOTS" in printed
    (tmp_path / "base" / "config.toml").write_text("slots = 0\n")
    assert "slots" in air_executor("config", cwd=tmp_path, env={**env, "AIR_EXECUTOR_SLOTS": "1"}, code=2).stderr


def test_base_may_stand_before_the_command(tmp_path: Path) -> None:
    air_executor("init", "--base", "here", cwd=tmp_path)
    assert air_executor("--base", "here", "list", cwd=tmp_path).stdout == "no jobs\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, tmp_path: Path) -> None:
    script = air_executor("completion", shell, cwd=tmp_path).stdout
    assert "_AIR_EXECUTOR_COMPLETE" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, check=True, text=True)


def test_completion_knows_commands_and_jobs(tmp_path: Path) -> None:
    air_executor("submit", write_job(tmp_path / "nightly.json", {"command": "true"}), cwd=tmp_path)

    def completed(words: str) -> str:
        env = {
            "_AIR_EXECUTOR_COMPLETE": "bash_complete",
            "COMP_WORDS": f"air-executor {words}",
            "COMP_CWORD": str(len(words.split())),
        }
        return air_executor(cwd=tmp_path, env=env).stdout

    assert completed("stat") == "plain,status\n"
    assert completed("status ni") == "plain,nightly\n"


# ---- quick to start ------------------------------------------------------------------------------


def test_queue_imports_little(tmp_path: Path) -> None:
    program = (
        "import sys; from air_executor.cli import main; code = main(['queue', '--', 'true']); "
        "print(' '.join(sys.modules)); sys.exit(code)"
    )
    inbox = tmp_path / "inbox.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(AIR_EXECUTOR_INBOX=str(inbox), AIR_EXECUTOR_JOB="job"),
        capture_output=True,
        check=True,
        text=True,
    )
    assert json.loads(inbox.read_text()) == {"command": "true", "args": []}
    loaded = set(done.stdout.split())
    unneeded = {"rich", "yaml", "asyncio", "subprocess", "logging", "tomllib", "email", "http", "socket"}
    assert not loaded & unneeded
    ours = {name for name in loaded if name.startswith("air_executor")}
    assert not {"air_executor.manager", "air_executor.lifecycle", "air_executor.client"} & ours
