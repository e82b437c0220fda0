"""The command line: `air-executor`, or `python -m air_executor`.

`EXIT_CODES` are what it promises to scripts.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Final, TextIO

import click

from air_executor.cli.app import OutputClosed, cli
from air_executor.errors import AirExecutorError, BaseUnusable

__all__ = ["EXIT_CODES", "main"]

EXIT_BUG = 70
EXIT_INTERRUPTED = 130
EXIT_PIPE_CLOSED = 141

EXIT_CODES: Final = {
    0: "all is well; with `run`, `watch JOB` and `submit --wait`: the job completed",
    1: "the job failed (`run`, `watch JOB`, `submit --wait`); with `fix`: not as good as was asked for, or not known",
    2: "bad usage, or input that cannot be accepted; nothing was done",
    3: "no such job, task or log",
    4: "understood, but refused as things stand: the job has ended, another manager is running",
    5: "no manager is running, or the one that was is gone",
    6: "the base folder, or another file, cannot be used",
    7: "not done within the time given",
    EXIT_BUG: "a bug in Air-Executor; the line says where the details are",
    EXIT_INTERRUPTED: "interrupted by Ctrl-C (128 + 2)",
    EXIT_PIPE_CLOSED: "whoever read the output has gone (128 + 13)",
    143: "`run` was terminated (128 + 15)",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Whatever goes wrong is told in one line on stderr."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what the terminal cannot show must not stop us
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(args=arguments, prog_name="air-executor", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        help_of = error.ctx.command_path if error.ctx is not None else "air-executor"
        text = error.format_message().rstrip(".")
        return _fail(f"{text[:1].lower()}{text[1:]} (see `{help_of} --help`)", error.exit_code)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except AirExecutorError as error:
        return _fail(str(error), error.exit_code)
    except OutputClosed:
        return _pipe_closed()
    except OSError as error:
        place = f"{error.filename}: " if error.filename is not None else ""
        return _fail(f"{place}{error.strerror or error}", BaseUnusable.exit_code)
    except Exception as error:
        return _bug(error)
    return code if isinstance(code, int) else 0


def _open_closed_streams() -> None:
    """Where one of the three was closed (`>&-`), the next file to be opened would take its place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            stream = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  (for good)
            setattr(sys, name, stream)


def _fail(text: str, code: int) -> int:
    line = " ".join(text.splitlines())
    _print(sys.stderr, f"air-executor: error: {line}")
    return code


def _print(stream: TextIO, text: str) -> None:
    with contextlib.suppress(OSError):  # if nobody listens any more, the exit code still tells
        print(text, file=stream, flush=True)


def _pipe_closed() -> int:
    # Python flushes stdout once more when it exits, which must not fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_PIPE_CLOSED


def _bug(error: Exception) -> int:
    if os.environ.get("AIR_EXECUTOR_DEBUG"):
        raise error
    import tempfile
    import traceback

    place = ""
    with contextlib.suppress(OSError):
        with tempfile.NamedTemporaryFile(
            "w", prefix="air-executor-", suffix=".txt", delete=False, errors="backslashreplace"
        ) as file:
            traceback.print_exception(error, file=file)
        place = f"; details are in {file.name}"
    return _fail(f"a bug in Air-Executor: {type(error).__name__}: {error}{place}", EXIT_BUG)
