"""tsc, the compiler of TypeScript, for its errors only: nothing is written.

It prints text. Asked for the list of its files as well, it proves that it has looked at something when all is well.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Final

from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue
from air_executor.fixing.tools.node import failed, find_node_tool, packages_installed, read_json, table
from air_executor.fixing.tools.output import not_understood, relative
from air_executor.fixing.tools.programs import folders_up
from air_executor.fixing.tools.python import config_files, version_numbers

__all__ = ["Tsc"]

CONFIG: Final = ("tsconfig.json", "jsconfig.json")
TYPED: Final = (".ts", ".tsx", ".mts", ".cts")
MEND: Final = "mend tsconfig.json; `npx tsc --noEmit` tells what is wrong with it"
DIAGNOSTIC: Final = re.compile(r"(.+)\((\d+),(\d+)\): (error|warning) TS(\d+): (.*)")
GLOBAL: Final = re.compile(r"(error|warning) TS(\d+): (.*)")
NOT_BUILT: Final = frozenset({"TS6305", "TS6310"})
NOT_FOUND: Final = frozenset({"TS2307", "TS2688", "TS2875", "TS7016", "TS7026"})
"""Modules and types that are missing."""
SYNTAX: Final = re.compile(r"TS1\d\d\d")
WITHOUT_OUTPUT: Final = (4, 0)
"""From this version on its memory of the last run can be kept without any other output."""
NEXT: Final = "next configuration"
SEVERAL: Final = """\
# One configuration after the other; the worst exit code counts.
words=$1; shift
worst=0
number=0
for config; do
    number=$((number + 1))
    echo "next configuration"
    "$TSC" --project "$config" $words --tsBuildInfoFile "$KEPT/$number.tsbuildinfo"
    code=$?
    [ "$code" -le "$worst" ] || worst=$code
