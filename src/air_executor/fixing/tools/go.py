"""What the checks of Go share: the program and its environment, modules and packages, and places in what it prints.

Nothing is ever downloaded: modules come from where `go mod download` has put them. `go.mod` stays as it is.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

import msgspec
from msgspec import Struct

from air_executor.fixing.check import CouldNotRun, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue
from air_executor.fixing.sources import read_source
from air_executor.fixing.tools.output import last_words, not_understood, relative
from air_executor.fixing.tools.programs import find_program, folders_up
from air_executor.fixing.tools.python import version_numbers

__all__ = [
    "MEND",
    "Folders",
    "GoCheck",
    "Located",
    "compile_issues",
    "decode_stream",
    "find_go",
    "located",
    "module_path",
    "own_issues",
    "passed_over",
    "supported",
    "work_members",
]

T = TypeVar("T")
MEND: Final = "run `go build ./...` by hand in the module's folder"
PLACE: Final = re.compile(
    r"(?:vet: |\d+/\d+/\d+ [\d:]+ cover: .*?\.go: )?"
    r"(?P<path>\S.*?):(?P<line>\d+)(?::(?P<column>\d+))?: (?P<message>.*)"
)
CODE: Final = re.compile(r" \[go\.dev/e/(\w+)\]$")
OLDEST: Final = (1, 21)
COMPILE_ERROR: Final = "compile-error"
"""For errors that have no code of the compiler's, such as those of syntax."""


def find_go(project: Project, *, module: bool = True) -> Tool:
    """`go`, never told to download. `module`: whether it is of no use without a `go.mod`."""
    tool = find_program(project, "go", own=None, mend="install Go, or put the folder with `go` into PATH")
    if module and not (project.path / "go.mod").exists():
        raise CouldNotRun(
            f"the Go files of {'the repository' if project.root == '.' else project.root} belong to no module",
            "`go mod init` in their folder, or mark them in .gitattributes as nobody's code (linguist-vendored)",
        )
    env = {
        "GOCACHE": "{shared}/go-build",
        "GOFLAGS": "-buildvcs=false",
        "GOMODCACHE": _modules(),
        "GOPROXY": "off",
        "GOWORK": str(_work_file(project) or "off"),
    }
    return msgspec.structs.replace(tool, env=env)


def supported(tool: Tool) -> None:
    """Raise for a version without what the checks are built on."""
    if version_numbers(tool.version) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise CouldNotRun(f"go {tool.version} is too old: {wanted} and later tell what is needed here", "update Go")


def _modules() -> str:
    """Where the user's go keeps what it has downloaded."""
    given = os.environ.get("GOMODCACHE")
    home = os.environ.get("GOPATH", "").split(os.pathsep)[0] or os.path.expanduser("~/go")
    place = Path(given or os.path.join(home, "pkg", "mod"))
    return str(place) if place.is_absolute() and place.is_dir() else "{shared}/go-mod"


def work_members(work: Path) -> list[str]:
    """The folders a `go.work` uses, relative to its own; none where there is no such file."""
    try:
        text = re.sub(r"//.*", "", read_source(work))
    except OSError:
        return []
    used = re.findall(r'^[ \t]*use[ \t]+([^\s("`]\S*|"[^"\n]+"|`[^`\n]+`)[ \t\r]*$', text, re.MULTILINE)
    for block in re.findall(r"^[ \t]*use[ \t]*\(([^)]*)\)", text, re.MULTILINE):
        used += block.split("\n")
    return [os.path.normpath(name.strip().strip('"`')) for name in used if name.strip()]


def _work_file(project: Project) -> Path | None:
    """The workspace that names the module. One above that does not is not asked: go would refuse the module."""
    for folder in folders_up(project):
        work = folder / "go.work"
        if work.exists():
            used = {os.path.normpath(folder / name) for name in work_members(work)}
            return work if str(project.path) in used else None
    return None


def module_path(project: Project) -> str | None:
    """What `go.mod` calls the module."""
    try:
        text = read_source(project.path / "go.mod")
    except OSError:
        return None
    found = re.search(r'^[ \t]*module[ \t]+(?:\(\s*)?["`]?([^\s"`()]+)', text, re.MULTILINE)
    return found[1] if found else None


class Folders:
    """Where the packages of a module are."""

    def __init__(self, project: Project) -> None:
        self._module = module_path(project)
        self._root = "" if project.root == "." else project.root
        self._files: dict[str, list[str]] = {}
        for path in project.files:
            self._files.setdefault(path.rpartition("/")[0] or ".", []).append(path)

    def of(self, package: str) -> str | None:
        """The folder of a package, relative to the repository's root; None for a package of another module."""
        name = package.partition(" [")[0]
        module = self._module
        if module is None or not (name == module or name.startswith(module + "/")):
            return None
        return "/".join(part for part in (self._root, name[len(module) + 1 :]) if part) or "."

    def files(self, folder: str | None) -> list[str]:
        """The Go files that lie in a folder itself."""
        return self._files.get(folder or "", [])


