"""What the manager remembers of a job that has ended, so that a hundred thousand of them cost next to nothing."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from air_executor import events as ev
from air_executor.manager.foreign import UNREADABLE
from air_executor.model import ENDED_STATES
from air_executor.store.files import Identity, identity, open_regular, read_regular
from air_executor.store.inbox import drop_files
from air_executor.store.layout import JobFolder

__all__ = ["EndedJob", "holds_unread"]

TAIL_BYTES: Final = 16_384
_UNREAD: Final = re.compile(r"\.(?:(?:state|tasks)\.json\.(?:swap|taken|displaced-\d+)|next-(?:state|tasks)\.json)")


class EndedJob(Struct, frozen=True, gc=False):
    """What is remembered of a job whose run has ended and that nobody has touched since."""

    inode: int
    state: Identity
    tasks: Identity

    @classmethod
    def of(cls, folder: JobFolder) -> EndedJob | None:
        """Of a folder, without reading its journal; None when there is, or may be, something to do."""
        here, state, tasks, journal = map(identity, (folder.path, folder.state, folder.tasks, folder.journal))
        if not (here and state and tasks and journal):
            return None
        if max(tasks.mtime_ns, journal.mtime_ns) > state.mtime_ns or drop_files(folder.inbox):
            return None
        try:
            raw = msgspec.json.decode(read_regular(folder.state))
            if raw["state"] not in ENDED_STATES or not _tells_of_end(folder.journal, raw["id"], raw["state"]):
                return None
        except (OSError, *UNREADABLE, TypeError, KeyError, AttributeError):
            return None
        return cls(here.inode, state, tasks)

    def unchanged(self, folder: JobFolder) -> bool:
        """Whether both views are still those, and nothing was dropped."""
        return (
            identity(folder.state) == self.state
            and identity(folder.tasks) == self.tasks
            and not drop_files(folder.inbox)
        )


def holds_unread(folder: JobFolder) -> bool:
    """Whether a manager that was killed may have left there what it had not dealt with: views that were swapped
    out, or a run that waits."""
    return any(_UNREAD.fullmatch(name) for name in os.listdir(folder.path))


def _tells_of_end(journal: Path, run_id: str, state: str) -> bool:
    """Whether a journal is that of run `run_id` and says last that it ended in `state`; reads its two ends only."""
    with open(open_regular(journal), "rb") as file:
        if msgspec.json.decode(file.readline()).get("id") != run_id:
            return False
        file.seek(max(0, journal.stat().st_size - TAIL_BYTES))
        lines = file.read().split(b"\n")
    if lines.pop():
        return False  # a torn end
    while lines:
        event = ev.decode_event(lines.pop())
        if not isinstance(event, ev.WarningRaised | ev.RequestDone):
            return isinstance(event, ev.RunEnded) and event.state == state
    return False
