"""The manager's side of the launchers on this machine: start them, speak with them, find them again."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import pwd
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Container
from pathlib import Path
from typing import Any, Final

import msgspec

from air_executor.errors import BaseUnusable
from air_executor.lifecycle import AttemptEnd
from air_executor.names import file_stem
from air_executor.runners.base import AttemptKey, Launch, RunContext
from air_executor.runners.cgroups import Cgroup, Cgroups, delegated
from air_executor.runners.groups import signal_group
from air_executor.runners.processes import (
    end_by_status,
    has_mark,
    stat_fields,
    status_of,
    wait_status,
)
from air_executor.runners.spools import SPOOL_NAME, Remains, Spooled, end_of, lost, read_spools, worth_of
from air_executor.runners.strays import RUN, MarksOfRun, signal_strays, strays_of
from air_executor.store.layout import Base

__all__ = ["LocalRunner"]

log = logging.getLogger("air_executor.runners")

HELLO_TIMEOUT_S: Final = 10.0
LAUNCHER_TRIES: Final = 5
LAUNCHER_PAUSE_S: Final = 0.5
KEPT_ENDS: Final = 1_000
NEAR_TICKS: Final = 2
MAX_START_TICKS: Final = 3_000
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


_LAUNCHER_NAME = re.compile(r"launcher-(?P<boot>[0-9a-f]{8})-\d+-\d+-[0-9a-f]+")


def _boot() -> str:
    """What differs from one start of the machine to the next."""
    return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]


class _Launcher:
    """One launcher program and the connection to it."""

    def __init__(self, name: str, conn: socket.socket, process: subprocess.Popen[bytes] | None) -> None:
        self.name = name
        self.conn = conn
        self.process = process
        self.pid = 0
        self.next_token = 1
        self.tokens: dict[int, AttemptKey] = {}
        self.contexts: dict[int, tuple[int, RunContext]] = {}
        """id of a `RunContext` -> its number on this connection, and itself, so that no other gets its id."""
        self.next_context = 0
        self.reserved = 0
        self.outgoing: list[Any] = []
        self.unsent = bytearray()
        self.wants_room = False
        self.received = bytearray()
        self.hello: list[Any] | None = None
        self.early: list[Any] = []
        """What it said together with its hello, before it could be known what that is about."""
        self.unspooled = b""


class LocalRunner:
    """Launchers on this machine, one for each CPU up to eight."""

    def __init__(self, base: Base, poller: select.epoll, launchers: int | None = None) -> None:
        """Registers its descriptors with `poller`; those that became ready are given to `collect`."""
        self._base = base
        self._poller = poller
        self._wanted = launchers or min(8, len(os.sched_getaffinity(0)))
        self._launchers: dict[str, _Launcher] = {}
        self._by_fd: dict[int, _Launcher] = {}
        self._where: dict[AttemptKey, tuple[_Launcher, int]] = {}
        self._ready: deque[tuple[AttemptKey, AttemptEnd]] = deque()
        self._adopted: dict[int, Spooled] = {}
        """pidfd -> an attempt whose launcher is gone."""
        self._reaped: dict[tuple[int, int], int] = {}
        """(pid, start in ticks) -> wait status, of the last processes that became ours and ended at once."""
        self.never_started: list[AttemptKey] = []
        """Attempts whose launcher died before it could start them: they are to be handed over again."""
        self._numbers = itertools.count(1)
        self._boot = _boot()
        self._cgroup = delegated()
        """A control group to divide, for tasks that ask for one."""
        self._old_cgroups: list[Cgroups] = []
        """Of dead launchers; to be removed when the last processes in them have ended."""
        self._open_again_at = 0.0
        """When to try again to start launchers, by the monotonic clock; 0: all are there."""
        self.file_limit: tuple[int, int] | None = None
        """RLIMIT_NOFILE of launchers and tasks, when it is not the manager's own."""
        self.finished_spools: list[Path] = []
        """Spool files that may go once the journals hold what they say."""

    # ---- start and recovery -------------------------------------------------------------------

    def open(self) -> None:
        """Bring the number of launchers up to what is wanted; `BaseUnusable` when not even one can be made."""
        for _ in range(LAUNCHER_TRIES):
            self._open()
            if not self._open_again_at:
                return
            time.sleep(LAUNCHER_PAUSE_S)
        if not self._launchers:
            self._spawn_launcher()

    def _open(self) -> None:
        """The same, but what cannot be made now is left for later."""
        self._open_again_at = 0.0
        while len(self._launchers) < self._wanted:
            try:
                self._spawn_launcher()
            except BaseUnusable as error:
                log.warning("%s", error)
                self._open_again_at = time.monotonic() + LAUNCHER_PAUSE_S
                return

    @property
    def ready(self) -> bool:
        """Whether there is a launcher to hand attempts to."""
        return bool(self._launchers)

    def _spawn_launcher(self) -> None:
        name = f"launcher-{self._boot}-{os.getpid()}-{next(self._numbers)}-{os.urandom(2).hex()}"
        path = self._base.runtime / f"{name}.sock"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        conn = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        process: subprocess.Popen[bytes] | None = None
        folder = os.open(self._base.runtime, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # By way of the descriptor the name fits into a socket address however deep the base is.
            short = f"/proc/self/fd/{folder}/{path.name}"
            listener.bind(short)
            path.chmod(0o600)
            listener.listen(4)
            process = subprocess.Popen(
                [
                    sys.executable,
                    *("-I", "-S", "-X", "utf8", str(Path(__file__).with_name("launcher.py"))),
                    *(name, str(listener.fileno()), str(self._base.runtime)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None,
                pass_fds=[listener.fileno()],
                start_new_session=True,
                cwd="/",
            )
            if self.file_limit is not None:
                resource.prlimit(process.pid, resource.RLIMIT_NOFILE, self.file_limit)
            conn.connect(short)
            listener.close()  # or a launcher that died would be waited for
            self._greet(name, conn, process)
        except OSError as error:
            conn.close()
            if process is not None:
                process.kill()
                process.wait()
            with contextlib.suppress(OSError):
                path.unlink()
            raise BaseUnusable(f"cannot start a launcher in {self._base.runtime}: {error}") from error
        finally:
            os.close(folder)
            listener.close()

    def _greet(self, name: str, conn: socket.socket, process: subprocess.Popen[bytes] | None) -> _Launcher:
        conn.settimeout(HELLO_TIMEOUT_S)
        launcher = _Launcher(name, conn, process)
        while launcher.hello is None:
            data = conn.recv(65_536)
            if not data:
                raise ConnectionError(f"launcher {name} closed the connection")
            launcher.received += data
            for message in self._frames(launcher):
                if message[0] == "hello":
                    launcher.hello = message
                elif message[0] == "unspooled":
                    launcher.unspooled = message[1].encode()
                else:
                    launcher.early.append(message)
        _, launcher.pid, launcher.next_token, _ = launcher.hello
        conn.setblocking(False)
        if self._cgroup is not None:
            launcher.outgoing.append(("cgroup", self._cgroup))
        self._launchers[name] = launcher
        self._by_fd[conn.fileno()] = launcher
        self._poller.register(conn.fileno(), select.EPOLLIN)
        return launcher

    def recover(self, running: set[AttemptKey], unreadable: Container[str] = ()) -> set[AttemptKey]:
        """Find again what an earlier manager had started.

        Ends that spools hold come with the next `collect`; what still runs is watched on. Gives those of
        `running` that no launcher ever accepted: they may be started as if for the first time.
        Spools that tell of `unreadable` jobs stay, for a version that can read those.
        `BaseUnusable` when another user's launchers may have them.
        """
        best: dict[AttemptKey, tuple[int, _Launcher | None, Spooled]] = {}
        dead: list[Remains] = []
        for name, paths in self._spools(must_be_readable=bool(running)).items():
            launcher = self._reconnect(name)  # before reading: what it still had to accept is in the spool then
            alive = set(launcher.hello[3]) if launcher is not None and launcher.hello is not None else set()
            remains = Remains(paths)
            for attempt in read_spools(paths, b"" if launcher is None else launcher.unspooled).values():
                attempt.remains = remains
                if attempt.end is None and self.stopped_with_the_machine(name):
                    attempt.end = lost("the machine stopped while it ran")
                remains.watched += attempt.key.job in unreadable
                worth = worth_of(attempt, alive)
                # One that was handed over again, never begun by a first launcher, stands in two spools.
                if attempt.key in running and worth > best.get(attempt.key, (0,))[0]:
                    best[attempt.key] = (worth, launcher, attempt)
            if launcher is None:
                dead.append(remains)
                with contextlib.suppress(OSError):
                    (self._base.runtime / f"{name}.sock").unlink()
            elif not remains.watched:
                self.finished_spools += paths[:-1]
        for _, launcher, attempt in best.values():
            self._take_back(launcher, attempt)
        for remains in dead:
            self._let_go(remains)
        for launcher in self._launchers.values():
            for message in launcher.early:
                self._obey(launcher, message)
        return running - best.keys()

    def stopped_with_the_machine(self, launcher: str) -> bool:
        """Whether the machine was started again since that launcher lived.

        Its spool may have lost lines then that the journal still has: what they would tell of, may have run.
        """
        found = _LAUNCHER_NAME.fullmatch(launcher)
        return found is not None and found["boot"] != self._boot

    def _spools(self, *, must_be_readable: bool) -> dict[str, list[Path]]:
        """The spool files that are there, by launcher, oldest first."""
        spools: dict[str, list[Path]] = {}
        for path in sorted(self._base.runtime.glob("*.spool")):
            if found := SPOOL_NAME.fullmatch(path.name):
                spools.setdefault(found["launcher"], []).append(path)
                if must_be_readable and not os.access(path, os.R_OK):
                    raise _of_another_user(path)
        return spools

    def _take_back(self, launcher: _Launcher | None, attempt: Spooled) -> None:
        """Go on with an attempt of an earlier manager, as far as it got."""
        if attempt.end is not None:
            self._ready.append((attempt.key, attempt.end))
        elif launcher is None or launcher.hello is None:
            self._adopt(attempt)
        elif attempt.token in launcher.hello[3]:
            launcher.tokens[attempt.token] = attempt.key
            self._where[attempt.key] = (launcher, attempt.token)
        else:
            self._ready.append((attempt.key, lost("its launcher does not know it any more")))

    def _reconnect(self, name: str) -> _Launcher | None:
        conn = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        folder = os.open(self._base.runtime, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            conn.connect(f"/proc/self/fd/{folder}/{name}.sock")
            return self._greet(name, conn, None)
        except OSError:
            conn.close()
            return None
        finally:
            os.close(folder)

    def _adopt(self, attempt: Spooled) -> None:
        """Watch a process whose launcher is gone."""
        if not attempt.pid and not self._find_by_mark(attempt):
            self._ready.append((attempt.key, lost("its launcher was killed while starting it")))
            return
        if attempt.slot:
            self._name_slot(attempt)
        status = self._reaped.get((attempt.pid, attempt.ticks))
        if status is None:  # the launcher's clock and the kernel's are not quite the same
            status = next(
                (
                    status
                    for (pid, ticks), status in self._reaped.items()
                    if pid == attempt.pid and abs(ticks - attempt.ticks) <= MAX_START_TICKS
                ),
                None,
            )
        if status is not None:
            self._ready.append((attempt.key, end_by_status(attempt, status)))
            return
        try:
            pidfd = os.pidfd_open(attempt.pid)
        except OSError:
            self._ready.append((attempt.key, lost("its launcher was killed and it ended unseen")))
            return
        if not self._same_process(attempt):
            os.close(pidfd)
            self._ready.append((attempt.key, lost("its launcher was killed and it ended unseen")))
            return
        self._adopted[pidfd] = attempt
        if attempt.remains is not None:
            attempt.remains.watched += 1
        self._poller.register(pidfd, select.EPOLLIN)

    def _let_go(self, remains: Remains) -> None:
        """The spools of a dead launcher may go, unless attempts of it are watched: a next manager needs them."""
        if remains.watched:
            return
        self.finished_spools += remains.paths
        if (cgroups := self._cgroups_of(remains)) is not None:
            self._old_cgroups.append(cgroups)
            self._remove_old_cgroups()

    def _mark(self, key: AttemptKey) -> bytes:
        """What the environment of no other attempt holds."""
        result = self._base.job(key.job).task_result(key.task, key.attempt)
        return b"AIR_EXECUTOR_RESULT=" + os.fsencode(result)

    def _find_by_mark(self, attempt: Spooled) -> bool:
        """Find the process of an attempt that was accepted, by the mark in its environment.

        A launcher killed between making a process and writing down its number leaves such a one.
        """
        mark = self._mark(attempt.key)
        for name in os.listdir("/proc"):
            # Only the leader of its group, not its children.
            if name.isdigit() and has_mark(name, mark) and (fields := stat_fields(name)) and fields[2] == name:
                attempt.pid, attempt.ticks = int(name), int(fields[19])
                with contextlib.suppress(OSError):
                    slot = os.path.basename(os.readlink(f"/proc/{name}/fd/1"))
                    attempt.slot = slot if slot.startswith("@slot-") else ""
                return True
        return False

    def _same_process(self, attempt: Spooled) -> bool:
        """Whether its pid is still the process that was started for it."""
        fields = stat_fields(attempt.pid)
        if fields is None:
            return False
        between = abs(int(fields[19]) - attempt.ticks)
        # The launcher looks at the clock before it asks for a process; on a busy machine that takes its time.
        return between <= NEAR_TICKS or (
            between <= MAX_START_TICKS and has_mark(attempt.pid, self._mark(attempt.key))
        )

    def _name_slot(self, attempt: Spooled) -> None:
        logs = self._base.jobs / attempt.key.job / "logs"
        target = logs / f"{file_stem(attempt.key.task)}.log"
        with contextlib.suppress(OSError):
            if not target.exists():
                (logs / attempt.slot).rename(target)

    # ---- what the manager asks ----------------------------------------------------------------

    def choose(self) -> str:
        return min(self._launchers.values(), key=lambda one: len(one.tokens) + one.reserved).name

    def reserve(self, name: str, key: AttemptKey) -> None:
        """Count an attempt that will be handed over, so that the next one goes elsewhere."""
        if name in self._launchers:
            self._launchers[name].reserved += 1

    def start(self, name: str, launch: Launch) -> None:
        launcher = self._launchers.get(name)
        if launcher is None:
            if not self._launchers:
                self.never_started.append(launch.key)
                return
            launcher = self._launchers[self.choose()]
        launcher.reserved = 0
        token = launcher.next_token
        launcher.next_token += 1
        launcher.tokens[token] = launch.key
        self._where[launch.key] = (launcher, token)
        key = launch.key
        launcher.outgoing.append(
            (
                "run",
                token,
                _encode(key).decode(),
                self._context_number(launcher, launch.context),
                key.task,
                file_stem(key.task),
                key.attempt,
                launch.argv,
                launch.cwd,
                launch.env,
                launch.timeout_s,
                launch.grace_s,
                launch.keep_children,
                launch.memory_limit_mb,
            )
        )

    def _context_number(self, launcher: _Launcher, context: RunContext) -> int:
        number, _ = launcher.contexts.get(id(context), (None, None))
        if number is None:
            number = launcher.next_context
            launcher.next_context += 1
            launcher.contexts[id(context)] = (number, context)
            fields = {"dir": str(context.job.path), "env": context.env, "cwd": context.cwd}
            launcher.outgoing.append(("ctx", number, fields))
        return number

    def forget_run(self, context: RunContext) -> None:
        """The run has ended: launchers may drop what they keep for it."""
        for launcher in self._launchers.values():
            number, _ = launcher.contexts.pop(id(context), (None, None))
            if number is not None:
                launcher.outgoing.append(("drop", number))

    def stop(self, key: AttemptKey, grace_s: float) -> None:
        place = self._where.get(key)
        if place is not None:
            launcher, token = place
            launcher.outgoing.append(("kill", token, grace_s))
            return
        for attempt in self._adopted.values():
            if attempt.key == key:
                self._end_adopted(attempt, "cancelled", grace_s)

    def disown(self, key: AttemptKey) -> None:
        place = self._where.pop(key, None)
        if place is not None:
            launcher, token = place
            launcher.tokens[token] = key._replace(job="")

    def _end_adopted(self, attempt: Spooled, why: str, grace_s: float) -> None:
        signal_group(attempt.pid, signal.SIGTERM)
        signal_group(attempt.pid, signal.SIGCONT)
        self._signal_strays(attempt, signal.SIGTERM, signal.SIGCONT)
        if (cgroup := self._cgroup_of(attempt)) is not None:
            cgroup.signal(signal.SIGTERM, signal.SIGCONT)
        attempt.why = why
        attempt.timeout_at = 0.0
        attempt.kill_at = time.monotonic() + grace_s

    def _kill_adopted(self, attempt: Spooled) -> None:
        signal_group(attempt.pid, signal.SIGKILL)
        self._signal_strays(attempt, signal.SIGKILL)
        if (cgroup := self._cgroup_of(attempt)) is not None:
            cgroup.kill()

    def _cgroup_of(self, attempt: Spooled) -> Cgroup | None:
        """The control group that an adopted attempt has of its own."""
        cgroups = None if attempt.remains is None else self._cgroups_of(attempt.remains)
        cgroup = None if cgroups is None else cgroups.of(attempt.token)
        return cgroup if cgroup is not None and cgroup.exists() else None

    def _remove_old_cgroups(self) -> None:
        self._old_cgroups = [cgroups for cgroups in self._old_cgroups if not cgroups.remove()]

    def _cgroups_of(self, remains: Remains) -> Cgroups | None:
        """Where the control groups of a dead launcher's tasks are."""
        found = SPOOL_NAME.fullmatch(remains.paths[0].name) if remains.paths else None
        return None if found is None or self._cgroup is None else Cgroups(self._cgroup, found["launcher"])

    def _signal_strays(self, attempt: Spooled, *numbers: int) -> None:
        """Signal what has left the group of an adopted attempt."""
        marks = MarksOfRun(self._mark(attempt.key), RUN + os.fsencode(attempt.key.run))
        for mark, pids in strays_of(marks).items():
            outside = [pid for pid in pids if (fields := stat_fields(pid)) and int(fields[2]) != attempt.pid]
            signal_strays(outside, mark, *numbers)

    def limit_adopted(self, key: AttemptKey, left_s: float, grace_s: float) -> None:
        """Give an adopted attempt the rest of its time-out, which its launcher took with it."""
        for attempt in self._adopted.values():
            if attempt.key == key and not attempt.why:
                attempt.timeout_at = time.monotonic() + max(0.0, left_s)
                attempt.grace_s = grace_s

    def wake_at(self) -> float | None:
        """When (monotonic seconds) `collect` should be called though nothing came in."""
        times = [t for a in self._adopted.values() for t in (a.kill_at, a.timeout_at) if t]
        if self._open_again_at:
            times.append(self._open_again_at)
        return min(times, default=None)

    def reap_orphans(self) -> None:
        """Wait for processes that became our children when their parents died."""
        self._remove_old_cgroups()
        by_pid = {attempt.pid: fd for fd, attempt in self._adopted.items()}
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if info is None:
                return
            if info.si_pid in by_pid:
                self._adopted_ended(by_pid.pop(info.si_pid))
            else:
                if fields := stat_fields(info.si_pid):  # perhaps of a launcher whose death is not known yet
                    self._reaped[info.si_pid, int(fields[19])] = status_of(info)
                    if len(self._reaped) > KEPT_ENDS:
                        del self._reaped[next(iter(self._reaped))]
                for launcher in self._launchers.values():
                    if launcher.pid == info.si_pid and launcher.process is not None:
                        launcher.process.poll()
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(info.si_pid, os.WNOHANG)

    def flush(self) -> None:
        for launcher in list(self._launchers.values()):
            if launcher.outgoing:
                try:
                    body = _encode(launcher.outgoing)
                except UnicodeEncodeError:  # variables of the manager's need not be UTF-8; they pass as they are
                    body = json.dumps(launcher.outgoing).encode()
                launcher.outgoing.clear()
                launcher.unsent += len(body).to_bytes(4, "big") + body
            if launcher.unsent:
                self._send(launcher)

    def _send(self, launcher: _Launcher) -> None:
        try:
            sent = launcher.conn.send(launcher.unsent)
            del launcher.unsent[:sent]
        except BlockingIOError:
            pass
        except OSError:
            return  # `collect` sees the closed connection
        if bool(launcher.unsent) != launcher.wants_room:
            launcher.wants_room = not launcher.wants_room
            events = select.EPOLLIN | (select.EPOLLOUT if launcher.wants_room else 0)
            self._poller.modify(launcher.conn.fileno(), events)

    def collect(self, fds: list[int]) -> list[tuple[AttemptKey, AttemptEnd]]:
        for attempt in self._adopted.values():
            if attempt.timeout_at and attempt.timeout_at <= time.monotonic():
                self._end_adopted(attempt, "timeout", attempt.grace_s)
            elif attempt.kill_at and attempt.kill_at <= time.monotonic():
                self._kill_adopted(attempt)
                attempt.kill_at = 0.0
        if self._open_again_at and self._open_again_at <= time.monotonic():
            self._open()
        for fd in fds:
            if fd in self._adopted:
                self._adopted_ended(fd)
            elif fd in self._by_fd:
                self._receive(self._by_fd[fd])
        ends = list(self._ready)
        self._ready.clear()
        return ends

    def close(self, *, quit_launchers: bool = True) -> None:
        """Let go of the launchers; idle ones end, the others when their tasks have ended."""
        if quit_launchers:
            for launcher in self._launchers.values():
                launcher.outgoing.append(("quit",))
        self.flush()
        for launcher in self._launchers.values():
            launcher.conn.close()
        for pidfd in self._adopted:
            os.close(pidfd)

    @property
    def adopted(self) -> list[AttemptKey]:
        """Attempts whose launcher is gone."""
        return [attempt.key for attempt in self._adopted.values()]

    # ---- receiving ----------------------------------------------------------------------------

    def _frames(self, launcher: _Launcher) -> list[Any]:
        messages: list[Any] = []
        received = launcher.received
        while len(received) >= 4:
            size = int.from_bytes(received[:4], "big")
            if len(received) < 4 + size:
                break
            messages += _decode(received[4 : 4 + size])
            del received[: 4 + size]
        return messages

    def _receive(self, launcher: _Launcher) -> None:
        if launcher.unsent:
            self._send(launcher)
        closed = False
        try:
            data = launcher.conn.recv(65_536)
            closed = not data
            launcher.received += data
        except BlockingIOError:
            return
        except OSError:
            closed = True
        for message in self._frames(launcher):
            self._obey(launcher, message)
        if closed:
            self._launcher_gone(launcher)

    def _obey(self, launcher: _Launcher, message: list[Any]) -> None:
        kind = message[0]
        if kind == "x":
            key = launcher.tokens.pop(message[1], None)
            if key is not None:
                self._where.pop(key, None)
                self._ready.append((key, end_of(message)))
        elif kind == "left":
            left = AttemptKey(*message[2])
            log.info("job %s: task %r left processes behind; they are ended", left.job, left.task)
        elif kind == "waits":
            if message[1]:
                log.error("launcher %d starts nothing for now: %s", launcher.pid, message[1])
            else:
                log.info("launcher %d starts tasks again", launcher.pid)
        elif kind == "rotated":
            self.finished_spools.append(self._base.runtime / message[1])

    def _launcher_gone(self, launcher: _Launcher) -> None:
        """A launcher died: its spool tells what ended and what runs on; another takes its place."""
        self._poller.unregister(launcher.conn.fileno())
        del self._by_fd[launcher.conn.fileno()]
        launcher.conn.close()
        del self._launchers[launcher.name]
        if launcher.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                launcher.process.wait(1.0)
        paths = sorted(self._base.runtime.glob(f"{launcher.name}.*.spool"))
        spooled = read_spools(paths)
        remains = Remains(paths)
        for token, key in launcher.tokens.items():
            self._where.pop(key, None)
            attempt = spooled.get(token)
            if attempt is None or not attempt.begun:
                self.never_started.append(key)
            elif attempt.end is not None:
                self._ready.append((key, attempt.end))
            else:
                attempt.remains = remains
                self._adopt(attempt)
        self._let_go(remains)
        with contextlib.suppress(OSError):
            (self._base.runtime / f"{launcher.name}.sock").unlink()
        self._open()

    def _adopted_ended(self, pidfd: int) -> None:
        attempt = self._adopted.pop(pidfd)
        self._poller.unregister(pidfd)
        status = wait_status(pidfd, attempt.pid)
        os.close(pidfd)
        if status is None:
            end = lost("its launcher was killed; it has ended, how is not known")
        else:
            end = end_by_status(attempt, status)
        if attempt.why:
            self._kill_adopted(attempt)  # what the first process left
            end.reason = attempt.why
            end.error = "timed out" if attempt.why == "timeout" else "cancelled while it ran"
        self._ready.append((attempt.key, end))
        if attempt.remains is not None:
            attempt.remains.watched -= 1
            self._let_go(attempt.remains)


def _of_another_user(spool: Path) -> BaseUnusable:
    owner = str(spool.stat().st_uid)
    with contextlib.suppress(KeyError):
        owner = pwd.getpwuid(int(owner)).pw_name
    return BaseUnusable(
        f"{spool} belongs to {owner}, whose launchers may still run tasks of this folder: "
        f"let {owner} start the manager until those have ended"
    )
