"""The client: makes jobs, queues tasks, asks and waits, by way of the job folder alone.

No manager has to be running for requests to be accepted; they are on disk when a method returns.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec

from air_executor.errors import BaseUnusable, InvalidInput, JobSealed, NotFound, WaitTimeout
from air_executor.jobfile import JobFile, load_job_file, parse_job
from air_executor.masking import mask_event
from air_executor.model import ENDED_STATES, STATE_FIELDS, check_graph, parse_task
from air_executor.names import check_job_id, check_job_name, check_task_id, file_stem, new_job_id
from air_executor.store.files import read_regular, sync_folder, write_atomically
from air_executor.store.inbox import RENEW_SUFFIX, drop_files, drop_name, drop_records, waiting_requests
from air_executor.store.journal import JournalFollower
from air_executor.store.layout import Base, JobFolder
from air_executor.store.lock import manager_pid
from air_executor.store.results import completed_results
from air_executor.times import to_iso

__all__ = ["AirExecutorClient"]

ENVIRONMENT_OF_CALLER = ("PATH", "VIRTUAL_ENV")


class AirExecutorClient:
    """Speaks to one base folder, or with `url` to a server (`air-executor serve`) that has one.

    Errors are `air_executor.errors`: `InvalidInput` for what cannot be accepted, `NotFound`, `JobSealed`,
    `WaitTimeout`, `BaseUnusable`.
    """

    def __new__(
        cls, base: str | os.PathLike[str] | None = None, *, url: str | None = None, token: str | None = None
    ) -> Self:
        if url is None or cls is not AirExecutorClient:
            return object.__new__(cls)
        from air_executor.client_http import HttpClient

        return object.__new__(HttpClient)  # type: ignore[return-value]

    def __init__(
        self, base: str | os.PathLike[str] | None = None, *, url: str | None = None, token: str | None = None
    ) -> None:
        """`base`: the base folder or the folder that holds it; default `AIR_EXECUTOR_BASE`, else
        `.air-executor` in the working directory. It is made when a job is created. `url` and `token`: those of
        a server, which is then asked instead."""
        self.base = Base(base)

    # ---- making and feeding jobs ---------------------------------------------------------------

    def create_job(
        self,
        job_name: str,
        tasks: Iterable[Mapping[str, Any]] = (),
        *,
        cwd: str | os.PathLike[str] | None = None,
        job_id: str | None = None,
        **options: Any,
    ) -> str:
        """Make a job and return its id. `options` are the keys of a job file (`max_parallel=4`, `open=True`, …).

        Where a job of that name exists this is its next run; it starts when the present one has ended.
        With a `job_id` of one's own the call can be repeated: a run of that id begins once.
        """
        job = parse_job({"name": job_name, "tasks": [dict(t) for t in tasks], **options}, job_name, {})
        return self._submit(job, cwd, job_id)

    def submit_file(
        self,
        path: str | os.PathLike[str],
        params: Mapping[str, str] | None = None,
        *,
        name: str | None = None,
        open: bool | None = None,
    ) -> tuple[str, str]:
        """Make a job from a job file; gives its name and id."""
        job = load_job_file(Path(path), dict(params or {}))
        if name is not None:
            job.name = check_job_name(name)
        if open is not None:
            job.options["open"] = open
        return job.name, self._submit(job, None)

    def _submit(self, job: JobFile, cwd: str | os.PathLike[str] | None, job_id: str | None = None) -> str:
        now = to_iso(time.time())
        job_id = new_job_id(now) if job_id is None else check_job_id(job_id)
        self.base.create()
        total = len(job.tasks)
        state = {
            "id": job_id,
            "name": job.name,
            "state": "waiting",
            "created_at": now,
            "updated_at": now,
            "progress": {"total": total, "pending": total, "running": 0, "completed": 0, "failed": 0},
            **job.options,
            "cwd": _text(os.path.abspath(cwd or "."), "the working directory"),
            "environment": {n: _text(os.environ[n], n) for n in ENVIRONMENT_OF_CALLER if n in os.environ},
        }
        tasks = [_record(raw, spec.id, job.name, now) for raw, spec in zip(job.raw_tasks, job.tasks, strict=True)]
        folder = self.base.job(job.name)
        try:
            if not self._make_folder(folder, state, tasks):
                folder.create()
                request = {"request": "submit", "state": state, "tasks": tasks}
                drop_records(folder.inbox, [request], mode=self.base.file_mode)
        except OSError as error:
            raise BaseUnusable(f"cannot write to {self.base}: {error.strerror}") from error
        return job_id

    def _make_folder(self, folder: JobFolder, state: dict[str, Any], tasks: list[dict[str, Any]]) -> bool:
        """Put a whole new job folder in place in one step; False when there is one of that name."""
        if folder.path.exists():
            return False
        fresh = self.base.jobs / f".new-{os.getpid()}-{os.urandom(6).hex()}"
        self.base.make_folder(fresh)
        try:
            mode = self.base.file_mode
            for name in ("logs", "inbox"):
                self.base.make_folder(fresh / name)
            self.base.make_folder(fresh / "inbox" / "results")
            for name, content in (("tasks.json", tasks), ("state.json", state)):
                data = msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
                write_atomically(fresh / name, data, sync=True, mode=mode)
            try:
                fresh.rename(folder.path)
            except OSError:
                if folder.path.exists():
                    return False
                raise
            sync_folder(self.base.jobs)
            return True
        finally:
            if fresh.exists():
                import shutil

                shutil.rmtree(fresh, ignore_errors=True)

    def queue_tasks(self, job_name: str, tasks: Iterable[Mapping[str, Any]], *, reopen: bool = False) -> list[str]:
        """Queue tasks into a job and return their ids. `reopen` lets a job that has ended go on."""
        folder = self._folder(job_name)
        state = self.get_job(job_name)
        if state["state"] in ENDED_STATES and not reopen and "submit" not in waiting_requests(folder.inbox):
            raise JobSealed(job_name, state["state"])
        name = drop_name()
        place = name.removesuffix(".drop.jsonl")
        given = [dict(raw) for raw in tasks]
        specs = [parse_task(raw, f"tasks[{index}]") for index, raw in enumerate(given)]
        for index, spec in enumerate(specs):
            if not spec.id:
                spec.id = f"{file_stem(os.path.basename(spec.command or ''))[:24]}-{place[:20]}{place[-12:]}-{index}"
        check_graph(specs)
        records = [{**raw, "id": spec.id} for raw, spec in zip(given, specs, strict=True)]
        for record in records:
            record.setdefault("cwd", _text(os.getcwd(), "the working directory"))
        if reopen:
            records.insert(0, {"request": "queue", "reopen": True})
        self._drop(folder, records, name)
        return [spec.id for spec in specs]

    def close(self, job_name: str) -> None:
        """Say that an open job gets no more tasks; it ends when nothing of it is left."""
        self._request(job_name, {"request": "close"})

    # ---- asking ---------------------------------------------------------------------------------

    def jobs(self) -> list[dict[str, Any]]:
        """The states of all jobs, by name."""
        self.base.require()
        found = []
        for name in sorted(os.listdir(self.base.jobs)):
            with contextlib.suppress(InvalidInput, NotFound):
                found.append(self.get_job(name))
        return found

    def get_job(self, job_name: str) -> dict[str, Any]:
        """What `state.json` says of a job. A job that has only been announced reads `waiting`."""
        folder = self._folder(job_name)
        raw = _read_json(folder.state)
        if isinstance(raw, dict) and isinstance(raw.get("state", "waiting"), str):
            return {"name": job_name, "state": "waiting"} | raw | {"name": job_name}
        return {"id": None, "name": job_name, "state": "waiting"}

    def tasks(self, job_name: str, status: str | None = None) -> list[dict[str, Any]]:
        """The task objects of `tasks.json`, of one status or all."""
        raw = _read_json(self._folder(job_name).tasks)
        items = [item for item in raw if isinstance(item, dict)] if isinstance(raw, list) else []
        return [t for t in items if status is None or t.get("status", "pending") == status]

    def progress(self, job_name: str) -> dict[str, Any]:
        """Counts and tasks: `job_name, state, total_tasks, completed, running, failed, pending, tasks`."""
        state = self.get_job(job_name)
        tasks = self.tasks(job_name)
        counts = {"completed": 0, "running": 0, "failed": 0, "pending": 0}
        for task in tasks:
            status = task.get("status")  # somebody may just have written it by hand
            counts[status if isinstance(status, str) and status in counts else "pending"] += 1
        return {
            "job_name": job_name,
            "state": state["state"],
            "total_tasks": len(tasks),
            **counts,
            "tasks": tasks,
        }

    def wait(self, job_name: str, timeout: float | None = None, *, job_id: str | None = None) -> dict[str, Any]:
        """Return the job's state when it has ended; raises `WaitTimeout` after `timeout` seconds.

        With `job_id`, waits for that run even if another has followed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.005
        while True:
            if (state := self._ended(job_name, job_id)) is not None:
                return state
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeout(f"job {job_name!r} had not ended after {timeout:g} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)

    def _ended(self, job_name: str, job_id: str | None) -> dict[str, Any] | None:
        folder = self._folder(job_name)
        state = self.get_job(job_name)
        if job_id is not None and state.get("id") != job_id:
            archived = _read_json(folder.runs / file_stem(job_id) / "state.json")
            return archived if isinstance(archived, dict) else None
        if state["state"] not in ENDED_STATES:
            return None
        waiting = waiting_requests(folder.inbox)
        if "reopen" in waiting or (job_id is None and "submit" in waiting):
            return None
        # A request that is gone was carried out, and the view that shows it was written before: look once more.
        state = self.get_job(job_name)
        return state if state["state"] in ENDED_STATES and job_id in (None, state.get("id")) else None

    def logs(self, job_name: str, task_id: str, attempt: int | None = None) -> str:
        """What a task's last (or given) attempt has written so far; undecodable bytes are replaced."""
        path = self.log_path(job_name, task_id, attempt)
        return path.read_bytes().decode(errors="replace") if path is not None else ""

    def log_path(self, job_name: str, task_id: str, attempt: int | None = None) -> Path | None:
        """The file with a task's output; None when it has written nothing. `NotFound` for an unknown task."""
        folder = self._folder(job_name)
        check_task_id(task_id)
        if attempt is not None:
            earlier = folder.log(task_id, attempt)
            if earlier.exists():
                return earlier
        latest = folder.log(task_id)
        if attempt is None and latest.exists():
            return latest
        task = self.find_task(job_name, task_id)
        if attempt is not None and attempt != task.get("attempt"):
            raise NotFound(f"task {task_id!r} of job {job_name!r} has no log of an attempt {attempt}")
        return latest if latest.exists() else None

    def find_task(self, job_name: str, task_id: str) -> dict[str, Any]:
        """The task object of `task_id`, or `NotFound`; also when the view does not show it yet."""
        for task in self.tasks(job_name):
            if task.get("id") == task_id:
                return task
        for event in self.events(job_name):
            if event["type"] in ("TaskQueued", "TaskImported") and event["task"]["id"] == task_id:
                return {"status": "pending", "attempt": 0, **event["task"]}
        raise NotFound(f"no task {task_id!r} in job {job_name!r}; `air-executor tasks` shows those there are")

    def results(self, job_name: str, group: str | None = None) -> dict[str, Any]:
        """What the completed tasks of a job left as results (of one group, or of all): task id -> value,
        in order of queueing. Up to date while the job runs."""
        return completed_results(self._folder(job_name).journal, group)

    def events(self, job_name: str, *, follow: bool = False) -> Iterator[dict[str, Any]]:
        """The journal's events as objects; with `follow`, new ones as they come until the job has ended."""
        folder = self._folder(job_name)
        follower = JournalFollower(folder.journal)
        try:
            while True:
                ended = False
                for _, event in follower.read(1 << 62):
                    record = mask_event(msgspec.to_builtins(event))
                    ended = record["type"] == "RunEnded" or (
                        ended and record["type"] in ("RequestDone", "WarningRaised")
                    )
                    yield record
                if not follow or ended:
                    return
                time.sleep(0.05)
        finally:
            follower.close()

    @property
    def manager_pid(self) -> int | None:
        """The pid of the manager that works on the base folder, or None."""
        return manager_pid(self.base)

    # ---- asking for something -------------------------------------------------------------------

    def cancel(self, job_name: str, task_id: str | None = None, *, job_id: str | None = None) -> None:
        """Cancel a job, or one task of it; what runs is ended (TERM, then KILL).

        With `job_id` only that run: nothing happens to another that may have begun meanwhile.
        """
        if task_id is not None:
            self.find_task(job_name, task_id)
        record: dict[str, Any] = {"request": "cancel", "task": task_id}
        self._request(job_name, record if job_id is None else {**record, "run": job_id})

    def pause(self, job_name: str) -> None:
        """Start no more tasks of a job until it is resumed; running ones go on."""
        self._request(job_name, {"request": "pause"})

    def resume(self, job_name: str) -> None:
        """Let a paused job go on."""
        self._request(job_name, {"request": "resume"})

    def renew(self, job_name: str, *, job_id: str | None = None) -> None:
        """Say that somebody still waits for a job with `lease_s`; with `job_id`, for that run of it.

        Has no effect on a job that has ended, and none that would outlive the manager.
        """
        folder = self._folder(job_name)
        suffix = f"-{hashlib.sha256((job_id or '').encode()).hexdigest()[:12]}{RENEW_SUFFIX}"
        if any(name.endswith(suffix) for name in drop_files(folder.inbox)):
            return  # nobody has read the last one yet: the lease begins anew when somebody does
        state = self.get_job(job_name)
        if state["state"] in ENDED_STATES and (job_id is None or state.get("id") == job_id):
            return
        record = {"request": "renew", **({} if job_id is None else {"run": job_id})}
        self._drop(folder, [record], f"{time.time_ns():020d}{suffix}", durable=False)

    def retry(self, job_name: str, tasks: Iterable[str] | None = None) -> None:
        """Give failed tasks another go, all or those named; skipped tasks come back with what they need."""
        ids = None if tasks is None else list(tasks)
        for task_id in ids or ():
            self.find_task(job_name, task_id)
        self._request(job_name, {"request": "retry", "tasks": ids})

    def _request(self, job_name: str, record: dict[str, Any]) -> None:
        self._drop(self._folder(job_name), [record])

    def _drop(
        self, folder: JobFolder, records: list[dict[str, Any]], name: str | None = None, *, durable: bool = True
    ) -> None:
        try:
            folder.create()
            drop_records(folder.inbox, records, name, self.base.file_mode, durable=durable)
        except OSError as error:
            raise BaseUnusable(f"cannot write to {folder.inbox}: {error.strerror}") from error

    def _folder(self, job_name: str) -> JobFolder:
        return self.base.require().existing_job(job_name)


def _text(value: str, what: str) -> str:
    """`value`, which has to stand in a file as text."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{what} {os.fsencode(value)!r}: not UTF-8, and a job's files are") from None
    return value


def _record(raw: dict[str, Any], task_id: str, job_name: str, now: str) -> dict[str, Any]:
    """A task object of a new `tasks.json`, with the keys that every reader may rely on first."""
    first: dict[str, Any] = {
        "id": task_id,
        "job_name": job_name,
        "command": None,
        "args": [],
        "dependencies": [],
        "status": "pending",
        "created_at": now,
        "started_at": None,
        "completed_at": None,
        "error": None,
    }
    return {**first, **{key: value for key, value in raw.items() if key not in STATE_FIELDS and key != "id"}}


def _read_json(path: Path) -> Any:
    try:
        return msgspec.json.decode(read_regular(path))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
