"""The names of Airflow that moved between 2.10 and 3.x, from where each version has them.

No other file asks for the version.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any, Final

from airflow.triggers.base import BaseTrigger, TriggerEvent


def _version() -> tuple[int, int]:
    """Major and minor version. Asked of the installed package: to ask `airflow.version` would load the settings."""
    for package in ("apache-airflow-core", "apache-airflow"):
        try:
            major, minor, *_ = metadata.version(package).split(".")
        except metadata.PackageNotFoundError:
            continue
        return int(major), int(minor)
    raise ImportError(
        "Airflow is not installed in this environment; air_executor.airflow runs inside one (2.10 or 3.x)"
    )


AIRFLOW: Final = _version()
AIRFLOW_3: Final = AIRFLOW >= (3, 0)

if AIRFLOW_3:
    from airflow.sdk import (
        Asset,
        BaseHook,
        BaseOperator,
        BaseOperatorLink,
        BaseSensorOperator,
        Connection,
        PokeReturnValue,
        Variable,
        conf,
    )
    from airflow.sdk.bases.decorator import DecoratedOperator, task_decorator_factory
    from airflow.sdk.definitions.context import KNOWN_CONTEXT_KEYS
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSensorTimeout,
        AirflowSkipException,
        AirflowTaskTimeout,
    )
else:
    from airflow.configuration import conf
    from airflow.datasets import Dataset as Asset
    from airflow.decorators.base import DecoratedOperator, task_decorator_factory
    from airflow.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSensorTimeout,
        AirflowSkipException,
        AirflowTaskTimeout,
    )
    from airflow.hooks.base import BaseHook
    from airflow.models import BaseOperator, Connection, Variable
    from airflow.models.baseoperatorlink import BaseOperatorLink
    from airflow.sensors.base import BaseSensorOperator, PokeReturnValue
    from airflow.utils.context import KNOWN_CONTEXT_KEYS

TRIGGERS_ARE_KILLED: Final = hasattr(BaseTrigger, "on_kill")
"""Whether a trigger is told that a user cleared, failed or ended its task; else only a lease ends the job."""

__all__ = [
    "AIRFLOW",
    "AIRFLOW_3",
    "KNOWN_CONTEXT_KEYS",
    "TRIGGERS_ARE_KILLED",
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "Asset",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "BaseSensorOperator",
    "BaseTrigger",
    "Connection",
    "DecoratedOperator",
    "PokeReturnValue",
    "TriggerEvent",
    "Variable",
    "conf",
    "gauge",
    "incr",
    "state_of_task",
    "task_decorator_factory",
    "xcom_of",
]


def _stats() -> Any:
    # 2.10 and 3.0 have the object only; later versions have functions of the same names in the SDK.
    try:
        from airflow.sdk.observability import stats
    except ImportError:
        from airflow.stats import Stats

        return Stats
    _begin(stats)
    return stats


def _begin(stats: Any) -> None:
    """Only a task's process sets up the SDK's metrics; in a triggerer they would be sent nowhere."""
    inner = sys.modules[stats.gauge.__module__]
    if getattr(inner, "_factory", inner) is None:
        from airflow.sdk.observability.metrics import stats_utils

        legacy = conf.getboolean("metrics", "legacy_names_on", fallback=True)
        stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=legacy)


def gauge(name: str, value: float, tags: dict[str, str]) -> None:
    """Set a gauge of Airflow's metrics, wherever they are sent."""
    _stats().gauge(name, value, tags=tags)


def incr(name: str, tags: dict[str, str]) -> None:
    """Count one up in Airflow's metrics."""
    _stats().incr(name, tags=tags)


def xcom_of(task_instance: Any) -> Callable[[str, Any], None] | None:
    """What sets an XCom of a task that a trigger waits for; blocks, so not for an event loop. None: of no task."""
    if task_instance is None:
        return None
    if AIRFLOW_3:
        from airflow.sdk.execution_time.xcom import XCom
    else:
        from airflow.models import XCom
    ti = task_instance
    place = {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": ti.map_index}

    def push(key: str, value: Any) -> None:
        XCom.set(key, value, **place)

    return push


def state_of_task(task_instance: Any) -> str | None:
    """The state that Airflow has a task in, asked anew; None for none. Blocks, so not for an event loop."""
    ti = task_instance
    if not AIRFLOW_3:
        from airflow.models import TaskInstance
        from airflow.utils.session import create_session

        with create_session() as session:
            key = {name: getattr(ti, name) for name in ("dag_id", "task_id", "run_id", "map_index")}
            found = session.query(TaskInstance.state).filter_by(**key).scalar()
        return None if found is None else str(found)
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    # without the index in the question: the answer names a mapped task by it
    states = RuntimeTaskInstance.get_task_states(dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id])
    name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}_{ti.map_index}"
    found = states.get(ti.run_id, {}).get(name)
    return None if found is None else str(found)
