"""One job folder joined to its run: reads what others wrote there, journals, and writes the views."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from air_executor import events as ev
from air_executor.errors import AirExecutorError, BaseUnusable, InvalidInput
from air_executor.lifecycle import AttemptEnd, Run
from air_executor.model import (
    ENDED_STATES,
    OPTION_FIELDS,
    TaskSpec,
    Usage,
    content_key,
    parse_options,
    parse_task,
    unlikely_keys,
)
from air_executor.names import automatic_id, file_stem, new_job_id
from air_executor.runners.base import RunContext
from air_executor.store.files import Identity, being_written, identity, write_atomically
from air_executor.store.inbox import DROP_SUFFIX, drop_files, read_records
from air_executor.store.journal import Journal, read_journal
from air_executor.store.layout import JobFolder
from air_executor.store.views import ViewFile, render_state, render_tasks
from air_executor.times import to_iso

__all__ = ["ManagedJob"]

log = logging.getLogger("air_executor.manager")

SETTLE_S: Final = 2.0
"""How long an unreadable file must stay unchanged before it counts as bad rather than half-written."""
VIEW_INTERVAL_S: Final = 0.9
VIEW_COST_FACTOR: Final = 20.0
MAX_RESULT_BYTES: Final = 1_048_576
STATE_KEYS: Final = frozenset(
    "id name state created_at updated_at progress error reason warnings stopping paused".split()
)
SUBMIT_KEYS: Final = frozenset({"cwd", "environment"})


class NotReadable(Exception):
    """A file that does not hold what it should; `text` says where and what was expected."""


class _Raw:
    """A view as somebody else wrote it: read whole, or not readable yet."""

    def __init__(self) -> None:
        self.unreadable: tuple[Identity, float] | None = None

    def read(self, path: Path, expected: type, now: float) -> tuple[Any, Identity] | None:
        """Content and identity; None while it is missing or may still be being written.

        Raises `NotReadable` when it has not changed for two seconds and still makes no sense.
        """
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise NotReadable(f"{path.name}: {error.strerror}") from None
        try:
            before = identity(fd)
            with open(fd, "rb", closefd=False) as file:
                data = file.read()
            if before is None or identity(fd) != before:
                return None
        finally:
            os.close(fd)
        try:
            value = msgspec.json.decode(data)
            if type(value) is not expected:
                what = "a list of task objects" if expected is list else "an object"
                raise NotReadable(f"{path.name}, line 1: expected {what}")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            problem = NotReadable(_explain_json(path.name, data, error))
        except NotReadable as error:
            problem = error
        else:
            self.unreadable = None
            return value, before
        if self.unreadable is None or self.unreadable[0] != before:
            self.unreadable = (before, now)
        if now - self.unreadable[1] >= SETTLE_S:
            self.unreadable = None
            raise problem
        return None


def _explain_json(name: str, data: bytes, error: Exception) -> str:
    try:
        json.loads(data)
    except json.JSONDecodeError as problem:
        return f"{name}, line {problem.lineno} column {problem.colno}: {problem.msg}"
    except (UnicodeDecodeError, RecursionError) as problem:
        return f"{name}: {problem}"
    return f"{name}: {error}"


class ManagedJob:
    """What the manager keeps of one job. `run` is None until both views were there, and after the end."""

    def __init__(self, folder: JobFolder, after_sync: Callable[[Callable[[], None]], None]) -> None:
        self.folder = folder
        self.name = folder.name
        self.run: Run | None = None
        self.journal: Journal | None = None
        self.context: RunContext | None = None
        mode = folder.base.file_mode
        self._mode = mode
        self._after_sync = after_sync
        self.state_file = ViewFile(folder.path, "state.json", mode)
        self.tasks_file = ViewFile(folder.path, "tasks.json", mode)
        self._inbox_prefix = f"{folder.inbox}/"
        self._results_prefix = f"{folder.results}/"
        self._raw_state = _Raw()
        self._raw_tasks = _Raw()
        self._raw_displaced: dict[Path, _Raw] = {}
        self._offsets: dict[str, int] = {}
        self._drops_done: set[str] = set()
        self._next_state: dict[str, Any] | None = None
        self._next_tasks: list[Any] | None = None
        self._held: Identity | None = None
        self.inbox_touched = True
        self.state_touched = True
        self._touched_inboxes: set[str] = set()
        self._foreign_read = False
        self.tasks_dirty = False
        self.state_dirty = False
        self._rendering: Iterator[bytes] | None = None
        self._render_cost_s = 0.0
        self._tasks_due = 0.0
        self._state_due = 0.0
        self.retry_look_at: float | None = None
        self.wake_at: float | None = None
        self.watched = False
        self.broken: str | None = None
        """Why this job cannot be worked on (a damaged or newer journal)."""

    # ---- life of a run -------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether a run is under way."""
        return self.run is not None and not self.run.ended

    def load(self, now: float) -> None:
        """Take the run up from its journal, if there is one."""
        path = self.folder.journal
        if not path.exists():
            return
        history, end = read_journal(path)
        if not history:
            aside = self._aside("journal.torn", path.read_bytes())
            log.warning("job %s: journal without a whole line kept as %s", self.name, aside)
            path.unlink()
            return
        torn = None
        if end < path.stat().st_size:
            with path.open("rb") as file:
                file.seek(end)
                torn = self._aside("journal.torn", file.read())
            os.truncate(path, end)
        self.run = Run(history)
        self._open(self.run)
        if torn:
            self.run.warn(f"the journal's torn end was cut off and kept as {torn}", now)
        for leftover in (*self.tasks_file.leftovers(), *self.state_file.leftovers()):
            self._raw_displaced[leftover] = _Raw()
        next_state = self.folder.path / ".next-state.json"
        if next_state.exists():
            self._next_state = msgspec.json.decode(next_state.read_bytes())
        next_tasks = self.folder.path / ".next-tasks.json"
        if next_tasks.exists():
            self._next_tasks = msgspec.json.decode(next_tasks.read_bytes())
        self.state_dirty = self.tasks_dirty = True

    def load_unless_ended(self, now: float) -> None:
        """Take up what the folder holds; an ended run nobody touched since is not read at all."""
        with contextlib.suppress(OSError, msgspec.DecodeError, AttributeError):
            state, tasks = identity(self.state_file.path), identity(self.tasks_file.path)
            journal = identity(self.folder.journal)
            if state and tasks and journal and max(tasks.mtime_ns, journal.mtime_ns) <= state.mtime_ns:
                raw = msgspec.json.decode(self.state_file.path.read_bytes())
                if raw.get("state") in ENDED_STATES and raw.get("id") == _first_id(self.folder.journal):
                    self.state_file.known, self.tasks_file.known = state, tasks
                    return
        self.load(now)

    def folder_unsettled(self) -> bool:
        """Whether something in the folder waits to be finished by its writer."""
        return self.run is None and (self._next_state is not None or self.state_file.known is None)

    @property
    def settled(self) -> bool:
        """Whether nothing of a replaced view still has to be read."""
        return not self._raw_displaced

    def next_waits(self) -> bool:
        """Whether another run stands in line."""
        return self._next_state is not None or bool(drop_files(self.folder.inbox))

    def _open(self, run: Run) -> None:
        self.folder.create()
        self.journal = Journal(self.folder.journal, self._mode)
        env = dict(os.environ)
        for name in [name for name in env if name.startswith("AIR_EXECUTOR_")]:
            del env[name]
        if run.environment:
            env.pop("VIRTUAL_ENV", None)
            env.update(run.environment)
        env.update({name: str(value) for name, value in run.options.params.items()})
        env["AIR_EXECUTOR_BASE"] = str(self.folder.base)
        env["AIR_EXECUTOR_JOB"] = self.name
        self.context = RunContext(self.folder, run.id, run.cwd, env)

    def begin(self, state: dict[str, Any], tasks: list[Any], now: float) -> None:
        """Begin a new run from the two hand-written (or submitted) views; an earlier run goes to `runs/`."""
        if self.folder.journal.exists():
            self._archive(now)
        run = Run()
        at = to_iso(now)
        problem = None
        options = parse_options({})
        try:
            options = parse_options(state)
            items = [self._imported(raw, index, options.defaults, at) for index, raw in enumerate(tasks)]
        except InvalidInput as error:
            problem, items = str(error), []
        run_id = state.get("id")
        created_at = state.get("created_at")
        cwd = state.get("cwd")
        environment = state.get("environment")
        extra = {k: v for k, v in state.items() if k not in STATE_KEYS | OPTION_FIELDS | SUBMIT_KEYS}
        run.create(
            ev.RunCreated(
                at=at,
                version=ev.SCHEMA_VERSION,
                id=run_id if isinstance(run_id, str) and run_id else new_job_id(at),
                name=self.name,
                created_at=created_at if isinstance(created_at, str) else at,
                options=options,
                cwd=cwd if isinstance(cwd, str) and cwd else str(self.folder.base.parent),
                environment={str(k): str(v) for k, v in environment.items()}
                if isinstance(environment, dict)
                else {},
                extra=extra,
            )
        )
        self.run = run
        self._offsets.clear()
        self._open(run)
        if problem is not None:
            self._fail_at_once(problem, now)
        else:
            self._warn_of(state, items, now)
            self._take_first(items, now)
            sealed = state.get("state")
            if sealed in ("completed", "failed") and not run.counts["pending"]:
                reason, error = state.get("reason"), state.get("error")
                run.emit(
                    ev.RunEnded(
                        at=at,
                        state=sealed,
                        reason=reason if isinstance(reason, str) else None,
                        error=error if isinstance(error, str) else None,
                    )
                )
        self.state_dirty = self.tasks_dirty = True
        self._tasks_due = now + 0.25  # short jobs end before that, and write their views once
        self._state_due = now + 0.25
        self.inbox_touched = True

    def _take_first(self, items: list[ev.TaskImported | TaskSpec], now: float) -> None:
        assert self.run is not None
        unique: dict[str, ev.TaskImported | TaskSpec] = {}
        for item in items:
            spec = item if isinstance(item, TaskSpec) else item.task
            known = unique.get(spec.id)
            if known is None:
                unique[spec.id] = item
            elif (known if isinstance(known, TaskSpec) else known.task) != spec:
                self._refuse([spec], now)
        self.run.import_tasks(unique.values(), now)

    def _imported(
        self, raw: Any, index: int, defaults: dict[str, Any] | None, at: str
    ) -> ev.TaskImported | TaskSpec:
        spec = parse_task(raw, f"tasks[{index}]", defaults)
        if not spec.id:
            spec.id = automatic_id(spec.command or "", content_key(spec), index)
        status = raw.get("status")
        if status == "running" and not (spec.idempotent or spec.retries):
            raw = {**raw, "status": "failed", "reason": "lost", "error": "lost: it ran when the folder was copied"}
        if raw.get("status") not in ("completed", "failed"):
            return spec
        fields = ("reason", "error", "attempt", "exit_code", "result", "created_at", "started_at", "completed_at")
        kept = {name: raw[name] for name in fields if raw.get(name) is not None}
        usage = raw.get("usage")
        try:
            return ev.TaskImported(
                at=at,
                task=spec,
                status=raw["status"],
                usage=msgspec.convert(usage, Usage) if usage else None,
                **{"created_at": at, "completed_at": at, "reason": "exit" if raw["status"] == "failed" else None}
                | kept,
            )
        except (msgspec.ValidationError, TypeError) as error:
            raise InvalidInput(f"tasks[{index}]: {error}") from None

    def _fail_at_once(self, problem: str, now: float) -> None:
        assert self.run is not None
        self.run.find_defect("invalid", problem, now)
        self.run.settle(now)

    def _warn_of(self, state: dict[str, Any], items: list[ev.TaskImported | TaskSpec], now: float) -> None:
        assert self.run is not None
        name = state.get("name")
        if isinstance(name, str) and name != self.name:
            self.run.warn(f"state.json names the job {name!r}; the folder's name {self.name!r} holds", now)
        for item in items:
            spec = item if isinstance(item, TaskSpec) else item.task
            for hint in unlikely_keys(spec):
                self.run.warn(f"task {spec.id!r}: {hint}", now)

    def _archive(self, now: float) -> None:
        """Move the ended run to `runs/<id>/`; its journal goes last, so that a crash repeats the rest."""
        run = self.ensure_run(now)
        assert run is not None
        self.folder.base.make_folder(self.folder.runs)
        target = self.folder.runs / file_stem(run.id)
        self.folder.base.make_folder(target)
        write_atomically(target / "tasks.json", b"".join(render_tasks(run)), mode=self._mode)
        write_atomically(target / "state.json", render_state(run), mode=self._mode)
        if self.folder.logs.exists() and not (target / "logs").exists():
            self.folder.logs.rename(target / "logs")
        for view in (self.state_file, self.tasks_file):
            if not view.changed():
                with contextlib.suppress(FileNotFoundError):
                    view.path.unlink()
            view.known = None
        if self.journal is not None:
            self.journal.sync()
            self.journal.close()
        self.folder.journal.rename(target / "journal.jsonl")
        self.run = self.journal = self.context = None

    def ensure_run(self, now: float) -> Run | None:
        """The run, read back from the journal when it had been put away after its end."""
        if self.run is None:
            state_known, tasks_known = self.state_file.known, self.tasks_file.known
            self.load(now)
            self.state_file.known, self.tasks_file.known = state_known, tasks_known
            self.state_dirty = self.tasks_dirty = False
        return self.run

    def put_away(self) -> Journal | None:
        """Forget an ended run whose views are written; gives the journal to be synced and closed."""
        journal, self.journal, self.run, self.context = self.journal, None, None, None
        self._offsets.clear()
        for slot in self.folder.logs.glob("@slot-*"):
            with contextlib.suppress(OSError):
                if slot.stat().st_size == 0:
                    slot.unlink()
        return journal

    # ---- reading what others wrote -------------------------------------------------------------

    def look(self, now: float) -> None:
        """Read whatever is new in the folder."""
        self.retry_look_at = None
        try:
            self._read_drops(now)
            if self.active:
                self._read_raw_tasks(now)
                if self._raw_displaced:
                    self._read_displaced(now)
                if self.state_touched:
                    self._read_raw_state(now)
                if self._touched_inboxes:
                    self._read_task_inboxes(now)
            else:
                if self._raw_displaced and self.run is not None:
                    self._read_displaced(now)
                self._look_for_new_run(now)
        except OSError as error:
            log.warning("job %s: %s", self.name, error)
            self._look_again(now, 1.0)

    def _look_again(self, now: float, after_s: float) -> None:
        due = now + after_s
        if self.retry_look_at is None or due < self.retry_look_at:
            self.retry_look_at = due

    @property
    def unread(self) -> bool:
        """Whether something stands in the folder that could not be read yet; the run must not end then."""
        return bool(self._raw_displaced) or self.tasks_file.changed()

    def _read_raw_tasks(self, now: float) -> None:
        if not self.tasks_file.changed():
            return
        assert self.run is not None
        try:
            found = self._raw_tasks.read(self.tasks_file.path, list, now)
        except NotReadable as problem:
            self._set_bad_aside(self.tasks_file, str(problem), now)
            return
        if found is None:
            self._look_again(now, 0.2)
            return
        items, self.tasks_file.known = found
        self._foreign_read = True
        if self._next_state is not None and not self._continues(items):
            self._next_tasks = items
            write_atomically(self.folder.path / ".next-tasks.json", msgspec.json.encode(items), mode=self._mode)
        else:
            self._queue_raw(items, "tasks.json", now)
        self.tasks_dirty = True

    def _continues(self, items: list[Any]) -> bool:
        """Whether a list was made by adding to this run's view."""
        tasks = self.run.tasks if self.run is not None else {}
        return any(
            type(item) is dict
            and (known := tasks.get(item.get("id", ""))) is not None
            and item.get("created_at") == known.created_at
            for item in items
        )

    def _queue_raw(self, items: list[Any], where: str, now: float) -> None:
        """Take the tasks of a raw list that are not known yet."""
        run = self.run
        assert run is not None
        specs = []
        for index, item in enumerate(items):
            if type(item) is dict:
                known = run.tasks.get(item.get("id") or "")
                if known is not None and item.get("created_at") == known.created_at:
                    continue  # our own record, written back
            try:
                spec = parse_task(item, f"{where}[{index}]", run.options.defaults)
            except InvalidInput as problem:
                aside = self._aside("invalid-task", msgspec.json.encode(item))
                run.find_defect("invalid", f"{problem} (kept as {aside})", now)
                continue
            if not spec.id:
                spec.id = automatic_id(spec.command or "", content_key(spec), index)
            specs.append(spec)
        self._refuse(run.queue(specs, now), now)

    def _refuse(self, refused: list[TaskSpec], now: float) -> None:
        assert self.run is not None
        for spec in refused:
            aside = self._aside("refused-task", msgspec.json.encode(spec))
            self.run.warn(f"task {spec.id!r} was queued again with other content; the new one is kept as {aside}", now)

    def _set_bad_aside(self, view: ViewFile, problem: str, now: float) -> None:
        """An unreadable view: keep it, put ours back, and let the job fail."""
        assert self.run is not None
        kept = self._aside_path(view.path.name + ".bad")
        with contextlib.suppress(FileNotFoundError):
            view.path.rename(kept)
        view.known = None
        self.run.find_defect("invalid", f"{problem} (kept as {kept.name})", now)
        self.state_dirty = self.tasks_dirty = True

    def _read_displaced(self, now: float) -> None:
        for path, raw in list(self._raw_displaced.items()):
            state = "state.json" in path.name
            if _open_for_writing(path):
                self._look_again(now, 0.05)
                continue
            try:
                found = raw.read(path, dict if state else list, now)
            except NotReadable as problem:
                kept = self._aside_path(path.name[1:].rpartition(".")[0] + ".bad")
                path.rename(kept)
                del self._raw_displaced[path]
                if self.run is not None:
                    text = str(problem).replace(path.name, path.name[1:].rpartition(".")[0])
                    self.run.find_defect("invalid", f"{text} (kept as {kept.name})", now)
                continue
            if found is None:
                if path.exists():
                    self._look_again(now, 0.1)
                else:
                    del self._raw_displaced[path]
                continue
            if state:
                self._take_raw_state(found[0], now)
            elif self.active:
                self._queue_raw(found[0], "tasks.json", now)
                self.tasks_dirty = True
            else:
                self._set_late_aside(found[0], now)
            del self._raw_displaced[path]
            self._after_sync(lambda path=path: path.unlink(missing_ok=True))  # type: ignore[misc]

    def _read_raw_state(self, now: float) -> None:
        self.state_touched = False
        if not self.state_file.changed():
            return
        try:
            found = self._raw_state.read(self.state_file.path, dict, now)
        except NotReadable as problem:
            self._set_bad_aside(self.state_file, str(problem), now)
            return
        if found is None:
            self.state_touched = True
            self._look_again(now, 0.2)
            return
        raw, self.state_file.known = found
        self._take_raw_state(raw, now)
        self.state_dirty = True

    def _take_raw_state(self, raw: dict[str, Any], now: float) -> None:
        """A state.json that names another run starts that run when this one has ended."""
        run_id = raw.get("id")
        if self.run is None or not isinstance(run_id, str) or not run_id or run_id == self.run.id:
            return
        if (self.folder.runs / file_stem(run_id)).exists():
            return  # an old view, written back late
        self._next_state = raw
        write_atomically(self.folder.path / ".next-state.json", msgspec.json.encode(raw), mode=self._mode)
        self.run.warn(f"run {run_id!r} waits for this one to end", now)

    def _look_for_new_run(self, now: float) -> None:
        """Not active: a first run may be forming, or a next one after an end."""
        fresh = self.run is None and not self.folder.journal.exists()
        try:
            if self._next_state is None and (fresh or self.state_file.changed()):
                found = self._raw_state.read(self.state_file.path, dict, now)
                if found is None:
                    if self.state_file.path.exists():
                        self._look_again(now, 0.2)
                    elif self.tasks_file.path.exists() and not fresh:
                        self._take_late_tasks(now)
                    return
                raw, known = found
                run = None if fresh else self.ensure_run(now)
                if run is not None and raw.get("id") in (None, "", run.id):
                    self.state_file.known = known
                    self.state_dirty = True
                else:
                    self._next_state = raw
        except NotReadable as problem:
            self._begin_failed(self.state_file, str(problem), now)
            return
        if self._next_state is None:
            if not fresh:
                self._take_late_tasks(now)
            return
        tasks = self._next_tasks
        if tasks is None:
            if not fresh and not self.tasks_file.changed():
                return  # the view of the last run is never taken for the new one's tasks
            try:
                found = self._raw_tasks.read(self.tasks_file.path, list, now)
            except NotReadable as problem:
                self._begin_failed(self.tasks_file, str(problem), now)
                return
            if found is None:
                if self.tasks_file.path.exists():
                    self._look_again(now, 0.2)
                return
            tasks, known_tasks = found
        else:
            known_tasks = None
        state, self._next_state, self._next_tasks, self._held = self._next_state, None, None, None
        self.begin(state, tasks, now)
        self.state_file.known = identity(self.state_file.path)
        if known_tasks is not None:
            self.tasks_file.known = known_tasks
        for name in (".next-state.json", ".next-tasks.json"):
            path = self.folder.path / name
            if path.exists():
                self._after_sync(lambda path=path: path.unlink(missing_ok=True))  # type: ignore[misc]

    def _begin_failed(self, view: ViewFile, problem: str, now: float) -> None:
        """A first (or next) run whose file cannot be read: it fails at once, saying why."""
        kept = self._aside_path(view.path.name + ".bad")
        with contextlib.suppress(FileNotFoundError):
            view.path.rename(kept)
        state, self._next_state = self._next_state or {}, None
        self.begin(state, [], now)
        assert self.run is not None
        if not self.run.ended:
            self._fail_at_once(f"{problem} (kept as {kept.name})", now)
        self.state_file.known = identity(self.state_file.path)
        self.tasks_file.known = identity(self.tasks_file.path)

    def _take_late_tasks(self, now: float) -> None:
        """`tasks.json` changed after the end: additions come too late, a new list waits for its state.json."""
        if not self.tasks_file.changed() or identity(self.tasks_file.path) == self._held:
            return
        try:
            found = self._raw_tasks.read(self.tasks_file.path, list, now)
        except NotReadable as problem:
            self.ensure_run(now)
            if self.run is not None:
                kept = self._aside_path("tasks.json.bad")
                self.tasks_file.path.rename(kept)
                self.run.warn(f"{problem}; written after the job had ended, kept as {kept.name}", now)
                self.state_dirty = self.tasks_dirty = True
            return
        if found is None:
            self._look_again(now, 0.2)
            return
        run = self.ensure_run(now)
        if run is None:
            return
        items, known = found
        if self._new_to(run, items) and not self._continues(items):
            self._held = known
            run.warn("tasks.json was replaced after the job had ended; a state.json with a new id starts a new run", now)
            self.state_dirty = True
            return
        self.tasks_file.known = known
        self.tasks_dirty = True
        self._set_late_aside(items, now)

    @staticmethod
    def _new_to(run: Run, items: list[Any]) -> list[Any]:
        return [item for item in items if type(item) is not dict or item.get("id") not in run.tasks]

    def _set_late_aside(self, items: list[Any], now: float) -> None:
        assert self.run is not None
        if new := self._new_to(self.run, items):
            aside = self._aside("late-tasks", msgspec.json.encode(new))
            self.run.warn(f"{len(new)} tasks were written after the job had ended; they are kept as {aside}", now)
            self.state_dirty = True

    # ---- inbox ---------------------------------------------------------------------------------

    def _read_drops(self, now: float) -> None:
        if not self.inbox_touched:
            return
        self.inbox_touched = False
        for name in drop_files(self.folder.inbox):
            if name in self._drops_done:
                continue
            path = self.folder.inbox / name
            if self._obey_drop(path, now):
                self._drops_done.add(name)
                self._after_sync(lambda path=path, name=name: self._drop_synced(path, name))  # type: ignore[misc]
            else:
                break  # a run submitted behind this one waits, and what comes after it too

    def _drop_synced(self, path: Path, name: str) -> None:
        path.unlink(missing_ok=True)
        self._drops_done.discard(name)

    def _obey_drop(self, path: Path, now: float) -> bool:
        """Carry out one dropped file; False when its time has not come."""
        records, _ = read_records(path, 0, whole=True)
        key = path.name.removesuffix(DROP_SUFFIX)
        decoded: list[dict[str, Any]] = []
        for _, line in records:
            try:
                record = msgspec.json.decode(line)
                if type(record) is not dict:
                    raise NotReadable("expected an object")
                decoded.append(record)
            except (msgspec.DecodeError, NotReadable) as problem:
                aside = self._aside("refused-drop", line)
                log.warning("job %s: inbox/%s: %s; kept as %s", self.name, path.name, problem, aside)
        submits = [r for r in decoded if r.get("request") == "submit"]
        if submits:
            if self.active:
                return False
            for record in submits:
                state, tasks = record.get("state"), record.get("tasks")
                self.begin(state if type(state) is dict else {}, tasks if type(tasks) is list else [], now)
            return True
        run = self.run if self.active else self.ensure_run(now)
        if run is None:
            return not decoded  # the job itself is still being written
        if key in run.requests_done:
            return True
        tasks = [(index, r) for index, r in enumerate(decoded) if "request" not in r]
        reopen = any(r.get("reopen") is True for r in decoded if r.get("request") == "queue")
        if tasks:
            if run.ended and reopen:
                run.reopen(now)
            if run.ended:
                aside = self._aside("late-tasks", msgspec.json.encode([r for _, r in tasks]))
                run.warn(f"{len(tasks)} tasks were queued after the job had ended; they are kept as {aside}", now)
            else:
                self._queue_records([(f"{key}:{i}", r) for i, r in tasks], None, now)
        for record in decoded:
            if "request" in record:
                self._request(run, record, now)
        run.emit(ev.RequestDone(at=to_iso(now), request=key))
        self.state_dirty = self.tasks_dirty = True
        return True

    def _request(self, run: Run, record: dict[str, Any], now: float) -> None:
        request, task = record.get("request"), record.get("task")
        if request == "cancel":
            run.cancel(now, task if isinstance(task, str) else None)
        elif request == "pause":
            run.pause(now)
        elif request == "resume":
            run.resume(now)
        elif request == "close":
            run.close(now)
        elif request == "retry":
            ids = record.get("tasks")
            run.retry(now, ids if isinstance(ids, list) else None)
        elif request != "queue":
            run.warn(f"unknown request {request!r} in the inbox was passed over", now)

    def _queue_records(self, records: list[tuple[str, dict[str, Any]]], parent: str | None, now: float) -> None:
        """Queue task records; those without id get one from where they stood."""
        run = self.run
        assert run is not None
        parent_cwd = run.tasks[parent].spec.cwd if parent in run.tasks else None
        specs = []
        for place, record in records:
            try:
                spec = parse_task(record, "task", run.options.defaults)
            except InvalidInput as problem:
                aside = self._aside("invalid-task", msgspec.json.encode(record))
                who = f"queued by task {parent!r}" if parent else "queued"
                run.find_defect("invalid", f"{who}: {problem} (kept as {aside})", now)
                continue
            if not spec.id:
                spec.id = automatic_id(spec.command or "", place, content_key(spec))
            if spec.cwd is None:
                spec.cwd = parent_cwd
            for hint in unlikely_keys(spec):
                run.warn(f"task {spec.id!r}: {hint}", now)
            specs.append(spec)
        self._refuse(run.queue(specs, now, parent), now)
        self.tasks_dirty = self.state_dirty = True

    def _read_task_inboxes(self, now: float) -> None:
        """Read the inbox files of running tasks that notification named."""
        names, self._touched_inboxes = self._touched_inboxes, set()
        if not names or self.run is None:
            return
        if len(names) == 1 and "" in names:
            names = {n for n in os.listdir(self.folder.inbox) if n.endswith(".jsonl")}
        by_name = {
            f"{file_stem(task.spec.id)}@{task.attempt}.jsonl": task.spec.id for task in self.run.running_tasks()
        }
        for name in names:
            task_id = by_name.get(name)
            if task_id is not None:
                self._read_task_inbox(name, task_id, now, whole=False)

    def touch_inbox(self, names: set[str]) -> None:
        """Note what notification said of the inbox folder."""
        if any(name.endswith(DROP_SUFFIX) for name in names):
            self.inbox_touched = True
        self._touched_inboxes = self._touched_inboxes | {n for n in names if not n.endswith(DROP_SUFFIX)}

    def _read_task_inbox(self, name: str, task_id: str, now: float, *, whole: bool) -> None:
        run = self.run
        assert run is not None
        try:
            records, offset = read_records(self._inbox_prefix + name, self._offsets.get(name, 0), whole=whole)
        except OSError as error:
            run.warn(f"inbox file of task {task_id!r}: {error.strerror}", now)
            return
        self._offsets[name] = offset
        tasks = []
        for position, line in records:
            try:
                record = msgspec.json.decode(line)
                if type(record) is not dict:
                    raise NotReadable("expected an object")
            except (msgspec.DecodeError, NotReadable, UnicodeDecodeError) as problem:
                aside = self._aside("refused-record", line)
                run.find_defect("invalid", f"inbox of task {task_id!r}, byte {position}: {problem} (kept as {aside})", now)
                continue
            if "progress" in record and "command" not in record:
                self._progress(task_id, record)
            elif "request" in record:
                self._request(run, record, now)
            else:
                tasks.append((f"{task_id}:{position}", record))
        if tasks:
            self._queue_records(tasks, task_id, now)

    def _progress(self, task_id: str, record: dict[str, Any]) -> None:
        fraction, text = record.get("progress"), record.get("text", "")
        if self.run is not None and isinstance(fraction, int | float) and isinstance(text, str):
            self.run.progress[task_id] = (float(fraction), text)
            self.tasks_dirty = True

    # ---- ends ----------------------------------------------------------------------------------

    def exited(self, task_id: str, attempt: int, end: AttemptEnd, now: float, jitter: Callable[[], float]) -> None:
        """Record the end of an attempt, after reading once more what it left."""
        run = self.run
        if run is None or task_id not in run.tasks:
            return
        name = f"{file_stem(task_id)}@{attempt}.json"
        self._read_task_inbox(name + "l", task_id, now, whole=True)
        if self._offsets.pop(name + "l", 0):
            path = self.folder.inbox / (name + "l")
            self._after_sync(lambda: path.unlink(missing_ok=True))
        self._read_result(self._results_prefix + name, end)
        run.exited(task_id, attempt, end, now, jitter)
        self.tasks_dirty = self.state_dirty = True

    def _read_result(self, path: str, end: AttemptEnd) -> None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return
        except OSError as error:
            end.reason, end.error = end.reason or "exit", f"its result file cannot be read: {error.strerror}"
            return
        try:
            size = os.fstat(fd).st_size
            if size > MAX_RESULT_BYTES:
                end.reason = end.reason or "exit"
                end.error = (
                    f"its result of {size} bytes is over the limit of {MAX_RESULT_BYTES}; "
                    "write large results to a file and report its path"
                )
                return
            data = os.read(fd, MAX_RESULT_BYTES)
        finally:
            os.close(fd)
        if data.strip():
            try:
                end.result = msgspec.json.decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError) as problem:
                end.reason = end.reason or "exit"
                end.error = f"its result is not JSON: {problem}"
                return
        self._after_sync(lambda: Path(path).unlink(missing_ok=True))

    # ---- writing -------------------------------------------------------------------------------

    def flush(self) -> bool:
        """Write new events to the journal; whether anything was written. `OSError` when there is no room."""
        run, journal = self.run, self.journal
        if run is None or journal is None or not (run.new_events or journal.blocked):
            return False
        new, run.new_events = run.new_events, []
        journal.append(new)
        self.state_dirty = True
        return True

    def views_due(self, now: float) -> float | None:
        """When the next piece of a view is to be written; None when both are up to date."""
        if self.run is None:
            return None
        if self._rendering is not None or (self.run.ended and (self.tasks_dirty or self.state_dirty)):
            return now
        due = []
        if self.tasks_dirty:
            due.append(self._tasks_due)
        if self.state_dirty:
            due.append(self._state_due)
        return min(due, default=None)

    def write_views(self, now: float) -> None:
        """Write what is due: `tasks.json` piece by piece, `state.json` in one; at the end, state last."""
        run = self.run
        if run is None:
            return
        if run.ended and self.tasks_dirty and self._rendering is None and self.tasks_file.changed():
            self.look(now)  # written after the last look before the end
            if identity(self.tasks_file.path) == self._held:
                self.tasks_dirty = False
        if self._rendering is None and self.tasks_dirty and (run.ended or now >= self._tasks_due):
            self.tasks_dirty = False
            self._render_cost_s = 0.0
            self._rendering = render_tasks(run)
            self.tasks_file.begin()
        if self._rendering is not None:
            self._render_a_while(now)
        if self._rendering is None and self.state_dirty and (run.ended or now >= self._state_due):
            if run.ended and self.tasks_dirty:
                return
            if self.state_file.changed() and not run.ended:
                self.state_touched = True
                self._state_due = now + 0.1
                self._look_again(now, 0.0)
                return
            self.state_dirty = False
            self.state_file.begin()
            self.state_file.write(render_state(run))
            self._publish(self.state_file)
            self._state_due = now + VIEW_INTERVAL_S

    def _render_a_while(self, now: float) -> None:
        assert self._rendering is not None
        began = time.perf_counter()
        while time.perf_counter() - began < 0.005:
            piece = next(self._rendering, None)
            if piece is None:
                self._rendering = None
                if self.tasks_file.changed() and self.active:  # read that first; the view follows
                    self.tasks_file.abandon()
                    self.tasks_dirty = True
                    self._look_again(now, 0.0)
                else:
                    self._publish(self.tasks_file)
                break
            self.tasks_file.write(piece)
        self._render_cost_s += time.perf_counter() - began
        if self._rendering is None:
            self._tasks_due = now + max(VIEW_INTERVAL_S, VIEW_COST_FACTOR * self._render_cost_s)

    def give_up_views(self) -> None:
        """After a write failed: begin again later."""
        self._rendering = None
        self.tasks_file.abandon()
        self.state_file.abandon()
        self.tasks_dirty = self.state_dirty = True
        self._tasks_due = self._state_due = time.time() + 1.0

    def _publish(self, view: ViewFile) -> None:
        if self._foreign_read and self.journal is not None:
            self.journal.sync()  # what is about to be replaced was written by others
            self._foreign_read = False
        displaced = view.publish()
        if displaced is not None:
            self._raw_displaced[displaced.path] = _Raw()
            self._look_again(time.time(), 0.0)

    def _aside_path(self, stem: str) -> Path:
        number = 0
        while (path := self.folder.path / f"{stem}-{number}").exists():
            number += 1
        return path

    def _aside(self, stem: str, data: bytes) -> str:
        """Keep bytes that were not accepted; gives the file's name."""
        path = self._aside_path(stem)
        write_atomically(path, data, mode=self._mode)
        return path.name


def _first_id(journal: Path) -> str | None:
    """The run id on the first line of a journal."""
    with journal.open("rb") as file:
        run_id = msgspec.json.decode(file.readline()).get("id")
    return run_id if isinstance(run_id, str) else None


def _open_for_writing(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return bool(being_written(fd))
    finally:
        os.close(fd)
