"""vitest, with the coverage it measures where one of its providers is installed. All of it is the target's code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Final

from msgspec import Struct

from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue
from air_executor.fixing.tools.jest_report import below, choice, ends_well, findings, has_tests, place_of, text_of
from air_executor.fixing.tools.node import (
    any_file,
    depends_on,
    failed,
    find_node_tool,
    module_folder,
    said,
    scripts,
    variants,
)
from air_executor.fixing.tools.output import decode, in_one_line, relative
from air_executor.fixing.tools.python import config_files, version_numbers

__all__ = ["PROVIDERS", "Vitest", "provider"]

CONFIG: Final = (*variants("vitest.config"), *variants("vitest.workspace"), "vitest.workspace.json")
VITE: Final = variants("vite.config")
PROVIDERS: Final = ("@vitest/coverage-v8", "@vitest/coverage-istanbul")
SOURCES: Final = "**/*.{js,jsx,mjs,cjs,ts,tsx,mts,cts,vue,svelte}"
MEND: Final = "run `npx vitest run` by hand in the project's folder"
KEEPS_MODULES: Final = (5, 0)
"""From this version on it keeps transformed modules in `node_modules`, unless it is given another place."""
EXCLUDES_NO_CONFIGS: Final = (4, 0)
LOADS_WITHOUT_WRITING: Final = (4, 0)
# To load its configuration it writes it into `node_modules`, which cannot be written to in the sandbox.
START: Final = """\
folder=$PWD
while [ "$folder" != / ] && [ ! -d "$folder/node_modules" ]; do folder=$(dirname "$folder"); done
if [ -d "$folder/node_modules" ] && [ ! -w "$folder/node_modules" ]; then set -- "$@" --configLoader=runner; fi
exec "$@"
"""
UNHANDLED: Final = "unhandled-error"
# Its JSON does not tell of errors outside of tests.
REPORTER: Final = """\
import { writeFileSync } from "node:fs";

const told = (error) => ({
  message: String((error && error.message) || error),
  file: String((error && error.VITEST_TEST_PATH) || ""),
});

const write = (errors) => {
  writeFileSync(process.env.AIR_EXECUTOR_VITEST_ERRORS, JSON.stringify((errors || []).map(told)));
};

export default class {
  onFinished(_files, errors) {
    write(errors);
  }
  onTestRunEnd(_modules, errors) {
    write(errors);
  }
}
"""


class Unhandled(Struct):
    message: str
    file: str


def configured(folder: Path) -> bool:
    if any_file(folder, CONFIG) is not None or depends_on(folder, "vitest"):
        return True
    if any(re.search(r"(?:^|[\s/;&|])vitest(?:\s|$)", command) for command in scripts(folder)):
        return True
    return re.search(r"\btest\s*:", text_of(folder / name for name in VITE)) is not None


def provider(project: Project) -> str | None:
    """The package that measures coverage."""
    return next((name for name in PROVIDERS if module_folder(project, name) is not None), None)


class Vitest:
    """`vitest run`."""

    name: ClassVar[str] = "vitest"
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
        return config_files(project, *CONFIG, *VITE, "package.json", "tsconfig.json")

    def command(self, project: Project, tool: Tool) -> Command:
        place = self._place(project)
        version = version_numbers(tool.version)
        words = ["run", "--reporter=json", "--reporter={out}/errors.mjs", "--outputFile.json={out}/tests.json"]
        words += ["--includeTaskLocation", "--cache=false"]
        if version >= KEEPS_MODULES:
            words.append("--fsModuleCachePath={cache}/modules")
        words += self._coverage(project, place, version)
        start = 0 if place == project.repository else len(str(place.relative_to(project.repository))) + 1
        words += [f"--exclude={root[start:]}/**" for root in project.nested]
        chosen = choice(project, project.selection)
        if chosen.pattern is not None:
            words.append(f"--testNamePattern={chosen.pattern}")
        if project.selection is not None and project.selection.seed is not None:
            words += ["--sequence.shuffle.files", "--sequence.shuffle.tests"]
            words.append(f"--sequence.seed={project.selection.seed}")
        words += chosen.files or ((below(place, project),) if place != project.path else ())
        argv = (*tool.argv, *words)
        if version >= LOADS_WITHOUT_WRITING:
            argv = ("/bin/sh", "{out}/start.sh", *argv)
        return Command(
            argv=argv,
            cwd=place,
            env={"CI": "true", "AIR_EXECUTOR_VITEST_ERRORS": "{out}/errors.json"},  # CI: no snapshot is written
            inputs={"errors.mjs": REPORTER, "start.sh": START},
            outputs={"tests": "tests.json", "errors": "errors.json", "coverage": "coverage/coverage-final.json"},
        )

    def _place(self, project: Project) -> Path:
        return place_of(project, configured) or project.path

    def _coverage(self, project: Project, place: Path, version: tuple[int, ...]) -> list[str]:
        measures = provider(project)
        if measures is None:
            return []
        words = ["--coverage.enabled", "--coverage.reporter=json", "--coverage.reportOnFailure"]
        words.append("--coverage.reportsDirectory={out}/coverage")
        words += [f"--coverage.thresholds.{name}=0" for name in ("lines", "functions", "branches", "statements")]
        if module_folder(project, PROVIDERS[0]) is None:
            words.append("--coverage.provider=istanbul")
        if "coverage" not in text_of(place / name for name in (*CONFIG, *VITE)):
            # Files that no test imports count too, where the project does not say what is measured.
            words.append(f"--coverage.include={below(place, project)}{SOURCES}")
            if version >= EXCLUDES_NO_CONFIGS:
                words.append("--coverage.exclude=**/*.config.*")
        return words

    def parse(self, project: Project, run: ToolRun) -> Findings:
        if run.exit_code not in (0, 1) or "tests" not in run.outputs or "errors" not in run.outputs:
            raise failed(self.name, run, MEND)
        report = ends_well(self.name, run, MEND)
        unhandled = decode(self.name, run, list[Unhandled], run.outputs["errors"])
        found = findings(self.name, project, report, self._place(project))
        bad = any(file.status == "failed" for file in report.test_results)
        if run.exit_code == 1 and not bad and not unhandled:
            raise CouldNotRun(f"vitest failed, though no test did: {said(run.stderr, run.stdout)}", MEND)
        if run.exit_code == 0 and bad:
            raise CouldNotRun("vitest ended well, though tests failed", MEND)
        found.issues += [self._issue(project, error) for error in unhandled]
        return found

    def _issue(self, project: Project, error: Unhandled) -> Issue:
        path = relative(project, error.file) if error.file else None
        if path not in project.files:
            raise CouldNotRun(f"vitest met an error outside of the tests: {in_one_line(error.message)}", MEND)
        return Issue(
            tool=self.name,
            rule=UNHANDLED,
            severity="error",
            message=error.message.partition("\n")[0] or "an error outside of the tests",
            path=path,
        )
