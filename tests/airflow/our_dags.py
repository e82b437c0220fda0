"""airflow_dags/ on a running Airflow, as its users have it there."""

from __future__ import annotations

import shutil

from tests.airflow.configuration import ASK_S
from tests.airflow.site import AirflowSite
from tests.airflow.versions import ROOT
from tests.support import wait_for

SOURCE = ROOT / "airflow_dags"
FILES = {
    "air_executor_integration.py": "air_executor_demo",
    "air_executor_pipeline.py": "air_executor_pipeline",
    "hybrid_control_example.py": "hybrid_control_flow",
    "example_air_executor_dag.py": "example_air_executor_dag",
    "data_partitions.py": "data_partitions",
    "hyperparameter_search.py": "hyperparameter_search",
    "crawl_site.py": "crawl_site",
    "shard_tests.py": "shard_tests",
}


def deploy(site: AirflowSite) -> None:
    """Put them into a folder of their own in the site's DAGs folder, unless they are there; wait until Airflow knows
    all of them."""
    target = site.dags / "ours"
    if not target.exists():
        part = site.home / "ours.part"
        shutil.copytree(SOURCE, part, ignore=shutil.ignore_patterns("__pycache__"))
        part.rename(target)

    def known() -> bool:
        errors = [one for one in site.import_errors() if "ours/" in one["filename"]]
        assert not errors, errors
        return set(FILES.values()) <= {dag["dag_id"] for dag in site.all_of("/dags", "dags")}

    wait_for(known, "Airflow to read airflow_dags/", 120, every_s=ASK_S)
