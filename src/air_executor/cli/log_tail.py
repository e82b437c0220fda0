"""The end of a task's log on the screen, as it is written."""

from __future__ import annotations

import os
from typing import Final

from rich.text import Text

from air_executor.cli.following import JobFollower
from air_executor.cli.output import clock

__all__ = ["LogTail"]

KEPT: Final = 65_536


class LogTail:
    """Reads what is new whenever it is asked for lines; goes over to the log of the next attempt by itself."""

    def __init__(self, follower: JobFollower, task: str) -> None:
        self.task = task
        self._follower = follower
        self._path = follower.client.base.job(follower.job).log(task)
        self._fd = -1
        self._inode = 0
        self._data = b""

    def lines(self, now: float, height: int, state: tuple[str, str]) -> list[Text]:
        """`state`: of the task, in a word and a colour."""
        self._read()
        attempt = self._follower.progress.running.get(self.task)
        since = "" if attempt is None else f" {clock(now - attempt.started_at)}"
        title = Text.assemble((self.task, "bold"), "  ", (state[0] + since, state[1]))
        shown: list[Text] = []
        for raw in self._data.decode(errors="replace").split("\n")[-height:]:
            line = Text.from_ansi(raw.rstrip("\r").rpartition("\r")[2].expandtabs(8))
            line.plain = "".join(c if c.isprintable() else "·" for c in line.plain)
            shown.append(line)
        if shown and not shown[-1].plain:
            shown.pop()
        if not shown:
            shown = [Text("nothing written yet", style="bright_black")]
        return [title, Text(), *shown[-max(1, height - 2) :]]

    def _read(self) -> None:
        try:
            inode = os.stat(self._path, follow_symlinks=False).st_ino
            if inode != self._inode:
                self.close()
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                self._inode = inode
                self._data = b""
                os.lseek(self._fd, max(0, os.fstat(self._fd).st_size - KEPT), os.SEEK_SET)
        except OSError:
            pass
        if self._fd >= 0:
            while more := os.read(self._fd, KEPT):
                self._data = (self._data + more)[-KEPT:]

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._inode = 0
