"""Starting a manager as a process of its own: for a command that stays with it, or for whoever needs one somewhere.

`ensure_manager` is for programs that hand jobs over and must not have to think of managers: the one it starts is
nobody's child, stays as long as there is work, and then goes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from air_executor.errors import AirExecutorError, BaseUnusable, InvalidInput, NoManager, Refused
from air_executor.settings import OBSERVING, load_settings
from air_executor.store.layout import Base
from air_executor.store.lock import manager_pid

__all__ = ["ManagerProcess", "ensure_manager", "manager_facts"]

LINGER_S: Final = 10.0
READY_S: Final = 60.0
LOOK_S: Final = 0.02
OF_ONE_AIRFLOW_TASK: Final = ("AIRFLOW_CTX_", "__AIRFLOW_", "_AIRFLOW_")
"""Beginnings of variables that tell about the Airflow task that happens to need a manager first."""
_ERRORS: Final[dict[int, type[AirExecutorError]]] = {
    kind.exit_code: kind for kind in (InvalidInput, Refused, BaseUnusable)
}
_IN_BACKGROUND: Final = '"$@" >&2 & echo $!'
"""The shell ends at once, so that the manager is nobody's child: no caller waits for it, or ends it with his own."""


def ensure_manager(
    base: Base | str | os.PathLike[str],
    *,
    environment: Mapping[str, str] | None = None,
    linger_s: float = LINGER_S,
    **settings: Any,
) -> int | None:
    """See to it that a manager holds `base`, and give its pid; start one that ends by itself where there is none.

    That one ends when no job has had anything to do for `linger_s` seconds. It outlives the caller, and logs to
    `manager.log`. `settings` are its options (`slots=4`); without effect where a manager is at work already. It gets
    this process's environment, or `environment` without what belongs to one Airflow task only. Any number of callers
    may ask at once. None: it found nothing to do and has gone again. `NoManager` says why there could be none.
    """
    folder = base if isinstance(base, Base) else Base(base)
    if (pid := manager_pid(folder)) is not None:
        return pid
    folder.create()
    load_settings(folder.config, settings)  # a bad setting is told here, not in a log
    env = dict(os.environ)
    if environment is not None:
        env = {name: value for name, value in environment.items() if not name.startswith(OF_ONE_AIRFLOW_TASK)}
    kept_quiet = {f"AIR_EXECUTOR_{n.upper()}": str(settings[n]) for n in OBSERVING if settings.get(n) is not None}
    env.update(kept_quiet)
    command = _command(folder, {**settings, "until_idle": True, "linger": linger_s}, kept_quiet)
    deadline = time.monotonic() + READY_S
    with _turn_to_start(folder, deadline) as has_turn:
        if not has_turn:
            return manager_pid(folder)  # whoever had it started one
        started = _Detached(folder, command, env)
        pid = started.wait(deadline)
    if pid is None and not started.was_at_work:
        why = started.said or "it said nothing"
        raise NoManager(f"a manager was started but has ended ({why}); see {folder.manager_log}")
    return pid


@contextlib.contextmanager
def _turn_to_start(base: Base, deadline: float) -> Iterator[bool]:
    """Let one caller at a time start a manager; False as soon as somebody else's holds the folder."""
    path = base.runtime / "starting.lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, base.file_mode)
    except OSError as error:
        raise BaseUnusable(f"cannot open {path}: {error.strerror}") from error
    try:
        with contextlib.suppress(PermissionError):  # made by another member of the group
            os.fchmod(fd, base.file_mode)
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of this descriptor, so threads take turns too
                free = True
            except BlockingIOError:
                free = False
            if manager_pid(base) is not None:
                yield False
                return
            if free:
                yield True
                return
            if time.monotonic() > deadline:
                raise NoManager(f"another process has been starting a manager on {base} for {READY_S:g} s")
            time.sleep(LOOK_S)
    finally:
        os.close(fd)


def manager_facts(base: Base, pid: int) -> dict[str, Any]:
    """What the manager `pid` says of itself in `manager.json`; empty while it has not written it."""
    try:
        facts = json.loads(base.manager_json.read_bytes())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) and facts.get("pid") == pid else {}


def _command(base: Base, options: Mapping[str, Any], environment: Mapping[str, str]) -> list[str]:
    """`options`: those of `air-executor manager`, None for not given; True for a flag. What stands in
    `environment` is not given as an option too: others could see it among the running programs."""
    words = []
    for name, value in options.items():
        if value is not None and value is not False and f"AIR_EXECUTOR_{name.upper()}" not in environment:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    # -P: a folder called air_executor in the working directory is not ours
    return [sys.executable, "-P", "-m", "air_executor", "manager", "--base", str(base), *words]


