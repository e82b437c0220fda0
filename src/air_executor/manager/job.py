"""One job folder joined to its run: reads what others wrote there, journals what is decided, shows it."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from air_executor import events as ev
from air_executor.errors import InvalidInput
from air_executor.lifecycle import AttemptEnd, Run
from air_executor.manager.aside import Aside
from air_executor.manager.foreign import ForeignFile, NotReadable, open_for_writing
from air_executor.manager.importing import import_tasks
from air_executor.manager.inbox import JobInbox
from air_executor.manager.views import JobViews
from air_executor.model import (
    ENDED_STATES,
    OPTION_FIELDS,
    Task,
    TaskSpec,
    content_key,
    param_text,
    parse_options,
    parse_task,
    unlikely_keys,
)
from air_executor.names import automatic_id, file_stem, new_job_id
from air_executor.runners.base import RunContext
from air_executor.store.files import Identity, identity, open_regular, read_regular, write_atomically
from air_executor.store.inbox import drop_files
from air_executor.store.journal import Journal, read_journal
from air_executor.store.layout import JobFolder
from air_executor.store.views import ViewFile, render_state, render_tasks
from air_executor.times import to_iso

__all__ = ["EndedJob", "ManagedJob"]

log = logging.getLogger("air_executor.manager")

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What `msgspec.json.decode` raises for what is not JSON."""

TAIL_BYTES: Final = 16_384
MAX_RESULT_BYTES: Final = 1_048_576
STATE_KEYS: Final = OPTION_FIELDS | {
    *("id", "name", "state", "created_at", "updated_at", "progress", "error", "reason", "warnings"),
    *("stopping", "paused", "cwd", "environment"),
}


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


