"""What the checks of JavaScript share: `package.json`, JSON as people write it, and programs of `node_modules`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec

from air_executor.fixing.check import CouldNotRun, Project, Tool, ToolRun
from air_executor.fixing.sources import read_source
from air_executor.fixing.tools.programs import find_program, folders_up, in_path, missing
from air_executor.store.files import Identity, identity

__all__ = [
    "SCRIPTS",
    "any_file",
    "depends_on",
    "failed",
    "find_node_tool",
    "module_folder",
    "nested_patterns",
    "package",
    "packages_installed",
    "read_json",
    "said",
    "scripts",
    "table",
    "variants",
]

SCRIPTS: Final = ("js", "mjs", "cjs", "ts", "mts", "cts")
"""What a configuration that is a program may end in."""
DEPENDENCIES: Final = ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies")
COMMENT: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
LAST_COMMA: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|,(?=\s*[}\]])')
SAID: Final = 300


def read_json(path: Path) -> Any:
    """JSON with comments and trailing commas, as it stands in `tsconfig.json`; None for what is absent or broken."""
    return _json(path, identity(path.resolve()))


@lru_cache(maxsize=512)
def _json(path: Path, _: Identity | None) -> Any:
    try:
        text = read_source(path)
    except OSError:
        return None
    for left_out in (COMMENT, LAST_COMMA):
        text = left_out.sub(lambda found: found[0] if found[0].startswith('"') else "", text)
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def table(content: Any, *names: str) -> dict[str, Any]:
    """An object within objects; empty where there is none."""
    for name in names:
        content = content.get(name) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def package(folder: Path) -> dict[str, Any]:
    """`package.json` of a folder; empty where there is none or it is broken."""
    return table(read_json(folder / "package.json"))


def depends_on(folder: Path, name: str) -> bool:
    """Whether the folder's `package.json` asks for a package, of whatever kind of dependency."""
    return any(name in table(package(folder), kind) for kind in DEPENDENCIES)


def scripts(folder: Path) -> Iterator[str]:
    """The commands that `package.json` gives names to."""
    for command in table(package(folder), "scripts").values():
        if isinstance(command, str):
            yield command


def variants(name: str, endings: Iterable[str] = SCRIPTS) -> tuple[str, ...]:
    """`eslint.config` in every form such a file may have."""
    return tuple(f"{name}.{ending}" for ending in endings)


def nested_patterns(project: Project) -> Iterator[str]:
    """The roots of other projects below, in the words of `.gitignore`."""
    start = 0 if project.root == "." else len(project.root) + 1
    for root in project.nested:
        yield "/" + re.sub(r"([\\*?\[\]!# ])", r"\\\1", root[start:]) + "/"


def any_file(folder: Path, names: Iterable[str]) -> Path | None:
    """The first of these files that the folder holds."""
    return next((folder / name for name in names if (folder / name).is_file()), None)


def find_node_tool(project: Project, name: str, package_name: str | None = None) -> Tool:
    """The program `name` of the project's `node_modules`, nearest first, else the one in PATH."""
    mend = f"`npm install` if the project names it, else `npm install --save-dev {package_name or name}`"
    tool = find_program(project, name, own=f"node_modules/.bin/{name}", mend=mend)
    try:
        with open(tool.argv[0], "rb") as file:
            script = file.readline(200).startswith(b"#!/usr/bin/env node")
    except OSError:
        script = False
    if script and in_path(project, "node") is None:
        raise missing("node", f"install Node.js where PATH finds it; {tool.argv[0]} needs it", project)
    return tool


def module_folder(project: Project, name: str) -> Path | None:
    """Where a package is installed for the project."""
    return next(
        (
            folder / "node_modules" / name
            for folder in folders_up(project)
            if (folder / "node_modules" / name).exists()
        ),
        None,
    )


def packages_installed(project: Project) -> bool:
    """Whether anything is, for the project or above it."""
    return any((folder / "node_modules").is_dir() for folder in folders_up(project))


def said(*paths: Path) -> str:
    """What a program of Node says first, in one line, without its stack and Node's own warnings."""
    for path in paths:
        try:
            with path.open("rb") as file:
                text = file.read(8_192).decode(errors="replace")
        except FileNotFoundError:
            continue
        text = re.sub(r"\x1b\[[0-9;]*m", "", text)
        kept = []
        for line in text.split("\n"):
            plain = " ".join("".join(c if c.isprintable() else " " for c in line).split())
            if plain and not re.match(
                r"at |\(node:\d+\)|\(Use `node |node:internal|\^+$|throw |Node\.js v|[─━-]+$", plain
            ):
                kept.append(plain)
        if kept:
            whole = " ".join(kept)
            return whole if len(whole) <= SAID else whole[:SAID] + "…"
    return ""


def failed(tool: str, run: ToolRun, mend: str) -> CouldNotRun:
    """What to raise for a program that ended without a result."""
    how = f"ended by {run.signal}" if run.signal else f"failed with exit code {run.exit_code}"
    told = said(run.stderr, run.stdout)
    return CouldNotRun(f"{tool} {how}" + (f": {told}" if told else ""), mend)
