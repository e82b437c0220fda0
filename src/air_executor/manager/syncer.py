"""Brings journals to the disk in a thread of its own, many records at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from air_executor.store.journal import Journal

__all__ = ["Syncer"]

log = logging.getLogger("air_executor.manager")


class Syncer(threading.Thread):
    """Group commit: what was written within `window_s` is synced together.

    Actions that must wait for the disk (removing an inbox file whose content is journalled) are given to
    `after`; they are run by the caller's own thread, in `run_finished`.
    """

    def __init__(self, window_s: float = 0.02) -> None:
        super().__init__(name="syncer", daemon=True)
        self._window_s = window_s
        self._dirty: dict[int, Journal] = {}
        self._to_close: list[Journal] = []
        self._after: list[Callable[[], None]] = []
        self._finished: deque[Callable[[], None]] = deque()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._stopping = False
        self.failed: OSError | None = None

    def add(self, journal: Journal) -> None:
        """Sync `journal` soon."""
        with self._lock:
            self._dirty[id(journal)] = journal
        self._wake.set()

    def close(self, journal: Journal) -> None:
        """Sync `journal` and close it."""
        with self._lock:
            self._dirty[id(journal)] = journal
            self._to_close.append(journal)
        self._wake.set()

    def after(self, action: Callable[[], None]) -> None:
        """Have `run_finished` run `action` once everything added until now is on the disk."""
        with self._lock:
            self._after.append(action)
        self._wake.set()

    def run_finished(self) -> bool:
        """Run the actions whose time has come; False when there were none."""
        found = False
        while self._finished:
            try:
                self._finished.popleft()()
            except OSError as error:  # what could not be removed is in nobody's way
                log.warning("cannot clean up: %s", error)
            found = True
        return found

    @property
    def busy(self) -> bool:
        """Whether an action still waits."""
        return bool(self._after or self._finished)

    def run(self) -> None:
        while not (self._stopping and not self._dirty and not self._to_close and not self._after):
            self._wake.wait()
            if not self._stopping:
                time.sleep(self._window_s)
            with self._lock:
                self._wake.clear()
                journals, self._dirty = list(self._dirty.values()), {}
                closing, self._to_close = self._to_close, []
                actions, self._after = self._after, []
            try:
                for journal in journals:
                    journal.sync()
            except OSError as error:
                self.failed = error
                with self._lock:
                    self._dirty.update((id(journal), journal) for journal in journals)
                    self._to_close = closing + self._to_close
                    self._after = actions + self._after
                time.sleep(0.5)
                self._wake.set()
                continue
            self.failed = None
            for journal in closing:
                journal.close()
            self._finished.extend(actions)

    def stop(self) -> None:
        """Sync what is left and end the thread."""
        self._stopping = True
        self._wake.set()
        if self.is_alive():
            self.join(10.0)
