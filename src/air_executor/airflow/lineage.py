"""What a job was and came to, for those who follow data: OpenLineage facets, and extras of the assets it made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from air_executor.airflow._compat import Asset

__all__ = ["FACET", "note_assets", "openlineage_of"]

FACET: Final = "airExecutor_job"
_TOLD: Final = {
    "job_name": "jobName",
    "job_id": "jobId",
    "state": "state",
    "total_tasks": "totalTasks",
    "completed": "completedTasks",
    "failed": "failedTasks",
    "skipped": "skippedTasks",
    "cancelled": "cancelledTasks",
    "duration_s": "durationSeconds",
}


def openlineage_of(told: Mapping[str, Any]) -> Any:
    """A job's summary as the run facet `airExecutor_job` of its task; None without the OpenLineage provider."""
    try:
        from airflow.providers.openlineage.extractors import OperatorLineage
        from openlineage.client.facet_v2 import RunFacet  # type: ignore[import-not-found]
    except ImportError:
        return None
    facet = RunFacet().with_additional_properties(**{_TOLD[key]: told[key] for key in _TOLD if key in told})
    return OperatorLineage(run_facets={FACET: facet})


def note_assets(context: Mapping[str, Any], outlets: Any, told: Mapping[str, Any]) -> None:
    """Let the events of the assets a task produces say which job made them."""
    extra = {key: told[key] for key in ("job_name", "job_id", "total_tasks", "completed", "failed")}
    for outlet in outlets or ():
        if isinstance(outlet, Asset):
            context["outlet_events"][outlet].extra.update(extra)
