"""Fixtures of the browser tests: a real Chromium, a real manager, a real server, and pages that report their errors.

Screenshots go to the folder in DASHBOARD_SCREENSHOTS, else beside pytest's other temporary files.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from air_executor import AirExecutorClient
from tests.acceptance.web_server import Server
from tests.support import ManagerProcess

CHROMIUM_OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

expect.set_options(timeout=20_000)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The Chromium of this machine; without one the test is skipped."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine (scripts/install-test-services.sh installs it on Debian)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for all tests of a module, and gone after them: while Playwright is there, no other event loop can run."""
    with chromium() as started:
        yield started


class Site:
    """A base folder with a manager, a server on it, and the client to set things up with."""

    def __init__(self, folder: Path, *options: str, slots: int = 4) -> None:
        self.folder = folder
        self.base = folder / "base"
        (self.base / "jobs").mkdir(parents=True)
        self.base.chmod(0o700)
        self.manager = ManagerProcess(self.base, "--slots", str(slots)).start()
        self.options = options
        self.server = Server(self.base, *options)
        self.port = self.server.port
        self.url = self.server.url + "/"
        self.client = AirExecutorClient(self.base)

    def kill_server(self) -> None:
        """kill -9."""
        self.server.process.kill()
        self.server.stop()

    def restart_server(self) -> None:
        """On the same port."""
        self.server = Server(self.base, *self.options, "--port", str(self.port))

    def close(self) -> None:
        if self.server.process.poll() is None:
            self.server.stop()
        self.manager.stop()


@pytest.fixture
def open_site(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes sites, with options of `air-executor serve`."""
    opened: list[Site] = []

    def open_one(*options: str) -> Site:
        opened.append(Site(tmp_path / f"site{len(opened)}", *options))
        return opened[-1]

    yield open_one
    for site in opened:
        site.close()


@pytest.fixture
def own_site(open_site: Callable[..., Site]) -> Site:
    """For a test that kills its server, or wants an empty folder."""
    return open_site()


@pytest.fixture(scope="module")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all tests that need no more than jobs of their own."""
    site = Site(tmp_path_factory.mktemp("site"))
    yield site
    site.close()


@pytest.fixture(scope="module")
def site_of_hostile_names(site: Site) -> Site:
    """A job and tasks whose names, groups, errors and logs are markup and paths."""
    name = '<img src=x onerror="alert(1)">'
    command = "echo '<script>alert(2)</script>'; echo '<img src=y onerror=alert(3)>' >&2; exit 1"
    ids = (name, "../../../etc/passwd", "a/b%2Fc?d#e&é")
    tasks = [{"id": id, "command": command, "shell": True, "group": name} for id in ids]
    site.client.create_job(name, [*tasks, {"id": "'; --", "command": "true", "dependencies": [name]}])
    site.client.wait(name, 30)
    return site


class Watch:
    """What pages did that they must not: errors, dialogs, refusals by the content policy, requests elsewhere."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.expected: list[str] = []
        self.seen: list[str] = []
        """Requests and answers, for whoever has to find out why a test failed."""

    def follow(self, context: BrowserContext) -> None:
        context.on("page", self._page)
        context.on("request", lambda request: self._request(request.method, request.url))
        context.on("response", lambda answer: self._note(f"{answer.status} {answer.url}"))
        context.on("requestfailed", lambda request: self._note(f"{request.failure} {request.url}"))

    def _page(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("console", self._console)
        page.on("dialog", self._dialog)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console: {message.text}")

    def _dialog(self, dialog: Any) -> None:
        self.problems.append(f"a script opened a dialog: {dialog.message}")
        dialog.dismiss()

    def _note(self, text: str) -> None:
        self.seen.append(f"{time.time():.2f} {text}")

    def _request(self, method: str, url: str) -> None:
        self._note(f"{method} {url}")
        if not url.startswith(("http://127.0.0.1:", "blob:http://127.0.0.1:")):
            self.problems.append(f"request to {url}")

    def unexpected(self) -> list[str]:
        return [problem for problem in self.problems if not any(part in problem for part in self.expected)]


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Fails the test when a page did what it must not. `expected` holds parts of problems that may be."""
    watch = Watch()
    yield watch
    assert not watch.unexpected()


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture
def new_page(
    browser: Browser, watch: Watch, screenshots: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Page]]:
    """Opens pages, with options of a browser context. Those of a failed test leave a picture and what they said."""
    contexts: list[BrowserContext] = []

    def open_page(**options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 840}, **options})
        context.set_default_timeout(20_000)
        contexts.append(context)
        watch.follow(context)
        return context.new_page()

    yield open_page
    for number, context in enumerate(contexts):
        if request.node.stash.get(FAILED, False):
            for page in context.pages:
                name = re.sub(r"\W+", "-", f"failed-{request.node.name}-{number}")
                page.screenshot(path=screenshots / f"{name}.png")
                print(f"{name}: {page.url}\n{page.locator('body').inner_text()}")
        context.close()
    if request.node.stash.get(FAILED, False):
        print("\n".join(watch.seen))


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    return new_page()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = os.environ.get("DASHBOARD_SCREENSHOTS")
    folder = Path(given) if given else tmp_path_factory.getbasetemp() / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
