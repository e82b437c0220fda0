"""What `env_from` stands for: variables, files, and what programs print. Found when a task starts, kept nowhere.

A variable or a file is read at once. A program is run beside the manager, by `runners/asking.py`; until it has
answered its tasks wait, without a slot. Tasks of one run share an answer, for ten minutes, in memory.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import sys
import time
from collections import deque
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from air_executor.lifecycle import Run
from air_executor.model import EnvRef, Task
from air_executor.runners import asking
from air_executor.runners.base import AttemptKey, RunContext

__all__ = ["References", "Waiting"]

MAX_VALUE_BYTES: Final = 128 * 1024
"""No process gets a longer variable (`MAX_ARG_STRLEN`)."""
LIMIT_S: Final = 30.0
GRACE_S: Final = 10.0
"""How much later than it should have given up an asking process is ended."""
KEPT_S: Final = 600.0
ERROR_KEPT_S: Final = 60.0
"""A task that could not start by then, for want of a slot, asks again."""
NEVER: Final = float("inf")
PROGRAM: Final = str(Path(asking.__file__).resolve())

Argv = tuple[str, ...]


class Waiting(Struct, eq=False, gc=False):
    """A task that a program holds up: it is to start, or an attempt of it (`again`) is to be handed over again."""

    run: Run
    task: Task
    again: AttemptKey | None
    error: str | None = None


class _Call:
    """A program that is asked, or will be when others have answered."""

    def __init__(self, context: RunContext, argv: Argv, limit_s: float) -> None:
        self.context = context
        self.argv = argv
        self.limit_s = limit_s
        self.waiting: list[Waiting] = []
        self.answer = bytearray()
        self.stdin = self.stdout = self.pidfd = -1
        self.give_up_at = 0.0

    def start(self) -> None:
        """Run it; `OSError` when there can be no further process."""
        stdin, self.stdin = os.pipe2(os.O_CLOEXEC)
        self.stdout, stdout = os.pipe2(os.O_CLOEXEC)
        try:
            limits = f"{self.limit_s:g}", str(MAX_VALUE_BYTES)
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", "-X", "utf8", PROGRAM, *limits, self.context.cwd, *self.argv],
                self.context.env,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, stdin, 0),
                    (os.POSIX_SPAWN_DUP2, stdout, 1),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
                setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGIO, signal.SIGCHLD],
            )
            with contextlib.suppress(ProcessLookupError):
                self.pidfd = os.pidfd_open(pid)
        except OSError:
            self.hang_up()
            raise
        finally:
            os.close(stdin)
            os.close(stdout)
        os.set_blocking(self.stdout, False)
        self.give_up_at = time.monotonic() + self.limit_s + GRACE_S

    def hang_up(self) -> None:
        """Let go of it. If it still runs it ends now, since its standard input does."""
        for fd in (self.stdin, self.stdout, self.pidfd):
            if fd >= 0:
                os.close(fd)
        self.stdin = self.stdout = self.pidfd = -1

    def kill(self) -> None:
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)


class _OfRun:
    """What was asked for one run."""

    def __init__(self) -> None:
        self.values: dict[Argv, tuple[str, float]] = {}
        """With when (by the monotonic clock) they are too old."""
        self.calls: dict[Argv, _Call] = {}
        self.errors: dict[str, tuple[str, float]] = {}
        """By id of the task: why it cannot start, and until when that counts."""


class References:
    """Finds what references stand for, for the loop; nothing here ever waits.

    `released` are the tasks whose program has answered: to be put back among those that may start.
    """

    def __init__(self, poller: select.epoll) -> None:
        self._poller = poller
        self._at_once = max(4, 2 * len(os.sched_getaffinity(0)))
        """Programs that are run at the same time: they may be as heavy as a whole Airflow."""
        self._runs: dict[str, _OfRun] = {}
        self._by_fd: dict[int, _Call] = {}
        self._in_line: deque[_Call] = deque()
        self._look_again_at = NEVER
        self.released: deque[Waiting] = deque()

    @property
    def busy(self) -> bool:
        """Whether a task waits for a program."""
        return bool(self._by_fd or self._in_line or self.released)

    def wake_at(self) -> float:
        """When (by the monotonic clock) `collect` is to be called though nothing came in."""
        return min(time.monotonic() if self.released else NEVER, self._look_again_at)

    def ready(self, run: Run, context: RunContext, task: Task, again: AttemptKey | None = None) -> bool:
        """Whether `variables` can tell now. If not, the task will be among the `released`."""
        asked: _OfRun | None = None
        first: _Call | None = None
        for ref in (task.spec.env_from or {}).values():
            if ref.command is None:
                continue
            if asked is None:
                asked = self._runs.setdefault(run.id, _OfRun())
                if asked.errors.get(task.spec.id, ("", 0.0))[1] > time.monotonic():
                    return True
            argv = tuple(ref.command)
            _, until = asked.values.get(argv, ("", 0.0))
            if until > time.monotonic():
                continue
            call = asked.calls.get(argv)
            if call is None:
                call = asked.calls[argv] = _Call(context, argv, ref.timeout_s or LIMIT_S)
                self._in_line.append(call)
            first = first or call
        if first is None:
            return True
        first.waiting.append(Waiting(run, task, again))
        self._start_calls()
        return False

    def variables(self, run: Run, task: Task) -> dict[str, str]:
        """What the references of a task stand for, once it is `ready`; `ValueError` saying what there is not."""
        asked = self._runs.get(run.id)
        if asked is not None and (error := asked.errors.pop(task.spec.id, None)) is not None:
            raise ValueError(error[0])
        found = {}
        for name, ref in (task.spec.env_from or {}).items():
            if ref.command is not None:
                assert asked is not None
                found[name] = asked.values[tuple(ref.command)][0]
                continue
            try:
                found[name] = _read(ref)
            except ValueError as problem:
                raise ValueError(f"env_from.{name}: {problem}") from None
        return found

    def collect(self, ready: list[int]) -> None:
        """Take the answers that came in; `ready` are descriptors of which something is to be heard."""
        if self._by_fd:
            for fd in ready:
                if (call := self._by_fd.get(fd)) is not None:
                    self._hear(call)
        if self._look_again_at == NEVER:
            return
        now = time.monotonic()
        if now < self._look_again_at:
            return
        for call in list(self._by_fd.values()):
            if now >= call.give_up_at:
                call.kill()
                self._finish(call, error=f"did not answer within {call.limit_s:g} s")
        for asked in self._runs.values():
            for argv in [argv for argv, (_, until) in asked.values.items() if until <= now]:
                del asked.values[argv]
            for task in [task for task, (_, until) in asked.errors.items() if until <= now]:
                del asked.errors[task]
        self._start_calls()

    def take_released(self, at_most: int) -> list[Waiting]:
        """Some of the released tasks; from now on `variables` says why they cannot start, if they cannot."""
        taken = [self.released.popleft() for _ in range(min(at_most, len(self.released)))]
        until = time.monotonic() + ERROR_KEPT_S
        for waiting in taken:
            if waiting.error is not None and (asked := self._runs.get(waiting.run.id)) is not None:
                asked.errors[waiting.task.spec.id] = (waiting.error, until)
        return taken

    def forget(self, run: Run) -> None:
        """The run has ended or is gone: nothing of it is kept, and nobody is asked any more."""
        asked = self._runs.pop(run.id, None)
        if asked is None:
            return
        for call in asked.calls.values():
            self._leave(call)
        self._in_line = deque(call for call in self._in_line if call not in asked.calls.values())
        self.released = deque(waiting for waiting in self.released if waiting.run is not run)
        self._start_calls()

    def close(self) -> None:
        """Let go of all programs."""
        for call in list(self._by_fd.values()):
            self._leave(call)
        self._runs.clear()

    # ---- calls ---------------------------------------------------------------------------------

    def _start_calls(self) -> None:
        while self._in_line and len(self._by_fd) < self._at_once:
            call = self._in_line.popleft()
            try:
                call.start()
            except OSError as error:
                self._in_line.appendleft(call)
                if not self._by_fd:  # nobody's end would bring it up again
                    self._in_line.popleft()
                    self._finish(call, error=f"cannot be run: {error.strerror}")
                break
            self._by_fd[call.stdout] = call
            self._poller.register(call.stdout, select.EPOLLIN)
        times = [call.give_up_at for call in self._by_fd.values()]
        times += [until for asked in self._runs.values() for _, until in asked.values.values()]
        self._look_again_at = min(times, default=NEVER)

    def _hear(self, call: _Call) -> None:
        try:
            while data := os.read(call.stdout, 65_536):
                call.answer += data
        except BlockingIOError:
            return
        try:
            answer = msgspec.json.decode(call.answer)
            self._finish(call, answer.get("value"), answer.get("error"))
        except msgspec.DecodeError:
            self._finish(call, error="was ended before it answered")

    def _finish(self, call: _Call, value: str | None = None, error: str | None = None) -> None:
        self._leave(call)
        call.answer.clear()
        for asked in self._runs.values():
            if asked.calls.get(call.argv) is call:
                del asked.calls[call.argv]
                if value is not None:
                    asked.values[call.argv] = (value, time.monotonic() + KEPT_S)
        for waiting in call.waiting:
            if value is None:
                waiting.error = _told(waiting.task, call.argv, error or "")
        self.released.extend(call.waiting)
        self._start_calls()

    def _leave(self, call: _Call) -> None:
        if self._by_fd.pop(call.stdout, None) is not None:
            self._poller.unregister(call.stdout)
        call.hang_up()


def _told(task: Task, argv: Argv, error: str) -> str:
    """Why a task cannot start, naming the variable that has no value."""
    references = (task.spec.env_from or {}).items()
    name = next((name for name, ref in references if ref.command is not None and tuple(ref.command) == argv), "")
    return f"env_from.{name}: the command {os.path.basename(argv[0])} {error}"


def _read(ref: EnvRef) -> str:
    """The value of a variable or file; `ValueError` saying why there is none. A FIFO would stop everything."""
    if ref.environment is not None:
        if (value := os.environ.get(ref.environment)) is None:
            raise ValueError(f"not set in the manager's environment: {ref.environment}")
        place = ref.environment
    else:
        assert ref.file is not None
        place, value = ref.file, os.fsdecode(_read_secret(ref.file)).removesuffix("\n")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{place}: not UTF-8") from None
    if "\0" in value:
        raise ValueError(f"{place}: holds a NUL character, which cannot be passed to a process")
    return value


def _read_secret(path: str) -> bytes:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(f"{path}: not a file")
            data = file.read(MAX_VALUE_BYTES + 1)
    except OSError as problem:
        raise ValueError(f"{path}: {problem.strerror}") from None
    if len(data) > MAX_VALUE_BYTES:
        raise ValueError(f"{path}: over {MAX_VALUE_BYTES} bytes, too long for a variable")
    return data
