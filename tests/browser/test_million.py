"""A job of a million tasks in the page: quick to come, small, and smooth while it changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from air_executor import events as ev
from air_executor.times import to_iso
from bench.journals import write_job
from tests.acceptance.web_server import served
from tests.browser.conftest import Watch

TASKS = 1_000_000

FRAMES = """() => {
    window.frames_ms = [];
    let last = performance.now();
    const frame = now => { frames_ms.push(now - last); last = now; requestAnimationFrame(frame) };
    requestAnimationFrame(frame);
    window.long_ms = [];
    new PerformanceObserver(list => long_ms.push(...list.getEntries().map(each => each.duration)))
        .observe({entryTypes: ["longtask"]});
}"""


def renderers() -> dict[int, float]:
    """Memory (MB) of the processes that draw pages; what they share is divided among those who share it."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"--type=renderer" in (process / "cmdline").read_bytes():
                memory = (process / "smaps_rollup").read_text()
                found[int(process.name)] = int(memory.split("\nPss:")[1].split()[0]) / 1000
        except (OSError, IndexError):
            continue
    return found


@pytest.mark.soak
def test_a_million_tasks(new_page: Callable[..., Page], tmp_path: Path, watch: Watch) -> None:
    base = tmp_path / "base"
    (base / "jobs").mkdir(parents=True)
    base.chmod(0o700)
    folder = write_job(base, "million", TASKS, ended=False)
    with served(base) as server, (folder / "journal.jsonl").open("ab", buffering=0) as journal:
        others = renderers().keys()
        page = new_page()
        grid = page.locator("canvas[aria-label*='1,000,000 tasks']")
        page.goto(f"{server.url}/#/jobs/million/grid")
        expect(grid).to_be_visible(timeout=300_000)  # the first time its journal has to be read
        page.goto(server.url)
        expect(page.get_by_role("link", name="million")).to_be_visible()
        began = time.monotonic()
        page.get_by_role("link", name="million").click()
        expect(grid).to_be_visible()
        painted_s = time.monotonic() - began
        print(f"grid on the screen after {painted_s:.2f} s")
        assert painted_s < 1.0

        page.evaluate(FRAMES)
        number = 0
        for _ in range(50):
            changes: list[ev.Event] = []
            for _ in range(300):
                task = f"page-{number * 7919 % TASKS:07d}"
                number += 1
                at = to_iso(time.time())
                changes.append(ev.TaskRetried(at=at, task=task))
                changes.append(ev.AttemptStarted(at=at, task=task, attempt=2, launcher="l"))
            journal.write(ev.encode_events(changes))
            page.wait_for_timeout(100)
        expect(page.get_by_role("button", name="running 15k")).to_be_visible()
        long_ms = page.evaluate("() => long_ms")
        frames = sorted(page.evaluate("() => frames_ms"))
        assert max(long_ms, default=0) < 100
        assert frames[len(frames) * 95 // 100] < 50

        page.get_by_role("tab", name="List").click()
        expect(page.get_by_test_id("list-total")).to_have_text("1,000,000 tasks")
        page.locator(".list").evaluate("list => list.scrollTo(0, list.scrollHeight)")
        expect(page.locator(".list-body .list-row").last).to_contain_text("page-0999999")
        assert page.locator(".list-body .list-row").count() < 80
        used = [mb for pid, mb in renderers().items() if pid not in others]
        assert max(used) < 200
