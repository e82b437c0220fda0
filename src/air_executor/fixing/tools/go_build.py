"""Go's compiler over every package of a module and its tests. Nothing is linked, and nothing of it runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from msgspec import Struct

from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue
from air_executor.fixing.tools.go import (
    Folders,
    GoCheck,
    Located,
    compile_issues,
    decode_stream,
    fields,
    located,
    own_issues,
    passed_over,
    stopped,
    supported,
)
from air_executor.fixing.tools.output import not_understood, relative

__all__ = ["GoBuild"]


class PackageError(Struct, rename="pascal"):
    """Why a package cannot be loaded or compiled."""

    err: str
    pos: str = ""


class Package(Struct, rename="pascal"):
    """What `go list` tells of a package; of a package with tests it tells once more with them."""

    import_path: str
    dir: str = ""
    go_files: list[str] = []
    cgo_files: list[str] = []
    test_go_files: list[str] = []
    x_test_go_files: list[str] = []
    error: PackageError | None = None
    deps_errors: list[PackageError] = []

    @property
    def compiled(self) -> list[str]:
        return self.go_files + self.cgo_files + self.test_go_files + self.x_test_go_files


class GoBuild(GoCheck):
    """`go list -export`, which compiles as `go build` does, but goes on after a package that cannot be loaded, comes
    to the tests as well, and tells of every package, so that silence is never taken for success."""

    name: ClassVar[str] = "go-build"
    kind: ClassVar[Kind] = "build"

    def command(self, project: Project, tool: Tool) -> Command:
        supported(tool)
        # All errors, not the first ten, each with its code.
        flags = ("-e", "-export", "-test", "-gcflags=-e -errorurl", f"-json={fields(Package)}")
        return Command(argv=(*tool.argv, "list", *flags, "./..."), cwd=project.path)

    def parse(self, project: Project, run: ToolRun) -> Findings:
        if run.exit_code != 0:
            raise stopped(self.name, run)
        packages = decode_stream(self.name, run, Package, run.stdout.read_text("utf-8", "surrogateescape"))
        if not packages:
            raise stopped(self.name, run)
        issues: dict[tuple[object, ...], Issue] = {}
        folders = Folders(project)
        for package in packages:
            errors = ([package.error] if package.error else []) + package.deps_errors
            for issue in self._of_errors(project, folders, package, errors, run):
                issues.setdefault((issue.place, issue.message), issue)
        found = own_issues(project, self.name, list(issues.values()))
        return Findings(issues=found, note=_not_compiled(project, packages))

    def _of_errors(
        self, project: Project, folders: Folders, package: Package, errors: Iterable[PackageError], run: ToolRun
    ) -> list[Issue]:
        issues = []
        for error in errors:
            text = error.err.strip()
            if "GOPROXY=off" in text:  # our own setting, so never a fault of the code
                raise CouldNotRun(
                    f"what the module depends on has not been downloaded: {text.splitlines()[0]}",
                    "`go mod download` in the module's folder",
                )
            if text.startswith("# "):
                told = compile_issues(project, self.name, located(text.split("\n")[1:]))
                if not told:
                    raise CouldNotRun(f"a package cannot be built: {' '.join(text.split())[:300]}", "mend that first")
                issues += told
            else:
                issues.append(self._unloaded(project, folders, package, error.pos, text, run))
        return issues

    def _unloaded(
        self, project: Project, folders: Folders, package: Package, pos: str, text: str, run: ToolRun
    ) -> Issue:
        place = next(located([f"{pos}: error"]), None) if pos else None
        if place is None:
            place = Located(self._some_file(project, folders, package, run), 0, 0, "")
        path = relative(project, place.path)
        if path is None:
            raise CouldNotRun(f"a package outside the repository cannot be loaded: {pos}: {text}", "mend that first")
        return Issue(
            tool=self.name,
            rule="package-error",
            severity="error",
            message=" ".join(text.split()),
            path=path,
            line=place.line,
            column=place.column,
        )

    def _some_file(self, project: Project, folders: Folders, package: Package, run: ToolRun) -> str:
        """Where to put what is wrong with a package as a whole: its first file."""
        folder = relative(project, package.dir) if package.dir else folders.of(package.import_path)
        if package.dir == str(project.repository):
            folder = "."
        inside = folders.files(folder)
        if not inside:
            raise not_understood(self.name, run, f"an error in a package without files, {package.import_path}")
        return str(project.repository / inside[0])


def _not_compiled(project: Project, packages: Iterable[Package]) -> str | None:
    """Which files this build does not come to, so that nothing is known of them."""
    seen = {
        relative(project, f"{package.dir}/{name}") for package in packages if package.dir for name in package.compiled
    }
    left = [path for path in project.files if path not in seen and not passed_over(project, path)]
    if not left:
        return None
    some = ", ".join(left[:3]) + (", …" if len(left) > 3 else "")
    return f"{len(left)} of {len(project.files)} files are not part of this build (constraints, or errors): {some}"
