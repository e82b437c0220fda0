"""Finding a tool's program: the project's own before the one in PATH. Nothing is started here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from air_executor.fixing.check import CouldNotRun, Project, Tool

__all__ = ["find_own", "find_program", "folders_up", "in_path", "inside", "missing"]


def folders_up(project: Project) -> Iterator[Path]:
    """The project's folder, and those above it up to the repository's root."""
    folder = project.path
    yield folder
    while folder not in (project.repository, folder.parent):
        folder = folder.parent
        yield folder


def inside(project: Project, program: str | Path) -> bool:
    """Whether a program lies in the repository, where whoever wrote the target may have put it."""
    return Path(os.path.abspath(program)).is_relative_to(project.repository)


def find_own(project: Project, place: str) -> Path | None:
    """A program at `place` (`node_modules/.bin/eslint`) in the project's folder or, nearest first, one above it."""
    if not project.own_programs:
        return None
    for folder in folders_up(project):
        program = folder / place
        if program.is_file() and os.access(program, os.X_OK):
            return program
    return None


def in_path(project: Project, name: str) -> Path | None:
    """A program of that name in PATH; where the repository's own may not be run, not one in the repository."""
    words = os.environ.get("PATH", os.defpath).split(os.pathsep)
    folders = [word for word in words if os.path.isabs(word)]
    if not project.own_programs:
        folders = [folder for folder in folders if not inside(project, folder)]
    found = shutil.which(name, path=os.pathsep.join(folders)) if folders else None
    return Path(found) if found else None


def missing(name: str, mend: str, project: Project) -> CouldNotRun:
    """What to raise when there is no such program."""
    refused = "" if project.own_programs else ", and the repository's own programs may not be run"
    return CouldNotRun(f"{name} is not there: neither the project nor PATH has it{refused}", mend)


def find_program(project: Project, name: str, *, own: str | None, mend: str) -> Tool:
    """The program `name`: at the place `own` in the project, else in PATH. `mend` tells how to install it."""
    if own is not None and (program := find_own(project, own)) is not None:
        return Tool((str(program),), None, True)
    if (program := in_path(project, name)) is not None:
        return Tool((str(program),), None, inside(project, program))
    raise missing(name, mend, project)
