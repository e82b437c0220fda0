"""Fixtures of the fault suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.killing import Faulty


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[Faulty]:
    """A base folder whose managers may be killed."""
    base = tmp_path / "base"
    (base / "jobs").mkdir(parents=True)
    base.chmod(0o700)
    faulty = Faulty(base)
    yield faulty
    faulty.close()
