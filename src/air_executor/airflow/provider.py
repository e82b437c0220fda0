"""What Airflow's list of providers knows of this one."""

from __future__ import annotations

from typing import Any

from air_executor import __version__

__all__ = ["get_provider_info"]


def get_provider_info() -> dict[str, Any]:
    """The provider as Airflow's `provider_info.schema.json` describes it."""
    return {
        "package-name": "air-executor",
        "name": "Air-Executor",
        "description": "Hands work of unknown size over to Air-Executor, watches it, and takes control back.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": "Air-Executor",
                "external-doc-url": "https://pypi.org/project/air-executor/",
                "tags": ["service"],
            }
        ],
        "connection-types": [
            {"connection-type": "air_executor", "hook-class-name": "air_executor.airflow.hook.AirExecutorHook"}
        ],
        "hooks": [{"integration-name": "Air-Executor", "python-modules": ["air_executor.airflow.hook"]}],
        "operators": [{"integration-name": "Air-Executor", "python-modules": ["air_executor.airflow.operator"]}],
        "sensors": [{"integration-name": "Air-Executor", "python-modules": ["air_executor.airflow.sensor"]}],
        "triggers": [{"integration-name": "Air-Executor", "python-modules": ["air_executor.airflow.trigger"]}],
        "extra-links": ["air_executor.airflow.links.AirExecutorJobLink"],
        "task-decorators": [
            {"name": "air_executor", "class-name": "air_executor.airflow.decorator.air_executor_task"}
        ],
        "config": {
            "air_executor": {
                "description": "Where jobs are handed over when neither connection nor operator says so.",
                "options": {
                    "base_path": {
                        "description": "The folder that holds `.air-executor/` (or that folder itself); the same on "
                        "every machine that runs tasks, triggers, or a manager.",
                        "version_added": None,
                        "type": "string",
                        "example": "/srv/air-executor",
                        "default": None,
                    },
                },
            }
        },
    }
