"""The provider for Airflow 2.10 and 3.x: hand a job of unknown size over, watch it, take control back.

    from air_executor.airflow import AirExecutorJobOperator, AirExecutorJobSensor

Nothing of Airflow is imported before one of these is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from air_executor.airflow.hook import AirExecutorHook as AirExecutorHook
    from air_executor.airflow.operator import AirExecutorJobOperator as AirExecutorJobOperator
    from air_executor.airflow.sensor import AirExecutorJobSensor as AirExecutorJobSensor
    from air_executor.airflow.trigger import AirExecutorJobTrigger as AirExecutorJobTrigger

_HOMES = {
    "AirExecutorHook": "hook",
    "AirExecutorJobOperator": "operator",
    "AirExecutorJobSensor": "sensor",
    "AirExecutorJobTrigger": "trigger",
}

__all__ = ["AirExecutorHook", "AirExecutorJobOperator", "AirExecutorJobSensor", "AirExecutorJobTrigger"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
