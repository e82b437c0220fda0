"""The launcher: starts processes, waits for them, and writes down both before telling anybody.

A program of its own (`python -I -S launcher.py NAME FD RUNTIME`), standard library only, one
thread. It outlives a killed manager: its tasks go on, their ends go into the spool file, and a new
manager connects to the same socket. What it says on the socket is only speed; the spool is what counts.

Frames on the socket are a 4-byte big-endian length and a JSON list of messages.

    manager -> launcher   ["ctx", n, {dir, env, cwd}]      what the tasks of one run share
                          ["run", token, key, n, task, stem, attempt, argv, cwd, env, timeout_s, grace_s,
                           keep_children, memory limit in MB]
                          ["kill", token, grace_s]         end a process group: TERM, grace, KILL
                          ["drop", n]                      the run has ended
                          ["quit"]                         exit when no task is left
                          ["cgroup", folder]               a control group that may be divided among tasks
    launcher -> manager   ["hello", pid, next token, [running tokens]]
                          ["x", token, exit code, signal, reason, error, run_s, cpu_s, memory MB, ended at]
                          ["left", token, key]             ended, but processes of its group live on
                          ["rotated", spool file]          that file will not be written to again
                          ["waits", why]                   starts nothing for now; an empty text: goes on
                          ["unspooled", lines]             after hello: what the spool has had no room for

    spool lines           ["a", token, key]                accepted: a process may exist from here on
                          ["s", token, pid, clock ticks since boot, log slot]
                          ["x", …]                         as on the socket
"""

from __future__ import annotations

import collections
import contextlib
import errno
import heapq
import importlib.util
import json
import os
import select
import signal
import socket
import stat
import sys
import time
from typing import Any

PROMOTE_AFTER_S = 0.1
"""A task that runs longer gets its log file under its own name while it runs."""
SPOOL_SEGMENT_BYTES = 4_000_000
LONGEST_POLL_S = 3600.0  # `epoll` takes no time-out of a million years
ALONE_S = 5.0
"""How long an idle launcher waits for a manager."""
STARTS_A_TURN = 16
LINGER_POLL_S = 0.02
LEFT_POLL_S = 0.2
"""Often enough that a group's number cannot have gone to another one in between."""
MEMORY_POLL_S = 0.25
MEMORY_POLL_COST = 20.0
GIVE_UP_AFTER_S = 5.0
"""How long after KILL a process group may still be listed (a process stuck in the kernel)."""
RETRY_S = 0.5

RESET_SIGNALS = [
    getattr(signal, name)
    for name in (
        "SIGPIPE",
        "SIGXFSZ",
        "SIGINT",
        "SIGTERM",
        "SIGHUP",
        "SIGQUIT",
        "SIGCHLD",
        "SIGIO",
        "SIGUSR1",
        "SIGUSR2",
    )
]
TICKS = os.sysconf("SC_CLK_TCK")
STRAYS_COST = 5.0
"""Looking for strays takes at most about a fifth of the time."""


