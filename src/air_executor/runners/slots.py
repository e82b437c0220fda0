"""Where the output of attempts goes: files without a task's name first, which get it when there is anything to keep.

Standard library only, and nothing of this package: the launcher, which runs apart from it, loads this file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import Any

FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Slot:
    """A log file without a task's name yet; the descriptor is for looking at it, not for writing."""

    __slots__ = ("fd", "name")

    def __init__(self, name: bytes, fd: int) -> None:
        self.name = name
        self.fd = fd

    def close(self) -> None:
        os.close(self.fd)


class Slots:
    """Opens logs and names them. Tasks are the launcher's `Running`, contexts its `Context`.

    A first attempt writes to a slot, a file that gets the task's name when it outlives 100 ms or has
    written anything; a slot left empty serves the next task, so that silent short tasks cost no file.
    """

    def __init__(self, launcher: bytes) -> None:
        self.launcher = launcher
        self.serial = 0

    def open(self, task: Any, attempt: int) -> int:
        """Open the file that takes the output of an attempt."""
        context = task.context
        if attempt > 1:
            self.put_earlier_log_by(context, task.log, attempt)
            return self.make(context, task.log, FLAGS)
        while context.free_slots:
            slot = context.free_slots.pop()
            try:
                fd = os.open(context.logs + slot.name, FLAGS ^ os.O_CREAT)
                task.slot = slot
                return fd
            except FileNotFoundError:
                slot.close()  # somebody cleaned up
        self.serial += 1
        name = b"@slot-%s-%d" % (self.launcher, self.serial)
        try:
            fd = self.make(context, context.logs + name, FLAGS)
        except FileNotFoundError:
            os.makedirs(context.logs, exist_ok=True)
            fd = self.make(context, context.logs + name, FLAGS)
        task.slot = Slot(name, os.open(context.logs + name, os.O_RDONLY | os.O_CLOEXEC))
        return fd

    def make(self, context: Any, path: bytes, flags: int) -> int:
        fd = os.open(path, flags, 0o660)
        if context.shared:
            os.fchmod(fd, 0o660)
        return fd

    def put_earlier_log_by(self, context: Any, log: bytes, attempt: int) -> None:
        """Give the log that is there the number of its attempt: not always the last, which may never have begun."""
        stem = log[:-4]
        earlier = range(attempt - 1, 0, -1)
        known = next((n for n in earlier if os.path.exists(stem + b"@%d.log" % n)), 0)
        try:
            os.rename(log, stem + b"@%d.log" % min(known + 1, attempt - 1))
        except FileNotFoundError:  # silent: an empty one keeps the count
            os.close(self.make(context, stem + b"@%d.log" % (attempt - 1), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC))

    def give_back(self, task: Any) -> None:
        if task.slot is not None:
            task.context.free_slots.append(task.slot)
            task.slot = None

    def settle(self, task: Any) -> None:
        """Give what a short task wrote the task's name; keep an empty slot that nobody writes to any more."""
        if task.slot is None:
            return
        slot = task.slot
        try:
            unused = os.fstat(slot.fd).st_size == 0 and not has_writer(slot.fd)
        except OSError:
            unused = False
        if not unused:
            self.name(task)
        elif task.context.closed:
            slot.close()
            os.unlink(task.context.logs + slot.name)
        else:
            self.give_back(task)

    def name(self, task: Any) -> None:
        """Let a task's slot be its log."""
        slot = task.slot
        if slot is not None:
            slot.close()
            with contextlib.suppress(OSError):
                os.rename(task.context.logs + slot.name, task.log)
            task.slot = None

    def remove(self, context: Any) -> None:
        """Remove the free slots of a run that has ended."""
        for slot in context.free_slots:
            slot.close()
            with contextlib.suppress(OSError):
                os.unlink(context.logs + slot.name)
        context.free_slots.clear()


def has_writer(fd: int) -> bool:
    """Whether a child that outlived its task still has the file open (a lease is refused then)."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError:
        return True
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
