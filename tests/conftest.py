"""What holds for every test: repeatable Hypothesis runs, no stray child processes, no death by SIGIO."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.airflow.sites import AirflowSites, pytest_addoption
from tests.skips import ALLOWED, OnlyAllowedSkips, read_allowed

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # acceptance tests run without it
    pass
else:
    settings.register_profile(
        "repeatable",
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    settings.load_profile("repeatable")


__all__ = ["pytest_addoption"]


def pytest_configure(config: pytest.Config) -> None:
    # Ignored where a shell runs us in the background, and then by all programs we start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.pluginmanager.register(OnlyAllowedSkips(read_allowed(ALLOWED)), "only-allowed-skips")
    config.pluginmanager.register(AirflowSites(config), "airflow-sites")


def children() -> set[int]:
    """Child processes of this one, zombies too."""
    found: set[int] = set()
    for thread in Path("/proc/self/task").iterdir():
        try:
            found.update(map(int, (thread / "children").read_text().split()))
        except OSError:
            continue
    return found


@pytest.fixture(autouse=True)
def no_child_left() -> Iterator[None]:
    """Fail a test that leaves a process behind (or one it did not wait for)."""
    before = children()
    yield
    deadline = time.monotonic() + 2.0
    while (left := children() - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left, f"child processes left behind: {[_command(pid) for pid in left]}"


def _command(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        command = ""
    return f"{pid}: {command or 'a zombie nobody waited for'}"


@pytest.fixture(autouse=True)
def ignored_lease_breaks() -> Iterator[None]:
    """The manager ignores SIGIO, which the break of a lease raises; so must whoever tests its code."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGIO, before)


@pytest.fixture(autouse=True)
def no_base_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests do not see the Air-Executor they may themselves run in."""
    for name in [name for name in os.environ if name.startswith("AIR_EXECUTOR_")]:
        monkeypatch.delenv(name)