def load_beside(name: str) -> Any:
    """A module of the standard library's kind that stands beside this file; this program is no part of a package."""
    path = os.path.join(os.path.dirname(os.path.realpath(__file__)), f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


groups = load_beside("groups")
programs = load_beside("programs")
slots = load_beside("slots")
strays = load_beside("strays")


class Context:
    """What the tasks of one run share."""

    def __init__(self, fields: dict[str, Any]) -> None:
        folder = os.fsencode(fields["dir"])
        self.logs = folder + b"/logs/"
        self.shared = False
        """Whether members of a group may read the logs, whatever our umask is."""
        with contextlib.suppress(OSError):
            self.shared = bool(os.stat(folder).st_mode & stat.S_IWGRP)
        self.inbox = folder + b"/inbox/"
        self.cwd = os.fsencode(fields["cwd"])
        self.env = {os.fsencode(k): os.fsencode(v) for k, v in fields["env"].items()}
        self.free_slots: list[Any] = []
        self.closed = False
        self.found: dict[tuple[bytes, bytes], bytes] = {}
        """(command, PATH) -> the file it was found to be."""

    def find(self, command: bytes, path: bytes) -> bytes:
        program: bytes = programs.find(command, path)
        self.found[command, path] = program
        return program


class Running:
    """A process that has been started and not yet reported as ended."""

    __slots__ = (
        "cgroup",
        "context",
        "end",
        "forced",
        "give_up_at",
        "grace_s",
        "keep_children",
        "key",
        "kill_at",
        "killed",
        "log",
        "mark",
        "memory_mb",
        "pid",
        "slot",
        "started",
        "token",
        "why",
        "why_text",
    )

    def __init__(self, token: int, key: str, context: Context, log: bytes) -> None:
        self.token = token
        self.key = key
        self.context = context
        self.log = log
        self.slot: Any = None
        self.pid = 0
        self.started = 0.0
        self.why = ""
        self.kill_at = 0.0
        self.give_up_at = 0.0
        self.grace_s = 0.0
        self.keep_children = False
        self.memory_mb = 0.0
        self.why_text = ""
        self.killed = False
        self.forced = False
        self.cgroup: Any = None
        """The control group of its own that it has, if any."""
        self.mark = (b"", b"", b"")
        """What stands in the environment of this attempt's processes and of no others."""
        self.end: list[Any] | None = None


class Left:
    """What is left running of a task that has ended. `due`: when it is asked to end, or made to."""

    __slots__ = ("asked", "cgroup", "due", "grace_s")

    def __init__(self, due: float, grace_s: float, cgroup: Any) -> None:
        self.due = due
        self.grace_s = grace_s
        self.cgroup = cgroup
        self.asked = False


class Launcher:
    def __init__(self, name: str, listener: socket.socket, runtime: str) -> None:
        self.name = name.encode()
        self.listener = listener
        self.runtime = runtime
        self.segment = 0
        self.spool_fd = -1
        self.spool_size = 0
        self.unspooled = b""
        self.torn = b""
        """The line that `unspooled` goes on with, as far as it was written."""
        self.next_token = 1
        self.contexts: dict[int, Context] = {}
        self.running: dict[int, Running] = {}
        self.by_pid: dict[int, Running] = {}
        self.young: list[tuple[float, int]] = []
        self.timers: list[tuple[float, int]] = []
        self.lingering: dict[int, Running] = {}
        self.asked: list[Running] = []
        """Tasks to be ended whose strays have not been asked yet."""
        self.strays_due = 0.0
        self.left: dict[int, Left] = {}
        self.left_due = 0.0
        self.limited: dict[int, Running] = {}
        """pid -> a task whose memory is watched."""
        self.memory_due = 0.0
        self.cgroup_parent = ""
        """The folder of a control group that may be divided; empty: there is none."""
        self.cgroups: Any = None
        self.full_cgroups: list[Any] = []
        """Of ended tasks: something was left running on purpose."""
        self.waiting: collections.deque[list[Any]] = collections.deque()
        """Accepted, not started yet."""
        self.blocked_until = 0.0
        """When to try again after the machine had no process, memory or room to give."""
        self.waits_for = ""
        """What it had not, as the manager was told."""
        self.spool_error = ""
        self.conn: socket.socket | None = None
        self.received = bytearray()
        self.unsent = bytearray()
        self.wants_room = False
        self.messages: list[str] = []
        """JSON texts to send this turn."""
        self.logs = slots.Slots(self.name)
        self.cwd = b""
        self.quitting = False
        self.alone_since = time.monotonic()
        self.null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        self.poller = select.epoll()
        self.wake_r, wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        self.poller.register(self.wake_r, select.EPOLLIN)
        self.poller.register(listener.fileno(), select.EPOLLIN)
        self.open_spool()

    # ---- the loop ------------------------------------------------------------------------------

    def run(self) -> None:
        while True:
            for fd, _ in self.poll():
                if fd == self.wake_r:
                    self.drain_wakeups()
                elif fd == self.listener.fileno():
                    self.accept()
                elif self.conn is not None and fd == self.conn.fileno():
                    self.receive()
            self.start_waiting()
            self.reap()
            self.promote()
            self.run_timers()
            self.ask_strays()
            self.check_lingering()
            self.check_left()
            self.check_memory()
            self.flush()
            if self.is_idle() and self.may_leave():
                return

    def poll(self) -> list[tuple[int, int]]:
        due = self.alone_since + ALONE_S if self.conn is None and self.is_idle() else None
        if self.timers and (due is None or self.timers[0][0] < due):
            due = self.timers[0][0]
        if self.young and (due is None or self.young[0][0] < due):
            due = self.young[0][0]
        if self.lingering:
            due = time.monotonic() + LINGER_POLL_S
        if self.asked and (due is None or self.strays_due < due):
            due = self.strays_due
        if self.left and (due is None or self.left_due < due):
            due = self.left_due
        if self.limited and (due is None or self.memory_due < due):
            due = self.memory_due
        if (self.waiting or self.unspooled) and (due is None or due > self.blocked_until):
            due = self.blocked_until
        timeout = -1.0 if due is None else min(max(0.0, due - time.monotonic()), LONGEST_POLL_S)
        return self.poller.poll(timeout)

    def is_idle(self) -> bool:
        return not (self.running or self.waiting or self.unspooled or self.left)

    def may_leave(self) -> bool:
        return self.quitting or (self.conn is None and time.monotonic() - self.alone_since >= ALONE_S)

    def drain_wakeups(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake_r, 4096)

    # ---- talking to the manager ---------------------------------------------------------------

    def accept(self) -> None:
        conn, _ = self.listener.accept()
        peer = conn.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        uid = int.from_bytes(peer[4:8], sys.byteorder)
        if uid not in (os.getuid(), 0):
            conn.close()
            return
        if self.conn is not None:
            self.receive()  # what the former manager sent before it died still holds
            self.hang_up()
        conn.setblocking(False)
        self.conn = conn
        self.wants_room = False
        self.quitting = False
        self.contexts = {}
        self.poller.register(conn.fileno(), select.EPOLLIN)
        tokens = [*self.running, *(start[1] for start in self.waiting)]
        self.messages.append(compact(["hello", os.getpid(), self.next_token, tokens]))
        if self.unspooled:
            self.messages.append(compact(["unspooled", (self.torn + self.unspooled).decode()]))
        if self.waits_for:
            self.messages.append(compact(["waits", self.waits_for]))

    def hang_up(self) -> None:
        if self.conn is not None:
            self.poller.unregister(self.conn.fileno())
            self.conn.close()
            self.conn = None
            self.received.clear()
            self.unsent.clear()
            self.messages.clear()
            self.alone_since = time.monotonic()

    def receive(self) -> None:
        closed = self.read_socket()
        starts = []
        while len(self.received) >= 4:
            size = int.from_bytes(self.received[:4], "big")
            if len(self.received) < 4 + size:
                break
            frame = json.loads(bytes(self.received[4 : 4 + size]))
            del self.received[: 4 + size]
            for message in frame:
                if message[0] == "run":
                    starts.append(message)
                    continue
                if starts:  # a kill may follow its start in the same breath
                    self.take(starts)
                    starts = []
                self.obey(message)
        if starts:
            self.take(starts)
        if closed:
            self.hang_up()

    def read_socket(self) -> bool:
        """Take what has come in; whether the manager has closed the connection."""
        conn = self.conn
        while conn is not None:
            try:
                data = conn.recv(65_536)
            except BlockingIOError:
                return False
            except OSError:
                return True
            if not data:
                return True
            self.received += data
            if len(data) < 65_536:
                return False
        return False

    def obey(self, message: list[Any]) -> None:
        kind = message[0]
        if kind == "ctx":
            self.contexts[message[1]] = Context(message[2])
        elif kind == "kill":
            self.kill(message[1], message[2], "cancelled")
        elif kind == "drop":
            context = self.contexts.pop(message[1], None)
            if context is not None:
                context.closed = True
                self.logs.remove(context)
        elif kind == "cgroup":
            self.cgroup_parent = self.cgroup_parent or message[1]
        elif kind == "quit":
            self.quitting = True

    def flush(self) -> None:
        """Send every turn, hold nothing back."""
        if self.conn is None:
            self.messages.clear()
            return
        if self.messages:
            body = f"[{','.join(self.messages)}]".encode()
            self.messages.clear()
            self.unsent += len(body).to_bytes(4, "big") + body
        if not self.unsent:
            return
        try:
            sent = self.conn.send(self.unsent)
            del self.unsent[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self.hang_up()
            return
        if bool(self.unsent) != self.wants_room:
            self.wants_room = not self.wants_room
            events = select.EPOLLIN | (select.EPOLLOUT if self.wants_room else 0)
            self.poller.modify(self.conn.fileno(), events)

    # ---- the spool -----------------------------------------------------------------------------

    def open_spool(self) -> None:
        path = f"{self.runtime}/{self.name.decode()}.{self.segment:06d}.spool"
        self.spool_fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.spool_size = 0
        self.spool_path = path

    def spool(self, lines: bytes) -> bool:
        """Append; False when there is no room now (the lines are kept and written first later)."""
        data = self.unspooled + lines
        try:
            written = os.write(self.spool_fd, data)
        except OSError as error:
            written = 0
            self.spool_error = f"{self.spool_path}: {error.strerror}"
        self.spool_size += written
        self.unspooled = data[written:]
        if self.unspooled:
            self.torn = (self.torn + data[:written]).rpartition(b"\n")[2]
        else:
            self.torn = b""
        if self.spool_size > SPOOL_SEGMENT_BYTES and not self.unspooled:
            self.rotate()
        return not self.unspooled

    def rotate(self) -> None:
        old_fd, old_path = self.spool_fd, self.spool_path
        self.segment += 1
        try:
            self.open_spool()
        except OSError:
            self.segment -= 1
            return
        os.close(old_fd)
        lines = []
        for task in self.running.values():
            lines.append(f'["a",{task.token},{task.key}]\n')
            if task.pid:
                lines.append(self.start_line(task))
        lines += [f'["a",{start[1]},{start[2]}]\n' for start in self.waiting]
        self.spool("".join(lines).encode())
        self.messages.append(compact(["rotated", os.path.basename(old_path)]))

    def start_line(self, task: Running) -> str:
        ticks = int((task.started + self.boot_offset()) * TICKS)
        slot = task.slot.name.decode() if task.slot is not None else ""
        return f'["s",{task.token},{task.pid},{ticks},"{slot}"]\n'

    def boot_offset(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()

    # ---- starting ------------------------------------------------------------------------------

    def take(self, starts: list[list[Any]]) -> None:
        self.next_token = max(self.next_token, starts[-1][1] + 1)
        self.spool("".join([f'["a",{start[1]},{start[2]}]\n' for start in starts]).encode())
        for start in starts:
            start[3] = self.contexts[start[3]]
        self.waiting += starts

    def start_waiting(self) -> None:
        """Start a few, so that ends are not held back by a long row of starts."""
        if self.blocked_until > time.monotonic():
            return
        self.blocked_until = 0.0
        if self.unspooled and not self.spool(b""):
            self.hold(self.spool_error)
            return
        for _ in range(min(STARTS_A_TURN, len(self.waiting))):
            if lacking := self.start(self.waiting[0]):
                self.hold(lacking)
                return
            self.waiting.popleft()
            if self.unspooled:
                return  # a spool tells by its order which attempt was begun last
        if self.waits_for:
            self.waits_for = ""
            self.messages.append('["waits",""]')

    def hold(self, lacking: str) -> None:
        """Start nothing for a while; the manager is told once."""
        self.blocked_until = time.monotonic() + RETRY_S
        if lacking != self.waits_for:
            self.waits_for = lacking
            self.messages.append(compact(["waits", lacking]))

    def start(self, message: list[Any]) -> str:
        """Start one attempt; gives what the machine lacks for it now, if anything."""
        _, token, key, context, task_id, stem, attempt, argv, cwd, env, timeout_s, grace_s, keep, memory = message
        log = context.logs + stem.encode() + b".log"
        task = Running(token, key, context, log)
        task.grace_s = grace_s
        task.keep_children = keep
        if memory is not None:
            task.cgroup = self.make_cgroup(token, memory)
        try:
            self.spawn(task, task_id, stem, attempt, argv, cwd, env)
        except programs.NotStarted as error:
            self.remove_cgroup(task)
            self.running[token] = task
            self.report(task, [error.code, None, "not_started", str(error), None, None, None, time.time()])
            return ""
        except ValueError as error:  # NUL, or `=` in the name of a variable: nothing a process can be given
            self.remove_cgroup(task)
            self.running[token] = task
            self.report(
                task, [126, None, "not_started", f"cannot start {argv[0]!r}: {error}", None, None, None, time.time()]
            )
            return ""
        except OSError as error:
            self.remove_cgroup(task)
            if error.errno in (
                errno.EAGAIN,
                errno.ENOMEM,
                errno.EMFILE,
                errno.ENFILE,
                errno.ENOSPC,
                errno.EDQUOT,
            ):
                place = f"{os.fsdecode(error.filename)}: " if error.filename else ""
                return f"{place}{error.strerror}"
            self.running[token] = task
            text = f"cannot start {argv[0]!r}: {error.strerror}"
            self.report(task, [126, None, "not_started", text, None, None, None, time.time()])
            return ""
        self.running[token] = task
        self.by_pid[task.pid] = task
        self.spool(self.start_line(task).encode())
        if task.slot is not None:
            self.young.append((task.started + PROMOTE_AFTER_S, token))
        if timeout_s is not None:
            task.kill_at = task.started + timeout_s
            heapq.heappush(self.timers, (task.kill_at, token))
        if memory is not None:
            task.memory_mb = memory
            if task.cgroup is None or not task.cgroup.limits_memory:
                self.limited[task.pid] = task
        return ""

    def spawn(
        self,
        task: Running,
        task_id: str,
        stem: str,
        attempt: int,
        argv: list[str],
        cwd: str | None,
        env: dict[str, str] | None,
    ) -> None:
        context = task.context
        full = context.env.copy()
        if env:
            for name, value in env.items():
                full[os.fsencode(name)] = os.fsencode(value)
        own = stem.encode() + b"@%d.json" % attempt
        full[b"AIR_EXECUTOR_TASK"] = os.fsencode(task_id)
        full[b"AIR_EXECUTOR_ATTEMPT"] = b"%d" % attempt
        full[b"AIR_EXECUTOR_RESULT"] = context.inbox + b"results/" + own
        full[b"AIR_EXECUTOR_INBOX"] = context.inbox + own + b"l"
        task.mark = (
            strays.RESULT + full[b"AIR_EXECUTOR_RESULT"],
            strays.RUN + full.get(b"AIR_EXECUTOR_RUN", b""),
            strays.BEGAN + full.get(b"AIR_EXECUTOR_BEGAN", b""),
        )
        folder = context.cwd if cwd is None else os.path.join(context.cwd, os.fsencode(cwd))
        if folder != self.cwd:
            try:
                os.chdir(folder)
            except OSError as error:
                raise programs.NotStarted(
                    127, f"working directory {os.fsdecode(folder)!r}: {error.strerror}"
                ) from None
            self.cwd = folder
        command = os.fsencode(argv[0])
        path = full.get(b"PATH", b"/usr/bin:/bin")
        program = command if b"/" in command else context.found.get((command, path)) or context.find(command, path)
        out = self.logs.open(task, attempt)
        try:
            task.started = time.monotonic()
            try:
                task.pid = self.make_process(task, program, argv, full, out)
            except FileNotFoundError:
                if not context.found.pop((command, path), None):
                    raise
                program = context.find(command, path)  # it was moved since
                task.pid = self.make_process(task, program, argv, full, out)
        except BaseException as error:
            self.logs.give_back(task)
            if isinstance(error, OSError):
                programs.explain(error, program, argv[0])
            raise
        finally:
            os.close(out)

    def make_process(self, task: Running, program: bytes, argv: list[str], env: dict[bytes, bytes], out: int) -> int:
        if task.cgroup is not None:
            if pid := task.cgroup.spawn(program, argv, env, (self.null, out), RESET_SIGNALS):
                return int(pid)
            self.cgroup_parent = ""
            self.remove_cgroup(task)
        return os.posix_spawn(
            program,
            argv,
            env,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, self.null, 0),
                (os.POSIX_SPAWN_DUP2, out, 1),
                (os.POSIX_SPAWN_DUP2, out, 2),
            ],
            setpgroup=0,
            setsigdef=RESET_SIGNALS,
            setsigmask=[],
        )

    def make_cgroup(self, token: int, memory_mb: float) -> Any:
        """A control group for one task; None where there can be none."""
        if not self.cgroup_parent:
            return None
        try:
            if self.cgroups is None:
                self.cgroups = load_beside("cgroups").Cgroups(self.cgroup_parent, self.name.decode())
                self.cgroups.open()
            group = self.cgroups.of(token)
            group.make(memory_mb)
        except OSError:
            return None
        return group

    def remove_cgroup(self, task: Running) -> None:
        if task.cgroup is not None:
            self.full_cgroups.append(task.cgroup)
            task.cgroup = None
            self.full_cgroups = [group for group in self.full_cgroups if not group.remove()]

    def promote(self) -> None:
        """Give the logs of tasks that have run for a while their names."""
        if not self.young:
            return
        now = time.monotonic()
        done = 0
        for due, token in self.young:
            task = self.running.get(token)
            if due > now and task is not None:
                break
            done += 1
            if task is not None and task.slot is not None and task.end is None:
                self.logs.name(task)
        del self.young[:done]

    # ---- ending --------------------------------------------------------------------------------

    def reap(self) -> None:
        """Record each end before the next is asked for: those not asked for yet, somebody else may still be told."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            task = self.by_pid.pop(pid, None)
            if task is None:
                continue
            self.limited.pop(pid, None)
            code = signal_name = reason = error = None
            if os.WIFSIGNALED(status):
                reason = "signal"
                signal_name = name_of(os.WTERMSIG(status))
                error = f"ended by {signal_name}"
                if task.cgroup is not None and task.cgroup.ran_out_of_memory():
                    reason = "memory"
                    error = f"used more memory than its limit of {task.memory_mb:g} MB"
            else:
                code = os.WEXITSTATUS(status)
                if code:
                    reason, error = "exit", f"exit code {code}"
            end = [
                code,
                signal_name,
                reason,
                error,
                round(time.monotonic() - task.started, 6),
                round(usage.ru_utime + usage.ru_stime, 6),
                usage.ru_maxrss * 1024 / 1e6,
                time.time(),
            ]
            if task.killed:
                task.end = end
                self.lingering[task.token] = task  # reported when its whole group is gone
                continue
            if not task.keep_children and lives(pid, task.cgroup):
                self.left[pid] = Left(time.monotonic() + task.grace_s, task.grace_s, task.cgroup)
                self.left_due = time.monotonic() + LEFT_POLL_S
                self.messages.append(f'["left",{task.token},{task.key}]')
            self.report(task, end)

    def report(self, task: Running, end: list[Any]) -> None:
        """Settle the log, spool the end, then tell the manager."""
        task.end = end
        self.logs.settle(task)
        self.remove_cgroup(task)
        del self.running[task.token]
        if end[2] is None and end[4] is not None:
            text = f'["x",{task.token},0,null,null,null,{end[4]:.6f},{end[5]:.6f},{end[6]:.3f},{end[7]:.6f}]'
        else:
            text = compact(["x", task.token, *end])
        self.spool(f"{text}\n".encode())
        self.messages.append(text)

    def kill(self, token: int, grace_s: float, why: str) -> None:
        """TERM to the process group; KILL follows after the grace time."""
        for position, start in enumerate(self.waiting):
            if start[1] == token:
                del self.waiting[position]
                task = Running(token, start[2], start[3], b"")
                self.running[token] = task
                self.report(
                    task,
                    [None, None, "cancelled", "cancelled before it started", None, None, None, time.time()],
                )
                return
        task_or_none = self.running.get(token)
        if task_or_none is None or task_or_none.killed or task_or_none.end is not None:
            return
        task = task_or_none
        task.killed = True
        task.why = why
        task.kill_at = time.monotonic() + grace_s
        task.give_up_at = task.kill_at + GIVE_UP_AFTER_S
        if task.cgroup is None:
            groups.signal_group(task.pid, signal.SIGTERM)
            groups.signal_group(task.pid, signal.SIGCONT)
            self.asked.append(task)
        else:
            task.cgroup.signal(signal.SIGTERM, signal.SIGCONT)
        heapq.heappush(self.timers, (task.kill_at, token))

    def ask_strays(self) -> None:
        """TERM to processes that have left the groups of tasks to be ended; one look for all of them."""
        if not self.asked or time.monotonic() < self.strays_due:
            return
        tasks = {task.mark: task for task in self.asked}
        self.asked.clear()
        for mark, pids in self.strays_of(tasks).items():
            pids = [pid for pid in pids if groups.group_of(pid) != tasks[mark].pid]  # those have been asked
            strays.signal_strays(pids, mark, signal.SIGTERM, signal.SIGCONT)

    def strays_of(self, marks: Any) -> Any:
        """Look at all processes of the machine, which is not to be done all the time."""
        began = time.monotonic()
        found = strays.strays_of(marks)
        now = time.monotonic()
        self.strays_due = now + STRAYS_COST * (now - began)
        return found

    def run_timers(self) -> None:
        now = time.monotonic()
        while self.timers and self.timers[0][0] <= now:
            due, token = heapq.heappop(self.timers)
            task = self.running.get(token)
            if task is None or task.kill_at != due:
                continue
            if task.killed:
                groups.signal_group(task.pid, signal.SIGKILL)
                if task.cgroup is not None:
                    task.cgroup.kill()
                task.forced = True
                task.kill_at = now + 0.2  # again, for processes forked meanwhile
                heapq.heappush(self.timers, (task.kill_at, token))
            elif task.end is None:
                self.kill(token, task.grace_s, "timeout")

    def check_left(self) -> None:
        """End what ended tasks left running, after the grace time."""
        now = time.monotonic()
        if not self.left or now < self.left_due:
            return
        self.left_due = now + LEFT_POLL_S
        for pgid, left in list(self.left.items()):
            if not lives(pgid, left.cgroup):
                del self.left[pgid]
                if left.cgroup is not None:
                    left.cgroup.remove()
            elif now >= left.due:
                number = signal.SIGKILL if left.asked else signal.SIGTERM
                if left.cgroup is not None:
                    left.cgroup.signal(number, signal.SIGCONT)
                elif groups.group_lives(pgid):
                    groups.signal_group(pgid, number)
                    groups.signal_group(pgid, signal.SIGCONT)
                left.asked = True
                left.due = now + left.grace_s

    def check_memory(self) -> None:
        """End tasks whose processes together hold more resident memory than they may."""
        began = time.monotonic()
        if not self.limited or began < self.memory_due:
            return
        used = {pid: task.cgroup.resident_mb() for pid, task in self.limited.items() if task.cgroup is not None}
        if len(used) < len(self.limited):
            used |= groups.resident_mb(self.limited.keys() - used.keys())
        for pid, megabytes in used.items():
            task = self.limited[pid]
            if megabytes > task.memory_mb and not task.killed:
                self.kill(task.token, task.grace_s, "memory")
                task.why_text = f"used {megabytes:.0f} MB of memory, over its limit of {task.memory_mb:g} MB"
        now = time.monotonic()
        self.memory_due = now + max(MEMORY_POLL_S, MEMORY_POLL_COST * (now - began))

    def check_lingering(self) -> None:
        """Report tasks that were ended, as soon as nothing of them lives."""
        began = time.monotonic()
        gone = [
            task for task in self.lingering.values() if began >= task.give_up_at or not lives(task.pid, task.cgroup)
        ]
        if not gone or began < self.strays_due:
            return
        found = self.strays_of({task.mark for task in gone})
        now = time.monotonic()
        for task in gone:
            pids = found.get(task.mark)
            if pids and task.forced:
                strays.signal_strays(pids, task.mark, signal.SIGKILL)
            if pids and now < task.give_up_at:
                continue
            del self.lingering[task.token]
            end = task.end
            assert end is not None
            end[2] = task.why
            end[3] = task.why_text or {"timeout": "timed out"}.get(task.why, "cancelled while it ran")
            self.report(task, end)


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def lives(pgid: int, cgroup: Any) -> bool:
    """Whether anything of a task lives: in its control group where it has one."""
    return bool(groups.group_lives(pgid)) if cgroup is None else bool(cgroup.populated())


def name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def main() -> None:
    name, fd, runtime = sys.argv[1:]
    listener = socket.socket(fileno=int(fd))
    listener.setblocking(False)
    launcher = Launcher(name, listener, runtime)
    launcher.run()
    if launcher.cgroups is not None:
        launcher.cgroups.remove()


if __name__ == "__main__":
    main()
