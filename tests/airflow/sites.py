"""The pytest plugin behind the fixture `airflow`: one Airflow a version and session, shared by all test processes.

Each is begun as soon as its tests are collected, comes up while others run, and ends with the last of its tests.
`tests/conftest.py` registers it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.airflow import versions
from tests.airflow.site import ask_to_end, end

KEPT_LOGS = versions.ROOT / ".pytest_cache" / "airflow"
KEPT = "AIRFLOW_SITES"
"""Names a (short) folder whose sites outlive the session and serve the next: for whoever writes such tests. They are
ended by `kill $(cat FOLDER/*/supervisor.pid)`."""
SITE = re.compile(r"[\[-](airflow-(?:pre|[0-9.]+))[\]-]")
"""The version in the id of a test that is for a running Airflow."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--inside", default="", help="options for pytest inside Airflow, as in --inside='-k operator'")


class AirflowSites:
    """The folder of this session's sites, which the process that began the session makes and removes."""

    def __init__(self, config: pytest.Config) -> None:
        handed_down = getattr(config, "workerinput", {}).get("airflow_sites") or os.environ.get(KEPT)
        self.is_owner = handed_down is None
        self.folder = Path(handed_down or tempfile.mkdtemp(prefix="air-af-", dir="/tmp"))
        self.session_pid = os.getpid() if self.is_owner else os.getppid()
        self.left: Counter[str] = Counter()
        """How many tests each site still has before it."""
        if KEPT in os.environ:
            self.session_pid = 1
            self.folder.mkdir(parents=True, exist_ok=True)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["airflow_sites"] = str(self.folder)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """One process at a time uses a site, since some tests kill parts of it; all else goes wherever there is room.

        (`--dist loadgroup` with marks would be this, but pytest 9.2 no longer lets xdist 3.8 rename tests.)
        """
        if config.getvalue("dist") != "loadgroup":
            return None
        from xdist.scheduler import LoadScopeScheduling

        class BySite(LoadScopeScheduling):
            def _split_scope(self, nodeid: str) -> str:
                site = SITE.search(nodeid)
                return site[1] if site else nodeid

        return BySite(config, log)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.config.option.collectonly:
            return
        self.left.update(site for item in session.items if (site := _site(item)))
        for name in self.left:
            if versions.ALL[name].unsupported is None and versions.ALL[name].missing is None:
                self.begin(name)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        """An idle Airflow would slow down what comes after it. No other process uses it: see the scheduler."""
        if name := _site(item):
            self.left[name] -= 1
            if self.left[name] == 0 and KEPT not in os.environ:
                ask_to_end(self.folder / name)

    def begin(self, name: str) -> Path:
        """Start the site of a version unless any process of this session already has; its folder."""
        folder = self.folder / name
        try:
            folder.mkdir()
        except FileExistsError:
            return folder
        command = [sys.executable, "-m", "tests.airflow.supervisor", name, str(folder), str(self.session_pid)]
        with open(folder / "supervisor.log", "wb") as log:
            subprocess.run(
                command, cwd=versions.ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True, timeout=60
            )
        return folder

    def pytest_unconfigure(self) -> None:
        if not self.is_owner:
            return
        folders = list(self.folder.iterdir())
        for folder in folders:
            ask_to_end(folder)
        for folder in folders:
            end(folder)
            keep_logs(folder)
        shutil.rmtree(self.folder, ignore_errors=True)


def _site(item: pytest.Item) -> str | None:
    """The version whose running Airflow a test is for."""
    name: str | None = getattr(getattr(item, "callspec", None), "params", {}).get("airflow")
    return name


def keep_logs(folder: Path) -> None:
    """In .pytest_cache/airflow, until the next session."""
    kept = KEPT_LOGS / folder.name
    shutil.rmtree(kept, ignore_errors=True)
    with contextlib.suppress(OSError, shutil.Error):
        shutil.copytree(folder / "logs", kept)
        shutil.copy(folder / "supervisor.log", kept)
