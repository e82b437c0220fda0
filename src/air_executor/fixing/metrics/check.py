"""The check `metrics`: measures, as data, and no issues; what is too much is decided by `findings`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from typing import ClassVar, Final

import msgspec

import air_executor
from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.checking.cache import own_code
from air_executor.fixing.metrics.measures import ProjectMetrics
from air_executor.fixing.tools.output import check_exit, decode, not_understood

__all__ = ["Metrics"]

OWN: Final = Path(air_executor.__file__).parent
MEND: Final = "see what the error says of the file; if it is a bug of lizard, leave the file out"


class Metrics:
    """Length, complexity, nesting and copies, by lizard and by programs of our own."""

    name: ClassVar[str] = "metrics"
    kind: ClassVar[Kind] = "metrics"
    version_args: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[str | None] = None

    def applies(self, project: Project) -> bool:
        return True

    def loads_code(self, project: Project) -> bool:
        return False

    def find(self, project: Project) -> Tool:
        """Our own Python; the version is lizard's."""
        try:
            version = importlib.metadata.version("lizard")
        except importlib.metadata.PackageNotFoundError:
            raise CouldNotRun(
                "lizard is not installed beside Air-Executor", "`pip install 'air-executor[fixing]'`"
            ) from None
        return Tool((sys.executable, "-P", "-m", "air_executor.fixing.metrics.measure"), version, False)

    def configuration(self, project: Project) -> list[Path]:
        return []

    def command(self, project: Project, tool: Tool) -> Command:
        places = dict.fromkeys((OWN, *_library()))
        key = f"{own_code()} lizard {tool.version} {sys.version}"
        asked = {"repository": str(project.repository), "paths": project.files, "key": key}
        return Command(
            argv=(*tool.argv, "{out}/files.json", "{out}/metrics.json", "{cache}/files.msgpack"),
            cwd=project.path,
            env={"PYTHONPATH": ":".join(dict.fromkeys(str(place.parent) for place in places))},
            inputs={"files.json": msgspec.json.encode(asked).decode()},
            outputs={"metrics": "metrics.json"},
            parts=tuple(places),
        )

    def parse(self, project: Project, run: ToolRun) -> Findings:
        check_exit(self.name, run, {0}, MEND)
        if "metrics" not in run.outputs:
            raise not_understood(self.name, run, "no metrics")
        metrics = decode(self.name, run, ProjectMetrics, run.outputs["metrics"])
        if tuple(file.path for file in metrics.files) != project.files:
            raise not_understood(self.name, run, "these are not the project's files")
        return Findings(metrics=metrics, note=_note(metrics))


def _library() -> list[Path]:
    """Where lizard and msgspec lie."""
    found = []
    for name in ("lizard", "msgspec"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            place = Path(spec.origin)
            found.append(place.parent if spec.submodule_search_locations else place)
    return found


def _note(metrics: ProjectMetrics) -> str | None:
    unknown = metrics.unknown
    if not unknown:
        return None
    path, reason = next(iter(unknown.items()))
    others = f", and not everything of {len(unknown) - 1} more files" if len(unknown) > 1 else ""
    return f"not everything is known of {path} ({reason}){others}"
