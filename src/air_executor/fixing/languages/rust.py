"""Rust: cargo's clippy, tests and formatting. A workspace is one project, as it is for cargo."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from air_executor.fixing.check import Project
from air_executor.fixing.languages.language import Language
from air_executor.fixing.tools.cargo import cargo_toml
from air_executor.fixing.tools.cargo_test import CargoTest
from air_executor.fixing.tools.clippy import Clippy
from air_executor.fixing.tools.rustfmt import Rustfmt

__all__ = ["RUST"]


def members(manifest: Path) -> Sequence[str]:
    """Those that `[workspace]` names, and, as for cargo, those that its root depends on by a path below it."""
    content = cargo_toml(manifest)
    workspace = content.get("workspace")
    if not isinstance(workspace, dict):
        return ()
    named = [pattern for pattern in workspace.get("members", ()) if isinstance(pattern, str)]
    for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
        dependencies = content.get(kind)
        for given in dependencies.values() if isinstance(dependencies, dict) else ():
            path = given.get("path") if isinstance(given, dict) else None
            if isinstance(path, str) and not os.path.normpath(path).startswith(("..", "/")):
                named.append(os.path.normpath(path))
    return [*named, *(f"!{pattern}" for pattern in workspace.get("exclude", ()) if isinstance(pattern, str))]


def installed(_: Project) -> Sequence[Path]:
    """Where rustup keeps toolchains: its `cargo` is the same for all of them."""
    home = Path(os.environ.get("RUSTUP_HOME") or os.path.expanduser("~/.rustup"))
    return [home / "settings.toml", home / "toolchains", home / "update-hashes"]


RUST: Final = Language(
    name="rust",
    suffixes=frozenset({".rs"}),
    manifests=("Cargo.toml",),
    members=members,
    lock_files=("Cargo.lock",),
    installed=installed,
    checks=(Clippy(), Rustfmt(), CargoTest()),
    as_one=True,
)
