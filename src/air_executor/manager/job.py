"""One job folder joined to its run: reads what others wrote there, journals what is decided, shows it."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from air_executor import events as ev
from air_executor.errors import BaseUnusable, InvalidInput
from air_executor.lifecycle import AttemptEnd, Run
from air_executor.manager.aside import Aside
from air_executor.manager.foreign import UNREADABLE, ForeignFile, NotReadable, continues, is_ours, open_for_writing
from air_executor.manager.importing import import_tasks
from air_executor.manager.inbox import JobInbox
from air_executor.manager.next_run import NextRun
from air_executor.manager.views import JobViews
from air_executor.model import (
    ENDED_STATES,
    OPTION_FIELDS,
    TaskSpec,
    content_key,
    param_text,
    parse_options,
    parse_task,
    unlikely_keys,
)
from air_executor.names import automatic_id, file_stem, new_job_id
from air_executor.runners.base import RunContext
from air_executor.store.files import Identity, identity, open_regular, read_regular, unlink_if_same, write_atomically
from air_executor.store.journal import Journal, read_journal
from air_executor.store.layout import JobFolder
from air_executor.store.views import ViewFile
from air_executor.times import to_iso

__all__ = ["ManagedJob"]

log = logging.getLogger("air_executor.manager")

MAX_RESULT_BYTES: Final = 1_048_576
NO_FOLDER: Final = (errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
"""Something else stands where a folder or file should be, which waiting does not change."""
STATE_KEYS: Final = OPTION_FIELDS | {
    *("id", "name", "state", "created_at", "updated_at", "progress", "error", "reason", "warnings"),
    *("stopping", "paused", "cwd", "environment"),
}


class ManagedJob:
    """What the manager keeps of one job. `run` is None until both views were there, and after its end."""

    def __init__(self, folder: JobFolder, after_sync: Callable[[Callable[[], None]], None]) -> None:
        self.folder = folder
        self.name = folder.name
        self.run: Run | None = None
        self.journal: Journal | None = None
        self.context: RunContext | None = None
        self.mode = folder.base.file_mode
        self.after_sync = after_sync
        self.aside = Aside(folder.path, self.mode)
        self.views = JobViews(folder, self.mode, self._before_swap)
        self.inbox = JobInbox(self, after_sync)
        self.next = NextRun(self)
        self._results_prefix = f"{folder.results}/"
        self._foreign_state = ForeignFile()
        self._foreign_tasks = ForeignFile()
        self._displaced: dict[Path, ForeignFile] = {}
        self._complained: str | None = None
        self._foreign_read = False
        self.state_touched = True
        self.look_again_at: float | None = None
        self.wake_at: float | None = None
        self.inode = os.stat(folder.path).st_ino
        self.broken: str | None = None
        """Why this job cannot be worked on (a damaged or newer journal)."""

    @property
    def active(self) -> bool:
        """Whether a run is under way."""
        return self.run is not None and not self.run.ended

    # ---- life of a run -------------------------------------------------------------------------

    def load(self, now: float) -> None:
        """Take the run up from its journal, if there is one; a torn end is cut off and kept."""
        history, torn = self._history()
        if not history:
            self.next.recall(now)
            return
        self._open(Run(history))
        assert self.run is not None
        self.run.recover(now)
        if torn:
            self.run.warn(f"the journal's torn end was cut off and {torn}", now)
        if self.run.ended:
            self._recognise_views(self.run)
        for leftover in self.views.leftovers():
            self._displaced.setdefault(leftover, ForeignFile())
        self.next.recall(now)
        self.views.touch()

    def _history(self) -> tuple[list[ev.Event], str | None]:
        """The events of the journal; its torn end is cut off, and where that is kept is told."""
        path = self.folder.journal
        if not path.exists():
            return [], None
        history, end = read_journal(path)
        told = None
        if end < path.stat().st_size:
            with path.open("rb") as file:
                file.seek(end)
                rest = file.read()
            try:
                kept = self.aside.keep("journal.torn", rest)
                told = f"kept as {kept}"
            except OSError as error:  # most likely it is torn because there was no room
                told = f"could not be kept ({len(rest)} bytes): {error.strerror}"
            os.truncate(path, end)
        if not history:
            path.unlink()  # a run had just begun; what it began from is still there
        return history, told

    def has_begun(self, run_id: object) -> bool:
        """Whether this is the id of the present run or of one in `runs/`."""
        if not isinstance(run_id, str) or not run_id:
            return False
        return (self.run is not None and self.run.id == run_id) or (self.folder.runs / file_stem(run_id)).exists()

    def _recognise_views(self, run: Run) -> None:
        """After a restart: which of the views of an ended run are ours."""
        for view in (self.views.state, self.views.tasks):
            with contextlib.suppress(OSError, *UNREADABLE):
                known = identity(view.path)
                raw = msgspec.json.decode(read_regular(view.path))
                if type(raw) is dict:
                    ours = raw.get("id") == run.id
                else:
                    began_from = known is not None and known[:3] == run.tasks_file
                    ours = began_from or (type(raw) is list and all(is_ours(run, item) for item in raw))
                view.known = known if ours else None

    def _open(self, run: Run) -> None:
        self.folder.create()
        self.journal = Journal(self.folder.journal, self.mode)
        self.run = run  # not before the journal could be opened
        env = {name: value for name, value in os.environ.items() if not name.startswith("AIR_EXECUTOR_")}
        if run.environment:
            env.pop("VIRTUAL_ENV", None)
            env.update(run.environment)
        env.update({name: param_text(value) for name, value in run.options.params.items()})
        env["AIR_EXECUTOR_BASE"] = str(self.folder.base)
        env["AIR_EXECUTOR_JOB"] = self.name
        env["AIR_EXECUTOR_RUN"] = run.id
        env["AIR_EXECUTOR_BEGAN"] = run.created_at
        env["AIR_EXECUTOR_PYTHON"] = sys.executable
        self.context = RunContext(self.folder, run.id, run.cwd, env)

    def begin(
        self,
        state: dict[str, Any],
        tasks: list[Any],
        now: float,
        problem: str | None = None,
        seen: Identity | None = None,
    ) -> None:
        """Begin a new run from the two views, hand-written or submitted; an earlier run goes to `runs/`.

        With `problem` (a file that cannot be read) the run fails at once, saying so.
        """
        at = to_iso(now)
        options, items = parse_options({}), []
        if problem is None:
            try:
                options = parse_options(state)
                items = import_tasks(tasks, options.defaults, at)
            except InvalidInput as invalid:
                problem = str(invalid)
        unique, refused = _without_contradictions(items)
        # Whatever there may be no room for comes first: then it is done again from the start.
        warnings = [self._keep_refused(spec) for spec in refused]
        if self.folder.journal.exists():
            self.next.archive(now)
        self.folder.create()  # refuses links, before anything is removed behind one
        self.inbox.begin_run()
        environment = _text_of(state, "environment", dict, {})
        run = Run()
        run.create(
            ev.RunCreated(
                at=at,
                version=ev.SCHEMA_VERSION,
                id=_text_of(state, "id", str, "") or new_job_id(at),
                name=self.name,
                created_at=_text_of(state, "created_at", str, at),
                options=options,
                cwd=_text_of(state, "cwd", str, "") or str(self.folder.base.parent),
                environment={str(name): str(value) for name, value in environment.items()},
                extra={key: value for key, value in state.items() if key not in STATE_KEYS},
                tasks_file=None if seen is None else seen[:3],
            )
        )
        self._open(run)
        for text in warnings:
            run.warn(text, now)
        if problem is not None:
            run.find_defect("invalid", problem, now)
            run.settle(now)
        else:
            self._take_first(state, unique, now)
        self.views.begin(now)
        self.inbox.touch()

    def _take_first(self, state: dict[str, Any], items: list[ev.TaskImported | TaskSpec], now: float) -> None:
        """The tasks a run begins with. A folder copied without its journal may have ended already."""
        run = self.run
        assert run is not None
        name = state.get("name")
        if isinstance(name, str) and name != self.name:
            run.warn(f"state.json names the job {name!r}; the folder's name {self.name!r} holds", now)
        for item in items:
            spec = _spec_of(item)
            for hint in unlikely_keys(spec):
                run.warn(f"task {spec.id!r}: {hint}", now)
        run.import_tasks(items, now)
        if state.get("state") in ENDED_STATES and not run.counts["pending"]:
            reason, error = _text_of(state, "reason", str, None), _text_of(state, "error", str, None)
            run.emit(ev.RunEnded(at=to_iso(now), state=state["state"], reason=reason, error=error))

    def take_rest(self, state: dict[str, Any], tasks: list[Any], now: float) -> None:
        """Queue what is missing of the tasks this run began with: its first write to the journal may be torn."""
        run = self.run
        assert run is not None
        if run.ended:
            return
        try:
            parse_options(state)
            items = import_tasks(tasks, run.options.defaults, to_iso(now))
        except InvalidInput as problem:
            if not run.in_order and not run.error:
                run.find_defect("invalid", str(problem), now)
            return
        unique, _ = _without_contradictions(items)
        run.import_tasks([item for item in unique if _spec_of(item).id not in run.tasks], now)
        self.views.touch()

    def ensure_run(self, now: float) -> Run | None:
        """The run, read back from the journal when it had been put away after its end."""
        if self.run is None:
            self.load(now)
            self.views.untouch()
        return self.run

    def put_away(self) -> Journal | None:
        """Forget an ended run whose views are written; gives the journal to be synced and closed."""
        journal, self.journal, self.run, self.context = self.journal, None, None, None
        self.views.forget_last()
        self.inbox.forget_offsets()
        with contextlib.suppress(OSError):  # the folder may be gone
            for slot in self.folder.logs.glob("@slot-*"):
                if slot.stat().st_size == 0:
                    slot.unlink()
        return journal

    @property
    def settled(self) -> bool:
        """Whether nothing of a replaced view still has to be read."""
        return not self._displaced and not self.views.displaced

    def may_give_way(self) -> bool:
        """Whether nothing that came out of this run's swaps, or was left by an interrupted one, is still to be read:
        the next run must not take it for its own."""
        if self.active:
            return False
        if self.run is not None:
            for path in (*self.views.state.rescue(), *self.views.tasks.rescue()):
                self._displaced[path] = ForeignFile()
        return self.settled

    @property
    def unsettled_folder(self) -> bool:
        """Whether something in the folder waits to be finished by its writer."""
        return (
            not self.broken and self.run is None and (self.next.state is not None or self.views.state.known is None)
        )

    def break_off(self, why: str) -> None:
        """This job cannot be worked on (a damaged or newer journal): say so where readers wait for its end."""
        self.broken = why
        log.error("job %s: %s", self.name, why)
        raw: dict[str, Any] = {}
        with contextlib.suppress(OSError, *UNREADABLE):
            found = msgspec.json.decode(read_regular(self.folder.state))
            raw = found if type(found) is dict else {}
        raw |= {"name": self.name, "state": "failed", "reason": "unreadable", "error": why}
        with contextlib.suppress(OSError):
            data = msgspec.json.format(msgspec.json.encode(raw), indent=2) + b"\n"
            write_atomically(self.folder.state, data, mode=self.mode)

    @property
    def next_waits(self) -> bool:
        """Whether another run stands in line."""
        return self.next.state is not None or self.inbox.first_waiting() is not None

    def shift_clock(self, by_s: float) -> None:
        """The system's clock was set: what is due stays as far away as it was."""
        self.views.shift_clock(by_s)
        self.next.shift_clock(by_s)
        for file in (self._foreign_state, self._foreign_tasks, *self._displaced.values()):
            file.shift_clock(by_s)
        if self.look_again_at is not None:
            self.look_again_at += by_s
        self.wake_at = None
        if self.run is not None:
            self.run.shift_clock(by_s)

    # ---- reading what others wrote -------------------------------------------------------------

    def look(self, now: float) -> None:
        """Read whatever is new in the folder."""
        self.look_again_at = None
        for path in self.views.displaced:
            self._displaced.setdefault(path, ForeignFile())
        self.views.displaced.clear()
        try:
            self._look(now)
            self._complained = None
        except OSError as error:  # most likely there is no room: nothing counts as read yet
            if error.errno in NO_FOLDER and self.folder.state.exists():  # else it is still being made
                raise BaseUnusable(f"{error.filename}: {error.strerror}") from error
            if error.strerror != self._complained:
                self._complained = error.strerror
                log.warning("job %s: %s", self.name, error)
            self.state_touched = True
            self.inbox.touch()
            self.look_again(now, 1.0)

    def _look(self, now: float) -> None:
        if not self.active:
            if self.run is not None:
                self._read_displaced(self.run, now)
            drop = self.inbox.first_waiting()
            if drop is None or self.next.came_before(drop):
                self.next.look(now)
        self.inbox.read_drops(now)
        run = self.run
        if run is not None and not run.ended:
            # Whoever starts a next run writes both views: its state tells whose the tasks are.
            if self.state_touched or self._displaced or self.views.tasks.changed():
                self._read_state(run, now)
            self._read_displaced(run, now)
            self._read_tasks(run, now)
            self.inbox.read_grown(run, now)
        else:
            if run is not None:
                self._read_displaced(run, now)
            self.next.look(now)

    def look_again(self, now: float, after_s: float) -> None:
        due = now + after_s
        if self.look_again_at is None or due < self.look_again_at:
            self.look_again_at = due

    @property
    def unread(self) -> bool:
        """Whether something stands in the folder that could not be read yet; the run must not end then."""
        return not self.settled or self.views.tasks.changed()

    def _read_tasks(self, run: Run, now: float) -> None:
        view = self.views.tasks
        if not view.changed():
            return
        try:
            found = self._foreign_tasks.read(view.path, list, now)
        except NotReadable as problem:
            self._set_bad_aside(run, view, str(problem), now)
            return
        if found is None:
            self.look_again(now, 0.2)
            return
        self._foreign_read = True
        self._take_list(run, *found, now)
        view.known = found[1]
        self.views.touch()

    def _take_list(self, run: Run, items: list[Any], seen: Identity, now: float) -> None:
        """A list that somebody wrote: additions to this run, or the tasks of a run to come."""
        if seen[:3] == run.tasks_file:
            self.take_rest({}, items, now)  # the list it began from
        elif run.ended and continues(run, items):
            self.next.set_late_aside(run, items, now)
        elif run.ended or (self.next.state is not None and not continues(run, items)):
            self.next.keep_tasks(items)
        else:
            self._queue_raw(run, items, now)

    def _queue_raw(self, run: Run, items: list[Any], now: float) -> None:
        """Take the tasks of a raw list that are not known yet."""
        specs = []
        for index, item in enumerate(items):
            if is_ours(run, item):
                continue  # written back
            try:
                spec = parse_task(item, f"tasks.json[{index}]", run.options.defaults)
            except InvalidInput as problem:
                kept = self.aside.keep("invalid-task", msgspec.json.encode(item))
                run.find_defect("invalid", f"{problem} (kept as {kept})", now)
                continue
            if not spec.id:
                spec.id = automatic_id(spec.command or "", content_key(spec), index)
            specs.append(spec)
        self.refuse(run.queue(specs, now), now)

    def refuse(self, refused: list[TaskSpec], now: float) -> None:
        """Keep tasks whose id stands for something else, and say so."""
        assert self.run is not None
        for spec in refused:
            self.run.warn(self._keep_refused(spec), now)

    def _keep_refused(self, spec: TaskSpec) -> str:
        kept = self.aside.keep("refused-task", msgspec.json.encode(spec))
        return f"task {spec.id!r} was queued again with other content; the new one is kept as {kept}"

    def _set_bad_aside(self, run: Run, view: ViewFile, problem: str, now: float) -> None:
        """An unreadable view: keep it, put ours in its place, and let the job fail."""
        kept = self.aside.keep_file(view.path, f"{view.path.name}.bad")
        run.find_defect("invalid", f"{problem} (kept as {kept})", now)
        self._foreign_read = True
        view.known = identity(view.path)
        self.views.touch()

    def _read_displaced(self, run: Run, now: float) -> None:
        """Read what came out of swaps; a file that somebody still writes to is left until he is done."""
        # States first: they tell whose the tasks are.
        for path, reader in sorted(self._displaced.items()):
            name = "state.json" if "state.json" in path.name else "tasks.json"
            writing = open_for_writing(path)
            if writing:
                self.look_again(now, 0.05)
                continue
            here = identity(path)
            try:
                found = reader.read(path, dict if name == "state.json" else list, now)
            except NotReadable as problem:
                kept = self.aside.keep_file(path, f"{name}.bad")
                run.find_defect("invalid", f"{str(problem).replace(path.name, name)} (kept as {kept})", now)
                found = None
                here = identity(path)
            else:
                if found is None and here is not None:
                    self.look_again(now, 0.1)
                    continue
            if found is not None and found[1] != reader.taken:
                if name == "state.json":
                    self.next.keep_state(run, found[0], now)
                else:
                    self._take_list(run, *found, now)
                    if not run.ended:
                        self.views.touch()
                here = reader.taken = found[1]
            if found is not None and writing is None and not reader.quiet(found[1], now):
                self.look_again(now, 0.2)
                continue
            del self._displaced[path]
            if here is not None:
                self.after_sync(lambda path=path, here=here: unlink_if_same(path, here))  # type: ignore[misc]

    def _read_state(self, run: Run, now: float) -> None:
        self.state_touched = False
        view = self.views.state
        if not view.changed():
            return
        try:
            found = self._foreign_state.read(view.path, dict, now)
        except NotReadable as problem:
            self._set_bad_aside(run, view, str(problem), now)
            return
        if found is None:
            self.state_touched = True
            self.look_again(now, 0.2)
            return
        self.next.keep_state(run, found[0], now)
        view.known = found[1]
        self.views.touch(tasks=False)

    # ---- ends ----------------------------------------------------------------------------------

    def exited(self, task_id: str, attempt: int, end: AttemptEnd, now: float, jitter: Callable[[], float]) -> None:
        """Record the end of an attempt, after reading once more what it left."""
        run = self.run
        assert run is not None
        name = f"{file_stem(task_id)}@{attempt}.json"
        self.inbox.read_task_file(run, f"{name}l", task_id, now, whole=True)
        self._read_result(self._results_prefix + name, end)
        run.exited(task_id, attempt, end, now, jitter)
        self.views.touch()

    def _read_result(self, path: str, end: AttemptEnd) -> None:
        problem = None
        try:
            with open(open_regular(path), "rb") as file:
                data = file.read(MAX_RESULT_BYTES + 1)
        except FileNotFoundError:
            return
        except OSError as error:
            end.reason, end.error = end.reason or "exit", f"its result file cannot be read: {error.strerror}"
            return
        if len(data) > MAX_RESULT_BYTES:
            problem = (
                f"its result is over the limit of {MAX_RESULT_BYTES} bytes; "
                "write large results to a file and report its path"
            )
        elif data.strip():
            try:
                end.result = msgspec.json.decode(data)
            except UNREADABLE as error:
                problem = f"its result is not JSON: {error}"
        if problem is not None:
            end.reason, end.error = end.reason or "exit", problem
        self.inbox.remove_read(path)

    # ---- writing -------------------------------------------------------------------------------

    def flush(self) -> bool:
        """Write new events to the journal; whether anything was written. `OSError` when there is no room."""
        run, journal = self.run, self.journal
        if run is None or journal is None or not (run.new_events or journal.blocked):
            return False
        new, run.new_events = run.new_events, []
        for event in new:
            task = getattr(event, "task", None)
            if task is not None:
                self.views.touch_task(run.tasks[task if type(task) is str else task.id].order)
        journal.append(new)
        self.views.touch(tasks=False)
        return True

    def views_due(self, now: float) -> float | None:
        """When the next piece of a view is to be written; None when both are up to date."""
        return None if self.run is None else self.views.due(self.run, now)

    def write_views(self, now: float) -> None:
        """Write what is due of the views."""
        if self.run is None:
            return
        if self.run.ended and self.views.tasks_in_the_way:
            self.look(now)  # written after the last look before the end
            if identity(self.views.tasks.path) == self.next.held:
                self.views.leave_tasks()
        self.views.write(self.run, now)
        if self.views.displaced:
            self.look_again(now, 0.0)

    def _before_swap(self) -> None:
        if self._foreign_read and self.journal is not None:
            self.journal.sync()  # what is about to be replaced was written by others
            self._foreign_read = False


def _spec_of(item: ev.TaskImported | TaskSpec) -> TaskSpec:
    return item if isinstance(item, TaskSpec) else item.task


def _text_of(raw: dict[str, Any], key: str, kind: type, default: Any) -> Any:
    """A value of a view if it has the right type, else the default."""
    value = raw.get(key)
    return value if isinstance(value, kind) else default


def _without_contradictions(
    items: list[ev.TaskImported | TaskSpec],
) -> tuple[list[ev.TaskImported | TaskSpec], list[TaskSpec]]:
    """Each id once, and what else was given the same id with other content."""
    unique: dict[str, ev.TaskImported | TaskSpec] = {}
    refused = []
    for item in items:
        spec = _spec_of(item)
        if _spec_of(unique.setdefault(spec.id, item)) != spec:
            refused.append(spec)
    return list(unique.values()), refused
