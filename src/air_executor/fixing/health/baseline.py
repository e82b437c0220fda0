"""A file of issues that are known, so that only those that came since then count.

It is meant to be committed: no times, one issue a line, in order of place, so that git shows what came and went.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from air_executor.errors import BaseUnusable, InvalidInput, NotFound
from air_executor.fixing.issue import Issue
from air_executor.fixing.outcome import CheckResult
from air_executor.store.files import read_regular, write_atomically

__all__ = [
    "Baseline",
    "Checked",
    "Known",
    "changed_tools",
    "gone_issues",
    "new_issues",
    "read_baseline",
    "write_baseline",
]

VERSION: Final = 1


class Known(Struct, frozen=True):
    """An issue as the file keeps it: the fingerprint decides, the rest is for readers. It has no line, since that
    moves with every edit above it."""

    fingerprint: str
    tool: str
    rule: str
    path: str
    message: str


class Checked(Struct, frozen=True):
    """What found them: another version or other rules find other things."""

    check: str
    project: str
    version: str | None
    rules: str | None


class Baseline(Struct, kw_only=True, frozen=True):
    """The whole file."""

    version: int = VERSION
    checks: tuple[Checked, ...] = ()
    issues: tuple[Known, ...] = ()


def write_baseline(path: Path, issues: Iterable[Issue], results: Iterable[CheckResult] = ()) -> None:
    """Write the file anew. A check that could not run has nothing to say in it."""
    checks = sorted(
        (one.check, one.project, one.version or "", one.rules or "")
        for one in results
        if one.outcome != "could_not_run"
    )
    known = {one.fingerprint: one for one in issues}
    lines = [
        _line({"check": check, "project": project, "version": version or None, "rules": rules or None})
        for check, project, version, rules in checks
    ]
    issue_lines = [
        _line(Known(one.fingerprint, one.tool, one.rule, one.path, one.message))
        for one in sorted(known.values(), key=lambda one: (one.path, one.tool, one.rule, one.line, one.fingerprint))
    ]
    text = f'{{\n"version": {VERSION},\n"checks": [{_list(lines)}],\n"issues": [{_list(issue_lines)}]\n}}\n'
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode("utf-8", "backslashreplace"), mode=0o644)
    except OSError as error:
        raise BaseUnusable(f"{path} cannot be written: {error.strerror}") from error


def _line(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _list(lines: list[str]) -> str:
    return "\n" + ",\n".join(lines) + "\n" if lines else ""


def read_baseline(path: Path) -> Baseline:
    """Raises `NotFound`, or `InvalidInput` saying what is wrong with the file."""
    try:
        found = msgspec.json.decode(read_regular(path), type=Baseline)
    except FileNotFoundError:
        raise NotFound(f"{path}: no such baseline; `air-executor fix health --write-baseline` makes one") from None
    except OSError as error:
        raise BaseUnusable(f"{path} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: not a baseline: {error}; write it anew with `--write-baseline`") from error
    if found.version != VERSION:
        raise InvalidInput(f"{path}: a baseline of version {found.version}, and this is one for version {VERSION}")
    return found


def new_issues(issues: Iterable[Issue], path: Path) -> list[Issue]:
    """Those the file does not know."""
    known = {one.fingerprint for one in read_baseline(path).issues}
    return [issue for issue in issues if issue.fingerprint not in known]


def gone_issues(issues: Iterable[Issue], path: Path) -> list[Known]:
    """Those of the file that are there no more."""
    left = {issue.fingerprint for issue in issues}
    return [one for one in read_baseline(path).issues if one.fingerprint not in left]


def changed_tools(results: Iterable[CheckResult], path: Path) -> list[str]:
    """What makes new issues no news: a sentence for each check that is new, of another version, or of other rules."""
    before = {(one.check, one.project): one for one in read_baseline(path).checks}
    if not before:
        return []
    found = []
    for result in results:
        if result.outcome == "could_not_run":
            continue
        old = before.get((result.check, result.project))
        where = f"{result.check} in {result.project}" if result.project != "." else result.check
        if old is None:
            found.append(f"{where} did not run when the baseline was written")
        elif old.version != result.version:
            found.append(f"{where} is of version {result.version or 'unknown'}, then {old.version or 'unknown'}")
        elif old.rules != result.rules:
            found.append(f"{where} has another configuration than then")
    return found
