"""Which projects a repository holds: a root a manifest, and every file of a language in exactly one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from air_executor.fixing.check import Project
from air_executor.fixing.files import Files, find_files
from air_executor.fixing.languages import Language, languages

__all__ = ["find_projects"]


def find_projects(
    repository: Path,
    known: Iterable[Language] | None = None,
    files: Files | None = None,
) -> list[Project]:
    """The projects of each language, ordered by root and language.

    A project's root is the folder of the nearest manifest above a file; files below none belong to a project at the
    repository's root. A project without files of its language is none.
    """
    repository = repository.resolve()
    files = find_files(repository) if files is None else files
    found = []
    for language in languages().values() if known is None else known:
        found += _of_language(repository, language, files.paths)
    return sorted(found, key=lambda project: (project.root != ".", project.root, project.language))


def _of_language(repository: Path, language: Language, paths: tuple[str, ...]) -> list[Project]:
    manifests = _manifests(repository, language, paths)
    workspaces = _workspaces(repository, language, manifests)
    if language.as_one:
        manifests = {root: name for root, name in manifests.items() if root not in workspaces}
    own: dict[str, list[str]] = {}
    for path in paths:
        if PurePosixPath(path).suffix.lower() in language.suffixes:
            own.setdefault(_nearest(path, manifests), []).append(path)
    roots = sorted(own)
    return [
        Project(
            repository=repository,
            root=root,
            language=language.name,
            manifest=_join(root, manifests[root]) if root in manifests else None,
            files=tuple(own[root]),
            nested=tuple(other for other in roots if other != root and _below(other, root)),
            workspace=workspaces.get(root),
        )
        for root in roots
    ]


def _manifests(repository: Path, language: Language, paths: tuple[str, ...]) -> dict[str, str]:
    """Root -> name of its best manifest."""
    strong: dict[str, str] = {}
    weak: dict[str, str] = {}
    for names, into in ((language.manifests, strong), (language.weak_manifests, weak)):
        for name in names:
            for path in paths:
                folder, _, last = path.rpartition("/")
                if last == name and (folder or ".") not in into and language.stands(repository / path):
                    into[folder or "."] = name
    found = dict(strong)
    for root in sorted(weak, key=len):  # a folder's name is shorter than those of the folders in it
        if root not in found and (root == "." or not any(_below(root, other) for other in found)):
            found[root] = weak[root]
    return found


def _workspaces(repository: Path, language: Language, manifests: Mapping[str, str]) -> dict[str, str]:
    """Member -> root of its workspace, the nearest one that names it."""
    found: dict[str, str] = {}
    for root in sorted(manifests, key=len):
        patterns = language.members(repository / _join(root, manifests[root]))
        if not patterns:
            continue
        for other in manifests:
            if other != root and _below(other, root):
                below = other if root == "." else other[len(root) + 1 :]
                if _is_member(below, patterns):
                    found[other] = root
    return found


def _is_member(folder: str, patterns: Iterable[str]) -> bool:
    """Whether the patterns name a folder; later ones count, `!` takes out again."""
    member = False
    for pattern in patterns:
        out = pattern.startswith("!")
        wanted = str(PurePosixPath(pattern.removeprefix("!")))
        if re.fullmatch(_expression(wanted), folder):
            member = not out
    return member


def _expression(pattern: str) -> str:
    """A glob of paths as a regular expression: `*` within one name, `**` over any number of them."""
    parts = []
    for part in pattern.split("/"):
        if part == "**":
            parts.append(r"(?:[^/]+/)*")
            continue
        expression = "".join({"*": "[^/]*", "?": "[^/]"}.get(one, re.escape(one)) for one in part)
        parts.append(re.sub(r"\\\{([^}]*)\\\}", lambda m: f"(?:{m[1].replace(',', '|')})", expression) + "/")
    whole = "".join(parts)
    return whole.removesuffix("/") if not pattern.endswith("**") else whole.removesuffix("(?:[^/]+/)*") + ".*"


def _nearest(path: str, manifests: Mapping[str, str]) -> str:
    folder = path
    while "/" in folder:
        folder = folder.rpartition("/")[0]
        if folder in manifests:
            return folder
    return "."


def _below(folder: str, root: str) -> bool:
    return folder != root and (root == "." or folder.startswith(root + "/"))


def _join(root: str, name: str) -> str:
    return name if root == "." else f"{root}/{name}"
