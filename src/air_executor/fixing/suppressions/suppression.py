"""One entry of the ledger."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Suppression"]


class Suppression(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One place where a tool was told to be silent, or a test not to run."""

    form: str
    """How, in the tool's own words, such as `noqa`, `type: ignore`, `eslint-disable-next-line`, `pytest.mark.skip`,
    `ruff per-file-ignores`."""
    path: str
    """Relative to the repository's root."""
    line: int = 0
    """0: not known, of an entry of a configuration."""
    rules: tuple[str, ...] = ()
    """What is suppressed, as written; empty for everything."""
    where: str = ""
    """In which files, where a configuration restricts it to some."""
    in_config: bool = False
    """Whether it stands in a configuration and so may hide more than one place."""
