"""eslint. Its configuration is a program, or names packages that are; all of that is the target's code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final

from msgspec import Struct

from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue
from air_executor.fixing.tools.node import (
    any_file,
    failed,
    find_node_tool,
    nested_patterns,
    package,
    scripts,
    variants,
)
from air_executor.fixing.tools.output import decode, not_understood, relative
from air_executor.fixing.tools.programs import folders_up
from air_executor.fixing.tools.python import config_files, listed, version_numbers

__all__ = ["Eslint", "configured"]

FLAT: Final = variants("eslint.config")
OLD: Final = (*variants(".eslintrc", ("js", "cjs", "yaml", "yml", "json")), ".eslintrc")
FLAT_ONLY: Final = (9, 0)
PASSED_OVER_SILENTLY: Final = (8, 51)
"""From this version on `--no-warn-ignored` is known, with a flat configuration."""
LIST_LIMIT: Final = 1_000_000
"""Bytes of file names that a command line is trusted to hold; the kernel allows twice that."""
PARSE_ERROR: Final = "parse-error"
DIRECTIVE: Final = "directive"
"""For what eslint has no rule: comments that turn off what was not found, and the like."""
MEND: Final = "mend eslint's configuration; `npx eslint .` tells what is wrong with it"
# Without the sources that the JSON of eslint holds, and away from what a configuration prints.
REPORT: Final = """\
"use strict";
const number = (value) => (Number.isInteger(value) && value > 0 ? value : 0);
module.exports = (results, context) => {
  const meta = (context && context.rulesMeta) || {};
  const urls = {};
  const told = results.map((result) => ({
    path: result.filePath,
    messages: result.messages.map((one) => {
      const docs = one.ruleId && meta[one.ruleId] && meta[one.ruleId].docs;
      if (docs && typeof docs.url === "string") urls[one.ruleId] = docs.url;
      return {
        rule: one.ruleId || null,
        fatal: one.fatal === true,
        severity: one.severity,
        message: String(one.message),
        line: number(one.line),
        column: number(one.column),
        end_line: number(one.endLine),
        end_column: number(one.endColumn),
        fix: Boolean(one.fix),
      };
    }),
  }));
  return JSON.stringify({ results: told, urls });
};
"""


class Message(Struct):
    rule: str | None
    fatal: bool
    severity: int
    message: str
    line: int
    column: int
    end_line: int
    end_column: int
    fix: bool

    @property
    def of_ignored_file(self) -> bool:
        """That a file was asked for which the configuration leaves out: it has neither rule nor place."""
        return self.rule is None and not self.fatal and self.severity == 1 and not self.line


class Result(Struct):
    path: str
    messages: list[Message]


class Report(Struct):
    results: list[Result]
    urls: dict[str, str]


def _flat(project: Project) -> bool:
    return any(any_file(folder, FLAT) is not None for folder in folders_up(project))


def configured(project: Project) -> bool:
    return _flat(project) or any(
        any_file(folder, OLD) is not None or isinstance(package(folder).get("eslintConfig"), dict)
        for folder in folders_up(project)
    )


def _wanted_suffixes(project: Project) -> list[str]:
    """What the project's own scripts let an eslint of the old kind look at beside `.js`."""
    found: dict[str, None] = {}
    for folder in folders_up(project):
        for command in scripts(folder):
            for part in re.split(r"&&|\|\||[;&|]", command):
                if re.search(r"(?:^|[\s/])eslint\s", part):
                    words = re.findall(r"(?<=[.,{\s=])(?:[cm]?[jt]sx?|vue|svelte)(?=[\s,}'\"]|$)", part)
                    found.update(dict.fromkeys(f".{word}" for word in words))
        if found:
            break
    return [*found]


class Eslint:
    """`eslint`, over the project's files."""

    name: ClassVar[str] = "eslint"
    kind: ClassVar[Kind] = "lint"
    version_args: ClassVar[tuple[str, ...]] = ("--version",)
    reads: ClassVar[str | None] = None

    def applies(self, project: Project) -> bool:
        return configured(project)

    def loads_code(self, project: Project) -> bool:
        return True

    def find(self, project: Project) -> Tool:
        return find_node_tool(project, self.name)

    def configuration(self, project: Project) -> list[Path]:
        return config_files(project, *FLAT, *OLD, "package.json", ".eslintignore", below=True)

    def command(self, project: Project, tool: Tool) -> Command:
        version = version_numbers(tool.version)
        flat = _flat(project) or version >= FLAT_ONLY
        env = {}
        if flat and not _flat(project) and version < (10,):
            flat, env = False, {"ESLINT_USE_FLAT_CONFIG": "false"}  # it still reads the old form, if it is told to
        words = ["--format={out}/report.cjs", "--output-file={out}/report.json", "--no-error-on-unmatched-pattern"]
        names = [*listed(project, tuple(_suffixes(project)))]
        if flat and sum(len(name.encode()) + 1 for name in names) < LIST_LIMIT:
            if version >= PASSED_OVER_SILENTLY:
                words.append("--no-warn-ignored")
            words += ["--", *names]
        else:
            words += [f"--ignore-pattern={pattern}" for pattern in nested_patterns(project)]
            suffixes = [] if flat else _wanted_suffixes(project)
            words += [*(f"--ext={suffix}" for suffix in (".js", *suffixes) if suffixes), "."]
        return Command(
            argv=(*tool.argv, *words),
            cwd=project.path,
            env=env,
            inputs={"report.cjs": REPORT},
            outputs={"report": "report.json"},
        )

    def parse(self, project: Project, run: ToolRun) -> Findings:
        if run.exit_code not in (0, 1):
            raise failed(self.name, run, MEND)
        report = decode(self.name, run, Report, run.outputs.get("report", Path("report")))
        if any(one.severity == 2 for result in report.results for one in result.messages) != (run.exit_code == 1):
            raise not_understood(self.name, run, "its findings do not go with the exit code")
        own = frozenset(project.files)
        looked_at = False
        issues = []
        for result in report.results:
            path = relative(project, result.path)
            ignored = any(one.of_ignored_file for one in result.messages)
            if path not in own or ignored:
                continue
            looked_at = True
            issues += [self._issue(path, one, report.urls) for one in result.messages]
        if not looked_at:
            raise CouldNotRun(
                "eslint's configuration leaves it no file of this project", "mend `files` and `ignores` in it"
            )
        return Findings(issues=issues)

    def _issue(self, path: str, one: Message, urls: dict[str, str]) -> Issue:
        return Issue(
            tool=self.name,
            rule=one.rule or (PARSE_ERROR if one.fatal else DIRECTIVE),
            severity="error" if one.severity == 2 else "warning",
            message=one.message,
            path=path,
            line=one.line,
            column=one.column,
            end_line=one.end_line or None,
            end_column=one.end_column or None,
            safe_fix=one.fix,
            url=urls.get(one.rule) if one.rule else None,
        )


def _suffixes(project: Project) -> Iterator[str]:
    yield from sorted({"." + path.rpartition(".")[2] for path in project.files})
