"""The manager's loop: hear what happened, decide, journal, act, show. One thread, no waiting but in `poll`."""

from __future__ import annotations

import contextlib
import ctypes
import heapq
import logging
import os
import random
import resource
import select
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec

from air_executor import __version__
from air_executor.errors import AirExecutorError
from air_executor.lifecycle import AttemptEnd, Run
from air_executor.manager.folders import JobFolders
from air_executor.manager.job import ManagedJob
from air_executor.manager.references import References
from air_executor.manager.syncer import Syncer
from air_executor.model import Task
from air_executor.runners.base import AttemptKey, Launch
from air_executor.runners.local import LocalRunner
from air_executor.scheduling import Capacity, Scheduler
from air_executor.settings import Settings
from air_executor.store.files import write_atomically
from air_executor.store.layout import Base
from air_executor.store.lock import ManagerLock
from air_executor.times import from_iso, to_iso

__all__ = ["Manager"]

log = logging.getLogger("air_executor.manager")

PR_SET_CHILD_SUBREAPER: Final = 36
NO_ROOM_RETRY_S: Final = 0.5
CLOCK_JUMP_S: Final = 2.0
LONGEST_POLL_S: Final = 3600.0
"""`epoll` takes no time-out of a million years."""
HELD_A_TURN: Final = 1_000
"""Tasks that a turn sets aside, or takes back, because of a program that tells a variable."""