class _Log:
    """`manager.log`, and what was added to it since."""

    def __init__(self, base: Base) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self.path = base.manager_log
        try:
            self.fd = os.open(self.path, flags, base.file_mode)
        except OSError as error:
            raise BaseUnusable(f"cannot open {self.path}: {error.strerror}") from error
        with contextlib.suppress(PermissionError):  # made by another member of the group
            os.fchmod(self.fd, base.file_mode)
        self._from = os.fstat(self.fd).st_size

    def close(self) -> None:
        os.close(self.fd)

    def lines(self) -> list[str]:
        """The last lines that were written since."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                since = self._from if size >= self._from else 0  # it was put aside meanwhile
                file.seek(max(since, size - 8_192))
                return file.read().decode(errors="replace").split("\n")
        except OSError:
            return []

    def last_words(self) -> str:
        """The error that a manager ended with; empty when it told none."""
        said = [line for line in self.lines() if line.startswith("air-executor: error: ")]
        return said[-1].removeprefix("air-executor: error: ") if said else ""


class _Detached:
    """A manager that is nobody's child. How it ended can only be read in its log."""

    def __init__(self, base: Base, command: list[str], environment: Mapping[str, str]) -> None:
        self._base = base
        self._log = _Log(base)
        try:
            done = subprocess.run(
                ["/bin/sh", "-c", _IN_BACKGROUND, "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._log.fd,
                start_new_session=True,
                cwd=base.parent,
                env=environment,
                check=True,
            )
            self.pid = int(done.stdout)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise NoManager(f"cannot start a manager: {getattr(error, 'strerror', None) or error}") from error
        finally:
            self._log.close()

    def wait(self, deadline: float) -> int | None:
        """The pid of the manager that holds the folder; None when this one has ended and no other does."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return manager_pid(self._base)
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            while True:
                ended = bool(poll.poll(0))
                if (pid := manager_pid(self._base)) is not None or ended:
                    return pid
                if time.monotonic() > deadline:
                    raise NoManager(
                        f"the manager (pid {self.pid}) that was started on {self._base} does not take it; "
                        f"see {self._base.manager_log}"
                    )
                poll.poll(LOOK_S * 1_000)
        finally:
            os.close(pidfd)

    @property
    def was_at_work(self) -> bool:
        """Whether it has held the folder."""
        return any(f" manager {self.pid} on " in line for line in self._log.lines())

    @property
    def said(self) -> str:
        """Why it ended: its last words, or whatever it wrote last."""
        return self._log.last_words() or next((line for line in reversed(self._log.lines()) if line.strip()), "")


class ManagerProcess:
    """A manager that is a child of this process, in a session of its own so that it outlives it."""

    def __init__(self, base: Base, options: dict[str, Any], environment: dict[str, str] | None = None) -> None:
        """`options` and `environment` (beside this process's own): as `_command` takes them."""
        base.create()
        self.base = base
        self._log = _Log(base)
        try:
            self._process = subprocess.Popen(
                _command(base, options, environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=self._log.fd,
                stderr=self._log.fd,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        except OSError as error:
            raise NoManager(f"cannot start a manager: {error.strerror}") from error
        finally:
            self._log.close()
        self.pid = self._process.pid

    def ended(self) -> int | None:
        """The exit code, negative for a signal; None while it lives."""
        return self._process.poll()

    def wait(self, timeout: float) -> None:
        """Return when it has ended, or after `timeout` seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)

    @property
    def ready(self) -> bool:
        """Whether it holds the base folder and takes requests."""
        return manager_pid(self.base) == self.pid and bool(manager_facts(self.base, self.pid))

    def wait_until_ready(self, timeout: float) -> bool:
        """True when it is ready, False if that takes longer than `timeout`; its own error if it ended."""
        deadline = time.monotonic() + timeout
        while not self.ready:
            if (code := self.ended()) is not None:
                raise self.error(code)
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def error(self, code: int) -> AirExecutorError:
        """What it died of, in its own last words."""
        words = self._log.last_words()
        kind = _ERRORS.get(code, NoManager)
        if kind is not NoManager and words:
            return kind(words)
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        said = f" ({words})" if words else ""
        return NoManager(
            f"the manager (pid {self.pid}) ended {how}{said}; see {self.base.manager_log}; "
            f"`air-executor start --base {self.base}` starts one that takes its jobs up"
        )
