"""Dart and Flutter: analyzer, formatter, tests and what they run through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from air_executor.fixing.check import Project
from air_executor.fixing.languages.language import Language
from air_executor.fixing.tools.dart import mapping, table
from air_executor.fixing.tools.dart_analyze import DartAnalyze
from air_executor.fixing.tools.dart_format import DartFormat
from air_executor.fixing.tools.dart_lcov import DartCoverage
from air_executor.fixing.tools.dart_test import DartTest

__all__ = ["DART"]


def members(manifest: Path) -> Sequence[str]:
    """Those of a workspace of pub, and those of melos, in its own file or in the manifest."""
    pubspec = mapping(manifest.parent / "pubspec.yaml")
    melos = mapping(manifest.parent / "melos.yaml")
    named: list[Any] = []
    out: list[Any] = []
    for place, key in ((pubspec, "workspace"), (melos, "packages"), (table(pubspec, "melos"), "packages")):
        found = place.get(key)
        named += found if isinstance(found, list) else []
    for place in (melos, table(pubspec, "melos")):
        found = place.get("ignore")
        out += found if isinstance(found, list) else []
    return [one for one in named if isinstance(one, str)] + [f"!{one}" for one in out if isinstance(one, str)]


def installed(project: Project) -> Sequence[Path]:
    roots = dict.fromkeys((project.root, project.workspace or project.root))
    return [project.repository / root / ".dart_tool" / "package_config.json" for root in roots]


DART: Final = Language(
    name="dart",
    suffixes=frozenset({".dart"}),
    manifests=("pubspec.yaml",),
    weak_manifests=("melos.yaml",),
    members=members,
    lock_files=("pubspec.lock",),
    installed=installed,
    checks=(DartAnalyze(), DartFormat(), DartTest(), DartCoverage()),
)