class Manager:
    """Works on one base folder until told to stop."""

    def __init__(self, base: Base, settings: Settings, *, until_idle: bool = False, linger_s: float = 0.0) -> None:
        """`until_idle`: return from `run` when no job has had anything to do (open jobs may wait) for `linger_s`."""
        self.base = base
        self.settings = settings
        self._until_idle = until_idle
        self._linger_s = linger_s
        self._idle_since: float | None = None
        """By the monotonic clock; None while there is something to do."""
        self._lock = ManagerLock(base)
        self._by_run: dict[int, ManagedJob] = {}
        self._scheduler = Scheduler(Capacity(settings.slots, settings.cpus, settings.memory_mb))
        self._clock_offset_s = time.time() - time.monotonic()
        self._timers: list[tuple[float, int, ManagedJob]] = []
        self._serial = 0
        self._launches: list[tuple[ManagedJob, str, Launch]] = []
        self._refused: list[tuple[AttemptKey, AttemptEnd]] = []
        self._delayed: list[tuple[AttemptKey, AttemptEnd]] = []
        """Ends that cannot be recorded now: there is no room to keep what the attempts left."""
        self._delayed_until = 0.0
        self._deferred: list[Callable[[], None]] = []
        self._folders = JobFolders(base, self._deferred.append, settings.poll_interval_s)
        self._no_room_until = 0.0
        self._unflushed: dict[str, ManagedJob] = {}
        """Jobs whose new events are not in their journal yet."""
        self._stop: str | None = None
        self._jitter = random.Random().random
        self._syncer = Syncer()
        self._poller = select.epoll()
        self._runner = LocalRunner(base, self._poller, settings.launchers)
        self._references = References(self._poller)
        self._awaited: set[AttemptKey] = set()
        """Attempts to be handed over again as soon as their variables are known."""
        self._more_to_schedule = False
        self._wake_r = -1
        self.webhook_named = threading.Event()
        """Set when a job is taken up that names a webhook (`on_end`)."""

    # ---- start and stop -----------------------------------------------------------------------

    def run(self) -> None:
        """Take the base folder and work until a signal (or idleness) ends it."""
        self.base.create()
        self.base.check_safe()
        with self._lock:
            self._prepare()
            try:
                while not self._finished():
                    self.turn()
            finally:
                self._shut_down()

    def _prepare(self) -> None:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        # A descriptor a job is much for the customary 1,024; launchers, and so tasks, keep that.
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._runner.file_limit = (soft, hard)
        self._wake_r, wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number, how in (
            (signal.SIGTERM, "leave"),
            (signal.SIGINT, "leave"),
            (signal.SIGUSR1, "drain"),
            (signal.SIGUSR2, "kill"),
        ):
            signal.signal(number, lambda *_, how=how: setattr(self, "_stop", how))
        self._poller.register(self._wake_r, select.EPOLLIN)
        self._syncer.start()
        now = time.time()
        self._folders.open(self._poller, now)
        running = set()
        for job in self._folders.jobs.values():
            if job.run is not None:
                self._enter(job, job.run)
                for task in job.run.running_tasks():
                    running.add(AttemptKey(job.name, job.run.id, task.spec.id, task.attempt))
                    self._scheduler.occupy(task.spec)
        unknown = self._runner.recover(running, {job.name for job in self._folders.jobs.values() if job.broken})
        self._runner.open()
        for key in unknown:
            self._relaunch(key)
        self._limit_adopted(now)
        write_atomically(
            self.base.manager_json,
            msgspec.json.format(
                msgspec.json.encode(
                    {
                        "pid": os.getpid(),
                        "host": os.uname().nodename,
                        "version": __version__,
                        "started_at": to_iso(now),
                        **msgspec.to_builtins(self.settings),
                    }
                )
            )
            + b"\n",
            mode=self.base.file_mode,
        )
        log.info("manager %d on %s with %d slots", os.getpid(), self.base, self.settings.slots)

    def _limit_adopted(self, now: float) -> None:
        """Attempts whose launcher is gone keep their time-out."""
        for key in self._runner.adopted:
            job = self._folders.jobs.get(key.job)
            task = job.run.tasks.get(key.task) if job is not None and job.run is not None else None
            if task is not None and task.spec.timeout_s is not None and task.started_at is not None:
                left_s = from_iso(task.started_at) + task.spec.timeout_s - now
                self._runner.limit_adopted(key, left_s, self.settings.grace_s)

    def _relaunch(self, key: AttemptKey) -> None:
        """An attempt that was journalled but that no launcher accepted: hand it over now."""
        job = self._folders.jobs.get(key.job)
        if job is None or job.run is None or job.run.id != key.run:
            return
        task = job.run.tasks[key.task]
        if task.launcher is not None and self._runner.stopped_with_the_machine(task.launcher):
            error = "lost: the machine stopped when it had been started"
            self._refused.append((key, AttemptEnd(ended_at=time.time(), reason="lost", error=error)))
            return
        if key.task in job.run.stop_requested:
            self._refuse_cancelled(key)
            return
        if task.spec.env_from and not self._knows_variables(job, task, key):
            self._awaited.add(key)
            return
        launch = self._launch(job, task)
        if launch is not None:
            self._launches.append((job, self._runner.choose(), launch))

    def _finished(self) -> bool:
        if self._stop == "leave":
            return True
        if self._stop in ("drain", "kill"):
            return not any(
                job.active and job.run is not None and job.run.counts["running"]
                for job in self._folders.jobs.values()
            )
        if not self._until_idle:
            return False
        waits = self._folders.touched or self._launches or self._refused or self._references.busy
        if waits or any(map(self._has_work, self._folders.all())):
            self._idle_since = None
            return False
        if self._idle_since is None:
            self._idle_since = time.monotonic()
        return time.monotonic() - self._idle_since >= self._linger_s

    @staticmethod
    def _has_work(job: ManagedJob) -> bool:
        if job.views_due(0.0) is not None or job.look_again_at is not None:
            return True
        run = job.run
        if run is None or run.ended:
            return False
        return not ((run.open or run.paused) and not run.counts["running"])

    def _shut_down(self) -> None:
        now = time.time()
        horizon = now + 3600.0  # whatever is due until then is written at once
        self._folders.touched |= self._folders.jobs
        if self._journal(now):
            self._hand_over()
        for job in self._folders.jobs.values():
            try:
                # What waits for somebody else's half-written view is left to the next manager.
                while (due := job.views_due(horizon)) is not None and due <= horizon:
                    job.write_views(horizon)
            except OSError as error:
                log.warning("job %s: views not written: %s", job.name, error)
        self._references.close()
        self._runner.close()
        for action in self._deferred:
            self._syncer.after(action)
        self._deferred.clear()
        self._syncer.stop()
        with contextlib.suppress(OSError):
            self._syncer.run_finished()
            self.base.manager_json.unlink()
        log.info("manager %d has stopped", os.getpid())

    # ---- one turn -----------------------------------------------------------------------------

    def turn(self) -> None:
        """Wait for something to happen, then bring everything up to date with it."""
        ready = self._wait()
        now = self._clock()
        self._hear(ready, now)
        self._references.collect(ready)
        if self._references.released:
            self._take_back_held(now)
        looked = self._record_ends(ready, now)
        now = self._clock()  # what ended meanwhile ended before what starts now
        self._take_due(now)
        for job in list(self._folders.touched.values()):
            self._attend(job, now, looked=job.name in looked)
        self._schedule(now)
        if self._journal(now):
            self._hand_over()
        self._show(now)

    def _wait(self) -> list[int]:
        """Descriptors that became ready."""
        now = time.time()
        due = self._folders.next_poll
        if self._timers:
            due = min(due, self._timers[0][0])
        if self._folders.touched or self._refused or self._more_to_schedule:
            due = now
        if self._references.busy:
            due = min(due, now + self._references.wake_at() - time.monotonic())
        if self._delayed:
            due = min(due, self._delayed_until)
        if (wake := self._runner.wake_at()) is not None:
            due = min(due, now + wake - time.monotonic())
        if self._syncer.busy:
            due = min(due, now + 0.05)
        if self._idle_since is not None:
            due = min(due, now + self._linger_s - (time.monotonic() - self._idle_since))
        return [
            fd for fd, _ in self._poller.poll(max(0.0, min(due - now, self.settings.poll_interval_s, LONGEST_POLL_S)))
        ]

    def _hear(self, ready: list[int], now: float) -> None:
        """Signals, notifications, and the slow look round where there are none."""
        if self._wake_r in ready:
            os.read(self._wake_r, 4096)
            self._runner.reap_orphans()
            if self._stop == "kill":
                self._kill_all(now)
        self._folders.hear(ready, now)
        for job in self._folders.gone:
            self._stop_lost_job(job)
        self._folders.gone.clear()
        self._syncer.run_finished()

    def _stop_lost_job(self, job: ManagedJob) -> None:
        """The folder of a job is gone: end what runs of it."""
        run = job.run
        if run is not None:
            for task in run.running_tasks():
                key = AttemptKey(job.name, run.id, task.spec.id, task.attempt)
                self._runner.stop(key, self.settings.grace_s)
                self._runner.disown(key)
                self._scheduler.release(task.spec)
            self._scheduler.forget(run)
            self._by_run.pop(id(run), None)
            self._references.forget(run)
        self._awaited = {key for key in self._awaited if key.job != job.name}
        if job.context is not None:
            self._runner.forget_run(job.context)
        if job.journal is not None:
            self._syncer.close(job.journal)
        self._launches = [entry for entry in self._launches if entry[0] is not job]

    def _clock(self) -> float:
        """Now; when the system's clock was set, everything that is due is moved along with it."""
        now = time.time()
        offset_s = now - time.monotonic()
        jump_s = offset_s - self._clock_offset_s
        self._clock_offset_s = offset_s
        if abs(jump_s) > CLOCK_JUMP_S:
            log.warning("the system's clock was set by %+.0f s", jump_s)
            self._timers = [(due + jump_s, serial, job) for due, serial, job in self._timers]
            self._folders.next_poll = 0.0
            self._scheduler.shift_clock(jump_s)
            for job in self._folders.jobs.values():
                job.shift_clock(jump_s)
                self._folders.touch(job)
            if self._no_room_until:
                self._no_room_until += jump_s
        return now

    def _record_ends(self, ready: list[int], now: float) -> set[str]:
        """Journal-to-be of ends that came in, each after one more look; gives the jobs that were looked at."""
        adopted = len(self._runner.adopted)
        ends = self._runner.collect(ready)
        if self._runner.never_started and self._runner.ready:
            again, self._runner.never_started = self._runner.never_started, []
            for key in again:
                self._relaunch(key)
        if len(self._runner.adopted) > adopted:
            self._limit_adopted(now)
        if self._refused:
            ends += self._refused
            self._refused = []
        if self._delayed and self._delayed_until <= now:
            ends += self._delayed
            self._delayed = []
        looked: set[str] = set()
        for key, end in ends:
            job = self._folders.jobs.get(key.job)
            if job is None or job.run is None or job.run.id != key.run:
                continue
            if key.job not in looked:
                looked.add(key.job)
                self._guarded(job, lambda job=job: job.look(now))  # type: ignore[misc]
            if job.broken:
                continue
            task = job.run.tasks.get(key.task)
            if task is None or task.status != "running" or task.attempt != key.attempt:
                continue
            self._guarded(job, lambda job=job, key=key, end=end: self._record(job, key, end, now))  # type: ignore[misc]
            self._folders.touched[key.job] = job
        return looked

    def _record(self, job: ManagedJob, key: AttemptKey, end: AttemptEnd, now: float) -> None:
        assert job.run is not None
        try:
            job.exited(key.task, key.attempt, end, now, self._jitter)
        except OSError as error:
            if self._delayed_until < now:
                log.error("job %s: cannot keep what task %r left: %s", job.name, key.task, error)
            self._delayed.append((key, end))
            self._delayed_until = now + NO_ROOM_RETRY_S
            return
        self._scheduler.release(job.run.tasks[key.task].spec)

    def _take_due(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            _, _, job = heapq.heappop(self._timers)
            if job.wake_at is not None and job.wake_at <= now:
                job.wake_at = None
            if self._folders.jobs.get(job.name) is job:  # its folder may be gone, or another's by now
                self._folders.touched[job.name] = job

    def _attend(self, job: ManagedJob, now: float, *, looked: bool) -> None:
        """Read what is new in a job's folder, and let the run settle when nothing of it is left to do."""
        if job.broken:
            self._folders.touched.pop(job.name, None)
            return
        before = job.run
        if (not looked or not job.active) and not self._guarded(job, lambda: job.look(now)):
            return
        run = job.run
        if before is not None and run is not before:
            self._scheduler.forget(before)
            self._references.forget(before)
            self._by_run.pop(id(before), None)
        if run is None:
            return
        if id(run) not in self._by_run:
            self._register(job, run)
        run.check_deadline(now)
        if run.lease_is_over(now):
            job.inbox.touch()
            job.look(now)  # it may have been renewed while this loop was busy
            run.check_lease(now)
        if run.idle:
            self._settle(job, run, now)
        self._stop_attempts(job, run)
        self._scheduler.note(run, now)

    def _register(self, job: ManagedJob, run: Run) -> None:
        """A run was begun, or found in a folder that was moved here while its tasks ran."""
        self._enter(job, run)
        self._folders.watch_inbox(job)
        for task in run.running_tasks():
            self._scheduler.occupy(task.spec)
            key = AttemptKey(job.name, run.id, task.spec.id, task.attempt)
            end = AttemptEnd(ended_at=time.time(), reason="lost", error="lost: its folder was moved while it ran")
            self._refused.append((key, end))

    def _enter(self, job: ManagedJob, run: Run) -> None:
        self._by_run[id(run)] = job
        if run.options.on_end is not None:
            self.webhook_named.set()

    def _guarded(self, job: ManagedJob, action: Callable[[], None]) -> bool:
        """Do something with what stands in one folder; whatever it is, the manager goes on with the others.

        False when the job cannot be worked on any more.
        """
        try:
            action()
            return True
        except AirExecutorError as error:
            job.break_off(str(error))
        except Exception:
            log.exception("job %s: please report this", job.name)
            job.break_off("an error inside Air-Executor, see manager.log")
        self._stop_lost_job(job)
        self._unflushed.pop(job.name, None)
        return False

    def _settle(self, job: ManagedJob, run: Run, now: float) -> None:
        """Read everything once more; if the run is idle even so, let it decide what comes next."""
        job.inbox.touch()
        job.look(now)
        if job.run is run and run.idle and not job.unread:
            run.settle(now)

    def _stop_attempts(self, job: ManagedJob, run: Run) -> None:
        for stop in run.stops:
            key = AttemptKey(job.name, run.id, stop.task, stop.attempt)
            self._launches = [entry for entry in self._launches if not self._dropped(entry, key)]
            if key in self._awaited:
                self._awaited.discard(key)
                self._refuse_cancelled(key)
            self._runner.stop(key, self.settings.grace_s)
        run.stops.clear()

    def _dropped(self, entry: tuple[ManagedJob, str, Launch], key: AttemptKey) -> bool:
        """Whether `entry` is the start of `key`, stopped before it was handed over."""
        if entry[2].key != key:
            return False
        self._refuse_cancelled(key)
        return True

    def _refuse_cancelled(self, key: AttemptKey) -> None:
        end = AttemptEnd(ended_at=time.time(), reason="cancelled", error="cancelled before it started")
        self._refused.append((key, end))

    def _kill_all(self, now: float) -> None:
        for job in self._folders.jobs.values():
            if job.active and job.run is not None:
                job.run.cancel(now)
                self._folders.touched[job.name] = job

    # ---- starting -----------------------------------------------------------------------------

    def _schedule(self, now: float) -> None:
        self._more_to_schedule = False
        if self._stop is not None or now < self._no_room_until or not self._runner.ready:
            return
        held = 0
        while (choice := self._scheduler.next(now)) is not None:
            run, task = choice
            job = self._by_run[id(run)]
            if task.spec.env_from and not self._knows_variables(job, task):
                self._scheduler.release(task.spec)  # it waits without a slot
                self._scheduler.note(run, now)
                held += 1
                if held == HELD_A_TURN:
                    self._more_to_schedule = True
                    return
                continue
            launcher = self._runner.choose()
            run.start(task, launcher, now)
            launch = self._launch(job, task)
            if launch is not None:
                self._runner.reserve(launcher, launch.key)
                self._launches.append((job, launcher, launch))
            self._scheduler.note(run, now)
            self._folders.touched[job.name] = job
            job.views.touch()

    def _knows_variables(self, job: ManagedJob, task: Task, again: AttemptKey | None = None) -> bool:
        """Whether a task need not wait for a program that tells a variable of it."""
        assert job.run is not None
        assert job.context is not None
        return self._references.ready(job.run, job.context, task, again)

    def _take_back_held(self, now: float) -> None:
        """Let tasks start whose variables are known now, or are known not to be."""
        for waiting in self._references.take_released(HELD_A_TURN):
            run, key = waiting.run, waiting.again
            if key is None:
                if run.is_taken(waiting.task):  # it may have been cancelled meanwhile
                    run.put_back(waiting.task)
                    self._scheduler.note(run, now)
            elif key in self._awaited:
                self._awaited.discard(key)
                self._relaunch(key)

    def _launch(self, job: ManagedJob, task: Task) -> Launch | None:
        """What a runner needs to start an attempt; None when it cannot start, which is then recorded."""
        run, spec = job.run, task.spec
        assert run is not None
        assert job.context is not None
        key = AttemptKey(job.name, run.id, spec.id, task.attempt)
        error = self._scheduler.capacity.lacks(spec)
        env = spec.env
        if spec.env_from and error is None:
            try:
                env = {**(env or {}), **self._references.variables(run, task)}
            except ValueError as problem:
                error = str(problem)
        if error is not None:
            end = AttemptEnd(ended_at=time.time(), exit_code=126, reason="not_started", error=error)
            self._refused.append((key, end))
            return None
        assert spec.command is not None
        argv = ["/bin/sh", "-c", spec.command, "sh", *spec.args] if spec.shell else [spec.command, *spec.args]
        return Launch(
            key=key,
            context=job.context,
            argv=argv,
            cwd=spec.cwd,
            env=env,
            timeout_s=spec.timeout_s,
            grace_s=self.settings.grace_s,
            keep_children=spec.keep_children,
            memory_limit_mb=spec.memory_mb if spec.enforce_memory else None,
        )

    # ---- writing ------------------------------------------------------------------------------

    def _journal(self, now: float) -> bool:
        """Write what was decided. False when there is no room: then nothing that follows from it is done."""
        self._unflushed |= self._folders.touched
        for job in list(self._unflushed.values()):
            try:
                if job.flush() and job.journal is not None:
                    if self.settings.sync == "each":
                        job.journal.sync()
                    elif self.settings.sync == "group":
                        self._syncer.add(job.journal)
            except OSError as error:
                if not self._no_room_until:
                    log.error("cannot write the journal of job %s: %s; no new work starts", job.name, error.strerror)
                self._no_room_until = now + NO_ROOM_RETRY_S
                self._wake(job, self._no_room_until)
                return False
            del self._unflushed[job.name]
        if self._no_room_until:
            log.info("journals can be written again; work goes on")
            self._no_room_until = 0.0
        return True

    def _hand_over(self) -> None:
        """Do what the journals now hold: send starts and stops, and let go of what was read."""
        for _, launcher, launch in self._launches:
            self._runner.start(launcher, launch)
        self._launches.clear()
        self._runner.flush()
        if self._runner.finished_spools and not self._delayed:
            for path in self._runner.finished_spools:
                self._deferred.append(lambda path=path: path.unlink(missing_ok=True))  # type: ignore[misc]
            self._runner.finished_spools.clear()
        for action in self._deferred:
            self._syncer.after(action)
        self._deferred.clear()

    def _show(self, now: float) -> None:
        """Write the views that are due, and note when each job wants attention again."""
        for job in list(self._folders.touched.values()):
            del self._folders.touched[job.name]
            try:
                due = job.views_due(now)
                if due is not None and due <= now and self._no_room_until <= now:
                    job.write_views(now)
            except OSError as error:
                if job.views.refused != error.strerror:
                    log.warning("job %s: cannot write its views: %s", job.name, error.strerror)
                job.views.give_up(now, error.strerror)
            self._folders.settle(job)
            run = job.run
            if run is not None and run.ended and job.views_due(now) is None and job.settled:
                self._put_away(job, run)
                continue
            times = [job.views_due(now), job.look_again_at]
            if run is not None and not run.ended:
                times.append(run.wake_at(now))
            known = [t for t in times if t is not None]
            if known:
                self._wake(job, min(known))

    def _put_away(self, job: ManagedJob, run: Run) -> None:
        self._scheduler.forget(run)
        self._references.forget(run)
        self._by_run.pop(id(run), None)
        if job.context is not None:
            self._runner.forget_run(job.context)
        journal = job.put_away()
        if journal is not None:
            self._syncer.close(journal)
        self._folders.put_to_sleep(job)
        log.info("job %s: %s%s", job.name, run.state, f" ({run.error})" if run.error else "")

    def _wake(self, job: ManagedJob, at: float) -> None:
        if job.wake_at is not None and job.wake_at <= at:
            return
        job.wake_at = at
        self._serial += 1
        heapq.heappush(self._timers, (at, self._serial, job))
