"""Which tools the projects of a repository have, whose they are, and what is missing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from air_executor.fixing.check import Check, CouldNotRun, Project, Tool
from air_executor.fixing.checking import sandbox
from air_executor.fixing.checking.check_task import Run, Spec, encode
from air_executor.fixing.choice import chosen_checks, chosen_projects
from air_executor.fixing.configuration.sections import FixingConfig
from air_executor.fixing.files import Files, LeftOut, find_files
from air_executor.fixing.languages import languages
from air_executor.fixing.trust import Mode, is_trusted, mode_for

__all__ = ["Checkup", "Diagnosis", "FoundTool", "Whose", "diagnose"]

Whose = Literal["project", "user", "built-in"]


class FoundTool(Struct, kw_only=True, frozen=True):
    """The tool of one check of one project."""

    check: str
    kind: str
    program: str | None
    version: str | None
    whose: Whose | None
    """`project`: it lies in the repository or its environment; `user`: in PATH; `built-in`: it is part of ours."""
    loads_code: bool
    """Whether code of the repository runs in it."""
    reason: str | None = None
    """Why it cannot be used, in one line."""
    mend: str | None = None


class Checkup(Struct, kw_only=True, frozen=True):
    """One project and the tools of all checks that apply to it."""

    project: str
    language: str
    manifest: str | None
    files: int
    tools: tuple[FoundTool, ...]


class Diagnosis(Struct, kw_only=True, frozen=True):
    """What checks of a repository can count on."""

    repository: str
    config: str | None
    """The configuration that counts; None: the defaults."""
    mode: Mode
    sandbox: str | None
    """None where one can be had, else why not."""
    trusted: bool
    extra: bool
    """Whether the library that measures code is installed."""
    left_out: tuple[LeftOut, ...]
    projects: tuple[Checkup, ...]
    languages: tuple[str, ...]
    complete: bool
    """Whether nothing is missing."""


def diagnose(repository: Path, config: FixingConfig, place: Path | None, *, static_only: bool = False) -> Diagnosis:
    """Look at every tool that a check of this repository would use. `place`: of the configuration."""
    repository = repository.resolve()
    mode = mode_for(repository, static_only=static_only)
    files = find_files(repository)
    projects = tuple(_examine(repository, mode, files, config))
    extra = find_spec("lizard") is not None
    refused = mode == "refused" and any(tool.loads_code for one in projects for tool in one.tools)
    return Diagnosis(
        repository=str(repository),
        config=str(place) if place is not None else None,
        mode=mode,
        sandbox=sandbox.available(),
        trusted=is_trusted(repository),
        extra=extra,
        left_out=files.left_out,
        projects=projects,
        languages=tuple(languages()),
        complete=extra and not refused and not any(tool.reason for one in projects for tool in one.tools),
    )


def _examine(repository: Path, mode: Mode, files: Files, config: FixingConfig) -> Iterator[Checkup]:
    """Each project in turn. Programs are only asked for their versions; the repository's own run as `mode` says."""
    versions: dict[tuple[str, ...], str | CouldNotRun | None] = {}
    wanted = chosen_checks(config)
    for found in chosen_projects(repository, config, files):
        project = msgspec.structs.replace(found, own_programs=mode in ("sandbox", "trusted"))
        checks = [
            check
            for check in languages()[project.language].checks
            if check.applies(project)
            and (wanted is None or f"{project.language}/{check.name}" in wanted)
            and not (mode == "static" and check.loads_code(project))
        ]
        yield Checkup(
            project=project.root,
            language=project.language,
            manifest=project.manifest,
            files=len(project.files),
            tools=tuple(_find(project, check, mode, versions) for check in checks),
        )


def _find(
    project: Project, check: Check, mode: Mode, versions: dict[tuple[str, ...], str | CouldNotRun | None]
) -> FoundTool:
    name = f"{project.language}/{check.name}"
    loads_code = check.loads_code(project)
    try:
        tool = check.find(project)
    except CouldNotRun as error:
        return FoundTool(
            check=name, kind=check.kind, program=None, version=None, whose=None, loads_code=loads_code,
            reason=error.reason, mend=error.mend,
        )  # fmt: skip
    asked = (*tool.argv, *check.version_args)
    if asked not in versions:
        versions[asked] = _version(project, check, tool, mode)
    answer = versions[asked]
    broken = answer if isinstance(answer, CouldNotRun) else None
    return FoundTool(
        check=name,
        kind=check.kind,
        program=" ".join(tool.argv),
        version=None if isinstance(answer, CouldNotRun) else answer,
        whose="project" if tool.own else "built-in" if _ours(tool) else "user",
        loads_code=loads_code,
        reason=broken.reason if broken else None,
        mend=broken.mend if broken else None,
    )


def _ours(tool: Tool) -> bool:
    return any(word.startswith("air_executor.") for word in tool.argv)


def _version(project: Project, check: Check, tool: Tool, mode: Mode) -> str | CouldNotRun | None:
    """What the program tells, asked as its check would ask it."""
    if mode == "sandbox" and sandbox.available() is not None:
        return CouldNotRun(f"there is no sandbox: {sandbox.available()}", "install bubblewrap")
    folder = Path(tempfile.mkdtemp(prefix="air-executor-doctor-"))
    try:
        (folder / "project.json").write_bytes(encode(project))
        spec = Spec(
            language=project.language,
            check=check.name,
            project=str(folder / "project.json"),
            tool=tool,
            folder=str(folder),
            cache=str(folder / "cache"),
            reads=None,
            result=str(folder / "result.json"),
            sandboxed=mode == "sandbox",
            timeout_s=60.0,
        )
        return Run(spec).version(tool)
    except CouldNotRun as error:
        return error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
