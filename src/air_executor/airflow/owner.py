"""Which task instance a job belongs to, and which of its runs is whose: what makes retries safe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from air_executor.airflow import naming

__all__ = ["Owner", "origin_of"]


@dataclass(frozen=True)
class Owner:
    """A task instance at one of its tries."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    max_tries: int
    begun_at: str
    """When the DAG run began; another time when a finished one was cleared, or replaced by one of the same id."""

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> Owner:
        """The task instance that is being executed."""
        ti, dag_run = context["ti"], context["dag_run"]
        begun: datetime | None = getattr(dag_run, "start_date", None)
        map_index = ti.map_index
        return cls(
            dag_id=ti.dag_id,
            run_id=ti.run_id,
            task_id=ti.task_id,
            map_index=-1 if map_index is None else map_index,
            try_number=ti.try_number,
            max_tries=ti.max_tries,
            begun_at="" if begun is None else begun.astimezone(UTC).isoformat(timespec="microseconds"),
        )

    @property
    def job_name(self) -> str:
        """What its job is called unless the operator says otherwise."""
        return naming.job_name(self.dag_id, self.run_id, self.task_id, self.map_index)

    def job_id(self, nth: int) -> str:
        """The id of its `nth` run (from 0) since it was last cleared; whoever asks gets the same.

        Clearing changes `max_tries`, or makes the DAG run begin anew: that is another row of runs. Only for 2.10 a
        task that is cleared while it runs is the same one at its next try.
        """
        me = (self.dag_id, self.run_id, self.task_id, self.map_index)
        return naming.job_id(self.begun_at, *me, self.max_tries, nth)

    def origin(self, conn_id: str | None) -> dict[str, Any]:
        """What the job keeps about where it came from."""
        return {
            "airflow": {
                "dag_id": self.dag_id,
                "run_id": self.run_id,
                "task_id": self.task_id,
                "map_index": self.map_index,
                "try_number": self.try_number,
                "max_tries": self.max_tries,
                "conn_id": conn_id,
                "begun_at": self.begun_at,
            }
        }

    def owns(self, state: Mapping[str, Any]) -> bool:
        """Whether a job was handed over by this task instance, at whatever try."""
        origin = origin_of(state)
        mine = {"dag_id": self.dag_id, "run_id": self.run_id, "task_id": self.task_id, "map_index": self.map_index}
        return all(origin.get(key) == value for key, value in mine.items())


def origin_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """What a job's state says of the task instance that handed it over; empty when it was none."""
    origin = state.get("origin")
    found = origin.get("airflow") if isinstance(origin, dict) else None
    return found if isinstance(found, dict) else {}
