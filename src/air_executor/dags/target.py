"""The Airflow that DAGs are brought to: its program, its interpreter, and what they answer."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import dropwhile
from pathlib import Path
from typing import Any, Final, NamedTuple

from air_executor.errors import InvalidInput

__all__ = ["Airflow", "AirflowFailed", "find_airflow"]

START_S: Final = 120.0
COMMAND_S: Final = 180.0
PROBE: Final = Path(__file__).with_name("probe.py")
SHELLS: Final = re.compile(r"(?:.*/)?(?:ba|da|z|k)?sh")
PYTHONS: Final = re.compile(r"(?:.*/)?python[\d.]*")


class AirflowFailed(InvalidInput):
    """The target Airflow could not be asked, or did not do what it was told."""


class Interpreter(NamedTuple):
    """How the program's Python is started, and what the program has told of its settings."""

    command: list[str]
    environment: dict[str, str]


def find_airflow(program: str | None) -> Path:
    """The `airflow` that was named, else the one in PATH, in the active virtual environment, or beside us."""
    if program is not None:
        found = shutil.which(program)
        if found is None:
            raise InvalidInput(f"no program {program!r}; give --airflow the path of the target's `airflow`")
        return Path(found).absolute()
    places = [Path(sys.executable).parent]
    if environment := os.environ.get("VIRTUAL_ENV"):
        places.insert(0, Path(environment) / "bin")
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, places)])
    found = shutil.which("airflow", path=path)
    if found is None:
        raise InvalidInput(
            "no `airflow` in PATH or in an active virtual environment; give --airflow the path of the target's, "
            "like --airflow /opt/airflow/bin/airflow"
        )
    return Path(found).absolute()


class Airflow:
    """A target Airflow. Its interpreter is started once, when it is first asked, and ended by `close`."""

    def __init__(self, program: Path) -> None:
        self.program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile(prefix="air-executor-")  # noqa: SIM115  (closed by close)
        self._heard = b""
        self._environment: dict[str, str] = {}

    def __enter__(self) -> Airflow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None
        self._said.close()

    # ---- its interpreter -----------------------------------------------------------------------

    def ask(self, question: str, *, within_s: float = START_S, **details: Any) -> dict[str, Any]:
        """One question to the interpreter; see `probe`."""
        process = self._process or self._start()
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its last words tell more
            process.stdin.write(json.dumps({"ask": question, **details}).encode() + b"\n")
            process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line(process, within_s))
        if "failed" in answer:
            raise AirflowFailed(f"{self.program} could not be asked: {answer['failed']}")
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        interpreter = self._interpreter()
        self._environment = interpreter.environment
        quiet = {
            "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACKS": "True",
            "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH": "100",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        }
        try:
            self._process = subprocess.Popen(
                [*interpreter.command, str(PROBE)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env=os.environ | interpreter.environment | quiet,
                start_new_session=True,
            )
        except OSError as error:
            raise AirflowFailed(
                f"cannot start {interpreter.command[0]}, the interpreter of {self.program}: {error.strerror}"
            ) from None
        return self._process

    def _line(self, process: subprocess.Popen[bytes], within_s: float) -> bytes:
        assert process.stdout is not None
        deadline = time.monotonic() + within_s
        while b"\n" not in self._heard:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, left))
            if not ready:
                raise AirflowFailed(f"{self.program} did not answer within {within_s:g} s")
            data = os.read(process.stdout.fileno(), 1 << 20)
            if not data:
                raise AirflowFailed(
                    f"Airflow cannot be imported by the interpreter of {self.program}: {self._last()}"
                )
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        return line

    def _last(self) -> str:
        self._said.seek(0)
        return _last_line(self._said.read()) or "it said nothing"

    def _interpreter(self) -> Interpreter:
        command = python_of(self.program)
        if command is not None:
            return Interpreter(command, {})
        # A wrapper: what it sets for the real program has to be asked of that.
        facts = self._facts()
        python = shutil.which(str(facts.get("python_location", "")))
        if python is None:
            raise AirflowFailed(
                f"{self.program} is no Python program, and its `airflow info` names no interpreter of this machine; "
                f"give --airflow the `airflow` of the target's own environment"
            )
        environment = {"AIRFLOW_HOME": home} if (home := facts.get("airflow_home")) else {}
        folder = self.run("config", "get-value", "core", "dags_folder").strip().splitlines()
        if folder:
            environment["AIRFLOW__CORE__DAGS_FOLDER"] = folder[-1]
        return Interpreter([python], environment)

    def _facts(self) -> dict[str, str]:
        text = self.run("info", "--output", "json")
        facts: dict[str, str] = {}
        with contextlib.suppress(ValueError):
            for section in json.loads(text[text.index("[{") :]):
                for values in section.values():
                    facts |= values if isinstance(values, Mapping) else {}
        return facts

    # ---- its command line ----------------------------------------------------------------------

    def tell(self, *arguments: str) -> None:
        """Have an `airflow` command done; raises `AirflowFailed` where it fails."""
        if python_of(self.program) is None:
            self.run(*arguments)
            return
        answer = self.ask("command", within_s=COMMAND_S + START_S, arguments=list(arguments))
        if "error" in answer:
            raise AirflowFailed(f"`{shlex.join(['airflow', *arguments[:3]])}` failed: {answer['error']}")

    def run(self, *arguments: str) -> str:
        """What an `airflow` command prints; raises `AirflowFailed` with its last line where it fails."""
        shown = shlex.join(["airflow", *arguments[:3]])
        try:
            done = subprocess.run(
                [str(self.program), *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=os.environ | self._environment,
                timeout=COMMAND_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise AirflowFailed(f"`{shown}` was not done within {COMMAND_S:g} s") from None
        except OSError as error:
            raise AirflowFailed(f"cannot run {self.program}: {error.strerror}") from None
        if done.returncode != 0:
            last = _last_line(done.stderr) or _last_line(done.stdout) or f"exit code {done.returncode}"
            raise AirflowFailed(f"`{shown}` failed: {last}")
        return done.stdout.decode(errors="replace")


def _last_line(said: bytes) -> str:
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def python_of(program: Path) -> list[str] | None:
    """The Python that a script is run with, by its first lines; None where it is something else."""
    try:
        with open(program, "rb") as file:
            head = file.read(4096).decode(errors="replace").splitlines()
    except OSError as error:
        raise InvalidInput(f"cannot read {program}: {error.strerror}") from None
    if not head or not head[0].startswith("#!"):
        return None
    return next((words for words in _starts(head) if PYTHONS.fullmatch(words[0])), None)


def _starts(head: list[str]) -> Iterator[list[str]]:
    words = head[0][2:].split()
    if words and words[0].endswith("/env"):
        words = list(dropwhile(lambda word: word.startswith("-") or "=" in word, words[1:]))
        words = [shutil.which(words[0]) or words[0], *words[1:]] if words else []
    if not words:
        return
    yield words
    # Installers write this where the path is too long, or has a space in it, for the first line:
    # #!/bin/sh
    # '''exec' "/long path/bin/python" "$0" "$@"
    if SHELLS.fullmatch(words[0]) and len(head) > 1 and head[1].startswith("'''exec' "):
        with contextlib.suppress(ValueError):
            yield shlex.split(head[1].removeprefix("'''exec' "))[:1]
