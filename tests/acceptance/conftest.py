"""Fixtures of the acceptance tests: a base folder with a running manager."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.command_line import end_manager
from tests.support import ManagerProcess


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """An empty base folder."""
    folder = tmp_path / "base"
    (folder / "jobs").mkdir(parents=True)
    folder.chmod(0o700)
    return folder


@pytest.fixture
def start_manager(base: Path) -> Iterator[Callable[..., ManagerProcess]]:
    """Starts managers on `base`; all are ended with the test, and their tasks with them."""
    started: list[ManagerProcess] = []

    def start(*options: str, **environment: str) -> ManagerProcess:
        manager = ManagerProcess(base, *options, **environment).start()
        started.append(manager)
        return manager

    yield start
    for manager in started:
        manager.stop()


@pytest.fixture
def manager(start_manager: Callable[..., ManagerProcess]) -> ManagerProcess:
    """A manager with eight slots."""
    return start_manager("--slots", "8")


@pytest.fixture
def no_manager_left(tmp_path: Path) -> Iterator[None]:
    """Ends what the commands of a test in `tmp_path` left running."""
    yield
    end_manager(tmp_path)
