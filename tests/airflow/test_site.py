"""The harness itself: a plain DAG on a running Airflow, watched through everything AirflowSite has."""

from __future__ import annotations

import pytest

from tests.airflow.site import AirflowSite, ApiError

DAG = """
from datetime import datetime
try:
    from airflow.sdk import dag, task
except ImportError:
    from airflow.decorators import dag, task

@dag(schedule=None, start_date=datetime(2024, 1, 1), catchup=False)
def site_plain():
    @task
    def numbers():
        print("counting to three")
        return [1, 2, 3]

    @task
    def doubled(number):
        return 2 * number

    doubled.expand(number=numbers())

site_plain()
"""


@pytest.mark.airflow(pre=True)
def test_a_plain_dag_is_read_run_and_seen(airflow: AirflowSite) -> None:
    assert airflow.add_dag("site_plain.py", DAG) == ["site_plain"]
    run_id = airflow.trigger("site_plain", run_id="site:plain+1")
    assert airflow.wait_run("site_plain", run_id) == "success"
    assert airflow.tasks("site_plain", run_id) == {
        "numbers": "success",
        "doubled[0]": "success",
        "doubled[1]": "success",
        "doubled[2]": "success",
    }
    assert airflow.xcom("site_plain", run_id, "numbers") == [1, 2, 3]
    assert airflow.xcom("site_plain", run_id, "doubled", map_index=2) == 6
    assert "counting to three" in airflow.task_log("site_plain", run_id, "numbers")
    with pytest.raises(ApiError) as raised:
        airflow.xcom("site_plain", run_id, "numbers", key="none")
    assert raised.value.status == 404
    assert set(airflow.pids()) == {"scheduler", "triggerer", "dag-processor", "api-server"}
