"""Asks a program for the value of a variable: `python -I -S asking.py LIMIT_S MOST_BYTES FOLDER PROGRAM [ARGUMENT…]`.

Runs beside the manager, so that however long the program takes nobody waits for it. One JSON object on standard
output: `{"value": …}` or `{"error": …}`. When standard input ends, the manager is gone: so goes the program.
Standard library only, and nothing of this package.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time

KEPT_OF_STDERR = 4_096
READS_AT_END = 32
"""More than any pipe holds; what its children go on to write is not waited for."""
SHORTEST_SECRET = 4
"""What is shorter may stand anywhere by chance."""


class Unanswered(Exception):
    """Why there is no value."""


def ask(limit_s: float, most: int, folder: str, argv: list[str]) -> str:
    """What the program prints, without the newline at its end."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise Unanswered(f"cannot run in {folder!r}: {error.strerror}") from None
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0
        )
    except OSError as error:
        raise Unanswered(f"cannot be run: {error.strerror}") from None
    try:
        out, err, why = listen(process, limit_s, most)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # it, or what it left behind
    code = process.wait()
    if not why and code:
        why = f"failed with exit code {code}" if code > 0 else f"was ended by signal {-code}"
    if why:
        line = last_line(err, out)
        raise Unanswered(f"{why}: {line}" if line else why)
    try:
        value = out.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise Unanswered("printed what is not UTF-8") from None
    if "\0" in value:
        raise Unanswered("printed a NUL character, which cannot be passed to a process")
    return value


def listen(process: subprocess.Popen[bytes], limit_s: float, most: int) -> tuple[bytes, bytes, str]:
    """What it wrote until it ended (not until all who hold its output did), and why that was too long or too much."""
    assert process.stdout is not None
    assert process.stderr is not None
    deadline = time.monotonic() + limit_s
    out, err = Written(process.stdout.fileno(), most + 1), Written(process.stderr.fileno(), KEPT_OF_STDERR)
    ended = os.pidfd_open(process.pid)
    poll = select.poll()
    for fd in (0, ended, out.fd, err.fd):
        poll.register(fd, select.POLLIN)
    while True:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return out.last, err.last, f"did not answer within {limit_s:g} s"
        ready = {fd for fd, _ in poll.poll(left_s * 1_000)}
        if 0 in ready and not os.read(0, 4_096):
            return out.last, err.last, "was given up"
        for one in (out, err):
            if one.fd in ready and not one.read():
                poll.unregister(one.fd)
            for _ in range(READS_AT_END if ended in ready else 0):
                if not one.read():
                    break
        if len(out.last) > most:
            return b"", b"", f"printed over {most} bytes, too long for a variable"
        if ended in ready:
            return out.last, err.last, ""


class Written:
    """The end of what comes out of a pipe."""

    def __init__(self, fd: int, kept: int) -> None:
        self.fd = fd
        self.last = b""
        self._kept = kept
        os.set_blocking(fd, False)

    def read(self) -> bool:
        """Take what is there; False when that is nothing."""
        try:
            data = os.read(self.fd, 65_536)
        except BlockingIOError:
            return False
        self.last = (self.last + data)[-self._kept :]
        return bool(data)


def last_line(err: bytes, out: bytes) -> str:
    """The last line of what it said on standard error, without what it printed as the value."""
    lines = [line.strip() for line in err.decode(errors="replace").splitlines() if line.strip()]
    line = lines[-1] if lines else ""
    for secret in out.decode(errors="replace").split("\n"):
        if len(secret.strip()) >= SHORTEST_SECRET:
            line = line.replace(secret.strip(), "***")
    return line[:500]


def main() -> None:
    os.setsid()
    limit_s, most, folder, *argv = sys.argv[1:]
    try:
        answer = {"value": ask(float(limit_s), int(most), folder, argv)}
    except Unanswered as error:
        answer = {"error": str(error)}
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(answer))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
