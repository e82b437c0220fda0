"""Following one job: its events as they come, what its tasks say of themselves, and how it ends."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, get_args

from air_executor import events as ev
from air_executor.cli.output import clean
from air_executor.client import AirExecutorClient
from air_executor.errors import WaitTimeout
from air_executor.model import ENDED_STATES, STATES, Reason, TaskSpec
from air_executor.observe.progress import Progress
from air_executor.observe.said import Said, SaidByTasks
from air_executor.store.journal import JournalFollower
from air_executor.times import to_iso

__all__ = ["JobFollower", "ManagerWatch", "ended_state"]

VIEW_PATIENCE_S: Final = 5.0
"""How long after the end in the journal the views may take to show it."""


def ended_state(client: AirExecutorClient, job: str, job_id: str | None = None) -> dict[str, Any] | None:
    """The state of a job (of one run of it) that has ended and has no next run in line, else None."""
    try:
        return client.wait(job, 0, job_id=job_id)
    except WaitTimeout:
        return None


class JobFollower:
    """The progress of a job, or of one run of it, brought up to date by `look`."""

    def __init__(self, client: AirExecutorClient, job: str, job_id: str | None = None) -> None:
        self.client = client
        self.job = job
        self.job_id = job_id
        self.progress = Progress()
        self.said: Mapping[str, Said] = {}
        self.behind = False
        """Whether another run stands where the one asked for has yet to begin."""
        self._folder = client.base.existing_job(job)
        self._journal = JournalFollower(self._folder.journal)
        self._saying = SaidByTasks(self._folder)
        self._listening = False
        self._look_at_views_at = 0.0
        self._ended_since: float | None = None

    @property
    def begun(self) -> bool:
        """Whether a manager has taken the job (the run asked for) up."""
        return bool(self.progress.run_id)

    def look(self, *, whole: bool = False) -> None:
        """Read new events; not too many at a time, unless `whole`."""
        for _, event in self._journal.read(1 << 62 if whole else 8_000_000):
            if isinstance(event, ev.RunCreated):  # another run may stand before the one asked for, or follow it
                self._listening = self.job_id is None or event.id == self.job_id
                self.behind = not self._listening and not self.begun
                if self._listening:
                    self.progress = Progress()
            if self._listening:
                self.progress.add(event)

    def take_from_views(self) -> None:
        """Make do with `state.json` and `tasks.json` of a job that no manager has taken up."""
        state = self.client.get_job(self.job)
        at = to_iso(time.time())
        for task in self.client.tasks(self.job):
            spec = TaskSpec(id=clean(str(task.get("id") or "")))
            status = task.get("status")
            if status not in ("completed", "failed"):
                self.progress.add(ev.TaskQueued(at=at, task=spec))
                continue
            ended = ev.TaskImported(
                at=at,
                task=spec,
                status=status,
                reason=reason if (reason := task.get("reason")) in get_args(Reason) else None,
                error=_text(task, "error"),
                created_at=at,
            )
            self.progress.add(ended)
        progress = self.progress
        progress.state = state["state"] if state["state"] in STATES else "waiting"
        progress.reason, progress.error = _text(state, "reason"), _text(state, "error")
        progress.created_at, progress.updated_at = _text(state, "created_at") or "", _text(state, "updated_at") or ""

    def close(self) -> None:
        self._journal.close()

    def ended(self) -> dict[str, Any] | None:
        """The job's final state, once its views show it; None while it goes on."""
        now = time.monotonic()
        if not self.progress.ended:
            self._ended_since = None
        elif self._ended_since is None:
            self._ended_since = now
        if not self.progress.ended and now < self._look_at_views_at:
            return None
        self._look_at_views_at = now + 0.5
        state = ended_state(self.client, self.job, self.job_id)
        if state is None and self._ended_since is not None and now > self._ended_since + VIEW_PATIENCE_S:
            view = self.client.get_job(self.job)
            if view.get("id") == self.progress.run_id and view["state"] not in ENDED_STATES:
                # whoever should have written the views is gone; the journal is the truth
                return {**view, "state": self.progress.state, "error": self.progress.error}
        return state

    def listen(self) -> None:
        """Bring `said` up to date, as often as the size of `tasks.json` allows."""
        self.said = self._saying.look() if self.progress.running else {}


class ManagerWatch:
    """Whether a manager holds the base folder, looked up every half second."""

    def __init__(self, client: AirExecutorClient) -> None:
        self._client = client
        self._look_at = 0.0
        self.pid: int | None = None
        self.last_pid: int | None = None
        """The last manager that was there."""
        self._gone_at: float | None = None

    def look_now(self) -> None:
        """Let the next `look` look, however short ago the last was."""
        self._look_at = 0.0

    def look(self) -> int | None:
        """The manager's pid, or None."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + 0.5
            self.pid = self._client.manager_pid
            if self.pid is not None:
                self.saw(self.pid)
            elif self._gone_at is None:
                self._gone_at = now
        return self.pid

    def saw(self, pid: int) -> None:
        """Take note of a manager that is known to be there."""
        self.last_pid = pid
        self._gone_at = None

    @property
    def gone_s(self) -> float:
        """For how long there has been none."""
        return 0.0 if self._gone_at is None else time.monotonic() - self._gone_at


def _text(view: dict[str, Any], key: str) -> str | None:
    """A text of a view; where nobody has read it yet, anything may stand there."""
    value = view.get(key)
    return value if isinstance(value, str) else None
