"""The link from a task of Airflow to the job that it handed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from air_executor.airflow._compat import AIRFLOW, AIRFLOW_3, AirflowException, BaseOperatorLink, conf
from air_executor.airflow.hook import AirExecutorHook
from air_executor.airflow.naming import job_name, shortened

if TYPE_CHECKING:
    from air_executor.airflow._compat import BaseOperator

__all__ = ["PREFIX", "RUN_ROUTE", "TASK_ROUTE", "AirExecutorJobLink", "address_of"]

PREFIX: Final = "air-executor"
"""Where our pages stand, below Airflow's base URL."""
RUN_ROUTE: Final = "air-executor-jobs"
TASK_ROUTE: Final = "air-executor-job"
"""Tabs of Airflow's pages on DAG runs and task instances."""


class AirExecutorJobLink(BaseOperatorLink):
    """The button on the task's page. From 3.1 on the tab beside it shows the same, from the first moment."""

    name = "Air-Executor job"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Where the connection says that people see the jobs; else the page inside Airflow."""
        place = (ti_key.dag_id, ti_key.run_id, ti_key.task_id, ti_key.map_index)
        return _elsewhere(operator, place) or address_of(*place)


def _elsewhere(operator: Any, place: tuple[str, str, str, int]) -> str | None:
    """The dashboard that the operator's connection names. The page inside Airflow knows the default one only."""
    conn_id = getattr(operator, "air_executor_conn_id", None)  # 2.10 asks with an operator that has lost it
    if conn_id is None or getattr(operator, "base_path", None):
        return None
    hook = AirExecutorHook(conn_id)
    try:
        url = hook.given_dashboard_url if conn_id == hook.default_conn_name else hook.dashboard_url
    except AirflowException:
        return None
    name = getattr(operator, "job_name", None)
    job = shortened(name) if name else job_name(*place)
    return None if url is None else f"{url.rstrip('/')}/#/jobs/{quote(job, safe='')}/grid"


def address_of(dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
    """Where Airflow's web interface shows the job of a task instance."""
    root = conf.get("api" if AIRFLOW_3 else "webserver", "base_url", fallback=None) or ""
    root = root.rstrip("/")
    asked = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    if not AIRFLOW_3:
        return f"{root}/{PREFIX}/of?{urlencode(asked)}"
    if AIRFLOW < (3, 1):
        return f"{root}/{PREFIX}/#/handed-in?{urlencode(asked)}"
    mapped = f"/mapped/{map_index}" if map_index >= 0 else ""
    dag, run, task = (quote(part, safe="") for part in (dag_id, run_id, task_id))
    return f"{root}/dags/{dag}/runs/{run}/tasks/{task}{mapped}/plugin/{TASK_ROUTE}"
