"""The trigger: waits for a job in a triggerer, among a thousand others, and fires once when it has ended."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final, Literal

from air_executor.airflow import _compat
from air_executor.airflow.visibility import Reporter, Visibility
from air_executor.airflow.waiting import PATIENCE_S, Outcome, Patience, wait_for_end
from air_executor.airflow.watch import watching
from air_executor.errors import AirExecutorError, NotFound

if TYPE_CHECKING:
    from air_executor.client import AirExecutorClient

__all__ = ["AirExecutorJobTrigger"]

KILL_S: Final = 10.0
SETTLED_S: Final = 0.8
"""No event comes sooner after the trigger began. Airflow 3.3 fails a task that goes on before its scheduler has heard
from the executor that it was deferred."""
ARGUMENTS: Final = (
    "job_name", "job_id", "air_executor_conn_id", "base_path", "poll_interval", "visibility", "cancel_on_kill",
    "lease_s", "manager", "patience_s",
)  # fmt: skip


class AirExecutorJobTrigger(_compat.BaseTrigger):
    """Fires exactly one event: `{status, job_name, job_id, state, message, progress_history}`.

    `status` is `ended` (then `state` is `completed` or `failed`), `missing` (the job was removed while it was waited
    for) or `error` (it cannot be looked at). What is shown meanwhile appears in the task's log. The last report, the
    picture and the history are left to whoever takes the event (`Reporter.end`): they are no work for a triggerer.
    """

    def __init__(  # noqa: PLR0913
        self,
        job_name: str,
        job_id: str | None = None,
        *,
        air_executor_conn_id: str | None = None,
        base_path: str | None = None,
        poll_interval: float = 0.5,
        visibility: str = "log",
        cancel_on_kill: bool = True,
        lease_s: float | None = None,
        manager: Literal["auto", "required"] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """`job_id`: wait for this run, even if another follows; else for an end with no next run in line.

        `poll_interval`: how often progress is looked at; an end is told at once. `lease_s`: renew the job's lease at
        a third of it. `manager="auto"`: start a manager where there is none for a while. `patience_s`: how long a
        server or folder may be out of reach.
        """
        super().__init__()
        self.job_name = job_name
        self.job_id = job_id
        self.air_executor_conn_id = air_executor_conn_id
        self.base_path = base_path
        self.poll_interval = poll_interval
        self.visibility = str(Visibility.parse(visibility))
        self.cancel_on_kill = cancel_on_kill
        self.lease_s = lease_s
        self.manager = manager
        self.patience_s = patience_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        kind = type(self)
        return f"{kind.__module__}.{kind.__qualname__}", {name: getattr(self, name) for name in ARGUMENTS}

    async def run(self) -> AsyncIterator[_compat.TriggerEvent]:
        began = time.monotonic()
        try:
            event = await self._wait()
        except asyncio.CancelledError:
            if not _compat.TRIGGERS_ARE_KILLED:
                await self._cancel_if_told_to()
            raise
        except (AirExecutorError, _compat.AirflowException) as error:
            event = self._event(Outcome("error", f"job {self.job_name!r} cannot be waited for: {error}"), [])
        except Exception as error:  # without an event the task would fail with a text that helps nobody
            self.log.exception("job %s cannot be waited for", self.job_name)
            event = self._event(Outcome("error", f"job {self.job_name!r} cannot be waited for: {error}"), [])
        await asyncio.sleep(began + SETTLED_S - time.monotonic())
        yield _compat.TriggerEvent(event)

    async def on_kill(self) -> None:
        """A user has ended or cleared the task: cancel the job. (Airflow 3.3 and later call this.)"""
        await self._cancel_if_told_to()

    # ---- waiting --------------------------------------------------------------------------------

    async def _client(self) -> AirExecutorClient:
        from air_executor.airflow.hook import AirExecutorHook

        return await AirExecutorHook.async_client(self.air_executor_conn_id, self.base_path)

    async def _wait(self) -> dict[str, Any]:
        client = await self._client()
        visibility = Visibility.parse(self.visibility)
        push = _compat.xcom_of(self.task_instance) if visibility.xcom else None
        reporter = Reporter(self.job_name, visibility, self.log, push, client=client, job_id=self.job_id)
        url = getattr(client, "url", None)
        patience = Patience(
            self.job_name,
            self.job_id,
            url or str(client.base),
            limit_s=self.patience_s,
            remote=url is not None,
        )
        auto = self.manager == "auto"
        async with watching(client, self.job_name, self.job_id, rest_s=self.poll_interval, keep_managed=auto) as run:
            outcome = await wait_for_end(run, client, patience, reporter, self.log, lease_s=self.lease_s)
        self.log.info("%s", outcome.message)
        return self._event(outcome, reporter.polled() if visibility.xcom else [])

    def _event(self, outcome: Outcome, history: list[dict[str, Any]]) -> dict[str, Any]:
        state = outcome.state or {}
        return {
            "status": outcome.status,
            "job_name": self.job_name,
            "job_id": self.job_id or state.get("id"),
            "state": state.get("state"),
            "message": outcome.message,
            "progress_history": history,
        }

    # ---- the task was ended ---------------------------------------------------------------------

    async def _cancel_if_told_to(self) -> None:
        """Cancel the job unless the task still waits: then another triggerer has taken the trigger over, or this one
        is being shut down."""
        if not self.cancel_on_kill or self.task_instance is None:
            return
        try:
            async with asyncio.timeout(KILL_S):
                if await self._task_waits():
                    return
                client = await self._client()
                await asyncio.to_thread(_cancel, client, self.job_name, self.job_id)
        except (AirExecutorError, _compat.AirflowException, TimeoutError) as error:
            self.log.warning("job %s could not be cancelled: %s", self.job_name, error or "no answer in time")
        else:
            self.log.info("job %s is cancelled, since its task was ended or cleared", self.job_name)

    async def _task_waits(self) -> bool:
        try:
            return await asyncio.to_thread(_compat.state_of_task, self.task_instance) == "deferred"
        except Exception as error:  # of a database, or of the way to one
            self.log.warning("the state of the task cannot be asked for: %s", error)
            return not _compat.TRIGGERS_ARE_KILLED


def _cancel(client: AirExecutorClient, job: str, run: str | None) -> None:
    with contextlib.suppress(NotFound):
        client.cancel(job, job_id=run)
