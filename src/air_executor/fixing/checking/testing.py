"""Which tests can be told again: those that have the same id whenever tests are collected.

Names made from addresses, random numbers or the order of a set belong to a test for one run only. Such a test can be
neither compared with an earlier run nor asked for, so it is not judged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from air_executor.fixing.outcome import TestResult

__all__ = ["mark_unstable", "unstable_note"]


def mark_unstable(results: Iterable[TestResult], *collections: Collection[str]) -> list[TestResult]:
    """The results, marked where the id is missing from one of the other collections.

    A file that could not be collected stands for no test, so that it is never marked.
    """
    return [
        msgspec.structs.replace(result, unstable=True)
        if result.name and any(result.id not in collection for collection in collections)
        else result
        for result in results
    ]


def unstable_note(results: Iterable[TestResult], *, compared: bool) -> str | None:
    """What to say of results that are marked, or could not be."""
    if not compared:
        return "whether the names of the tests are always the same is not known: they could not be collected again"
    unstable = [result.id for result in results if result.unstable]
    if not unstable:
        return None
    which = unstable[0] + (f" and {len(unstable) - 1} more" if len(unstable) > 1 else "")
    return f"not judged, since their names differ from one collection to the next: {which}"
