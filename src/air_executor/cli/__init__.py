"""The command line: `air-executor`, or `python -m air_executor`.

Exit codes: 0 all well, 1 the job failed, 2 bad usage or input, 3 no such job or task, 4 refused as things stand,
5 no manager, 6 base folder or another file unusable, 7 timed out, 70 a bug of ours, 130 and 143 interrupted,
141 nobody reads the output.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

import click

from air_executor.cli.app import cli
from air_executor.errors import AirExecutorError, BaseUnusable

__all__ = ["main"]

EXIT_BUG = 70
EXIT_INTERRUPTED = 130
EXIT_PIPE_CLOSED = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Whatever goes wrong is told in one line on stderr."""
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
    except BrokenPipeError:
        return _pipe_closed()
    except OSError as error:
        place = f"{error.filename}: " if error.filename is not None else ""
        return _fail(f"{place}{error.strerror or error}", BaseUnusable.exit_code)
    except Exception as error:
        return _bug(error)
    return code if isinstance(code, int) else 0


def _fail(text: str, code: int) -> int:
    line = " ".join(text.splitlines())
    _print(sys.stderr, f"air-executor: error: {line}")
    return code


def _print(stream: TextIO, text: str) -> None:
    try:
        print(text, file=stream, flush=True)
    except OSError:
        pass  # nobody listens any more; the exit code still tells


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
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="air-executor-", suffix=".txt", delete=False, errors="backslashreplace"
        ) as file:
            traceback.print_exception(error, file=file)
        place = f"; details are in {file.name}"
    except OSError:
        pass
    return _fail(f"a bug in Air-Executor: {type(error).__name__}: {error}{place}", EXIT_BUG)
