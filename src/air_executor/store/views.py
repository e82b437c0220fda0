"""The two views of a run, `state.json` and `tasks.json`: how they read, and how they are put in place.

Views can be written by anybody, so a view is replaced only by *swapping* it with the new one and looking
at what came out (`ViewFile`). What the manager has not seen before is handed back, never lost.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from air_executor.lifecycle import Run
from air_executor.masking import mask_environment, mask_options
from air_executor.model import DEFAULT_RETRY_DELAY_S, Task, Usage
from air_executor.store.files import Identity, being_written, exchange, identity, place_new, write_all

__all__ = ["Displaced", "ViewFile", "render_state", "render_tasks", "show_task", "state_view", "task_view"]

TASKS_PER_CHUNK: Final = 500


class TaskView(Struct, kw_only=True, omit_defaults=True, gc=False):
    """The keys of a task in `tasks.json`, in their order; those without default are always there."""

    id: str
    job_name: str
    command: str | None
    args: list[str]
    dependencies: list[str]
    status: str
    created_at: str
    started_at: str | None
    completed_at: str | None
    error: str | None
    reason: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    attempt: int = 0
    run_s: float | None = None
    result: Any = None
    usage: Usage | None = None
    progress: dict[str, Any] | None = None
    retry_at: float | None = None
    shell: bool = False
    cwd: str | None = None
    env: dict[str, str] | None = None
    env_from: Any = None
    timeout_s: float | None = None
    retries: int = 0
    retry_delay_s: float = DEFAULT_RETRY_DELAY_S
    priority: int = 0
    cpus: float | None = None
    memory_mb: float | None = None
    group: str | None = None
    trigger_rule: str = "all_success"
    final: bool = False
    idempotent: bool = False
    keep_children: bool = False
    enforce_memory: bool = False


_encoder = msgspec.json.Encoder()


def task_view(run: Run, task: Task) -> TaskView | dict[str, Any]:
    """What `tasks.json` shows of a task of a run."""
    return show_task(task, run.name, run.progress.get(task.spec.id))


def show_task(task: Task, job_name: str, progress: tuple[float, str] | None) -> TaskView | dict[str, Any]:
    """What `tasks.json` shows of a task; a dict when it has keys of its own that we do not know.

    `progress` is what it has said of itself: a fraction and a text.
    """
    spec = task.spec
    view = TaskView(
        id=spec.id,
        job_name=job_name,
        command=spec.command,
        args=spec.args,
        dependencies=spec.dependencies,
        status=task.status,
        created_at=task.created_at,
        started_at=task.started_at,
        completed_at=task.completed_at,
        error=task.error,
        reason=task.reason,
        exit_code=task.exit_code,
        signal=task.signal,
        attempt=task.attempt,
        run_s=task.run_s,
        result=task.result,
        usage=task.usage,
        progress=None if progress is None else {"fraction": progress[0], "text": progress[1]},
        retry_at=task.retry_at,
        shell=spec.shell,
        cwd=spec.cwd,
        env=spec.env and mask_environment(spec.env),
        env_from=spec.env_from,
        timeout_s=spec.timeout_s,
        retries=spec.retries,
        retry_delay_s=spec.retry_delay_s,
        priority=spec.priority,
        cpus=spec.cpus,
        memory_mb=spec.memory_mb,
        group=spec.group,
        trigger_rule=spec.trigger_rule,
        final=spec.final,
        idempotent=spec.idempotent,
        keep_children=spec.keep_children,
        enforce_memory=spec.enforce_memory,
    )
    if spec.extra:
        return {**msgspec.to_builtins(view), **spec.extra}
    return view


def render_tasks(run: Run) -> Iterator[bytes]:
    """`tasks.json` in pieces, so that the manager can do other things between them."""
    for chunk in range(chunk_count(run)):
        yield render_chunk(run, chunk)
    yield END_OF_TASKS if run.in_order else b"[]\n"


END_OF_TASKS: Final = b"\n]\n"


def chunk_count(run: Run) -> int:
    return -(-len(run.in_order) // TASKS_PER_CHUNK)


def render_chunk(run: Run, chunk: int) -> bytes:
    """The part of `tasks.json` that shows the tasks of one chunk, with the bracket or comma before it."""
    start = chunk * TASKS_PER_CHUNK
    views = [task_view(run, task) for task in run.in_order[start : start + TASKS_PER_CHUNK]]
    block = msgspec.json.format(_encoder.encode(views), indent=2)
    return (b"[" if start == 0 else b",") + block[1:-2]


def state_view(run: Run) -> dict[str, Any]:
    """What `state.json` shows of a run."""
    view: dict[str, Any] = {
        "id": run.id,
        "name": run.name,
        "state": run.state,
        "created_at": run.created_at,
        "updated_at": run.updated_at,
        "progress": {"total": run.total, **run.counts},
        "error": run.error,
        "reason": run.reason,
        "warnings": run.warnings,
    }
    if run.stopping and not run.ended:
        view["stopping"] = run.stopping
    if run.paused:
        view["paused"] = True
    options = msgspec.to_builtins(run.options)
    mask_options(options)
    if run.options.open and not run.open:
        options["open"] = False
    return {**view, **options, **{key: value for key, value in run.extra.items() if key not in view}}


def render_state(run: Run) -> bytes:
    return msgspec.json.format(_encoder.encode(state_view(run)), indent=2) + b"\n"


class Displaced(Struct):
    """A file that came out of a swap and is not the view we last put there."""

    path: Path


class ViewFile:
    """A view that others may replace or write into at any moment.

    `known` is the content at the path that has been dealt with: our own last view, or a foreign one that
    was read. Sequence of `publish`: write `.part`, rename it to `.swap`, exchange `.swap` with the view,
    compare what came out with `known`. A file that somebody has open for writing is kept until he is done.
    """

    def __init__(self, folder: Path, name: str, mode: int) -> None:
        self.path = folder / name
        self._path_text = str(self.path)
        self.swap = folder / f".{name}.swap"
        self._part = folder / f".{name}.part"
        self._folder = folder
        self._name = name
        self._mode = mode
        self.known: Identity | None = None
        self._part_fd = -1
        self._kept = 0

    def changed(self) -> bool:
        """Whether something stands at the path that has not been dealt with."""
        now = identity(self._path_text)
        return now is not None and now != self.known

    def leftovers(self) -> list[Path]:
        """Files of an interrupted swap, which may hold what others wrote; moved to where no swap replaces them."""
        self.rescue()
        return sorted(self._folder.glob(f".{self._name}.displaced-*"))

    def rescue(self) -> list[Path]:
        """Move what an interrupted swap left to where the next one does not replace it; gives the new names."""
        left = (self.swap, self._folder / f".{self._name}.taken")
        return [self._keep(path).path for path in left if os.path.lexists(path)]

    def begin(self) -> None:
        """Start writing the next view; `write` and `publish` follow."""
        self.abandon()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        self._part_fd = os.open(self._part, flags, self._mode)
        os.fchmod(self._part_fd, self._mode)

    def write(self, data: bytes) -> None:
        write_all(self._part_fd, data)

    def copy(self, source: int, offset: int, size: int) -> None:
        """Write `size` bytes of an open file, from `offset` on, without bringing them into memory."""
        while size:
            done = os.sendfile(self._part_fd, source, offset, size)
            if done == 0:
                raise OSError(f"{self.path}: its last version is shorter than it was")
            offset += done
            size -= done

    def reopen(self) -> int:
        """A descriptor for reading what is being written, also after it has been published."""
        return os.open(f"/proc/self/fd/{self._part_fd}", os.O_RDONLY | os.O_CLOEXEC)

    def abandon(self) -> None:
        """Give up the view being written."""
        if self._part_fd >= 0:
            os.close(self._part_fd)
            self._part_fd = -1
            with contextlib.suppress(OSError):
                self._part.unlink()

    def publish(self) -> Displaced | None:
        """Put the written view in place. Gives what was there, if that still has to be read."""
        ours = identity(self._part_fd)
        os.close(self._part_fd)
        self._part_fd = -1
        self._part.rename(self.swap)
        displaced: Displaced | None = None
        while True:
            try:
                swapped = exchange(self.swap, self.path)
            except FileNotFoundError:
                if place_new(self.swap, self.path):
                    break
                continue
            if swapped:
                displaced = self._look_at(self.swap)
                break
            if (displaced := self._publish_without_exchange()) is not None:
                break
            if not self.swap.exists():
                break
        now = identity(self.path)
        # If somebody was at it already, `known` must differ from what stands there now.
        self.known = now if now is not None and now.same_content(ours) else ours
        return displaced

    def _publish_without_exchange(self) -> Displaced | None:
        """Take the old view away, put the new one there unless somebody was faster."""
        taken = self._folder / f".{self._name}.taken"
        with contextlib.suppress(FileNotFoundError):
            self.path.rename(taken)
        found = self._look_at(taken) if taken.exists() else None
        place_new(self.swap, self.path)
        return found

    def _look_at(self, path: Path) -> Displaced | None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return self._keep(path)  # a symlink or what we may not read: never ours
        try:
            writing = being_written(fd)
            if writing is None and os.fstat(fd).st_uid != os.geteuid():
                writing = True  # of another member, whose files we get no lease for
            came_out = identity(fd)
        finally:
            os.close(fd)
        if not writing and came_out is not None and came_out.same_content(self.known):
            path.unlink()
            return None
        return self._keep(path)

    def _keep(self, path: Path) -> Displaced:
        while (kept := self._folder / f".{self._name}.displaced-{self._kept}").exists():
            self._kept += 1
        path.rename(kept)
        return Displaced(kept)
