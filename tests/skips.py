"""A skip whose reason is not listed in `tests/allowed_skips` fails: a test that does not run shows nothing.

`conftest.py` registers it. One reason a line; `*` stands for any text, `#` begins a comment.
"""

from __future__ import annotations

from collections.abc import Generator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

ALLOWED = Path(__file__).with_name("allowed_skips")


def read_allowed(path: Path) -> list[str]:
    """The patterns of a file like `tests/allowed_skips`."""
    lines = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return [line for line in lines if line]


class OnlyAllowedSkips:
    """Turns every other skip, of a test or of a whole file, into a failure."""

    def __init__(self, allowed: list[str]) -> None:
        self.allowed = allowed

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, Any, Any]:
        return self.judged((yield))

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, Any, Any]:
        return self.judged((yield))

    def judged(self, report: Any) -> Any:
        if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            if not any(fnmatchcase(reason, pattern) for pattern in self.allowed):
                report.outcome = "failed"
                report.longrepr = f"skipped for a reason that is not in tests/allowed_skips: {reason}"
        return report
