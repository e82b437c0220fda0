"""The dashboard inside Airflow 3's own pages, in a real Chromium: as users with and without rights to a DAG."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from air_executor.airflow.naming import job_name
from tests.airflow.site import AirflowSite
from tests.support import wait_for

expect.set_options(timeout=60_000)

pytestmark = pytest.mark.airflow(since=(3, 1))

RUN = "manual__2026-01-01T00:00:00+00:00"
SHARED, PRIVATE = "ui_shared", "private_ui"
SCRIPT = "<script>alert(1)</script>"
DAGS = """
import sys
from airflow.sdk import DAG
from air_executor.airflow import AirExecutorJobOperator

DISCOVER = '''
import os, sys, time
from air_executor import task

def found(first, last):
    task.queue([{"id": f"page-{n:03}", "command": "echo", "args": [f"reading {n} <script>alert(1)</script>"]}
                for n in range(first, last)])

found(0, 120)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.05)
found(120, 240)
while not os.path.exists(sys.argv[1] + "-end"):
    time.sleep(0.05)
'''

for dag_id in ("ui_shared", "private_ui"):
    with DAG(dag_id, schedule=None) as dag:
        AirExecutorJobOperator(
            task_id="hand_over",
            tasks=[{"id": "discover", "command": "python3", "args": ["-c", DISCOVER, "GO"]}]
            # only one of them may wait: a small machine has two slots
            if dag_id == "ui_shared" else [{"id": "discover", "command": "echo", "args": ["private"]}],
        )
        AirExecutorJobOperator.partial(task_id="mapped").expand(
            tasks=[[{"id": name, "command": "echo", "args": [name]}] for name in ("zero", "one")]
        )
    globals()[dag_id] = dag
"""


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, airflow: AirflowSite) -> Iterator[OpenPage]:
    """Opens Airflow and logs in. The test fails when a script of a page broke, or opened a dialog."""
    contexts, problems = [], []

    def opened(user: str, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1360, "height": 860}, **options})
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(airflow.url)
        page.fill("input[name=username]", user)
        page.fill("input[name=password]", user)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "/auth/login" not in url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not problems


def address(dag_id: str, task_id: str = "", route: str = "") -> str:
    path = f"/dags/{dag_id}/runs/{quote(RUN, safe='')}"
    return path + (f"/tasks/{task_id}" if task_id else "") + (f"/plugin/{route}" if route else "")


def in_tab(page: Page) -> FrameLocator:
    return page.frame_locator("iframe[title=Air-Executor]")


def status_of(page: Page, path: str, method: str = "GET") -> int:
    """Of a request with the cookie of the page's login."""
    script = "([path, method]) => fetch(path, {method, headers: {'X-Air-Executor': '1'}}).then(a => a.status)"
    status: int = page.evaluate(script, [f"/air-executor{path}", method])
    return status


