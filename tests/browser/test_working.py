"""What people do with the page: submit, watch, filter, read logs, cancel, retry, and live through a dead server."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, Watch
from tests.support import wait_end, wait_for

# Queues a thousand tasks, waits for a file, queues the other 999: every hundredth fails.
GROWING = """
import json, os, time

def queue(first, last):
    with open(os.environ["AIR_EXECUTOR_INBOX"], "ab", buffering=0) as inbox:
        for i in range(first, last):
            line = "echo no luck >&2; exit 3" if i % 100 == 50 else "true"
            record = {"id": f"part-{i:04d}", "command": line, "shell": True, "group": "even" if i % 2 == 0 else "odd"}
            inbox.write(("\\n" + json.dumps(record) + "\\n").encode())

queue(0, 1000)
while not os.path.exists(os.environ["GO"]):
    time.sleep(0.02)
queue(1000, 1999)
"""


COUNT_BLUE = """canvas => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let blue = 0;
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] && data[i + 2] > data[i] + 90) blue++;
    return blue;
}"""


def done_fact(page: Page) -> str:
    """The text of `Done … of …` in the head of a job."""
    return page.locator(".facts > div", has_text="Done").inner_text()


def test_a_job_of_two_thousand_tasks_from_the_page(own_site: Site, page: Page, tmp_path: Path) -> None:
    site = own_site
    go = tmp_path / "go"
    seed = {"id": "seed", "command": sys.executable, "args": ["-c", GROWING], "env": {"GO": str(go)}}
    page.goto(site.url)
    expect(page.get_by_text("No jobs yet")).to_be_visible()

    page.get_by_role("button", name="Submit").click()
    page.get_by_role("button", name="Job file (JSON)").click()
    page.get_by_label("Job file").fill("{not json")
    page.locator("dialog").get_by_role("button", name="Submit").click()
    expect(page.locator("dialog").get_by_role("alert")).to_contain_text("not JSON")
    page.get_by_label("Job file").fill(json.dumps({"name": "crawl", "tasks": [seed]}))
    page.locator("dialog").get_by_role("button", name="Submit").click()

    # It grows while it is watched, without anything being pressed.
    expect(page.locator("h1")).to_have_text("crawl")
    assert page.url.endswith("#/jobs/crawl/grid")
    expect(page.locator(".facts")).to_contain_text("of 1,001")
    expect(page.get_by_role("img", name=re.compile(r"Grid of 1,001 tasks"))).to_be_visible()
    expect(page.locator(".job-header .state")).to_have_text("working")
    go.touch()
    expect(page.locator(".facts")).to_contain_text("of 2,000")
    expect(page.get_by_role("img", name=re.compile(r"Grid of 2,000 tasks"))).to_be_visible()
    expect(page.locator(".job-header .state")).to_have_text("failed")
    assert "2,000 of 2,000" in " ".join(done_fact(page).split())

    # What the page says is what the files say.
    progress = wait_end(site.base / "jobs" / "crawl")["progress"]
    assert (progress["total"], progress["failed"]) == (2000, 20)
    failed = page.get_by_role("button", name="failed 20", exact=True)
    expect(failed).to_be_visible()

    # Its failures, by the chip and by the tab.
    page.get_by_role("tab", name="List").click()
    failed.click()
    assert page.url.endswith("#/jobs/crawl/list?status=failed")
    expect(page.get_by_test_id("list-total")).to_have_text("20 tasks fit")
    rows = page.locator(".list-body .list-row")
    expect(rows.first).to_contain_text("part-0050")
    expect(rows.first).to_contain_text("exit code 3")
    page.get_by_label("Search task ids").fill("part-19")
    expect(page.get_by_test_id("list-total")).to_have_text("1 task fit")
    expect(rows).to_have_count(1)
    page.get_by_label("Group").select_option("odd")
    expect(page.get_by_text("No task fits.")).to_be_visible()
    page.get_by_role("tab", name=re.compile("Failures")).click()
    expect(page.locator(".failure")).to_have_count(1)
    expect(page.locator(".failure")).to_contain_text("no luck")
    expect(page.locator(".failure b")).to_have_text("20")

    # All of a group, in the list; and all of it once more.
    page.get_by_role("link", name="Show 20").click()
    expect(page.get_by_test_id("list-total")).to_have_text("20 tasks fit")
    expect(page.locator(".line-filter")).to_contain_text("no luck")
    page.go_back()
    page.get_by_role("button", name="Retry 20").click()
    page.locator("dialog").get_by_role("button", name="Retry").click()
    for task in ("part-0050", "part-1950"):
        wait_for(lambda task=task: site.client.find_task("crawl", task)["attempt"] == 2, f"{task} to run again")
    expect(page.get_by_role("button", name="failed 20", exact=True)).to_be_visible()


def test_the_grid_leads_to_its_tasks(site: Site, page: Page) -> None:
    tasks = [{"id": f"t{i}", "command": "false" if i == 30 else "true"} for i in range(60)]
    site.client.create_job("cells", tasks)
    site.client.wait("cells", 30)
    page.goto(f"{site.url}#/jobs/cells/grid")
    canvas = page.get_by_role("img", name=re.compile("Grid of 60 tasks: 59 completed, 1 failed"))
    expect(canvas).to_be_visible()
    box = canvas.bounding_box()
    assert box is not None
    columns = round(box["width"] / 24)
    x, y = (30 % columns) * 24 + 12, (30 // columns) * 24 + 12
    canvas.hover(position={"x": x, "y": y})
    tooltip = page.locator(".tooltip")
    expect(tooltip).to_contain_text("t30")
    expect(tooltip).to_contain_text("failed")
    # The cell of the failure is red, its neighbours are not: pixels near the corner of each cell.
    colours = canvas.evaluate(
        "(canvas, [x, y]) => [...canvas.getContext('2d').getImageData(x - 24, y, 25, 1).data]", [x - 6, y - 8]
    )
    green, red = colours[:4], colours[-4:]
    assert red[0] > red[1] + 80
    assert green[1] > green[0] + 80
    canvas.click(position={"x": x, "y": y})
    expect(page.locator("h1")).to_have_text("t30")
    expect(page.locator(".job-header .state")).to_have_text("failed")


def test_a_log_is_followed_while_it_is_written(site: Site, page: Page, tmp_path: Path) -> None:
    script = (
        "echo first; until [ -e $GO/1 ]; do sleep 0.02; done; printf '\\033[31msecond\\033[0m <b>bold?</b>\\n'; "
        "until [ -e $GO/2 ]; do sleep 0.02; done; echo third; echo '{\"rows\": 7}' > $AIR_EXECUTOR_RESULT"
    )
    site.client.create_job("talk", [{"id": "a", "command": script, "shell": True, "env": {"GO": str(tmp_path)}}])
    page.goto(f"{site.url}#/jobs/talk/tasks/a")
    log = page.get_by_role("log")
    expect(log).to_contain_text("first")
    expect(page.get_by_role("button", name="Following")).to_be_visible()
    assert "second" not in log.inner_text()
    (tmp_path / "1").touch()
    expect(log).to_contain_text("second <b>bold?</b>")
    assert log.locator("span.fg1").inner_text() == "second"
    expect(page.locator(".job-header .state")).to_have_text("running")
    (tmp_path / "2").touch()
    expect(log).to_contain_text("third")
    expect(page.locator(".job-header .state")).to_have_text("completed")
    expect(page.locator(".result")).to_contain_text('"rows": 7')
    expect(page.get_by_role("button", name="Following")).to_have_count(0)
    # Names of the environment are shown, values are not.
    expect(page.locator(".names", has_text="GO")).to_be_visible()
    assert str(tmp_path) not in page.locator(".names").inner_text()

    page.get_by_label("Search in the log").fill("SECOND")
    expect(log.locator("mark")).to_have_text("second")
    expect(page.get_by_text("1 of 1")).to_be_visible()


def test_a_long_log_is_read_in_parts(site: Site, page: Page) -> None:
    script = (
        'i=0; while [ $i -lt 9000 ]; do i=$((i+1)); echo "line $i of a log longer than what is read at first"; done'
    )
    site.client.create_job("long", [{"id": "a", "command": script, "shell": True}])
    site.client.wait("long", 30)
    page.goto(f"{site.url}#/jobs/long/tasks/a")
    log = page.get_by_role("log")
    expect(log).to_contain_text("line 9000 of")
    lines = page.locator(".log-line")
    assert lines.count() < 200
    log.evaluate("box => box.scrollTo(0, 0)")
    page.get_by_role("button", name="Load earlier lines").click()
    expect(page.get_by_role("button", name="Load earlier lines")).to_have_count(0)
    expect(page.locator(".log-bar")).to_contain_text("9,000 lines")
    log.evaluate("box => box.scrollTo(0, 0)")
    expect(lines.first).to_have_text("line 1 of a log longer than what is read at first")


def test_cancel_and_retry(site: Site, page: Page, tmp_path: Path) -> None:
    wait = {"command": "[ -e $GO/ok ] || exec sleep 600", "shell": True, "env": {"GO": str(tmp_path)}}
    site.client.create_job("stuck", [{"id": f"t{i}", **wait} for i in range(8)])
    page.goto(f"{site.url}#/jobs/stuck/list")
    expect(page.get_by_role("button", name="running 4", exact=True)).to_be_visible()

    # One task, by selection.
    page.get_by_label("Select t6").check()
    page.locator(".selection").get_by_role("button", name="Cancel").click()
    expect(page.locator("dialog")).to_contain_text("Cancel t6?")
    page.get_by_role("button", name="Leave it").click()
    expect(page.locator("dialog")).to_have_count(0)
    page.locator(".selection").get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the task").click()
    expect(page.get_by_role("button", name="cancelled 1", exact=True)).to_be_visible()

    # The job.
    page.locator(".actions").get_by_role("button", name="Cancel").click()
    expect(page.locator("dialog")).to_contain_text("4 running tasks will be stopped")
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.locator(".job-header .state")).to_have_text("cancelled")
    expect(page.get_by_role("button", name="cancelled 8", exact=True)).to_be_visible()
    assert wait_end(site.base / "jobs" / "stuck")["reason"] == "cancelled"

    # One task again, then all.
    (tmp_path / "ok").touch()
    page.goto(f"{site.url}#/jobs/stuck/tasks/t1")
    page.get_by_role("button", name="Retry").click()
    page.locator("dialog").get_by_role("button", name="Retry").click()
    expect(page.locator(".job-header .state")).to_have_text("completed")
    page.goto(f"{site.url}#/jobs/stuck/grid")
    page.get_by_role("button", name="Retry failed").click()
    page.get_by_role("button", name="Retry them").click()
    expect(page.get_by_role("button", name="completed 8", exact=True)).to_be_visible()
    expect(page.locator(".job-header .state")).to_have_text("completed")


def test_pause_and_resume(site: Site, page: Page, tmp_path: Path) -> None:
    wait = {"command": "until [ -e $GO/ok ]; do sleep 0.02; done", "shell": True, "env": {"GO": str(tmp_path)}}
    site.client.create_job("calm", [{"id": f"t{i}", **wait} for i in range(9)])
    page.goto(f"{site.url}#/jobs/calm/grid")
    expect(page.get_by_role("button", name="running 4", exact=True)).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Pause the job").click()
    expect(page.locator(".job-header .state")).to_have_text("paused")
    (tmp_path / "ok").touch()
    expect(page.get_by_role("button", name="completed 4", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="pending 5", exact=True)).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".job-header .state")).to_have_text("completed")


def test_a_dead_server_is_seen_and_its_return_heals_the_page(
    own_site: Site, page: Page, tmp_path: Path, watch: Watch, screenshots: Path
) -> None:
    site = own_site
    watch.expected.append("net::ERR_")
    wait = {"command": "until [ -e $GO/ok ]; do sleep 0.02; done", "shell": True, "env": {"GO": str(tmp_path)}}
    site.client.create_job("lasting", [{"id": f"t{i}", **wait} for i in range(40)])
    page.goto(f"{site.url}#/jobs/lasting/grid")
    expect(page.get_by_role("button", name="running 4", exact=True)).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Grid of 40 tasks"))).to_be_visible()
    expect(page.locator(".connection")).to_have_text("Live")

    site.kill_server()
    expect(page.get_by_text("Connection lost")).to_be_visible()
    expect(page.locator(".connection")).to_have_text("Offline")
    page.screenshot(path=screenshots / "connection-lost-light.png")
    # What was known stays; what cannot be done now says why.
    expect(page.get_by_role("button", name="running 4", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_attribute("aria-disabled", "true")
    (tmp_path / "ok").touch()
    wait_end(site.base / "jobs" / "lasting")

    site.restart_server()
    expect(page.get_by_text("Connection lost")).to_have_count(0)
    expect(page.locator(".connection")).to_have_text("Live")
    expect(page.locator(".job-header .state")).to_have_text("completed")
    expect(page.get_by_role("img", name=re.compile("Grid of 40 tasks: 40 completed"))).to_be_visible()
    # The cells came along: none is left in the colour of running ones.
    canvas = page.locator(".grid-box canvas")
    assert canvas.evaluate(COUNT_BLUE) == 0


def test_a_log_goes_on_after_the_server_comes_back(own_site: Site, page: Page, tmp_path: Path, watch: Watch) -> None:
    site = own_site
    watch.expected.append("net::ERR_")
    script = "i=0; while [ $i -lt 5 ]; do i=$((i+1)); echo line $i; until [ -e $GO/$i ]; do sleep 0.02; done; done"
    site.client.create_job("talk", [{"id": "a", "command": script, "shell": True, "env": {"GO": str(tmp_path)}}])
    page.goto(f"{site.url}#/jobs/talk/tasks/a")
    log = page.get_by_role("log")
    expect(log).to_contain_text("line 1")
    site.kill_server()
    for i in (1, 2, 3):
        (tmp_path / str(i)).touch()
    wait_for(lambda: "line 4" in site.client.logs("talk", "a"), "more of the log")
    site.restart_server()
    expect(log).to_contain_text("line 4")
    (tmp_path / "4").touch()
    (tmp_path / "5").touch()
    expect(page.locator(".job-header .state")).to_have_text("completed")
    assert page.locator(".log-line").all_inner_texts() == [f"line {i}" for i in range(1, 6)]


MOUNTED = """
import sys
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from air_executor.web import create_app

