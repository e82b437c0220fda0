"""Every view, in light, dark and on a phone: nothing inaccessible, nothing too wide, and a picture of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Site, Watch
from tests.browser.gallery import VIEWS, gallery

ROOT = Path(__file__).parents[2]
AXE = ROOT / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"

MODES: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {
        "viewport": {"width": 390, "height": 780},
        "device_scale_factor": 2,
        "has_touch": True,
        "is_mobile": True,
    },
}


@pytest.fixture(scope="module")
def shown(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with gallery(tmp_path_factory.mktemp("gallery")) as site:
        yield site


def visit(page: Page, site: Site, address: str) -> None:
    """Open a view and wait until all of it is there; within the page, if it is open already."""
    page.goto(site.url + address)
    expect(page.locator(f"main[data-view='{address}']")).to_be_attached()
    expect(page.locator("main :is(h1, .empty)").first).to_be_attached()
    expect(page.locator("main .loading")).to_have_count(0)
    if address.endswith("/charts"):
        expect(page.locator(".uplot")).to_have_count(3)
    # Two frames: what was asked for in the first is on the screen after the second.
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def findings(page: Page, *rules: str) -> list[str]:
    """What axe holds to be serious or critical, by all its rules or by these."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    found = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{each['impact']} {each['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"][:3]
    ]


@pytest.mark.parametrize("mode", MODES)
def test_views(shown: Site, new_page: Callable[..., Page], screenshots: Path, mode: str, watch: Watch) -> None:
    watch.expected.append("404 (Not Found)")
    page = new_page(**MODES[mode])
    problems = []
    for name, address in VIEWS.items():
        visit(page, shown, address)
        page.screenshot(path=screenshots / f"{name}-{mode}.png")
        rules = () if mode == "light" else ("color-contrast",)  # all but colours is the same in both
        if mode != "phone":
            problems += [f"{name}: {finding}" for finding in findings(page, *rules)]
        width, room = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
        if width > room:
            problems.append(f"{name}: {width} px wide, with room for {room}")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("mode", MODES)
def test_dialogs(shown: Site, new_page: Callable[..., Page], screenshots: Path, mode: str) -> None:
    page = new_page(**MODES[mode])
    visit(page, shown, "#/")
    steps: dict[str, Callable[[], Any]] = {
        "keys": lambda: page.get_by_role("button", name="Keys").click(),
        "submit": lambda: page.get_by_role("button", name="Submit").click(),
        "confirm": lambda: (
            visit(page, shown, "#/jobs/crawl/grid"),
            page.get_by_role("button", name="Cancel").click(),
        ),
    }
    problems = []
    for name, step in steps.items():
        step()
        expect(page.locator("dialog[open]")).to_be_visible()
        page.screenshot(path=screenshots / f"dialog-{name}-{mode}.png")
        problems += [f"{name}: {finding}" for finding in findings(page)]
        page.keyboard.press("Escape")
        expect(page.locator("dialog")).to_have_count(0)
    assert not problems, "\n".join(problems)


def test_colours_by_choice(shown: Site, page: Page) -> None:
    def background() -> str:
        return str(page.evaluate("() => getComputedStyle(document.documentElement).backgroundColor"))

    visit(page, shown, "#/jobs/crawl/grid")
    light = background()
    button = page.get_by_role("button", name=re.compile("^Colours"))
    button.click()
    assert background() == light
    button.click()
    dark = background()
    assert dark != light
    page.reload()
    expect(page.locator("h1")).to_have_text("crawl")
    assert background() == dark
    button.click()
    assert background() == light


def test_keys(shown: Site, page: Page) -> None:
    press = page.keyboard.press
    visit(page, shown, "#/")
    press("/")
    expect(page.get_by_label("Search jobs")).to_be_focused()
    page.keyboard.type("crawl")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert page.url.endswith("?q=crawl")
    press("Escape")
    press("Escape")
    expect(page.locator("tbody tr")).to_have_count(7)
    press("f")
    assert page.url.endswith("?state=failed")
    expect(page.locator("tbody tr")).to_have_count(2)
    press("f")
    press("j")
    press("j")
    expect(page.locator("tbody tr:nth-child(2) a")).to_be_focused()
    press("k")
    expect(page.get_by_role("link", name="crawl")).to_be_focused()
    press("Enter")
    expect(page.locator("h1")).to_have_text("crawl")