done
exit "$worst"
"""


def _base(project: Project) -> Path | None:
    """The nearest configuration."""
    for folder in folders_up(project):
        for name in CONFIG:
            if (folder / name).is_file():
                return folder / name
    return None


def _references(config: Path) -> Iterator[Path]:
    content = read_json(config)
    given = content.get("references") if isinstance(content, dict) else None
    for entry in given if isinstance(given, list) else ():
        place = entry.get("path") if isinstance(entry, dict) else None
        if isinstance(place, str):
            path = Path(os.path.normpath(config.parent / place))
            yield path / "tsconfig.json" if path.is_dir() else path


def configurations(project: Project) -> list[Path]:
    """The nearest configuration and those of this project that it refers to, but for those that only refer."""
    base = _base(project)
    found: dict[Path, None] = {}
    waiting = [base] if base is not None else []
    others = [project.repository / root for root in project.nested]
    while waiting:
        config = waiting.pop(0)
        if config in found or (config != base and any(config.is_relative_to(other) for other in others)):
            continue  # a nested project looks at its own
        found[config] = None
        waiting += _references(config)
    return [config for config in found if not _refers_only(config)]


def _refers_only(config: Path) -> bool:
    content: Any = read_json(config)
    return isinstance(content, dict) and content.get("files") == [] and "include" not in content


class Tsc:
    """`tsc --noEmit`."""

    name: ClassVar[str] = "tsc"
    kind: ClassVar[Kind] = "types"
    version_args: ClassVar[tuple[str, ...]] = ("--version",)
    reads: ClassVar[str | None] = None

    def applies(self, project: Project) -> bool:
        base = _base(project)
        if base is None:
            return False
        if any(path.endswith(TYPED) for path in project.files):
            return True
        options = table(read_json(base), "compilerOptions")
        return base.parent == project.path and bool(options.get("checkJs"))

    def loads_code(self, project: Project) -> bool:
        return False

    def find(self, project: Project) -> Tool:
        return find_node_tool(project, self.name, "typescript")

    def configuration(self, project: Project) -> list[Path]:
        return config_files(project, *CONFIG, "package.json", below=True) + configurations(project)

    def command(self, project: Project, tool: Tool) -> Command:
        configs = configurations(project)
        if not configs:
            raise CouldNotRun("tsconfig.json refers to no configuration with files", MEND)
        words = ["--noEmit", "--pretty", "false", "--listFiles"]
        if version_numbers(tool.version) >= WITHOUT_OUTPUT:
            words.append("--incremental")
        elif len(configs) > 1:
            raise CouldNotRun(
                f"TypeScript {tool.version} is too old for references", "update TypeScript to 4.0 or later"
            )
        else:
            return Command(argv=(*tool.argv, "--project", str(configs[0]), *words), cwd=project.path)
        kept = "{cache}/" + hashlib.sha256(str(tool.version).encode()).hexdigest()[:8]
        if len(configs) == 1:
            where = ("--project", str(configs[0]), "--tsBuildInfoFile", f"{kept}/1.tsbuildinfo")
            return Command(argv=(*tool.argv, *where, *words), cwd=project.path)
        return Command(
            argv=("/bin/sh", "{out}/several.sh", " ".join(words), *map(str, configs)),
            cwd=project.path,
            env={"TSC": tool.argv[0], "KEPT": kept},
            inputs={"several.sh": SEVERAL},
        )

    def parse(self, project: Project, run: ToolRun) -> Findings:
        if run.exit_code not in (0, 1, 2):
            raise failed(self.name, run, MEND)
        issues, looked_at = self._read(project, run)
        if bool(issues) != (run.exit_code != 0):
            raise not_understood(self.name, run, f"{len(issues)} errors do not go with the exit code")
        for issue in issues:
            if issue.rule in NOT_BUILT:
                raise CouldNotRun(
                    f"tsc needs what another project is built to: {issue.message}",
                    "build it first: `npx tsc --build`",
                )
            if not issue.path.endswith(TYPED) and issue.path.endswith(".json") and issue.path not in looked_at:
                raise CouldNotRun(f"tsc does not understand {issue.path}: {issue.rule} {issue.message}", MEND)
        own = frozenset(project.files)
        if not own & looked_at:
            raise CouldNotRun("tsconfig.json leaves none of this project's files", "mend `include` and `files` in it")
        if not packages_installed(project) and (lost := [issue for issue in issues if issue.rule in NOT_FOUND]):
            raise CouldNotRun(
                f"no packages are installed, so {len(lost)} imports are not found: {lost[0].message}",
                "install what the project depends on (`npm ci`, `pnpm install`, `yarn`)",
            )
        return Findings(
            issues=[issue for issue in issues if issue.path in own], note=self._note(project, issues, looked_at)
        )

    def _note(self, project: Project, issues: list[Issue], looked_at: set[str]) -> str | None:
        told = []
        if any(SYNTAX.fullmatch(issue.rule) for issue in issues):
            told.append("tsc may tell no errors of types until the syntax errors are gone")
        left = [path for path in project.files if path.endswith(TYPED) and path not in looked_at]
        if left:
            more = f" and {len(left) - 3} more" if len(left) > 3 else ""
            told.append(f"no tsconfig.json of the project includes {', '.join(left[:3])}{more}")
        return "; ".join(told) or None

    def _read(self, project: Project, run: ToolRun) -> tuple[list[Issue], set[str]]:
        """The errors, and the files of the repository that were looked at. An error that several configurations tell
        counts once; one that a single one tells twice, twice."""
        found: Counter[Issue] = Counter()
        of_one: Counter[Issue] = Counter()
        looked_at: set[str] = set()
        for line in run.stdout.read_bytes().decode("utf-8", "replace").split("\n"):
            line = line.rstrip("\r")
            if told := DIAGNOSTIC.fullmatch(line):
                of_one[self._issue(project, told)] += 1
            elif told := GLOBAL.fullmatch(line):
                self._of_the_whole(project, told)
            elif line == NEXT:
                found |= of_one
                of_one = Counter()
            elif line.startswith("/"):
                if (path := relative(project, line)) is not None:
                    looked_at.add(path)
            elif line and not line.startswith(" "):  # what is indented goes on about the error before
                raise not_understood(self.name, run, f"the line {line[:80]!r}")
        return list((found | of_one).elements()), looked_at

    def _issue(self, project: Project, told: re.Match[str]) -> Issue:
        name, row, column, severity, code, message = told.groups()
        return Issue(
            tool=self.name,
            rule=f"TS{code}",
            severity="warning" if severity == "warning" else "error",
            message=message,
            path=relative(project, name) or name,
            line=int(row),
            column=int(column),
        )

    def _of_the_whole(self, project: Project, found: re.Match[str]) -> None:
        """An error without a place is one of the configuration, or of what is not installed."""
        rule = f"TS{found[2]}"
        if rule in NOT_FOUND:
            raise CouldNotRun(
                f"tsc cannot find types it is asked for: {rule} {found[3]}",
                "install what the project depends on (`npm ci`, `pnpm install`, `yarn`), or mend `types`",
            )
        raise CouldNotRun(f"tsc cannot use its configuration: {rule} {found[3]}", MEND)
