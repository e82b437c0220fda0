"""`logs`: what a task has written."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final

import click

from air_executor.cli.options import base_option, job_argument, json_option
from air_executor.cli.shapes import LOG
from air_executor.client import AirExecutorClient
from air_executor.errors import NoManager

__all__ = ["logs"]

LOOK_S: Final = 0.1
STATUS_S: Final = 0.5
CHUNK: Final = 1_048_576


@click.command()
@job_argument()
@click.argument("task")
@click.option("--follow", "-f", is_flag=True, help="Go on with what it writes until it has ended.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Of its N-th attempt [default: the last].")
@json_option(LOG)
@base_option
def logs(base: str | None, job: str, task: str, follow: bool, attempt: int | None, as_json: bool) -> None:
    """Print what a task has written, byte for byte.

    Standard output and standard error come together, in the order they were written.
    """
    from air_executor.cli.output import print_json, warn

    client = AirExecutorClient(base)
    if as_json:
        if follow:
            raise click.UsageError("--json and --follow do not go together")
        path = client.log_path(job, task, attempt)
        text = "" if path is None else path.read_bytes().decode(errors="replace")
        shown = None if path is None else str(path)
        print_json({"job_name": job, "task": task, "attempt": attempt, "path": shown, "text": text})
        return
    if follow and attempt is None:
        _follow(client, job, task)
        return
    path = client.log_path(job, task, attempt)
    if path is None:
        warn(f"task {task!r} has written nothing")
    else:
        with path.open("rb", buffering=0) as file:
            _copy(file.fileno())


def _copy(fd: int) -> bool:
    """Copy what is new to stdout; whether there was anything."""
    found = False
    while data := os.read(fd, CHUNK):
        sys.stdout.buffer.write(data)
        found = True
    if found:
        sys.stdout.buffer.flush()
    return found


class _Log:
    """The log of a task's last attempt, through attempts that follow each other under the same name."""

    def __init__(self) -> None:
        self._fd = -1
        self._inode = 0

    def copy_new(self, path: Path | None) -> None:
        """Copy what has been written since the last call."""
        if self._fd >= 0:
            _copy(self._fd)
        try:
            inode = 0 if path is None else path.stat().st_ino
        except FileNotFoundError:
            return
        if path is not None and inode != self._inode:
            self.close()
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._inode = inode
            _copy(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _follow(client: AirExecutorClient, job: str, task: str) -> None:
    log = _Log()
    look_at_status = 0.0
    try:
        while True:
            ended = False
            if time.monotonic() >= look_at_status:
                look_at_status = time.monotonic() + STATUS_S
                status = client.find_task(job, task).get("status", "pending")
                ended = status in ("completed", "failed")
                if not ended and client.manager_pid is None:
                    log.copy_new(client.log_path(job, task))
                    raise NoManager(f"no manager is running on {client.base}; task {task!r} is {status}")
            log.copy_new(client.log_path(job, task))
            if ended:
                return
            time.sleep(LOOK_S)
    finally:
        log.close()