def test_keys_of_jobs_and_tasks(shown: Site, page: Page) -> None:
    press = page.keyboard.press
    visit(page, shown, "#/jobs/crawl/grid")
    press("]")
    press("]")
    expect(page.get_by_role("tab", name="List")).to_have_attribute("aria-selected", "true")
    press("f")
    expect(page.get_by_test_id("list-total")).to_have_text("7 tasks fit")
    press("j")
    press("j")
    press("Enter")
    expect(page.locator("h1")).to_have_text("page-0127")
    press("]")
    expect(page.locator("h1")).to_have_text("page-0128")
    press("[")
    expect(page.locator("h1")).to_have_text("page-0127")
    press("t")
    expect(page.get_by_role("tab", name="Timeline")).to_have_attribute("aria-selected", "true")
    press("l")
    expect(page.get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "true")
    press("[")
    expect(page.get_by_role("tab", name="Grid")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("img", name=re.compile("Grid of 1,236 tasks"))).to_be_visible()
    press("j")
    expect(page.locator(".tooltip")).to_contain_text("page-0000")
    press("j")
    press("Enter")
    expect(page.locator("h1")).to_have_text("page-0001")
    press("g")
    press("j")
    expect(page.get_by_role("tab", name="Grid")).to_have_attribute("aria-selected", "true")
    for key, title in (("p", "Pause crawl?"), ("R", "Retry all failed tasks of crawl?"), ("C", "Cancel crawl?")):
        press(key)
        expect(page.locator("dialog h2")).to_have_text(title)
        press("Escape")
        expect(page.locator("dialog")).to_have_count(0)
    press("g")
    press("h")
    expect(page.locator("h1")).to_have_text("History of crawl")
    press("?")
    expect(page.locator("dialog h2")).to_have_text("Keys")
    press("Escape")
    press("g")
    press("o")
    expect(page.get_by_role("link", name="nightly-report")).to_be_visible()


def test_the_timeline_leads_to_its_attempts(shown: Site, page: Page) -> None:
    visit(page, shown, "#/jobs/etl/timeline")
    canvas = page.get_by_role("img", name=re.compile("Timeline: . lanes, 19 attempts"))
    expect(canvas).to_be_visible()
    box = canvas.bounding_box()
    assert box is not None
    # The first task ran for most of the time, alone, in the first lane.
    canvas.hover(position={"x": box["width"] / 4, "y": 30})
    expect(page.locator(".tooltip")).to_contain_text("fetch")
    before = page.locator(".under-tabs .faint").inner_text()
    page.get_by_role("button", name="Zoom in").click()
    expect(page.locator(".under-tabs .faint")).not_to_have_text(before)
    page.get_by_role("button", name="Everything").click()
    expect(page.locator(".under-tabs .faint")).to_have_text(before)
    canvas.click(position={"x": box["width"] / 4, "y": 30})
    expect(page.locator("h1")).to_have_text("fetch")


def test_a_page_out_of_sight_draws_nothing(shown: Site, page: Page) -> None:
    """Deltas are taken in, but nothing is drawn until somebody looks."""
    page.add_init_script(
        """
        let hidden = false;
        Object.defineProperty(document, "hidden", { get: () => hidden });
        const wait = [];
        const real = requestAnimationFrame;
        window.requestAnimationFrame = work => hidden ? wait.push(work) : real(work);
        window.hide = () => { hidden = true };
        window.look = () => {
            hidden = false;
            document.dispatchEvent(new Event("visibilitychange"));
            wait.splice(0).forEach(real);
        };
        """
    )
    shown.client.create_job("unseen", [{"id": "a", "command": "true"}], open=True)
    visit(page, shown, "#/jobs/unseen/grid")
    done = page.get_by_role("button", name="completed 1", exact=True)
    expect(done).to_be_visible()
    changes = "() => { window.changes = 0; new MutationObserver(m => changes += m.length)"
    page.evaluate(
        changes + ".observe(document.querySelector('main'), {subtree: true, childList: true, characterData: true}) }"
    )
    page.evaluate("() => hide()")
    shown.client.queue_tasks("unseen", [{"id": "b", "command": "true"}])
    with page.expect_response(re.compile("/info")):
        shown.client.close("unseen")
        shown.client.wait("unseen", 30)
        assert page.evaluate("() => changes") == 0
        page.evaluate("() => look()")
    expect(page.get_by_role("button", name="completed 2", exact=True)).to_be_visible()
    assert page.evaluate("() => changes") > 0
