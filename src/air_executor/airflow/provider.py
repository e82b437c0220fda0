"""What Airflow's list of providers knows of this one."""

from __future__ import annotations

from typing import Any, Final

from air_executor import __version__

__all__ = ["EXTRA_FIELDS", "FIELD_BEHAVIOUR", "get_provider_info"]

EXTRA_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "base_path": {
        "label": "Base folder",
        "description": "The folder jobs are handed over in, the same on all machines; empty for a server.",
        "schema": {"type": ["string", "null"]},
    },
    "dashboard_url": {
        "label": "Dashboard URL",
        "description": "Where people see the jobs; links lead there. Empty: the server, or the page inside Airflow.",
        "schema": {"type": ["string", "null"]},
    },
    "airflow_python": {
        "label": "Airflow's interpreter",
        "description": "On the manager's machine, to read connections and variables for tasks there; "
        "empty: the same path as here.",
        "schema": {"type": ["string", "null"]},
    },
}
FIELD_BEHAVIOUR: Final[dict[str, Any]] = {
    "hidden-fields": ["login"],
    "relabeling": {"host": "Folder or server", "password": "Token", "schema": "Scheme"},
    "placeholders": {
        "host": "/srv/air-executor, or https://jobs.example.org",
        "port": "5001",
        "schema": "http or https",
        "password": "of a server: what `air-executor serve --token-file` reads",
    },
}
"""How the form of a connection shows its fields."""


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
                "tags": ["service"],
            }
        ],
        "connection-types": [
            {
                "connection-type": "air_executor",
                "hook-class-name": "air_executor.airflow.hook.AirExecutorHook",
                "hook-name": "Air-Executor",
                "conn-fields": EXTRA_FIELDS,
                "ui-field-behaviour": FIELD_BEHAVIOUR,
            }
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
