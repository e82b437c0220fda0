"""JavaScript and TypeScript: eslint, biome or oxlint, tsc, vitest or jest, and the coverage that those measure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from air_executor.fixing.check import Project
from air_executor.fixing.languages.language import Language
from air_executor.fixing.sources import read_source
from air_executor.fixing.tools.biome import Biome, BiomeFormat
from air_executor.fixing.tools.eslint import Eslint
from air_executor.fixing.tools.istanbul import JestCoverage, VitestCoverage
from air_executor.fixing.tools.jest import Jest
from air_executor.fixing.tools.node import package, read_json
from air_executor.fixing.tools.oxlint import Oxlint
from air_executor.fixing.tools.programs import folders_up
from air_executor.fixing.tools.tsc import Tsc
from air_executor.fixing.tools.vitest import Vitest

__all__ = ["JAVASCRIPT"]

PURPOSES: Final = ("scripts", "dependencies", "devDependencies", "peerDependencies", "workspaces")
NAME: Final = re.compile(r"(?:@[^/]+/)?[^/]+")
"""What npm takes for the name of a package."""
INSTALLED: Final = (".package-lock.json", ".modules.yaml", ".yarn-integrity", ".yarn-state.yml")
"""What npm, pnpm and yarn write into `node_modules` when they have changed something there."""


def stands(manifest: Path) -> bool:
    """A `package.json` makes none that only tells how modules of its folder are read (`{"type": "module"}`), or
    gives a part of the package around it a name (`{"name": "rxjs/ajax"}`)."""
    content = read_json(manifest)
    if manifest.name != "package.json" or not isinstance(content, dict):
        return True  # broken, but meant as one
    name = content.get("name")
    return any(word in content for word in PURPOSES) or (isinstance(name, str) and bool(NAME.fullmatch(name)))


def members(manifest: Path) -> Sequence[str]:
    """The workspaces of npm, yarn and bun, which `package.json` names, or of pnpm, which has a file for them."""
    given: Any = package(manifest.parent).get("workspaces")
    if isinstance(given, dict):
        given = given.get("packages")
    if not isinstance(given, list):
        given = _of_pnpm(manifest.parent / "pnpm-workspace.yaml")
    return [pattern for pattern in given if isinstance(pattern, str)]


def _of_pnpm(path: Path) -> list[Any]:
    try:
        content = yaml.safe_load(read_source(path))
    except (OSError, yaml.YAMLError):
        return []
    given = content.get("packages") if isinstance(content, dict) else None
    return given if isinstance(given, list) else []


def installed(project: Project) -> Sequence[Path]:
    return [folder / "node_modules" / name for folder in folders_up(project) for name in INSTALLED]


JAVASCRIPT: Final = Language(
    name="javascript",
    suffixes=frozenset({".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts", ".vue", ".svelte"}),
    manifests=("package.json",),
    weak_manifests=("tsconfig.json", "jsconfig.json"),
    stands=stands,
    members=members,
    lock_files=("package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb"),
    installed=installed,
    checks=(
        Eslint(),
        Biome(),
        BiomeFormat(),
        Oxlint(),
        Tsc(),
        Vitest(),
        VitestCoverage(),
        Jest(),
        JestCoverage(),
    ),
)
