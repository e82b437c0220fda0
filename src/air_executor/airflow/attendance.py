"""Seeing to it that a manager works on the base folder while a job is waited for, and saying so when none does."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

from air_executor.airflow._compat import AirflowException
from air_executor.errors import AirExecutorError
from air_executor.model import ENDED_STATES

if TYPE_CHECKING:
    from air_executor.client import AirExecutorClient

__all__ = ["Attendance", "Managers"]

Managers = Literal["auto", "required"]

LOOK_S: Final = 1.0
GONE_S: Final = 5.0
"""So long no manager may be there before another is started, or the job is given up."""
PICK_UP_S: Final = 30.0
"""So long a manager that cannot be seen from here may take to begin a job."""


class Attendance:
    """Looks after the manager of one job.

    `auto`: where no manager works on the folder one is started, on this machine, that goes when nothing is left
    to do. `required`: that somebody else runs one is taken for granted, and an error where it is not so.
    Of a server's manager only the server can tell; nothing is started there.
    """

    def __init__(
        self, client: AirExecutorClient, job_name: str, manager: Managers, log: logging.Logger, url: str | None = None
    ) -> None:
        """`url`: of the server, where jobs go to one."""
        self._client = client
        self._job_name = job_name
        self._auto = manager == "auto"
        self._log = log
        self._url = url
        self._look_at = 0.0
        self._gone_since: float | None = None
        self._unseen_since: float | None = None

    def begin(self) -> None:
        """Called before the job is handed over; a folder's manager may be started later (`look`)."""
        if self._url is not None:
            self._begin_remote()
        elif not self._auto and self._pid() is None:
            host = self._elsewhere()
            if host is None:
                raise AirflowException(self._no_manager())
            self._watch_pick_up(host)

    def take_up(self) -> None:
        """Called once the job is handed over: from now on somebody has to work on it."""
        if self._url is None and self._auto and self._pid() is None:
            host = self._elsewhere()
            if host is None:
                self._start()
            else:
                self._watch_pick_up(host)

    def settle(self, look: Callable[[], dict[str, Any] | None]) -> None:
        """Called before nobody looks any more: returns when the job was begun, where that is in doubt."""
        while self._unseen_since is not None and not self._is_begun(state := look()):
            self.look(state)
            time.sleep(0.2)

    def look(self, state: dict[str, Any] | None) -> None:
        """Called at each poll. `AirflowException` when the job would be waited for in vain."""
        now = time.monotonic()
        if self._url is not None or now < self._look_at:
            return
        self._look_at = now + LOOK_S
        if self._pid() is not None:
            self._gone_since = self._unseen_since = None
        elif self._unseen_since is not None:
            self._look_for_pick_up(state, now)
        elif self._gone_since is None:
            self._gone_since = now
        elif now - self._gone_since >= GONE_S:
            self._gone_since = None
            if not self._auto:
                raise AirflowException(self._no_manager())
            self._log.warning("no manager works on %s any more", self._client.base)
            self._start()

    # ---- a folder ------------------------------------------------------------------------------

    def _pid(self) -> int | None:
        try:
            return self._client.manager_pid
        except AirExecutorError as error:
            raise AirflowException(str(error)) from None

    def _start(self) -> None:
        from air_executor.private_manager import ensure_manager

        try:
            pid = ensure_manager(self._client.base, environment=os.environ)
        except AirExecutorError as error:
            raise AirflowException(
                f"no manager works on {self._client.base}, and none can be started: {error}"
            ) from None
        if pid is not None:
            self._log.info("started manager %d on %s; it goes when nothing is left to do", pid, self._client.base)

    def _elsewhere(self) -> str | None:
        """The other machine whose manager wrote `manager.json`, if there is one."""
        try:
            host = json.loads(self._client.base.manager_json.read_bytes())["host"]
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return host if isinstance(host, str) and host != os.uname().nodename else None

    def _watch_pick_up(self, host: str) -> None:
        self._log.info(
            "the manager of %s is said to work on %s; its lock cannot be seen here", self._client.base, host
        )
        self._unseen_since = time.monotonic()

    def _look_for_pick_up(self, state: dict[str, Any] | None, now: float) -> None:
        """Whether a manager that cannot be seen from here begins the job."""
        assert self._unseen_since is not None
        if self._is_begun(state):
            self._unseen_since = now
        elif now - self._unseen_since >= PICK_UP_S:
            self._unseen_since = None
            if not self._auto:
                raise AirflowException(
                    f"nobody began job {self._job_name!r} within {PICK_UP_S:.0f} s: the manager of "
                    f"{self._client.base} is said to run on {self._elsewhere()}; what {os.uname().nodename} sees "
                    "there is probably another folder of that name: share it, or use a server (`air-executor serve`)"
                )
            self._log.warning("nobody began job %r within %d s", self._job_name, PICK_UP_S)
            self._start()

    def _is_begun(self, state: dict[str, Any] | None) -> bool:
        try:
            if state is None:  # it waits for another run of the job to end
                return self._client.get_job(self._job_name)["state"] not in ENDED_STATES
            return self._client.base.job(self._job_name).journal.exists()
        except AirExecutorError:
            return False

    def _no_manager(self) -> str:
        base = self._client.base
        return (
            f"no manager works on {base} (asked on {os.uname().nodename}); `air-executor start --base {base}` starts "
            'one, or let manager="auto" do it. If one runs on another machine, this is not the folder it works on'
        )

    # ---- a server ------------------------------------------------------------------------------

    def _begin_remote(self) -> None:
        try:
            pid = self._client.manager_pid
        except AirExecutorError as error:
            raise AirflowException(str(error)) from None
        if pid is None:
            text = f"no manager works on the base folder of {self._url}; run `air-executor start` on its machine"
            if not self._auto:
                raise AirflowException(text)
            self._log.warning(text)