app = Starlette(routes=[Mount("/plugins/air", app=create_app(sys.argv[1]))])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
"""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_under_another_application(site: Site, page: Page) -> None:
    site.client.create_job("mounted", [{"id": "a/b", "command": "echo", "args": ["here"]}])
    site.client.wait("mounted", 30)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    outer = subprocess.Popen([sys.executable, "-c", MOUNTED, str(site.base), str(port)])
    try:
        wait_for(lambda: listens(port), "the outer application")
        page.goto(f"http://127.0.0.1:{port}/plugins/air/#/jobs/mounted/list")
        page.get_by_role("link", name="a/b", exact=True).click()
        expect(page.get_by_role("log")).to_contain_text("here")
        expect(page.locator(".connection")).to_have_text("Live")
    finally:
        page.close()
        outer.terminate()
        outer.wait(20)


def test_tokens(open_site: Callable[..., Site], new_page: Callable[..., Page], tmp_path: Path, watch: Watch) -> None:
    watch.expected.append("401 (Unauthorized)")
    for name in ("write", "read"):
        (tmp_path / name).write_text(f"{name}-token-0123456789abcdef\n")
        (tmp_path / name).chmod(0o600)
    site = open_site("--token-file", str(tmp_path / "write"), "--read-token-file", str(tmp_path / "read"))
    site.client.create_job("secret", [{"id": "a", "command": "true"}], open=True)

    page = new_page()
    page.goto(site.url)
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text("asks for a token")
    assert "secret" not in page.content()
    dialog.get_by_label("Token").fill("wrong")
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog).to_contain_text("was not accepted")
    dialog.get_by_label("Token").fill("read-token-0123456789abcdef")
    dialog.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="secret")).to_be_visible()
    expect(page.get_by_text("Read only")).to_be_visible()
    submit = page.get_by_role("button", name="Submit")
    expect(submit).to_have_attribute("aria-disabled", "true")
    expect(submit).to_have_attribute("title", re.compile("may only read"))
    submit.click(force=True)
    expect(page.locator(".toast")).to_contain_text("may only read")
    assert "token" not in page.url

    other = new_page()
    other.goto(f"{site.url}#/jobs/secret/grid")
    other.locator("dialog").get_by_label("Token").fill("write-token-0123456789abcdef")
    other.locator("dialog").get_by_role("button", name="Sign in").click()
    other.get_by_role("button", name="Close").click()
    other.get_by_role("button", name="Close the job").click()
    expect(other.locator(".job-header .state")).to_have_text("completed")
    # The tab keeps the token when the page is loaded again, and forgets it on request.
    other.reload()
    expect(other.locator("h1")).to_have_text("secret")
    other.get_by_role("button", name=re.compile("Sign out")).click()
    expect(other.locator("dialog")).to_contain_text("asks for a token")


HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.mark.parametrize("view", ["grid", "timeline", "list", "graph", "failures", "charts", "details", "history"])
def test_hostile_names_are_text(site_of_hostile_names: Site, page: Page, view: str) -> None:
    page.goto(f"{site_of_hostile_names.url}#/jobs/{quote(HOSTILE, safe='')}/{view}")
    expect(page.locator("h1")).to_contain_text(HOSTILE)
    page.locator("main .loading").wait_for(state="detached")
    assert page.locator("main img, main script, main iframe").count() == 0


def test_hostile_tasks_are_text(site_of_hostile_names: Site, page: Page) -> None:
    site = site_of_hostile_names
    page.goto(site.url)
    page.get_by_role("link", name=HOSTILE).click()
    page.get_by_role("tab", name="List").click()
    for task in ("../../../etc/passwd", "a/b%2Fc?d#e&é", HOSTILE):
        page.locator(".list-body").get_by_role("link", name=task, exact=True).click()
        expect(page.locator("h1")).to_have_text(task)
        expect(page.get_by_role("log")).to_contain_text("<script>alert(2)</script>")
        page.go_back()
    assert page.locator("main img").count() == 0
