"""The ledger of suppressions: every place where somebody told a tool to be silent, in code and in configurations."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Ledger", "Suppression"]


class Suppression(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One place where a tool was told to be silent, or a test not to run."""

    form: str
    """How, in the tool's own word, such as `noqa`, `type: ignore`, `eslint-disable-next-line`, `pytest.mark.skip`,
    `ruff per-file-ignores`."""
    path: str
    """Relative to the repository's root."""
    line: int = 0
    """0: the file as a whole (an entry of a configuration whose line is not known)."""
    rules: tuple[str, ...] = ()
    """What is suppressed, as written; empty for everything."""
    in_config: bool = False
    """Whether it stands in a configuration and so may hide more than one place."""


class Ledger(Struct, kw_only=True, frozen=True):
    """All suppressions of a repository, in order of path and line."""

    entries: tuple[Suppression, ...] = ()
    counts: dict[str, int] = {}
    """Form -> how many, the most frequent first."""
    unread: tuple[str, ...] = ()
    """Configurations that could not be read, with the reason: what they suppress is not known."""
