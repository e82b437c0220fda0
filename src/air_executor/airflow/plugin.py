"""What Airflow's own web interface gets from us: a page in the navigation, tabs on DAG runs and task instances.

This module is imported by every process of Airflow, so it imports nothing but names; what serves the page is
made when a web server asks for it. Where the guards cannot be made, what is served refuses everything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from air_executor.airflow._compat import AIRFLOW, AIRFLOW_3
from air_executor.airflow.links import PREFIX, RUN_ROUTE, TASK_ROUTE
from air_executor.airflow.ui.refusal import Refusal

__all__ = ["AirExecutorPlugin"]

log = logging.getLogger(__name__)


class _WhenAsked:
    """An attribute of a class whose value is made when it is read first."""

    def __init__(self, make: Callable[[], list[Any]]) -> None:
        self._make = make
        self._made: list[Any] | None = None

    def __get__(self, _: object, owner: type) -> list[Any]:
        if self._made is None:
            self._made = self._make()
        return self._made


def _fastapi_apps() -> list[Any]:
    app: Any
    try:
        from air_executor.airflow.ui.dashboard import Dashboard
        from air_executor.airflow.ui.guards import guarded

        app = guarded(Dashboard())
    except Exception:
        log.exception("The dashboard of Air-Executor is refused to everybody: its guards cannot be made")
        app = Refusal()
    return [{"app": app, "url_prefix": f"/{PREFIX}", "name": "Air-Executor"}]


def _appbuilder_views() -> list[Any]:
    try:
        from air_executor.airflow.ui.view import JobsView
    except Exception:
        log.exception("The view of Air-Executor is left out: its guards cannot be made")
        return []
    return [{"name": "Air-Executor", "category": "Browse", "view": JobsView()}]


def _external_views() -> list[dict[str, Any]]:
    """Addresses are relative to Airflow's base URL. What stands after `#` is filled in by Airflow, encoded."""
    run = f"{PREFIX}/#/handed-in?dag_id={{DAG_ID}}&run_id={{RUN_ID}}"
    icons = {"icon": f"{PREFIX}/airflow-icon.svg", "icon_dark_mode": f"{PREFIX}/airflow-icon-dark.svg"}
    return [
        {
            "name": "Air-Executor",
            "href": f"{PREFIX}/#/",
            "destination": "nav",
            "category": "browse",
            "url_route": PREFIX,
            **icons,
        },
        {
            "name": "Air-Executor",
            "href": run,
            "destination": "dag_run",
            "url_route": RUN_ROUTE,
            **icons,
        },
        {
            "name": "Air-Executor",
            "href": f"{run}&task_id={{TASK_ID}}&map_index={{MAP_INDEX}}",
            "destination": "task_instance",
            "url_route": TASK_ROUTE,
            **icons,
        },
    ]


class AirExecutorPlugin(AirflowPlugin):
    """Registered by the entry point `airflow.plugins`."""

    name = "air_executor"
    if AIRFLOW_3:
        fastapi_apps = _WhenAsked(_fastapi_apps)
        if AIRFLOW >= (3, 1):
            external_views = _external_views()
    else:
        appbuilder_views = _WhenAsked(_appbuilder_views)
