"""jest, with the coverage it measures. All of it is the target's code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Final

from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.tools.jest_report import below, choice, ends_well, findings, has_tests, place_of, text_of
from air_executor.fixing.tools.node import (
    any_file,
    depends_on,
    failed,
    find_node_tool,
    package,
    said,
    scripts,
    variants,
)
from air_executor.fixing.tools.python import config_files, version_numbers

__all__ = ["Jest"]

CONFIG: Final = variants("jest.config", ("js", "mjs", "cjs", "ts", "mts", "cts", "json"))
SOURCES: Final = "**/*.{js,jsx,mjs,cjs,ts,tsx,mts,cts,vue,svelte}"
SHUFFLES: Final = (29, 5)
MEND: Final = "run `npx jest` by hand in the project's folder"


def configured(folder: Path) -> bool:
    if any_file(folder, CONFIG) is not None or "jest" in package(folder) or depends_on(folder, "jest"):
        return True
    return any(re.search(r"(?:^|[\s/;&|])jest(?:\s|$)", command) for command in scripts(folder))


class Jest:
    """`jest --json`."""

    name: ClassVar[str] = "jest"
    kind: ClassVar[Kind] = "tests"
    version_args: ClassVar[tuple[str, ...]] = ("--version",)
    reads: ClassVar[str | None] = None

    def applies(self, project: Project) -> bool:
        """Where it is configured: here, or above for tests that are here."""
        place = place_of(project, configured)
        return place is not None and (has_tests(project) or (place == project.path and not project.nested))

    def loads_code(self, project: Project) -> bool:
        return True

    def find(self, project: Project) -> Tool:
        return find_node_tool(project, self.name)

    def configuration(self, project: Project) -> list[Path]:
        return config_files(project, *CONFIG, "package.json", "tsconfig.json", ".babelrc", *variants("babel.config"))

    def command(self, project: Project, tool: Tool) -> Command:
        place = self._place(project)
        version = version_numbers(tool.version)
        words = ["--json", "--outputFile={out}/tests.json", "--testLocationInResults", "--ci", "--watchman=false"]
        words.append("--cacheDirectory={cache}/jest")
        words += self._coverage(project, place)
        selection = project.selection
        chosen = choice(project, selection)
        if selection is not None and selection.seed is not None:
            if version < SHUFFLES:
                raise CouldNotRun(f"jest {tool.version} cannot shuffle tests", "update jest to 29.5 or later")
            words += ["--randomize", f"--seed={selection.seed % 2**31}"]
        if chosen.pattern is not None:
            words.append(f"--testNamePattern={chosen.pattern}")
        if chosen.files:
            words += ["--runTestsByPath", "--", *chosen.files]
        elif place != project.path:
            words += ["--", re.escape(f"/{below(place, project)}")]
        return Command(
            argv=(*tool.argv, *words),
            cwd=place,
            env={"CI": "true"},
            outputs={"tests": "tests.json", "coverage": "coverage/coverage-final.json"},
        )

    def _place(self, project: Project) -> Path:
        return place_of(project, configured) or project.path

    def _coverage(self, project: Project, place: Path) -> list[str]:
        words = [
            "--coverage",
            "--coverageReporters=json",
            "--coverageDirectory={out}/coverage",
            "--coverageThreshold={}",
        ]
        if "collectCoverageFrom" not in text_of(place / name for name in (*CONFIG, "package.json")):
            # Files that no test imports count too, where the project does not say what is measured.
            start = below(place, project)
            patterns = [f"{start}{SOURCES}", "!**/*.config.*", "!**/node_modules/**"]
            begins = 0 if project.root == "." else len(project.root) + 1
            patterns += [f"!{start}{root[begins:]}/**" for root in project.nested]
            words += [f"--collectCoverageFrom={pattern}" for pattern in patterns]
        return words

    def parse(self, project: Project, run: ToolRun) -> Findings:
        if run.exit_code not in (0, 1) or "tests" not in run.outputs:
            raise failed(self.name, run, MEND)
        report = ends_well(self.name, run, MEND)
        if report.success != (run.exit_code == 0):
            raise CouldNotRun(f"jest failed outside of its tests: {said(run.stderr, run.stdout)}", MEND)
        return findings(self.name, project, report, self._place(project))
