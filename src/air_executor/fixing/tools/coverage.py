"""coverage of Python, from what was measured while pytest ran."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from msgspec import Struct

from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.outcome import Coverage, FileCoverage
from air_executor.fixing.tools.output import check_exit, decode, last_words, not_understood, relative
from air_executor.fixing.tools.python import installed_version
from air_executor.fixing.tools.python_tests import Pytest, find_pytest, has_module

__all__ = ["PythonCoverage"]


class FileSummary(Struct):
    num_statements: int
    missing_lines: int


class File(Struct):
    missing_lines: list[int]
    summary: FileSummary


class Totals(Struct):
    num_statements: int
    missing_lines: int


class Report(Struct):
    files: dict[str, File]
    totals: Totals


class PythonCoverage:
    """`coverage json`."""

    name: ClassVar[str] = "coverage"
    kind: ClassVar[Kind] = "coverage"
    version_args: ClassVar[tuple[str, ...]] = ("--version",)
    reads: ClassVar[str | None] = "pytest"

    def applies(self, project: Project) -> bool:
        return Pytest().applies(project)

    def loads_code(self, project: Project) -> bool:
        return True  # its plugins, and it is of no use without the tests

    def find(self, project: Project) -> Tool:
        pytest = find_pytest(project)
        python = pytest.argv[0]
        if len(pytest.argv) < 3 or not has_module(Path(python), "coverage"):
            raise CouldNotRun(
                "coverage is not installed where pytest is",
                f"`{python} -m pip install coverage`, in that environment",
            )
        return Tool((python, "-m", "coverage"), installed_version(Path(python), "coverage"), pytest.own)

    def configuration(self, project: Project) -> list[Path]:
        return Pytest().configuration(project)

    def command(self, project: Project, tool: Tool) -> Command:
        return Command(
            argv=(
                *tool.argv,
                "json",
                "--data-file={reads}/coverage.data",
                "-o",
                "{out}/coverage.json",
                "--fail-under=0",
                "-i",
                "-q",
            ),
            cwd=project.path,
            outputs={"report": "coverage.json"},
        )

    def parse(self, project: Project, run: ToolRun) -> Findings:
        if "coverage" not in run.outputs:
            raise CouldNotRun(
                "pytest left nothing measured", "see why pytest could not run; coverage comes from its run"
            )
        check_exit(self.name, run, {0}, "run `python -m coverage json` by hand after the tests")
        report = decode(self.name, run, Report, run.outputs.get("report"))
        counted = sum(file.summary.num_statements for file in report.files.values())
        if counted != report.totals.num_statements:
            raise not_understood(self.name, run, "its files do not add up to its totals")
        own = frozenset(project.files)
        files = []
        for name, file in report.files.items():
            path = relative(project, name)
            if path in own:
                files.append(FileCoverage(path, file.summary.num_statements, tuple(file.missing_lines)))
        lines = sum(file.lines for file in files)
        unread = last_words(run.stderr) if "couldnt-parse" in run.stderr.read_text("utf-8", "replace") else None
        return Findings(
            note=unread, coverage=Coverage(lines - sum(len(file.missing) for file in files), lines, tuple(files))
        )
