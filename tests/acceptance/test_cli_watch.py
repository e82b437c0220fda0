"""`watch` on a real terminal, led by keys; `history` and `chart`."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from air_executor.cli import main, shapes
from air_executor.cli.grid import grid
from air_executor.cli.history import bars
from air_executor.observe.roll import CODES
from tests.acceptance.command_line import (
    COMMAND,
    FAILING,
    air_executor,
    end_manager,
    environment,
    manager,
    sh,
    shown,
    wait_for,
    write_job,
)


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path: Path) -> Iterator[None]:
    yield
    end_manager(tmp_path)


class Terminal:
    """A command on a terminal of its own; what it shows is kept without colours and movements."""

    def __init__(self, *arguments: str, cwd: Path) -> None:
        self._fd, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *COMMAND, *arguments],
            cwd=cwd,
            env=environment(TERM="xterm-256color", LANG="C.UTF-8"),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.text = ""

    def expect(self, pattern: str, seconds: float = 30.0) -> str:
        """Read until `pattern` is shown; what came before is forgotten."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text)):
            assert time.monotonic() < deadline, f"waited for {pattern!r}, saw:\n{self.text[-3000:]}"
            if select.select([self._fd], [], [], 0.1)[0]:
                try:
                    data = os.read(self._fd, 65_536).decode(errors="replace")
                except OSError:
                    data = ""
                if not data and self.process.poll() is not None:
                    assert re.search(pattern, self.text), f"it ended without {pattern!r}:\n{self.text[-3000:]}"
                self.text += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", data)
        self.text = self.text[found.end() :]
        return found[0]

    def press(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def close(self) -> int:
        if self.process.poll() is None:
            with contextlib.suppress(OSError):
                while select.select([self._fd], [], [], 0.05)[0] and os.read(self._fd, 65_536):
                    pass
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            os.close(self._fd)


def waiting(path: Path, *tasks: dict[str, Any]) -> str:
    """A job whose tasks go on until the files `go` and `go too` are there."""
    line = "echo I am here; while [ ! -e '{0}/{1}' ]; do sleep 0.02; done; echo and gone"
    both = (sh("long", line.format(path, "go")), sh("other", line.format(path, "go too")))
    return write_job(path / "job.json", *both, *tasks)


def test_watching_a_job_by_keys(tmp_path: Path) -> None:
    with manager(tmp_path, "--slots", "8"):
        bad = [sh(f"bad{n}", f"echo 'KeyError: column {n % 2}'; exit 1") for n in range(8)]
        air_executor("submit", waiting(tmp_path, *bad), cwd=tmp_path)
        terminal = Terminal("watch", "job", cwd=tmp_path)
        terminal.expect("job  working")
        terminal.expect("8 failed")
        terminal.expect(r"4× KeyError: column [01]")
        terminal.press("f")
        terminal.expect(r"Last failures\s+✘ bad\d  exit code 1")
        terminal.press("?")
        terminal.expect("leave; the job goes on")
        terminal.press("?")
        terminal.expect("▶ long")
        terminal.press("jl")
        terminal.expect(r"long  running \d:\d\d")
        terminal.expect("I am here")
        (tmp_path / "go").touch()
        terminal.expect("and gone")
        terminal.press("q")
        (tmp_path / "go too").touch()
        terminal.expect("10 tasks: 2 completed, 8 failed")  # it ended, and so does the watching
        assert terminal.close() == 1


def test_leaving_a_job_that_goes_on(tmp_path: Path) -> None:
    with manager(tmp_path, "--slots", "8"):
        air_executor("submit", waiting(tmp_path), cwd=tmp_path)
        terminal = Terminal("watch", "job", cwd=tmp_path)
        terminal.expect("2 running")
        terminal.press("q")
        terminal.expect("job 'job' goes on")
        assert terminal.close() == 0
        assert shown("status", "job", cwd=tmp_path)["running"] == 2


def test_watching_all_jobs_and_looking_at_one(tmp_path: Path) -> None:
    with manager(tmp_path, "--slots", "8"):
        air_executor("submit", "--wait", write_job(tmp_path / "over.json", *FAILING), cwd=tmp_path, code=1)
        air_executor("submit", waiting(tmp_path), cwd=tmp_path)
        terminal = Terminal("watch", cwd=tmp_path)
        terminal.expect("1 working   1 failed")
        terminal.expect(r"job\s+working\s+2")
        terminal.press("jj\r")
        terminal.expect(r"Last failures\s+✘ bad  exit code 3")
        terminal.press("q")
        terminal.expect("1 working   1 failed")
        terminal.press("q")
        assert terminal.close() == 0


def test_cells() -> None:
    failed = bytes([CODES["timeout"]])
    codes = b"\x02" * 50 + failed + b"\x01" * 4 + bytes([CODES["skipped"]]) + b"\x00" * 44
    lines, per = grid(codes, 40, 5)
    assert (per, [line.plain for line in lines]) == (1, ["■" * 40, "■" * 10 + "✘▶▶▶▶-" + "·" * 24, "·" * 20])
    lines, per = grid(codes, 10, 5, utf8=False)
    assert (per, [line.plain for line in lines]) == (2, ["#" * 10, "#" * 10, "#####x>>..", "." * 10, "." * 10])
    lines, per = grid(codes, 10, 3)
    assert per == 2
    assert [line.cell_len for line in lines] == [10, 10, 10]
    styles = {str(span.style) for span in lines[1].spans}
    assert any("red" in style for style in styles), "a failure is never hidden among others"
    lines, per = grid(codes + b"\x02" * 999_900, 100, 10)
    assert (per, len(lines)) == (500, 10)


def test_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)

    def history(*arguments: str, code: int = 0) -> str:
        """In this process, which has loaded the database code once."""
        assert main(["history", *arguments]) == code
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    assert "no base folder" in history(code=6)
    job = write_job(tmp_path / "job.json", *FAILING)
    air_executor("run", job, cwd=tmp_path, code=1)
    assert "`air-executor history rebuild` makes it" in history(code=3)
    assert history("rebuild").endswith("1 run taken from journals\n")
    assert json.loads(history("rebuild", "job", "--json"))[0].keys() == {"job_name", "id"}
    (tmp_path / ".air-executor" / "config.toml").write_text('history = "sqlite"\n')
    flaky = f"test -e {tmp_path}/again || {{ touch {tmp_path}/again; exit 4; }}"
    path = write_job(tmp_path / "flaky.json", sh("a", flaky, retries=1, retry_delay_s=0))
    air_executor("run", path, cwd=tmp_path)  # observed by its own manager
    wait_for(lambda: json.loads(history("flaky", "--json")), "the second run in the history")
    for options, shape in (
        ((), shapes.RUNS),
        (("--slowest",), shapes.SLOWEST),
        (("--trends",), shapes.TRENDS),
        (("--groups",), shapes.GROUPS),
    ):
        rows = json.loads(history(*options, "--json"))
        assert {row["job_name"] for row in rows} == {"job", "flaky"}
        assert all(set(row) == set(shape.keys) for row in rows), options
        assert "flaky" in history(*options)
    (row,) = json.loads(history("--flaky", "--json"))
    assert set(row) == set(shapes.FLAKY.keys)
    assert (row["task"], row["failure_percent"], row["last_error"]) == ("a", 50.0, "exit code 4")
    assert "50%" in history("--flaky")
    assert history("unknown") == "no runs\n"
    assert "one JOB at most" in history("a", "b", code=2)
    assert "--flaky does not go with rebuild" in history("rebuild", "--flaky", code=2)
    assert "no journal of a job 'nope'" in history("rebuild", "nope", code=3)
    assert "me:***@127.0.0.1:1/db" in history("--history", "postgresql+psycopg://me:pw@127.0.0.1:1/db", code=6)
    assert bars([1.0, 2.0, 8.0]) == "▂▃█"


def test_chart(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job.json", *FAILING)
    air_executor("submit", job, cwd=tmp_path)
    assert "no manager has taken it up" in air_executor("chart", "job", "-o", "x.png", cwd=tmp_path, code=3).stderr
    with manager(tmp_path):
        air_executor("watch", "job", cwd=tmp_path, code=1)
        first = shown("status", "job", cwd=tmp_path)["id"]
        air_executor("submit", "--wait", job, cwd=tmp_path, code=1)
    air_executor("chart", "job", "-o", "x.png", cwd=tmp_path)
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    air_executor("chart", "job", "--run", first, "-o", "x.svg", cwd=tmp_path)
    assert b"job \xe2\x80\x93 failed (failures)" in (tmp_path / "x.svg").read_bytes()
    assert ".png or .svg" in air_executor("chart", "job", "-o", "x.gif", cwd=tmp_path, code=2).stderr
    assert (
        "no journal of run 'r0'"
        in air_executor("chart", "job", "--run", "r0", "-o", "x.png", cwd=tmp_path, code=3).stderr
    )
