"""When the two views of a run are written, and in which pieces."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from air_executor.lifecycle import Run
from air_executor.store.files import Identity, identity
from air_executor.store.layout import JobFolder
from air_executor.store.views import (
    END_OF_TASKS,
    TASKS_PER_CHUNK,
    ViewFile,
    chunk_count,
    render_chunk,
    render_state,
)

__all__ = ["JobViews"]

_END: Final = object()

INTERVAL_S: Final = 0.9
COST_FACTOR: Final = 20.0
"""A view that takes long to write is written so rarely that it takes at most a twentieth of the time."""
SLICE_S: Final = 0.005
KEEP_FROM_CHUNKS: Final = 3
"""From this size on, unchanged chunks are copied from the last version instead of being rendered."""
FIRST_S: Final = 0.25
"""A job that is shorter than this writes its views once."""


class LastVersion:
    """The `tasks.json` we put in place last, as a source of the chunks that have not changed since."""

    def __init__(self, fd: int, chunks: list[tuple[int, int]]) -> None:
        self.fd = fd
        self.chunks = chunks
        self._identity: Identity | None = identity(fd)

    def usable(self) -> bool:
        """Whether nobody has written into it."""
        now = identity(self.fd)
        return now is not None and now.same_content(self._identity)


class JobViews:
    """Writes `tasks.json` piece by piece and `state.json` in one; at the end of a run `state.json` last."""

    def __init__(self, folder: JobFolder, mode: int, before_swap: Callable[[], None]) -> None:
        """`before_swap` is called before a view that others wrote is replaced."""
        self.state = ViewFile(folder.path, "state.json", mode)
        self.tasks = ViewFile(folder.path, "tasks.json", mode)
        self.displaced: list[Path] = []
        """What came out of a swap and has to be read."""
        self._before_swap = before_swap
        self._tasks_changed = False
        self._state_changed = False
        self._rendering: Iterator[None] | None = None
        self._last: LastVersion | None = None
        self._changed_chunks: set[int] = set()
        self._cost_s = 0.0
        self._tasks_due = 0.0
        self._state_due = 0.0
        self._hurried = False
        self.refused: str | None = None
        """Why the last write failed; None when it did not."""

    def begin(self, now: float) -> None:
        """A run began: both views are to be written, though not at once."""
        self._rendering = None  # of the run before
        self.tasks.abandon()
        self.forget_last()
        self._changed_chunks.clear()
        self.touch()
        self._tasks_due = self._state_due = now + FIRST_S

    def touch(self, *, tasks: bool = True) -> None:
        """Note that the run has changed."""
        self._state_changed = True
        if tasks:
            self._tasks_changed = True

    def hurry(self) -> None:
        """Write `state.json` in this turn, before anything else."""
        self._hurried = True

    def touch_task(self, order: int) -> None:
        """Note that the task at this place of the list has changed."""
        self._changed_chunks.add(order // TASKS_PER_CHUNK)

    def untouch(self) -> None:
        """Note that both views are as the run is."""
        self._tasks_changed = self._state_changed = False

    def leave_tasks(self) -> None:
        """Do not write `tasks.json`: what stands there belongs to a run to come."""
        self._tasks_changed = False

    @property
    def tasks_in_the_way(self) -> bool:
        """Whether `tasks.json` is about to be written though somebody else's stands there."""
        return self._tasks_changed and self._rendering is None and self.tasks.changed()

    def due(self, run: Run, now: float) -> float | None:
        """When the next piece is to be written; None when both views are up to date."""
        if (
            self._hurried
            or self._rendering is not None
            or (run.ended and (self._tasks_changed or self._state_changed))
        ):
            return now
        due = [self._tasks_due] if self._tasks_changed else []
        if self._state_changed:
            due.append(self._state_due)
        return min(due, default=None)

    def write(self, run: Run, now: float) -> None:
        """Write what is due, for a few milliseconds at most."""
        if self._hurried:
            self._hurried = False
            if not run.ended and not self.state.changed():
                self._write_state(run, now)
        if self._rendering is None and self._tasks_changed and (run.ended or now >= self._tasks_due):
            self._tasks_changed = False
            self._cost_s = 0.0
            self.tasks.begin()
            self._rendering = self._pieces(run)
        if self._rendering is not None:
            self._render(run, now)
        if self._rendering is not None or not self._state_changed:
            return
        if run.ended:
            if not self._tasks_changed:
                self._write_state(run, now)
        elif now >= self._state_due:
            if self.state.changed():  # read that first
                self._state_due = now + 0.05
            else:
                self._write_state(run, now)

    def _render(self, run: Run, now: float) -> None:
        assert self._rendering is not None
        began = time.perf_counter()
        written = False
        while not written and time.perf_counter() - began < SLICE_S:
            written = next(self._rendering, _END) is _END
        if written:
            self._rendering = None
            if self.tasks.changed() and not run.ended:  # read that first
                self.tasks.abandon()
                self.forget_last()
                self._tasks_changed = True
                self._tasks_due = now + 0.05
                return
            self._publish(self.tasks)
        self._cost_s += time.perf_counter() - began
        if written:
            self._tasks_due = now + max(INTERVAL_S, COST_FACTOR * self._cost_s)

    def _pieces(self, run: Run) -> Iterator[None]:
        """Write the view chunk by chunk: what has not changed is copied from the last version."""
        last, changed = self._last, self._changed_chunks
        self._last, self._changed_chunks = None, set()
        old = last.chunks if last is not None and last.usable() else []
        chunks: list[tuple[int, int]] = []
        offset = 0
        try:
            for chunk in range(chunk_count(run)):
                if last is not None and chunk < len(old) and chunk not in changed:
                    source, size = old[chunk]
                    self.tasks.copy(last.fd, source, size)
                else:
                    text = render_chunk(run, chunk)
                    size = len(text)
                    self.tasks.write(text)
                chunks.append((offset, size))
                offset += size
                yield
            untouched = last is None or last.usable()
        finally:
            if last is not None:
                os.close(last.fd)
        self.tasks.write(END_OF_TASKS if chunks else b"[]\n")
        if len(chunks) >= KEEP_FROM_CHUNKS and not run.ended:
            self._last = LastVersion(self.tasks.reopen(), chunks)
        if not untouched:
            yield from self._again(run)

    def _again(self, run: Run) -> Iterator[None]:
        """Somebody wrote into the last version while it was copied: render everything."""
        self.forget_last()
        self.tasks.begin()
        yield from self._pieces(run)

    def forget_last(self) -> None:
        """Render everything the next time."""
        if self._last is not None:
            os.close(self._last.fd)
            self._last = None

    def _write_state(self, run: Run, now: float) -> None:
        self._state_changed = False
        self.state.begin()
        self.state.write(render_state(run))
        self._publish(self.state)
        self._state_due = now + INTERVAL_S
        self.refused = None  # it comes after the list of tasks

    def leftovers(self) -> list[Path]:
        """What came out of swaps and may not have been read."""
        return [*self.state.leftovers(), *self.tasks.leftovers()]

    def _publish(self, view: ViewFile) -> None:
        self._before_swap()
        self.displaced += view.rescue()
        displaced = view.publish()
        if displaced is not None:
            self.displaced.append(displaced.path)

    def shift_clock(self, by_s: float) -> None:
        self._tasks_due += by_s
        self._state_due += by_s

    def give_up(self, now: float, why: str | None) -> None:
        """A write failed: begin again later."""
        self.refused = why
        self._rendering = None
        self.forget_last()
        self.tasks.abandon()
        self.state.abandon()
        self.touch()
        self._tasks_due = self._state_due = now + 1.0
