"""Runs in a row: which run comes next in a job's folder, and how the last one makes room for it.

A run that is handed in while another is under way, or before its tasks are there, is kept in two files of
the manager's own, since the views that brought it are replaced: `.next-state.json` and `.next-tasks.json`.
They stay until the journal of the run that began from them is on the disk. At every moment in between, a
crash leaves either the last run's journal, or no journal and the kept files (or views, or dropped file) of
the next; from both the same run begins again.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from air_executor.lifecycle import Run
from air_executor.manager.foreign import UNREADABLE, ForeignFile, NotReadable, continues, new_to
from air_executor.names import file_stem
from air_executor.store.files import Identity, identity, read_regular, unlink_if_same, write_atomically
from air_executor.store.inbox import drop_records, time_of_drop
from air_executor.store.views import ViewFile, render_state, render_tasks

if TYPE_CHECKING:
    from air_executor.manager.job import ManagedJob

__all__ = ["NextRun"]

log = logging.getLogger("air_executor.manager")


class NextRun:
    """What is known of the run to come: its `state.json`, and its tasks if those came first or were swapped out."""

    def __init__(self, job: ManagedJob) -> None:
        self._job = job
        self._state_path = job.folder.path / ".next-state.json"
        self._tasks_path = job.folder.path / ".next-tasks.json"
        self.state: dict[str, Any] | None = None
        self._tasks: list[Any] | None = None
        self._seen: Identity | None = None
        """What `state` was read from, while that stands in the folder; None when it is kept in our own file."""
        self.held: Identity | None = None
        """A list of tasks that was put in place after the end, for a run whose `state.json` is to come."""
        self._foreign_state = ForeignFile()
        self._foreign_tasks = ForeignFile()
        self._outlived = False
        """Whether our files are those of a run that has begun: they wait for its journal to be on the disk."""

    @property
    def forming(self) -> bool:
        """Whether a first run is being written, or a next one had been read when a manager died between two runs."""
        job = self._job
        if job.run is not None or job.folder.journal.exists():
            return False
        if job.folder.state.exists():
            return True
        return self.state is not None and (self._tasks is not None or job.folder.tasks.exists())

    def came_before(self, drop: str) -> bool:
        """Whether the run to come was written before a file of this name was dropped."""
        path = self._state_path if self.state is not None and self._seen is None else self._job.folder.state
        written = identity(path)
        return written is not None and written.mtime_ns <= time_of_drop(drop)

    def shift_clock(self, by_s: float) -> None:
        self._foreign_state.shift_clock(by_s)
        self._foreign_tasks.shift_clock(by_s)

    # ---- keeping -------------------------------------------------------------------------------

    def recall(self, now: float) -> None:
        """Read what an earlier manager kept. Of a run that has begun, the tasks its torn journal lacks are taken."""
        tasks = self._recalled(self._tasks_path, list, now)
        state = self._recalled(self._state_path, dict, now)
        if state is None or not self._job.has_begun(state.get("id")):
            self.state, self._tasks = state or self.state, tasks or self._tasks
            return
        run = self._job.run
        if run is not None and run.id == state.get("id"):
            self._job.take_rest(state, tasks or [], now)
        self._remove_kept()

    def _recalled(self, path: Path, kind: type, now: float) -> Any:
        try:
            return msgspec.json.decode(read_regular(path), type=kind)
        except FileNotFoundError:
            return None
        except (OSError, *UNREADABLE) as error:
            aside = self._job.aside
            kept = aside.move(path, "next-state.bad") if kind is dict else aside.move(path, "next-tasks.bad")
            self._tell(f"a run that waited for this one cannot be read ({error}); kept as {kept}", now)
            return None

    def _tell(self, text: str, now: float) -> None:
        if self._job.run is not None:
            self._job.run.warn(text, now)
        else:
            log.warning("job %s: %s", self._job.name, text)

    def keep_state(self, run: Run, raw: dict[str, Any], now: float) -> None:
        """A `state.json` that names another run: that one begins when this one has ended."""
        run_id = raw.get("id")
        if not isinstance(run_id, str) or not run_id or self._job.has_begun(run_id):
            return  # the view of this run, or an old one, written back late
        if self.state is not None and self._seen is None and self.state.get("id") != run_id:
            self._give_way(run_id, now)
        self._write(self._state_path, raw)
        self.state, self._seen = raw, None
        run.warn(f"run {run_id!r} waits for this one to end", now)

    def keep_tasks(self, items: list[Any]) -> None:
        """Keep a list that belongs to a run to come, since our own view takes its place."""
        self._write(self._tasks_path, items)
        self._tasks = items

    def _write(self, path: Path, content: Any) -> None:
        if self._outlived:
            if self._job.journal is not None:
                self._job.journal.sync()
            for old in (self._state_path, self._tasks_path):
                old.unlink(missing_ok=True)
            self._outlived = False
        # On the disk, since the file that brought it is removed.
        write_atomically(path, msgspec.json.encode(content), sync=True, mode=self._job.mode)

    def _give_way(self, to: str, now: float) -> None:
        """The run that waits is followed by another: it goes to the inbox, where any number can wait."""
        assert self.state is not None
        name = self.state.get("id")
        if self._tasks is not None:
            record = {"request": "submit", "state": self.state, "tasks": self._tasks}
            drop_records(self._job.folder.inbox, [record], mode=self._job.mode)
            self._job.inbox.touch()
        else:
            kept = self._job.aside.keep("next-state.left", msgspec.json.encode(self.state))
            self._tell(f"run {name!r} had no tasks yet when run {to!r} came; its state.json is kept as {kept}", now)
        self.state = self._tasks = None
        for path in (self._state_path, self._tasks_path):
            path.unlink(missing_ok=True)

    def _remove_kept(self) -> None:
        """Remove our two files once the journal of the run that began from them is on the disk."""
        for path in (self._state_path, self._tasks_path):
            if (here := identity(path)) is not None:
                self._outlived = True
                self._job.after_sync(lambda path=path, here=here: unlink_if_same(path, here))  # type: ignore[misc]

    # ---- beginning -----------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """No run is under way: a first one may be forming, or a next one after an end."""
        job = self._job
        fresh = job.run is None and not job.folder.journal.exists()
        try:
            if self.state is None or self._seen is not None or self._tasks is None:
                self._find_state(now, fresh=fresh)
        except NotReadable as problem:
            self._begin_failed({}, job.views.state, str(problem), now)
            return
        if self.state is None:
            if not fresh:
                self._take_late_tasks(now)
            return
        try:
            found = self._find_tasks(now, fresh=fresh)
        except NotReadable as problem:
            self._begin_failed(self.state, job.views.tasks, str(problem), now)
            return
        if found is None or not self._may_begin(now):
            return
        tasks, known = found
        job.begin(self.state, tasks, now, seen=known)
        job.views.state.known, job.views.tasks.known = self._seen, known
        self._begun()

    def _may_begin(self, now: float) -> bool:
        """Whether the last run is out of the way."""
        job = self._job
        if job.folder.journal.exists():
            job.ensure_run(now)
        if job.may_give_way():
            return True
        job.look_again(now, 0.0)
        return False

    def _begun(self) -> None:
        self.state = self._tasks = self._seen = self.held = None
        self._remove_kept()

    def _find_state(self, now: float, *, fresh: bool) -> None:
        """Read a `state.json` that begins a run."""
        job, view = self._job, self._job.views.state
        if identity(view.path) == self._seen is not None or (not fresh and not view.changed()):
            return
        found = self._foreign_state.read(view.path, dict, now)
        if found is None:
            if view.path.exists():
                job.look_again(now, 0.2)
            return
        raw, seen = found
        run = None if fresh else job.ensure_run(now)
        run_id = raw.get("id")
        if run is not None and (run_id in (None, "") or job.has_begun(run_id)):
            view.known = seen  # an old view, written back late
            job.views.touch(tasks=False)
        elif job.has_begun(run_id):
            job.aside.move(view.path, "state.json.left")
        else:
            if self.state is not None and self._seen is None and self.state.get("id") != run_id:
                self._give_way(str(run_id), now)
            self.state, self._seen = raw, seen

    def _find_tasks(self, now: float, *, fresh: bool) -> tuple[list[Any], Identity | None] | None:
        """The tasks of the run that is to begin; the view of the last run is never taken for them."""
        job, view = self._job, self._job.views.tasks
        kept = None if self._tasks is None else (self._tasks, None)
        if kept is not None and self._seen is None and job.views.state.changed():
            return kept  # what stands there belongs to the run after it
        if not fresh and not view.changed():
            return kept
        found = self._foreign_tasks.read(view.path, list, now)
        if found is None:
            if not view.path.exists():
                return kept
            job.look_again(now, 0.2)
        elif kept is not None and not fresh:
            run = job.ensure_run(now)
            if run is not None and continues(run, found[0]):
                view.known = found[1]
                self.set_late_aside(run, found[0], now)
                return kept
        return found

    def _begin_failed(self, state: dict[str, Any], view: ViewFile, problem: str, now: float) -> None:
        """A first (or next) run whose file cannot be read: it fails at once, saying why."""
        job = self._job
        if not self._may_begin(now):
            return
        kept = job.aside.keep_file(view.path, f"{view.path.name}.bad")
        if view is job.views.state and identity(job.views.tasks.path) not in (None, job.views.tasks.known):
            job.aside.keep_file(job.views.tasks.path, "tasks.json.left")
        job.begin(state, [], now, f"{problem} (kept as {kept})")
        job.views.tasks.known = identity(job.views.tasks.path)
        if view is job.views.state or self._seen is not None:
            job.views.state.known = identity(job.views.state.path)
        self._begun()

    def set_stray_tasks_aside(self) -> None:
        """A `tasks.json` without state and journal must not be taken for additions to a submitted run."""
        folder = self._job.folder
        if self.state is None and not folder.journal.exists() and not folder.state.exists() and folder.tasks.exists():
            self._job.aside.move(folder.tasks, "tasks.json.left")

    # ---- after the end -------------------------------------------------------------------------

    def _take_late_tasks(self, now: float) -> None:
        """`tasks.json` changed after the end: additions come too late, a new list waits for its state.json."""
        job, view = self._job, self._job.views.tasks
        if not view.changed() or identity(view.path) == self.held:
            return
        run = job.ensure_run(now)
        if run is None:
            return
        try:
            found = self._foreign_tasks.read(view.path, list, now)
        except NotReadable as problem:
            kept = job.aside.keep_file(view.path, "tasks.json.bad")
            run.warn(f"{problem}; written after the job had ended, kept as {kept}", now)
            view.known = identity(view.path)
            job.views.touch()
            return
        if found is None:
            job.look_again(now, 0.2)
            return
        items, known = found
        if not continues(run, items):
            self.held = known
            run.warn(
                "tasks.json was replaced after the job had ended; a state.json with a new id starts a new run",
                now,
            )
            job.views.touch(tasks=False)
            return
        self.set_late_aside(run, items, now)
        view.known = known
        job.views.touch()

    def set_late_aside(self, run: Run, items: list[Any], now: float) -> None:
        """Keep tasks that came after the end, and say so."""
        if new := new_to(run, items):
            kept = self._job.aside.keep("late-tasks", msgspec.json.encode(new))
            run.warn(f"{len(new)} tasks were written after the job had ended; they are kept as {kept}", now)
            self._job.views.touch(tasks=False)

    def archive(self, now: float) -> None:
        """Move the ended run to `runs/<id>/`; its journal goes last, so that a crash repeats the rest."""
        job, folder = self._job, self._job.folder
        run = job.ensure_run(now)
        if run is None:
            return
        job.flush()
        folder.base.make_folder(folder.runs)
        target = folder.runs / file_stem(run.id)
        folder.base.make_folder(target)
        write_atomically(target / "tasks.json", b"".join(render_tasks(run)), mode=job.mode)
        write_atomically(target / "state.json", render_state(run), mode=job.mode)
        if folder.logs.exists() and not (target / "logs").exists():
            folder.logs.rename(target / "logs")
        if self.state is None and not job.views.state.changed():
            # No `state.json` of a next run goes with them: a version from before a crash, or late additions.
            if job.views.tasks.changed():
                job.aside.move(job.views.tasks.path, "tasks.json.left")
            if self._tasks is not None:
                job.aside.move(self._tasks_path, "tasks.json.left")
                self._tasks = None
        for view in (job.views.state, job.views.tasks):
            if not view.changed():
                view.path.unlink(missing_ok=True)
            view.known = None
        if job.journal is not None:
            job.journal.sync()
            job.journal.close()
        for path in folder.path.glob(".*.json.displaced-*"):
            path.unlink(
                missing_ok=True
            )  # read and journalled; after a crash the next run would take them for its own
        folder.journal.rename(target / "journal.jsonl")
        job.run = job.journal = job.context = None
