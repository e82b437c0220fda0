"""Fixtures of the tests on a real Airflow. A test that asks for `airflow` runs once a version.

@pytest.mark.airflow(since=(3, 1))     not on older ones; before=(3, 0): not on newer ones
@pytest.mark.airflow(pre=True)         on the newest pre-release as well, where it may fail
@pytest.mark.airflow(soak=(2, 10))     on that one only with the long tests
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.airflow import versions
from tests.airflow.site import AirflowSite, connect
from tests.airflow.sites import AirflowSites

if TYPE_CHECKING:
    from playwright.sync_api import Browser

collect_ignore = ["inside"]  # run by test_inside.py, in the environments that have Airflow
HERE = Path(__file__).parent
TIMEOUT_S = 400


def fitting(definition: pytest.Item) -> Iterator[versions.Version]:
    """The versions a test is for, by its mark."""
    mark = definition.get_closest_marker("airflow")
    asked: dict[str, Any] = mark.kwargs if mark else {}
    for version in versions.ALL.values():
        wanted = version.name != versions.PRE or asked.get("pre", False)
        if wanted and asked.get("since", (2, 10)) <= version.series < asked.get("before", (99, 0)):
            yield version


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    fixture = next((name for name in ("airflow", "version") if name in metafunc.fixturenames), None)
    if fixture is None:
        return
    parameters = []
    for version in fitting(metafunc.definition):
        marks = []
        if version.name == versions.PRE:
            marks.append(pytest.mark.xfail(strict=False, reason=f"pre-release: Airflow {version.version} may fail"))
        if version.series == getattr(metafunc.definition.get_closest_marker("airflow"), "kwargs", {}).get("soak"):
            marks.append(pytest.mark.soak)
        # the id tells the distribution over processes which tests share a site (sites.py)
        parameters.append(pytest.param(version.name, id=version.tag if fixture == "airflow" else None, marks=marks))
    metafunc.parametrize(fixture, parameters, indirect=True, scope="session")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


def usable(name: str) -> versions.Version:
    version = versions.ALL[name]
    if version.unsupported:
        pytest.skip(version.unsupported)
    if version.missing:
        pytest.fail(version.missing)
    return version


@pytest.fixture(scope="session")
def version(request: pytest.FixtureRequest) -> versions.Version:
    """Each version of Airflow, installed but not running."""
    return usable(request.param)


@pytest.fixture(scope="session")
def airflow(request: pytest.FixtureRequest) -> AirflowSite:
    """A running Airflow, shared by all tests of the session that are for its version."""
    version = usable(request.param)
    sites = request.config.pluginmanager.get_plugin("airflow-sites")
    assert isinstance(sites, AirflowSites)
    return connect(sites.begin(version.name))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium, gone after the module: while Playwright is there, no other event loop can run in this process."""
    from tests.browser.conftest import chromium

    with chromium() as started:
        yield started


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: to the folder in DASHBOARD_SCREENSHOTS, else the test's own."""
    folder = Path(os.environ.get("DASHBOARD_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For what the jobs of one DAG run leave behind."""
    made = tmp_path / "run"
    made.mkdir()
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    site = getattr(item, "funcargs", {}).get("airflow")
    if isinstance(site, AirflowSite):
        if call.when == "setup":
            item.stash[LOGGED] = site.log_sizes()
        if report.failed:
            for name, text in site.logs_since(item.stash.get(LOGGED, {})).items():
                report.sections.append((f"{name} of Airflow {site.version}", text))
    return report


LOGGED: pytest.StashKey[dict[Path, int]] = pytest.StashKey()
