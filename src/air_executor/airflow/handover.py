"""Handing a job over so that no retry ever doubles work: which run is meant, and whether it has to be made."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from air_executor.airflow.owner import Owner, origin_of
from air_executor.errors import BaseUnusable, NotFound, Refused, WaitTimeout
from air_executor.model import ENDED_STATES

if TYPE_CHECKING:
    from air_executor.client import AirExecutorClient

__all__ = ["HandOver", "OnRetry", "look_at"]

OnRetry = Literal["retry_failed", "resume", "restart"]

STOPPING_S: Final = 60.0
"""So long a job of an earlier try that is being cancelled may take to end."""


def look_at(client: AirExecutorClient, job_name: str, job_id: str | None) -> dict[str, Any] | None:
    """The state of that run of a job, also of one that another has followed; None when there is none, or not yet.

    `NotFound` when there is no job of that name.
    """
    state = client.get_job(job_name)
    if job_id is None or state.get("id") == job_id:
        return state
    try:
        return client.wait(job_name, 0, job_id=job_id)
    except WaitTimeout:
        return None


@dataclass
class HandOver:
    """A job as one try of a task instance finds it or makes it.

    The ids of its runs are known beforehand (`Owner.job_id`), and the manager takes a run of an id once. So it does
    not matter whether an earlier try had handed its run over when it was killed, whether the manager had seen it,
    or whether two tries do this at once.
    """

    client: AirExecutorClient
    owner: Owner
    job_name: str
    on_retry: OnRetry = "retry_failed"
    job_id: str = ""
    """The run that is meant, as soon as it is known."""
    attached: bool = False
    """Whether an earlier try had handed it over and it was under way."""

    def begin(self, submit: Callable[[str], None]) -> str:
        """Find the run, or make it by calling `submit` with its id; says in words what was done."""
        self._leave_cleared()
        nth, state = self._newest()
        if state is not None and state["state"] not in ENDED_STATES:
            if state.get("stopping") != "cancelled":
                self.attached = True
                return "under way since an earlier try"
            state = self._wait_for_end()
        if state is not None:
            if (done := self._done_with(state)) is not None:
                return done
            nth += 1
        self.job_id = self.owner.job_id(nth)
        submit(self.job_id)
        return "handed over"

    def look(self) -> dict[str, Any] | None:
        """The state of the run; None while it waits for its turn. `NotFound` when the job's folder is gone."""
        return look_at(self.client, self.job_name, self.job_id)

    def end(self) -> dict[str, Any] | None:
        """The state of the run when it has ended and nobody has asked for more of it; else None."""
        try:
            return {**self.client.wait(self.job_name, 0, job_id=self.job_id), "name": self.job_name}
        except WaitTimeout:
            return None

    def cancel(self, within_s: float) -> str:
        """Ask for the run to be cancelled and wait until that was heard, for `within_s` at most; says how it went."""
        if not self.job_id:
            return "nothing had been handed over"
        deadline = time.monotonic() + within_s
        try:
            if self.end() is not None:
                return f"job {self.job_name!r} had ended"
            # Where another run is under way ours waits for it, and the request waits behind ours.
            self.client.cancel(self.job_name, job_id=self.job_id)
            while time.monotonic() < deadline:
                state = self.look()
                if state is not None and (state["state"] in ENDED_STATES or state.get("stopping")):
                    return f"job {self.job_name!r} is being cancelled"
                time.sleep(0.05)
        except NotFound:
            return f"job {self.job_name!r} is gone"
        except Refused:
            return f"job {self.job_name!r} had ended"
        return f"job {self.job_name!r} is to be cancelled as soon as a manager works on it"

    # ---- which run -----------------------------------------------------------------------------

    def _newest(self) -> tuple[int, dict[str, Any] | None]:
        """The newest run there is of those whose ids are known, and which one it is; (0, None) when there is none."""
        nth, newest = 0, None
        while True:
            self.job_id = self.owner.job_id(nth)
            state = self._state()
            if state is None:
                break
            nth, newest = nth + 1, state
        nth = max(0, nth - 1)
        self.job_id = self.owner.job_id(nth)
        return nth, newest

    def _state(self) -> dict[str, Any] | None:
        try:
            return self.look()
        except (NotFound, BaseUnusable):  # the folder may be made with the first job; else handing over tells why
            return None

    def _done_with(self, state: dict[str, Any]) -> str | None:
        """What to do about a run that has ended; None: a new one is to be made."""
        origin = origin_of(state)
        if origin.get("try_number") == self.owner.try_number:
            return None  # no retry: `dag.test()` at the same date once more
        if state["state"] == "completed":
            return "completed since an earlier try"
        if self.on_retry == "restart":
            return None
        if self.on_retry == "resume":
            return "failed at an earlier try, and that stands (on_retry='resume')"
        if not state.get("progress", {}).get("failed"):
            return None  # nothing of it can be tried again: it could not be understood, or stopped before it began
        try:
            if self.client.get_job(self.job_name).get("id") != self.job_id:
                return None  # another run has followed, and that cannot be undone
            self.client.retry(self.job_name)
        except Refused:
            return None
        return "its failed tasks get another go"

    def _leave_cleared(self) -> None:
        """A run from before the task was cleared: whoever cleared it wants a new one."""
        try:
            state = self.client.get_job(self.job_name)
        except (NotFound, BaseUnusable):
            return
        if state["state"] in ENDED_STATES or not self.owner.owns(state):
            return
        origin = origin_of(state)
        was = (origin.get("max_tries"), origin.get("begun_at"))
        if was != (self.owner.max_tries, self.owner.begun_at):
            with contextlib.suppress(Refused):  # it has ended meanwhile
                self.client.cancel(self.job_name, job_id=state.get("id"))

    def _wait_for_end(self) -> dict[str, Any] | None:
        """How the run that is being cancelled ended; None when it is gone."""
        deadline = time.monotonic() + STOPPING_S
        while True:
            state = self._state()
            if state is None or state["state"] in ENDED_STATES:
                return state
            if time.monotonic() > deadline:
                raise Refused(
                    f"job {self.job_name!r} of an earlier try was cancelled {STOPPING_S:.0f} s ago and has not ended"
                )
            time.sleep(0.1)
