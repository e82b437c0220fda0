"""What a language is: its manifests, its files and its checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from air_executor.fixing.check import Check, Project

__all__ = ["Language", "always", "no_members", "nothing_installed"]


def always(_: Path) -> bool:
    return True


def no_members(_: Path) -> Sequence[str]:
    return ()


def nothing_installed(_: Project) -> Sequence[Path]:
    return ()


class Language(Struct, kw_only=True, frozen=True):
    """One file in `languages/`, or of another distribution by the entry-point group `air_executor.languages`."""

    name: str
    suffixes: frozenset[str]
    """With the dot, in lower case."""
    manifests: tuple[str, ...]
    """File names that make their folder the root of a project, the best first."""
    weak_manifests: tuple[str, ...] = ()
    """Those that do so only where no folder above has a manifest of either kind."""
    stands: Callable[[Path], bool] = always
    """Whether this very manifest makes a project, or only configures something."""
    members: Callable[[Path], Sequence[str]] = no_members
    """Patterns (`packages/*`, `!packages/old`) of the members of the workspace that a manifest declares."""
    lock_files: tuple[str, ...] = ()
    """Names of the files that pin what a project depends on, in its root or its workspace's."""
    installed: Callable[[Project], Sequence[Path]] = nothing_installed
    """Files and folders that change when what a project depends on is installed, such as `site-packages`."""
    checks: tuple[Check, ...]
    """In the order in which they are shown."""
    as_one: bool = False
    """Whether a workspace is one project (its tool checks all members at once), its members' files its own."""
