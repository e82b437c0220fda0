"""Carrying out what clients and tasks left in a job's inbox."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from air_executor import events as ev
from air_executor.errors import InvalidInput
from air_executor.lifecycle import Run
from air_executor.manager.foreign import NotReadable
from air_executor.model import content_key, parse_task, unlikely_keys
from air_executor.names import automatic_id, file_stem
from air_executor.store.files import identity, unlink_if_same
from air_executor.store.inbox import DROP_SUFFIX, RENEW_SUFFIX, drop_files, read_records
from air_executor.times import to_iso

if TYPE_CHECKING:
    from air_executor.manager.job import ManagedJob

__all__ = ["JobInbox"]

log = logging.getLogger("air_executor.manager")


class JobInbox:
    """Reads a job's inbox; what it holds goes to the run as decisions, and is removed once journalled."""

    def __init__(self, job: ManagedJob, after_sync: Callable[[Callable[[], None]], None]) -> None:
        self._job = job
        self._folder = job.folder.inbox
        self._prefix = f"{self._folder}/"
        self._trusts = job.folder.base.trusts
        self._after_sync = after_sync
        self._offsets: dict[str, int] = {}
        self._done: set[str] = set()
        self._grown: set[str] = set()
        self._all_grown = False
        self._dropped = True

    def touch(self, names: set[str] | None = None) -> None:
        """Note which files notification named; None: look at everything."""
        if names is None:
            self._dropped = self._all_grown = True
            return
        for name in names:
            if name.endswith(DROP_SUFFIX):
                self._dropped = True
            elif name.endswith(".jsonl"):
                self._grown.add(name)

    def forget_offsets(self) -> None:
        """Read the files of tasks from their beginning again."""
        self._offsets.clear()

    def begin_run(self) -> None:
        """Remove what tasks of an earlier run left: their files have the names that the new run's will have."""
        self._offsets.clear()
        for folder in (self._folder, self._job.folder.results):
            with contextlib.suppress(OSError):
                for name in os.listdir(folder):
                    if name.endswith((".jsonl", ".json")) and not name.endswith(DROP_SUFFIX):
                        (folder / name).unlink()

    # ---- dropped files -------------------------------------------------------------------------

    def read_drops(self, now: float) -> None:
        """Carry out dropped files, oldest first."""
        if not self._dropped:
            return
        self._dropped = False
        waits = False
        for name in drop_files(self._folder):
            if name in self._done:
                continue
            if name.endswith(RENEW_SUFFIX) and self._renew(name, now):
                continue
            if waits or not self._obey(name, now):
                waits = True  # a run submitted behind this one waits, and what comes after it too
                continue
            self._done.add(name)
            self._after_sync(lambda name=name: self._remove_drop(name))  # type: ignore[misc]

    def first_waiting(self) -> str | None:
        """The dropped file whose turn is next."""
        return next((name for name in drop_files(self._folder) if name not in self._done), None)

    def _remove_drop(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)
        self._done.discard(name)

    def _renew(self, name: str, now: float) -> bool:
        """Renew the run that the file is for; False when the file says anything else.

        No journal tells of it, and an ended job is not read back for it.
        """
        try:
            lines, _ = read_records(self._folder / name, 0, whole=True, trusts=self._trusts)
            records = [_object(line) for _, line in lines]
            if any(record.get("request") != "renew" for record in records):
                return False
            self._remove_drop(name)  # at once: who renews again looks whether the last one was read
        except (OSError, NotReadable):
            return False
        if self._job.active and self._job.run is not None:
            for record in records:
                self._request(self._job.run, record, now)
        return True

    def _obey(self, name: str, now: float) -> bool:
        """Carry out one dropped file; False when its time has not come."""
        job, path = self._job, self._folder / name
        try:
            records, _ = read_records(path, 0, whole=True, trusts=job.folder.base.trusts)
        except OSError as error:
            log.warning("job %s: inbox/%s was passed over: %s", job.name, path.name, error.strerror)
            return True
        decoded = [record for _, line in records if (record := self._decoded(path.name, line)) is not None]
        submits = [record for record in decoded if record.get("request") == "submit"]
        if submits:
            begun = [self._submit(name, record, now) for record in submits]
            return all(begun)
        run = job.run if job.active else job.ensure_run(now)
        if run is None:
            return not decoded  # the job itself is still being written
        key = path.name.removesuffix(DROP_SUFFIX)
        if key not in run.requests_done:
            had_ended = run.ended
            self._carry_out(run, key, decoded, now)
            run.emit(ev.RequestDone(at=to_iso(now), request=key))
            job.views.touch()
            if had_ended and not run.ended:
                job.views.hurry()  # whoever waits for the end must not take the earlier one for it
        return True

    def _submit(self, name: str, record: dict[str, Any], now: float) -> bool:
        """Begin a submitted run, unless it has begun before (its file outlived a crash). False: not yet."""
        job = self._job
        state, tasks = record.get("state"), record.get("tasks")
        state = state if type(state) is dict else {}
        tasks = tasks if type(tasks) is list else []
        job.ensure_run(now)
        if job.has_begun(state.get("id")):
            if job.run is not None and job.run.id == state.get("id"):
                job.take_rest(state, tasks, now)
            return True
        if not job.may_give_way() or (job.next.forming and job.next.came_before(name)):
            return False
        job.next.set_stray_tasks_aside()
        job.begin(state, tasks, now)
        return True

    def _decoded(self, name: str, line: bytes) -> dict[str, Any] | None:
        try:
            return _object(line)
        except NotReadable as problem:
            kept = self._job.aside.keep("refused-drop", line)
            log.warning("job %s: inbox/%s: %s; kept as %s", self._job.name, name, problem, kept)
            return None

    def _carry_out(self, run: Run, key: str, records: list[dict[str, Any]], now: float) -> None:
        tasks = [(index, record) for index, record in enumerate(records) if "request" not in record]
        if tasks:
            if run.ended and any(record.get("reopen") is True for record in records):
                run.reopen(now)
            if run.ended:
                kept = self._job.aside.keep("late-tasks", msgspec.json.encode([r for _, r in tasks]))
                run.warn(f"{len(tasks)} tasks were queued after the job had ended; kept as {kept}", now)
            else:
                self._queue([(f"{key}:{index}", record) for index, record in tasks], None, now)
        for record in records:
            if "request" in record:
                self._request(run, record, now)

    def _request(self, run: Run, record: dict[str, Any], now: float) -> None:
        request, task = record.get("request"), record.get("task")
        if request == "cancel":
            if record.get("run") in (None, run.id):
                run.cancel(now, task if isinstance(task, str) else None)
        elif request == "pause":
            run.pause(now)
        elif request == "resume":
            run.resume(now)
        elif request == "close":
            run.close(now)
        elif request == "renew":
            if record.get("run") in (None, run.id):
                run.renew(now)
        elif request == "retry":
            ids = record.get("tasks")
            run.retry(now, [i for i in ids if isinstance(i, str)] if isinstance(ids, list) else None)
        elif request != "queue":
            run.warn(f"unknown request {request!r} in the inbox was passed over", now)

    def _queue(self, records: list[tuple[str, dict[str, Any]]], parent: str | None, now: float) -> None:
        """Queue task records; those without id get one from where they stood."""
        run = self._job.run
        assert run is not None
        parent_cwd = run.tasks[parent].spec.cwd if parent in run.tasks else None
        specs = []
        for place, record in records:
            try:
                spec = parse_task(record, "task", run.options.defaults)
            except InvalidInput as problem:
                kept = self._job.aside.keep("invalid-task", msgspec.json.encode(record))
                who = f"queued by task {parent!r}" if parent else "queued"
                run.find_defect("invalid", f"{who}: {problem} (kept as {kept})", now)
                continue
            if not spec.id:
                spec.id = automatic_id(spec.command or "", place, content_key(spec))
            if spec.cwd is None:
                spec.cwd = parent_cwd
            for hint in unlikely_keys(spec):
                run.warn(f"task {spec.id!r}: {hint}", now)
            specs.append(spec)
        self._job.refuse(run.queue(specs, now, parent), now)
        self._job.views.touch()

    # ---- files of tasks ------------------------------------------------------------------------

    def read_grown(self, run: Run, now: float) -> None:
        """Read on in the files of running tasks that notification named."""
        if not self._grown and not self._all_grown:
            return
        names, self._grown = self._grown, set()
        if self._all_grown:
            self._all_grown = False
            names = {name for name in os.listdir(self._folder) if name.endswith(".jsonl")}
        if not names:
            return
        by_name = {f"{file_stem(t.spec.id)}@{t.attempt}.jsonl": t.spec.id for t in run.running_tasks()}
        for name in names:
            if name in by_name:
                self.read_task_file(run, name, by_name[name], now, whole=False)

    def read_task_file(self, run: Run, name: str, task_id: str, now: float, *, whole: bool) -> None:
        """Read on in the file of one attempt; `whole`: it has ended, so its last line is one too."""
        try:
            offset = self._offsets.get(name, 0)
            records, offset = read_records(self._prefix + name, offset, whole=whole, trusts=self._trusts)
        except OSError as error:
            run.warn(f"inbox file of task {task_id!r}: {error.strerror}", now)
            return
        tasks = []
        for position, line in records:
            try:
                record = _object(line)
            except NotReadable as problem:
                kept = self._job.aside.keep("refused-record", line)
                where = f"inbox of task {task_id!r}, byte {position}"
                run.find_defect("invalid", f"{where}: {problem} (kept as {kept})", now)
                continue
            if "progress" in record and "command" not in record:
                self._note_progress(run, task_id, record)
            elif "request" in record:
                key = f"{name}:{position}"
                if record.get("request") == "renew":
                    self._request(run, record, now)
                elif key not in run.requests_done:  # the file is read from its start by a new manager
                    self._request(run, record, now)
                    run.emit(ev.RequestDone(at=to_iso(now), request=key))
            else:
                tasks.append((f"{task_id}:{position}", record))
        if tasks:
            self._queue(tasks, task_id, now)
        if not whole:
            self._offsets[name] = offset  # not before: there may have been no room to keep a bad record
            return
        self._offsets.pop(name, None)
        if offset:
            self.remove_read(self._prefix + name)

    def remove_read(self, path: str) -> None:
        """Remove what an attempt left, once the journal that tells of it is on the disk.

        By then the next run may have begun, and a file of that name may be of an attempt of that run.
        """
        read = identity(path)
        if read is not None:
            self._after_sync(lambda: unlink_if_same(Path(path), read))

    def _note_progress(self, run: Run, task_id: str, record: dict[str, Any]) -> None:
        fraction, text = record.get("progress"), record.get("text", "")
        if isinstance(fraction, int | float) and isinstance(text, str):
            run.progress[task_id] = (float(fraction), text)
            self._job.views.touch_task(run.tasks[task_id].order)
            self._job.views.touch()


def _object(line: bytes) -> dict[str, Any]:
    try:
        record = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotReadable(str(error)) from None
    if type(record) is not dict:
        raise NotReadable("expected an object")
    return record
