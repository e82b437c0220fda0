"""Starting a manager as a process of its own, and hearing how that went."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from typing import Any, Final

from air_executor.errors import AirExecutorError, BaseUnusable, InvalidInput, NoManager, Refused
from air_executor.store.layout import Base
from air_executor.store.lock import manager_pid

__all__ = ["ManagerProcess", "manager_facts"]

_ERRORS: Final[dict[int, type[AirExecutorError]]] = {
    kind.exit_code: kind for kind in (InvalidInput, Refused, BaseUnusable)
}


def manager_facts(base: Base, pid: int) -> dict[str, Any]:
    """What the manager `pid` says of itself in `manager.json`; empty while it has not written it."""
    try:
        facts = json.loads(base.manager_json.read_bytes())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) and facts.get("pid") == pid else {}


class ManagerProcess:
    """A manager that was started by this process, in a session of its own so that it outlives it."""

    def __init__(self, base: Base, options: dict[str, Any], environment: dict[str, str] | None = None) -> None:
        """`options`: those of `air-executor manager`, None for not given; True for a flag. What stands in
        `environment` is not given as an option too: others could see it among the running programs."""
        base.create()
        self.base = base
        words = []
        for name, value in options.items():
            if value is not None and value is not False and f"AIR_EXECUTOR_{name.upper()}" not in (environment or {}):
                words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        # -P: a folder called air_executor in the working directory is not ours
        argv = [sys.executable, "-P", "-m", "air_executor", "manager", "--base", str(base), *words]
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        log = os.open(base.manager_log, flags, base.file_mode)
        with contextlib.suppress(PermissionError):  # made by another member of the group
            os.fchmod(log, base.file_mode)
        try:
            self._log_from = os.fstat(log).st_size
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        except OSError as error:
            raise NoManager(f"cannot start a manager: {error.strerror}") from error
        finally:
            os.close(log)
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
        words = self._last_words()
        kind = _ERRORS.get(code, NoManager)
        if kind is not NoManager and words:
            return kind(words)
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        said = f" ({words})" if words else ""
        return NoManager(
            f"the manager (pid {self.pid}) ended {how}{said}; see {self.base.manager_log}; "
            f"`air-executor start --base {self.base}` starts one that takes its jobs up"
        )

    def _last_words(self) -> str:
        try:
            with self.base.manager_log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                since = self._log_from if size >= self._log_from else 0  # it was put aside meanwhile
                file.seek(max(since, size - 8_192))
                lines = file.read().decode(errors="replace").split("\n")
        except OSError:
            return ""
        said = [line for line in lines if line.startswith("air-executor: error: ")]
        return said[-1].removeprefix("air-executor: error: ") if said else ""
