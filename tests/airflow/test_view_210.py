"""The view inside Airflow 2.10's own pages, in a real Chromium: as users with and without rights to a DAG."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from playwright.sync_api import Browser, Page, expect

from air_executor.airflow.naming import job_name
from tests.airflow.site import AirflowSite
from tests.support import wait_for

expect.set_options(timeout=60_000)

pytestmark = pytest.mark.airflow(before=(3, 0))

RUN = "manual__2026-01-01T00:00:00+00:00"
SHARED, PRIVATE = "ui_shared", "private_ui"
SCRIPT = "<script>alert(1)</script>"
DAGS = """
from airflow import DAG
from air_executor.airflow import AirExecutorJobOperator

DISCOVER = '''
import os, sys, time
from air_executor import task

def found(first, last):
    task.queue([{"id": f"page-{n:03}", "command": "echo", "args": [f"reading {n} <script>alert(1)</script>"]}
                for n in range(first, last)])

found(0, 60)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.05)
found(60, 120)
while not os.path.exists(sys.argv[1] + "-end"):
    time.sleep(0.05)
'''

tasks = {
    "ui_shared": [{"id": "discover", "command": "python3", "args": ["-c", DISCOVER, "GO"]}],
    "private_ui": [{"id": "discover", "command": "echo", "args": ["private"]}],
}
for dag_id, access in {"ui_shared": {"Guest": {"can_read"}}, "private_ui": None}.items():
    with DAG(dag_id, schedule=None, access_control=access) as dag:
        AirExecutorJobOperator(task_id="hand_over", tasks=tasks[dag_id])
    globals()[dag_id] = dag
"""


def logged_in(browser: Browser, airflow: AirflowSite, user: str, problems: list[str]) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 860}).new_page()
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.goto(f"{airflow.url}/login/")
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", user)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/login" not in url)
    return page


def of(dag_id: str) -> str:
    return f"/air-executor/jobs/{quote(job_name(dag_id, RUN, 'hand_over'), safe='')}"


def test_the_view(airflow: AirflowSite, browser: Browser, tmp_path: Path, pictures: Path) -> None:
    go = tmp_path / "go"
    problems: list[str] = []
    airflow.add_dag("ui.py", DAGS.replace('"GO"', repr(str(go))))
    for dag_id in (SHARED, PRIVATE):
        airflow.trigger(dag_id, run_id=RUN)
    for dag_id in (SHARED, PRIVATE):
        folder = airflow.base / "jobs" / job_name(dag_id, RUN, "hand_over")
        wait_for((folder / "journal.jsonl").exists, f"the job {folder.name}", 240)
    try:
        _as_a_user_with_rights(airflow, browser, go, pictures, problems)
        _as_a_user_without_rights(airflow, browser, problems)
    finally:
        go.touch()
        go.with_name("go-end").touch()
    for dag_id in (SHARED, PRIVATE):
        assert airflow.wait_run(dag_id, RUN) == "success"
    for path in ("/air-executor/", of(SHARED), f"{of(SHARED)}/task?id=discover", "/air-executor/of?dag_id=ui_shared"):
        assert b"hand_over" not in airflow.request("GET", path, user=None).body
    assert not problems


def _as_a_user_with_rights(
    airflow: AirflowSite, browser: Browser, go: Path, pictures: Path, problems: list[str]
) -> None:
    page = logged_in(browser, airflow, "viewer", problems)
    link = airflow.api(
        "GET", f"/dags/{SHARED}/dagRuns/{quote(RUN, safe='')}/taskInstances/hand_over/links", user="viewer"
    )["Air-Executor job"]
    page.goto(link)
    assert unquote(page.url) == airflow.url + unquote(of(SHARED))
    shown = page.locator("#air-executor")
    expect(shown).to_contain_text("60 of 61")
    go.touch()
    expect(shown).to_contain_text("120 of 121")  # without anybody reloading the page
    page.screenshot(path=pictures / "airflow-2.10-job.png")
    page.get_by_role("link", name="page-031", exact=True).click()
    expect(page.locator(".ae-log")).to_contain_text(f"reading 31 {SCRIPT}")
    page.screenshot(path=pictures / "airflow-2.10-task.png")
    page.goto(f"{airflow.url}{of(SHARED)}?status=running")
    expect(shown.locator("tbody tr")).to_have_count(1)
    page.goto(f"{airflow.url}/air-executor/")
    expect(shown).to_contain_text(PRIVATE)
    page.screenshot(path=pictures / "airflow-2.10-jobs.png")
    page.context.close()


def _as_a_user_without_rights(airflow: AirflowSite, browser: Browser, problems: list[str]) -> None:
    page = logged_in(browser, airflow, "guest", problems)
    for query in ("", f"?dag_id={SHARED}"):
        for rest in ("", "/task?id=discover" + query.replace("?", "&")):
            answer = page.goto(airflow.url + of(PRIVATE) + rest + (query if not rest else ""))
            assert answer is not None
            assert answer.status == 404
    page.goto(f"{airflow.url}/air-executor/")
    expect(page.locator("#air-executor")).to_contain_text(SHARED)
    expect(page.locator("#air-executor")).not_to_contain_text(PRIVATE)
    page.context.close()
