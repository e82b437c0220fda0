"""Every place of a repository where somebody told a tool to be silent: in code, and in configurations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from msgspec import Struct

from air_executor.fixing.check import Project
from air_executor.fixing.sources import read_source
from air_executor.fixing.suppressions import code, comments
from air_executor.fixing.suppressions.configs import in_configuration, is_configuration
from air_executor.fixing.suppressions.known import Known
from air_executor.fixing.suppressions.lexing import lex
from air_executor.fixing.suppressions.suppression import Suppression

__all__ = ["Ledger", "ledger"]


class Ledger(Struct, kw_only=True, frozen=True):
    """All suppressions of a repository, in order of path and line."""

    entries: tuple[Suppression, ...] = ()
    counts: dict[str, int] = {}
    """Form -> how many, the most frequent first."""
    unread: tuple[str, ...] = ()
    """Files that could not be read, with the reason: what they suppress is not known."""


def ledger(repository: Path, projects: Iterable[Project], files: Iterable[str], kept: Path | None = None) -> Ledger:
    """The suppressions in the projects' files, and in those of all `files` that configure tools.

    Paths are relative to the repository's root. Nothing of the repository is run, so what a configuration that is a
    program computes is not seen. `kept`: a file of ours that remembers from time to time what was found.
    """
    known = Known(kept)
    found: list[Suppression] = []
    unread: list[str] = []
    sources = {path for project in projects for path in project.files}
    for path in sorted(sources.union(filter(is_configuration, files))):
        try:
            text = read_source(repository / path)
            if path in sources:
                found += in_source(path, text, known)
            if is_configuration(path):
                found += in_configuration(path, text)
        except OSError as error:
            unread.append(f"{path}: {error.strerror}")
        except ValueError as error:
            unread.append(f"{path}: {' '.join(str(error).split())}")
    known.save()
    found.sort(key=lambda one: (one.path, one.line, one.form, one.where, one.rules))
    counts = Counter(one.form for one in found)
    return Ledger(
        entries=tuple(found),
        counts=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        unread=tuple(unread),
    )


def in_source(path: str, text: str, known: Known | None = None) -> list[Suppression]:
    """The suppressions in the comments and the code of one file."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix not in comments.WORDS:
        return []
    commented = comments.WORDS[suffix].search(text) is not None
    coded = code.WORDS[suffix].search(text) is not None
    if not commented and not coded:
        return []
    found = known.get(path, text) if known is not None else None
    if found is None:
        lexed = lex(text, suffix)
        assert lexed is not None
        found = [
            *(comments.in_comments(path, suffix, lexed) if commented else ()),
            *(code.in_code(path, suffix, lexed) if coded else ()),
        ]
        if known is not None:
            known.put(path, text, found)
    return found