@pytest.fixture(scope="module")
def runs(airflow: AirflowSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of each DAG, whose jobs wait for the file that this returns; with `-end` behind it they end."""
    go = tmp_path_factory.mktemp("ui") / "go"
    airflow.add_dag("ui.py", DAGS.replace('"GO"', repr(str(go))))
    for dag_id in (SHARED, PRIVATE):
        airflow.trigger(dag_id, run_id=RUN)
    for dag_id in (SHARED, PRIVATE):
        for task, index in (("hand_over", -1), ("mapped", 0), ("mapped", 1)):
            folder = airflow.base / "jobs" / job_name(dag_id, RUN, task, index)
            wait_for((folder / "journal.jsonl").exists, f"the job {folder.name}", 240)
    yield go
    go.touch()
    go.with_name("go-end").touch()
    for dag_id in (SHARED, PRIVATE):
        assert airflow.wait_run(dag_id, RUN) == "success"


def test_the_tab_on_a_running_task(airflow: AirflowSite, runs: Path, open_page: OpenPage, pictures: Path) -> None:
    page = open_page("viewer")
    page.goto(airflow.url + address(SHARED, "hand_over"))
    page.get_by_role("link", name="Air-Executor").click()
    tab = in_tab(page)
    expect(tab.locator("h1")).to_contain_text("hand_over")
    expect(tab.locator(".facts")).to_contain_text("120 of 121")
    runs.touch()  # and more tasks are found
    expect(tab.locator(".facts")).to_contain_text("240 of 241")
    page.screenshot(path=pictures / "airflow-task.png")
    # At most two clicks from here to the log of every task.
    tab.get_by_role("tab", name="List").click()
    tab.get_by_role("link", name="page-003", exact=True).click()
    expect(tab.locator(".log")).to_contain_text(f"reading 3 {SCRIPT}")
    page.screenshot(path=pictures / "airflow-log.png")
    # A viewer changes nothing, and is told so.
    tab.get_by_role("link", name=job_name(SHARED, RUN, "hand_over")).click()
    tab.get_by_role("button", name="Cancel").click(force=True)  # it cannot be used, and says why
    expect(tab.get_by_role("status").filter(has_text="may not change the runs")).to_be_visible()
    path = f"/jobs/{quote(job_name(SHARED, RUN, 'hand_over'), safe='')}"
    assert status_of(page, f"{path}/cancel", "POST") == 403
    assert status_of(page, "/jobs", "POST") == 403


def test_changing_is_asked_about_within_the_page(airflow: AirflowSite, runs: Path, open_page: OpenPage) -> None:
    page = open_page("admin")
    page.goto(airflow.url + address(SHARED, "hand_over", "air-executor-job"))
    tab = in_tab(page)
    tab.get_by_role("button", name="Pause").click()
    tab.get_by_role("dialog").get_by_role("button", name="Pause the job").click()
    expect(tab.locator(".badges")).to_contain_text("paused")
    tab.get_by_role("button", name="Resume").click()
    expect(tab.locator(".badges")).to_contain_text("working")


def test_the_tab_of_a_mapped_task_and_of_a_run(
    airflow: AirflowSite, runs: Path, open_page: OpenPage, pictures: Path
) -> None:
    page = open_page("viewer", color_scheme="dark")
    page.goto(airflow.url + address(SHARED, "mapped/mapped/1", "air-executor-job"))
    tab = in_tab(page)
    expect(tab.locator("h1")).to_contain_text("mapped [1]")
    tab.get_by_role("tab", name="List").click()
    tab.get_by_role("link", name="one", exact=True).click()
    expect(tab.locator(".log")).to_contain_text("one")
    assert page.frames[-1].evaluate("document.documentElement.dataset.theme") == "dark"
    page.screenshot(path=pictures / "airflow-dark.png")
    page.goto(airflow.url + address(SHARED))
    page.get_by_role("link", name="Air-Executor").click()
    expect(tab.locator("table.jobs tbody tr")).to_have_count(3)
    expect(tab.locator("table.jobs")).not_to_contain_text(PRIVATE)
    page.screenshot(path=pictures / "airflow-run.png")
    page.goto(f"{airflow.url}/plugin/air-executor")
    expect(in_tab(page).locator("table.jobs")).to_contain_text(PRIVATE)
    page.screenshot(path=pictures / "airflow-nav.png")


def test_a_user_without_rights_to_the_dag(airflow: AirflowSite, runs: Path, open_page: OpenPage) -> None:
    page = open_page("guest")
    page.goto(airflow.url + address(PRIVATE, "hand_over", "air-executor-job"))
    expect(in_tab(page).locator(".empty")).to_contain_text("No job of this task yet")
    page.goto(f"{airflow.url}/plugin/air-executor")
    listed = in_tab(page).locator("table.jobs")
    expect(listed).to_contain_text(SHARED)
    expect(listed).not_to_contain_text(PRIVATE)
    path = f"/jobs/{quote(job_name(PRIVATE, RUN, 'hand_over'), safe='')}"
    for rest in ("", "/grid", "/tasks", "/tasks/discover/log", "/journal", f"?dag_id={SHARED}"):
        assert status_of(page, path + rest) == 404
    assert status_of(page, f"{path}/cancel?dag_id={SHARED}", "POST") == 404
    page.goto(f"{airflow.url}/air-executor/#{path}/grid")
    expect(page.locator(".empty")).to_contain_text("There is no job named")


def test_nobody_gets_in(airflow: AirflowSite, runs: Path) -> None:
    path = f"/air-executor/jobs/{quote(job_name(SHARED, RUN, 'hand_over'), safe='')}"
    for each in ("/air-executor/", "/air-executor/jobs", "/air-executor/events", path, f"{path}/tasks/discover/log"):
        answer = airflow.request("GET", each, user=None)
        assert answer.status == 401
        assert (
            "frame-ancestors 'self'" in {k.lower(): v for k, v in answer.headers.items()}["content-security-policy"]
        )


def test_the_link_is_there_while_the_task_runs(airflow: AirflowSite, runs: Path) -> None:
    where = f"/dags/{SHARED}/dagRuns/{quote(RUN, safe='')}/taskInstances/hand_over/links"
    link = airflow.api("GET", where)["extra_links"]["Air-Executor job"]
    assert link == airflow.url + address(SHARED, "hand_over", "air-executor-job")
