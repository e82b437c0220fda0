"""Go: its compiler, go vet, gofmt, golangci-lint where it is used, go test and what the tests run through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from air_executor.fixing.languages.language import Language
from air_executor.fixing.tools.go import work_members
from air_executor.fixing.tools.go_build import GoBuild
from air_executor.fixing.tools.go_cover import GoCover
from air_executor.fixing.tools.go_test import GoTest
from air_executor.fixing.tools.go_vet import GoVet
from air_executor.fixing.tools.gofmt import Gofmt
from air_executor.fixing.tools.golangci import GolangciLint

__all__ = ["GO"]


def members(manifest: Path) -> Sequence[str]:
    """What a `go.work` beside the manifest uses."""
    return [name for name in work_members(manifest.parent / "go.work") if not name.startswith("..")]


GO: Final = Language(
    name="go",
    suffixes=frozenset({".go"}),
    manifests=("go.mod",),
    weak_manifests=("go.work",),
    members=members,
    lock_files=("go.sum", "go.work.sum"),
    checks=(GoBuild(), GoVet(), Gofmt(), GolangciLint(), GoTest(), GoCover()),
)
