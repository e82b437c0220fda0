"""Which commit of a repository is looked at, and whether its files are still those of the commit."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from air_executor.fixing.files import git

__all__ = ["Checkout", "checkout"]


class Checkout(Struct, frozen=True):
    commit: str | None
    """None without git, or before the first commit."""
    dirty: bool | None
    """None where there is no commit, or git would run programs of the repository to tell."""


def checkout(repository: Path) -> Checkout:
    """Runs no program that the repository's own configuration names."""
    head = git(repository, "rev-parse", "--verify", "--quiet", "HEAD")
    if head is None:
        return Checkout(None, None)
    commit = head.decode("ascii", "replace").strip()
    # What filters make of a file has to be known to compare it; those of the user's own configuration are his.
    filters = git(repository, "config", "--local", "--includes", "--get-regexp", r"^filter\..*\.(clean|process)$")
    if filters:
        return Checkout(commit, None)
    changed = git(repository, "status", "--porcelain", "-z", "--ignore-submodules=all", "--", ".")
    return Checkout(commit, bool(changed) if changed is not None else None)