class ManagedJob:
    """What the manager keeps of one job. `run` is None until both views were there, and after its end."""

    def __init__(self, folder: JobFolder, after_sync: Callable[[Callable[[], None]], None]) -> None:
        self.folder = folder
        self.name = folder.name
        self.run: Run | None = None
        self.journal: Journal | None = None
        self.context: RunContext | None = None
        self._mode = folder.base.file_mode
        self._after_sync = after_sync
        self.aside = Aside(folder.path, self._mode)
        self.views = JobViews(folder, self._mode, self._before_swap)
        self.inbox = JobInbox(self, after_sync)
        self._results_prefix = f"{folder.results}/"
        self._next_state_path = folder.path / ".next-state.json"
        self._next_tasks_path = folder.path / ".next-tasks.json"
        self._foreign_state = ForeignFile()
        self._foreign_tasks = ForeignFile()
        self._displaced: dict[Path, ForeignFile] = {}
        self._next_state: dict[str, Any] | None = None
        self._next_tasks: list[Any] | None = None
        self._held: Identity | None = None
        """A list of tasks that was put in place after the end, for a run whose `state.json` is to come."""
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
        path = self.folder.journal
        if not path.exists():
            return
        history, end = read_journal(path)
        torn = None
        if end < path.stat().st_size:
            with path.open("rb") as file:
                file.seek(end)
                torn = self.aside.keep("journal.torn", file.read())
            os.truncate(path, end)
        if not history:
            path.unlink()
            return
        self._open(Run(history))
        assert self.run is not None
        self.run.recover(now)
        if torn:
            self.run.warn(f"the journal's torn end was cut off and kept as {torn}", now)
        if self.run.ended:
            self._recognise_views(self.run)
        for leftover in (*self.views.tasks.leftovers(), *self.views.state.leftovers()):
            self._displaced[leftover] = ForeignFile()
        self._recall_next_run(now)
        self.views.touch()

    @property
    def forming(self) -> bool:
        """Whether a `state.json` stands in the folder that no run has begun from."""
        if self.run is not None or self.folder.journal.exists():
            return False
        return self.folder.state.exists()

    def set_stray_tasks_aside(self) -> None:
        """A `tasks.json` without state and journal must not be taken for additions to a submitted run."""
        if not self.folder.journal.exists() and self.folder.tasks.exists():
            self.aside.move(self.folder.tasks, "tasks.json.left")

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
                    ours = began_from or (type(raw) is list and all(_is_ours(run, item) for item in raw))
                view.known = known if ours else None

    def _recall_next_run(self, now: float) -> None:
        """A run that waited for this one when the manager ended."""
        if self.run is None:
            return
        try:
            if self._next_tasks_path.exists():
                self._next_tasks = msgspec.json.decode(read_regular(self._next_tasks_path), type=list)
            if self._next_state_path.exists():
                state = msgspec.json.decode(read_regular(self._next_state_path), type=dict)
                if self.has_begun(state.get("id")):
                    self._next_tasks = None
                    self._next_state_path.unlink()
                    self._next_tasks_path.unlink(missing_ok=True)
                else:
                    self._next_state = state
        except (OSError, *UNREADABLE) as error:
            kept = self.aside.move(self._next_state_path, "next-state.bad")
            self.run.warn(f"a run that waited for this one cannot be read ({error}); kept as {kept}", now)

    def _open(self, run: Run) -> None:
        self.folder.create()
        self.journal = Journal(self.folder.journal, self._mode)
        self.run = run
        env = {name: value for name, value in os.environ.items() if not name.startswith("AIR_EXECUTOR_")}
        if run.environment:
            env.pop("VIRTUAL_ENV", None)
            env.update(run.environment)
        env.update({name: param_text(value) for name, value in run.options.params.items()})
        env["AIR_EXECUTOR_BASE"] = str(self.folder.base)
        env["AIR_EXECUTOR_JOB"] = self.name
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
        if self.folder.journal.exists():
            self._archive(now)
        at = to_iso(now)
        run = Run()
        options, items = parse_options({}), []
        if problem is None:
            try:
                options = parse_options(state)
                items = import_tasks(tasks, options.defaults, at)
            except InvalidInput as error:
                problem = str(error)
        environment = _text_of(state, "environment", dict, {})
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
        self.folder.create()  # refuses links, before anything is removed behind one
        self.inbox.begin_run()
        self._open(run)
        if problem is not None:
            run.find_defect("invalid", problem, now)
            run.settle(now)
        else:
            self._take_first(state, items, now)
        self.views.begin(now)
        self.inbox.touch()

    def _take_first(self, state: dict[str, Any], items: list[ev.TaskImported | TaskSpec], now: float) -> None:
        """The tasks a run begins with. A folder copied without its journal may have ended already."""
        run = self.run
        assert run is not None
        name = state.get("name")
        if isinstance(name, str) and name != self.name:
            run.warn(f"state.json names the job {name!r}; the folder's name {self.name!r} holds", now)
        unique: dict[str, ev.TaskImported | TaskSpec] = {}
        for item in items:
            spec = _spec_of(item)
            for hint in unlikely_keys(spec):
                run.warn(f"task {spec.id!r}: {hint}", now)
            known = unique.setdefault(spec.id, item)
            if _spec_of(known) != spec:
                self.refuse([spec], now)
        run.import_tasks(unique.values(), now)
        if state.get("state") in ENDED_STATES and not run.counts["pending"]:
            reason, error = _text_of(state, "reason", str, None), _text_of(state, "error", str, None)
            run.emit(ev.RunEnded(at=to_iso(now), state=state["state"], reason=reason, error=error))

    def take_rest(self, tasks: list[Any], now: float) -> None:
        """Queue what is missing of the tasks this run began with: its first write to the journal may be torn."""
        run = self.run
        assert run is not None
        try:
            items = import_tasks(tasks, run.options.defaults, to_iso(now))
        except InvalidInput:
            return  # it was refused when the run began
        run.import_tasks([item for item in items if _spec_of(item).id not in run.tasks], now)
        self.views.touch()

    def _archive(self, now: float) -> None:
        """Move the ended run to `runs/<id>/`; its journal goes last, so that a crash repeats the rest."""
        run = self.ensure_run(now)
        if run is None:
            return
        self.folder.base.make_folder(self.folder.runs)
        target = self.folder.runs / file_stem(run.id)
        self.folder.base.make_folder(target)
        write_atomically(target / "tasks.json", b"".join(render_tasks(run)), mode=self._mode)
        write_atomically(target / "state.json", render_state(run), mode=self._mode)
        if self.folder.logs.exists() and not (target / "logs").exists():
            self.folder.logs.rename(target / "logs")
        if self._next_state is None and not self.views.state.changed() and self.views.tasks.changed():
            # No `state.json` of a next run goes with it: a version from before a crash, or late additions.
            self.aside.move(self.views.tasks.path, "tasks.json.left")
        for view in (self.views.state, self.views.tasks):
            if not view.changed():
                view.path.unlink(missing_ok=True)
            view.known = None
        if self.journal is not None:
            self.journal.sync()
            self.journal.close()
        self.folder.journal.rename(target / "journal.jsonl")
        self.run = self.journal = self.context = None

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

    @property
    def unsettled_folder(self) -> bool:
        """Whether something in the folder waits to be finished by its writer."""
        return (
            not self.broken and self.run is None and (self._next_state is not None or self.views.state.known is None)
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
            write_atomically(self.folder.state, data, mode=self._mode)

    @property
    def next_waits(self) -> bool:
        """Whether another run stands in line."""
        return self._next_state is not None or self.inbox.waiting()

    def shift_clock(self, by_s: float) -> None:
        """The system's clock was set: what is due stays as far away as it was."""
        self.views.shift_clock(by_s)
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
            self._displaced[path] = ForeignFile()
        self.views.displaced.clear()
        try:
            if self.forming:
                self._look_for_new_run(now)  # what stands in the folder came before what was dropped into it
            self.inbox.read_drops(now)
            run = self.run
            if run is not None and not run.ended:
                # Whoever starts a next run writes both views: its state tells whose the tasks are.
                if self.state_touched or self.views.tasks.changed():
                    self._read_state(now)
                self._read_tasks(run, now)
                self.inbox.read_grown(run, now)
            if self._displaced and self.run is not None:
                self._read_displaced(self.run, now)
            if not self.active:
                self._look_for_new_run(now)
        except OSError as error:
            log.warning("job %s: %s", self.name, error)
            self._look_again(now, 1.0)

    def _look_again(self, now: float, after_s: float) -> None:
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
            self._look_again(now, 0.2)
            return
        items, view.known = found
        self._foreign_read = True
        if self._next_state is not None and not _continues(run, items):
            self._keep_next_tasks(items)
        else:
            self._queue_raw(run, items, now)
        self.views.touch()

    def _keep_next_tasks(self, items: list[Any]) -> None:
        """Keep a list that belongs to a run to come, since our own view takes its place."""
        self._next_tasks = items
        write_atomically(self._next_tasks_path, msgspec.json.encode(items), mode=self._mode)

    def _queue_raw(self, run: Run, items: list[Any], now: float) -> None:
        """Take the tasks of a raw list that are not known yet."""
        specs = []
        for index, item in enumerate(items):
            if _is_ours(run, item):
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
            kept = self.aside.keep("refused-task", msgspec.json.encode(spec))
            self.run.warn(f"task {spec.id!r} was queued again with other content; the new one is kept as {kept}", now)

    def _set_bad_aside(self, run: Run, view: ViewFile, problem: str, now: float) -> None:
        """An unreadable view: keep it, put ours back, and let the job fail."""
        kept = self.aside.move(view.path, f"{view.path.name}.bad")
        view.known = None
        run.find_defect("invalid", f"{problem} (kept as {kept})", now)
        self.views.touch()

    def _read_displaced(self, run: Run, now: float) -> None:
        """Read what came out of swaps; a file that somebody still writes to is left until he is done."""
        for path, reader in list(self._displaced.items()):
            name = "state.json" if "state.json" in path.name else "tasks.json"
            if open_for_writing(path):
                self._look_again(now, 0.05)
                continue
            try:
                found = reader.read(path, dict if name == "state.json" else list, now)
            except NotReadable as problem:
                del self._displaced[path]
                kept = self.aside.move(path, f"{name}.bad")
                run.find_defect("invalid", f"{str(problem).replace(path.name, name)} (kept as {kept})", now)
                continue
            if found is None:
                if path.exists():
                    self._look_again(now, 0.1)
                else:
                    del self._displaced[path]
                continue
            del self._displaced[path]
            if name == "state.json":
                self._take_state(run, found[0], now)
            elif run.ended and not _continues(run, found[0]):
                self._keep_next_tasks(found[0])
            elif run.ended:
                self._set_late_aside(run, found[0], now)
            else:
                self._queue_raw(run, found[0], now)
                self.views.touch()
            self._after_sync(lambda path=path: path.unlink(missing_ok=True))  # type: ignore[misc]

    def _read_state(self, now: float) -> None:
        self.state_touched = False
        view, run = self.views.state, self.run
        if run is None or not view.changed():
            return
        try:
            found = self._foreign_state.read(view.path, dict, now)
        except NotReadable as problem:
            self._set_bad_aside(run, view, str(problem), now)
            return
        if found is None:
            self.state_touched = True
            self._look_again(now, 0.2)
            return
        raw, view.known = found
        self._take_state(run, raw, now)
        self.views.touch(tasks=False)

    def _take_state(self, run: Run, raw: dict[str, Any], now: float) -> None:
        """A `state.json` that names another run starts that run when this one has ended."""
        run_id = raw.get("id")
        if not isinstance(run_id, str) or not run_id or self.has_begun(run_id):
            return  # the view of this run, or an old one, written back late
        self._next_state = raw
        write_atomically(self._next_state_path, msgspec.json.encode(raw), mode=self._mode)
        run.warn(f"run {run_id!r} waits for this one to end", now)

    # ---- between runs --------------------------------------------------------------------------

    def _look_for_new_run(self, now: float) -> None:
        """Not active: a first run may be forming, or a next one after an end."""
        fresh = self.run is None and not self.folder.journal.exists()
        try:
            if self._next_state is None:
                self._next_state = self._new_state(now, fresh=fresh)
            if self._next_state is None:
                if not fresh:
                    self._take_late_tasks(now)
                return
        except NotReadable as problem:
            self._begin_failed({}, self.views.state, str(problem), now)
            return
        try:
            found = self._new_tasks(now, fresh=fresh)
        except NotReadable as problem:
            self._begin_failed(self._next_state, self.views.tasks, str(problem), now)
            return
        if found is None:
            return
        tasks, known = found
        self.begin(self._next_state, tasks, now, seen=known)
        self._next_state = self._next_tasks = self._held = None
        self.views.state.known = identity(self.views.state.path)
        if known is not None:
            self.views.tasks.known = known
        for path in (self._next_state_path, self._next_tasks_path):
            if path.exists():
                self._after_sync(lambda path=path: path.unlink(missing_ok=True))  # type: ignore[misc]

    def _new_state(self, now: float, *, fresh: bool) -> dict[str, Any] | None:
        """A `state.json` that begins a run."""
        view = self.views.state
        if not fresh and not view.changed():
            return None
        found = self._foreign_state.read(view.path, dict, now)
        if found is None:
            if view.path.exists():
                self._look_again(now, 0.2)
            return None
        raw: dict[str, Any] = found[0]
        run = None if fresh else self.ensure_run(now)
        if run is not None and raw.get("id") in (None, "", run.id):
            view.known = found[1]
            self.views.touch(tasks=False)
            return None
        return raw

    def _new_tasks(self, now: float, *, fresh: bool) -> tuple[list[Any], Identity | None] | None:
        """The tasks of the run that is to begin; the view of the last run is never taken for them."""
        view = self.views.tasks
        if not fresh and not view.changed():
            return None if self._next_tasks is None else (self._next_tasks, None)
        found = self._foreign_tasks.read(view.path, list, now)
        if found is None and view.path.exists():
            self._look_again(now, 0.2)
        return found

    def _begin_failed(self, state: dict[str, Any], view: ViewFile, problem: str, now: float) -> None:
        """A first (or next) run whose file cannot be read: it fails at once, saying why."""
        kept = self.aside.move(view.path, f"{view.path.name}.bad")
        self._next_state = None
        self.begin(state, [], now, f"{problem} (kept as {kept})")
        self.views.state.known = identity(self.views.state.path)
        self.views.tasks.known = identity(self.views.tasks.path)

    def _take_late_tasks(self, now: float) -> None:
        """`tasks.json` changed after the end: additions come too late, a new list waits for its state.json."""
        view = self.views.tasks
        if not view.changed() or identity(view.path) == self._held:
            return
        run = self.ensure_run(now)
        if run is None:
            return
        try:
            found = self._foreign_tasks.read(view.path, list, now)
        except NotReadable as problem:
            kept = self.aside.move(view.path, "tasks.json.bad")
            run.warn(f"{problem}; written after the job had ended, kept as {kept}", now)
            self.views.touch()
            return
        if found is None:
            self._look_again(now, 0.2)
            return
        items, known = found
        if not _continues(run, items):
            self._held = known
            run.warn(
                "tasks.json was replaced after the job had ended; a state.json with a new id starts a new run",
                now,
            )
            self.views.touch(tasks=False)
            return
        view.known = known
        self._set_late_aside(run, items, now)
        self.views.touch()

    def _set_late_aside(self, run: Run, items: list[Any], now: float) -> None:
        if new := _new_to(run, items):
            kept = self.aside.keep("late-tasks", msgspec.json.encode(new))
            run.warn(f"{len(new)} tasks were written after the job had ended; they are kept as {kept}", now)
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
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return
        except OSError as error:
            end.reason, end.error = end.reason or "exit", f"its result file cannot be read: {error.strerror}"
            return
        with open(fd, "rb") as file:
            data = file.read(MAX_RESULT_BYTES + 1)
        problem = None
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
        self._after_sync(lambda: Path(path).unlink(missing_ok=True))

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
            if identity(self.views.tasks.path) == self._held:
                self.views.leave_tasks()
        self.views.write(self.run, now)
        if self.views.displaced:
            self._look_again(now, 0.0)

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


def _task_of(run: Run, item: Any) -> Task | None:
    """The task that an object of a raw list names."""
    task_id = item.get("id") if type(item) is dict else None
    return run.tasks.get(task_id) if isinstance(task_id, str) else None


def _is_ours(run: Run, item: Any) -> bool:
    """Whether an object of a raw list is our own record of a task."""
    known = _task_of(run, item)
    # A submitted list that we never replaced has the time of its submission.
    return known is not None and item.get("created_at") in (known.created_at, run.created_at)


def _continues(run: Run, items: list[Any]) -> bool:
    """Whether a list was made by adding to this run's view."""
    return any(_is_ours(run, item) for item in items)


def _new_to(run: Run, items: list[Any]) -> list[Any]:
    return [item for item in items if _task_of(run, item) is None]


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
