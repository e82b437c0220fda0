"""Every error a user can meet, and the exit code the command line gives it.

AirExecutorError                1
├── InvalidInput                2   a job file, task, name or option that cannot be accepted
│   └── InvalidName             2   a job name or task id that breaks the naming rules
├── NotFound                    3   no such job, task or log
├── Refused                     4   understood, but not now
│   ├── JobSealed               4   the job has ended; it takes no more tasks
│   └── ManagerRunning          4   another manager holds this base folder
├── NoManager                   5   nobody would carry the request out
├── BaseUnusable                6   base folder missing, unreadable, unsafe or full
│   └── JournalUnreadable       6   a journal of a newer version, or damaged in the middle
└── WaitTimeout                 7   the job had not ended in the time given
"""

from __future__ import annotations

__all__ = [
    "AirExecutorError",
    "BaseUnusable",
    "InvalidInput",
    "InvalidName",
    "JobSealed",
    "JournalUnreadable",
    "ManagerRunning",
    "NoManager",
    "NotFound",
    "Refused",
    "WaitTimeout",
]


class AirExecutorError(Exception):
    """Something the user has to know; its text says what, where, and what to do."""

    exit_code = 1


class InvalidInput(AirExecutorError):
    """The input cannot be accepted as it stands."""

    exit_code = 2


class InvalidName(InvalidInput):
    """A job name or task id breaks the naming rules."""


class NotFound(AirExecutorError):
    """No such job, task or log."""

    exit_code = 3


class Refused(AirExecutorError):
    """The request is sound but the state of things forbids it."""

    exit_code = 4


class JobSealed(Refused):
    """The job has ended, so it takes no more tasks."""

    def __init__(self, job_name: str, state: str) -> None:
        super().__init__(
            f"job {job_name!r} has ended ({state}) and takes no more tasks; "
            "queue with --reopen (reopen=True) to let it go on"
        )
        self.job_name = job_name
        self.state = state


class ManagerRunning(Refused):
    """A second manager was started on a base folder that has one."""

    def __init__(self, base: str, pid: int) -> None:
        # The kernel's pid of a lock is 0 or less when its process cannot be seen from here.
        who, how = (
            (f" (pid {pid})", "with `air-executor stop`") if pid > 0 else ("", "in its container or on its machine")
        )
        super().__init__(f"a manager{who} already works on {base}; stop it {how}")
        self.base = base
        self.pid = pid


class NoManager(AirExecutorError):
    """No manager holds the base folder, so nobody would do this."""

    exit_code = 5


class BaseUnusable(AirExecutorError):
    """The base folder is missing, unreadable, unsafe or full."""

    exit_code = 6


class JournalUnreadable(BaseUnusable):
    """A journal this version cannot read without losing something."""


class WaitTimeout(AirExecutorError):
    """The job had not ended within the time the caller gave it."""

    exit_code = 7
