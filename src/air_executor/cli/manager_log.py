"""`manager.log`: what a manager says, put aside as `manager.log.1` and so on when it has grown."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler

from air_executor.settings import Settings
from air_executor.store.layout import Base

__all__ = ["log_to"]


class ManagerLog(RotatingFileHandler):
    """The file. `carries_stderr`: standard error is this file too (`start`), and has to follow it."""

    def __init__(self, base: Base, settings: Settings) -> None:
        self._mode = base.file_mode
        self._fd = -1
        self.carries_stderr = False
        super().__init__(
            base.manager_log,
            maxBytes=int(settings.log_max_mb * 1e6),
            backupCount=settings.log_keep,
            encoding="utf-8",
            errors="backslashreplace",
        )
        with contextlib.suppress(OSError, ValueError):  # no stderr, or one without a descriptor
            self.carries_stderr = os.path.sameopenfile(self._fd, sys.stderr.fileno())

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self.baseFilename, flags, self._mode)
        with contextlib.suppress(PermissionError):  # made by another member of the group
            os.fchmod(fd, self._mode)
        self._fd = fd
        return os.fdopen(fd, "a", encoding="utf-8", errors="backslashreplace")

    def doRollover(self) -> None:  # noqa: N802  (the name the standard library calls)
        try:
            super().doRollover()
        except OSError:  # no room, or no right to rename: the file grows on
            self.stream = self._open()
        if self.carries_stderr:
            os.dup2(self._fd, sys.stderr.fileno())

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """A line that cannot be written (a full disk) is dropped; nobody is shown a traceback."""


def log_to(base: Base, settings: Settings) -> logging.Logger:
    """Log to `manager.log`, and to stderr unless that is the same file."""
    file = ManagerLog(base, settings)
    handlers: list[logging.Handler] = [file]
    if not file.carries_stderr:
        handlers.append(logging.StreamHandler(sys.stderr))
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    log = logging.getLogger("air_executor")
    log.setLevel(logging.INFO)
    log.propagate = False
    for handler in handlers:
        handler.setFormatter(formatter)
        log.addHandler(handler)
    return log