def passed_over(project: Project, path: str) -> bool:
    """Whether `./...` does not come to a file: folders called testdata, and names that begin with `_` or a dot."""
    parts = path.split("/") if project.root == "." else path[len(project.root) + 1 :].split("/")
    return any(part == "testdata" for part in parts[:-1]) or any(part[0] in "_." for part in parts)


def decode_stream(tool: str, run: ToolRun, form: type[T], text: str) -> list[T]:
    """JSON values that stand one behind the other, in any number of lines."""
    decoder = json.JSONDecoder()
    found: list[T] = []
    end = 0
    try:
        while (end := _skip_space(text, end)) < len(text):
            value, end = decoder.raw_decode(text, end)
            found.append(msgspec.convert(value, form))
    except (ValueError, RecursionError) as error:
        raise not_understood(tool, run, f"value {len(found) + 1}: {error}") from None
    return found


def _skip_space(text: str, start: int) -> int:
    while start < len(text) and text[start].isspace():
        start += 1
    return start


class Located(Struct, frozen=True):
    """A message of the compiler's kind: `path:line:column: message`, and indented lines that belong to it."""

    path: str
    line: int
    column: int
    message: str


def located(lines: Iterable[str]) -> Iterator[Located]:
    """The messages that tell a place; other lines are passed over."""
    last: Located | None = None
    for line in lines:
        if line.startswith(("\t", "    ")) and last is not None:
            last = Located(last.path, last.line, last.column, f"{last.message}\n{line.strip()}")
            continue
        if last is not None:
            yield last
        found = PLACE.fullmatch(line.rstrip())
        last = (
            Located(found["path"], int(found["line"]), int(found["column"] or 0), found["message"]) if found else None
        )
    if last is not None:
        yield last


def compile_issues(project: Project, tool: str, messages: Iterable[Located]) -> list[Issue]:
    """An issue for each, with the compiler's own code; those in files outside the repository are left out."""
    found: dict[tuple[object, ...], Issue] = {}
    for message in messages:
        path = relative(project, message.path)
        if path is None:
            continue
        first, *rest = message.message.split("\n")
        code = CODE.search(first)
        text = " ".join((CODE.sub("", first), *rest))
        issue = Issue(
            tool=tool,
            rule=code[1] if code else COMPILE_ERROR,
            severity="error",
            message=text,
            path=path,
            line=message.line,
            column=message.column,
            url=f"https://go.dev/e/{code[1]}" if code else None,
        )
        found.setdefault((issue.place, text), issue)  # told once more for the package's tests
    return list(found.values())


def own_issues(project: Project, tool: str, issues: list[Issue]) -> list[Issue]:
    """Those in the project's own files, assembly and C too. Where only what it depends on is broken, nothing is known
    of the project."""
    own = frozenset(project.files)
    kept = [issue for issue in issues if issue.path in own or _beside(project, issue.path)]
    if issues and not kept:
        where = ", ".join(sorted({issue.path for issue in issues})[:3])
        raise CouldNotRun(f"{tool} stops at what this module depends on: {where} does not compile", "mend that first")
    return kept


def _beside(project: Project, path: str) -> bool:
    """Whether a file that is not Go belongs to the module."""
    below = project.root == "." or path.startswith(project.root + "/")
    return below and not path.endswith(".go") and not any(path.startswith(root + "/") for root in project.nested)


class GoCheck:
    """What the checks that run `go` on a module have in common."""

    version_args: ClassVar[tuple[str, ...]] = ("version",)
    reads: ClassVar[str | None] = None
    kind: ClassVar[Kind]
    name: ClassVar[str]

    def applies(self, project: Project) -> bool:
        return True

    def loads_code(self, project: Project) -> bool:
        return False  # go builds without running what it builds; that is a promise of its authors

    def find(self, project: Project) -> Tool:
        return find_go(project)

    def configuration(self, project: Project) -> list[Path]:
        """Packages of one workspace see each other."""
        return [folder / name for folder in folders_up(project) for name in ("go.mod", "go.work", "go.sum")]


def stopped(tool: str, run: ToolRun) -> CouldNotRun:
    """What to raise where go has not come to look at the code."""
    said = last_words(run.stderr) or last_words(run.stdout) or "nothing"
    return CouldNotRun(f"{tool} stopped (exit code {run.exit_code}): {said}", MEND)


def fields(form: type[Any]) -> str:
    """The names of a struct's fields, as `go list -json=` takes them."""
    return ",".join(field.encode_name for field in msgspec.structs.fields(form))
