"""Collecting and running tests by id; nothing of Air-Executor."""

import doctest
import importlib
import unittest
from collections.abc import Iterable, Iterator
from pathlib import Path


def modules_of(names: str, listed: str | Path) -> list[str]:
    """The names given, else those in the file `listed`."""
    with open(listed, encoding="utf-8") as file:
        return names.split() or file.read().split()


def suite_of(module: str) -> unittest.TestSuite:
    """All tests of a module."""
    return unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(module))


def suite_with(ids: list[str]) -> unittest.TestSuite:
    """Only the tests of these ids."""
    return unittest.defaultTestLoader.loadTestsFromNames(ids)


def ids_of(suite: Iterable[unittest.TestSuite | unittest.TestCase]) -> Iterator[str]:
    """The ids of all tests in a suite that can be loaded by id: doctests cannot."""
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from ids_of(item)
        elif not isinstance(item, doctest.DocTestCase):
            yield item.id()


def run(suite: unittest.TestSuite) -> dict[str, dict[str, str]]:
    """id -> `outcome`, and `text` where there is something to say."""
    found = {test: {"outcome": "not run"} for test in ids_of(suite)}

    class Result(unittest.TestResult):
        def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802
            super().startTest(test)
            found[test.id()] = {"outcome": "passed"}

    result = Result()
    suite.run(result)
    for outcome, problems in [("failed", result.failures), ("error", result.errors), ("skipped", result.skipped)]:
        for case, text in problems:
            case = getattr(case, "test_case", case)  # of a subtest
            found.setdefault(case.id(), {}).update(outcome=outcome, text=text)
    return found
