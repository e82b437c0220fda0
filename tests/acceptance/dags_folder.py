"""Deploying a folder as `dags sync` does, but for the two questions that need an Airflow: which files are DAG files
(here: all in the top folder) and which DAGs they make (here: one, named like the file)."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from air_executor.dags.deployment import HIDDEN, DagsFolder
from air_executor.dags.plan import Change
from air_executor.dags.source import choose, take
from air_executor.dags.sync import Options, Result, deploy, next_manifest, plan_for


def write(folder: Path, files: dict[str, str]) -> Path:
    """Make `folder` hold exactly these files."""
    for place in sorted(folder.rglob("*"), reverse=True):
        if place.is_dir() and not place.is_symlink():
            place.rmdir()
        else:
            place.unlink()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def bring(source: Path, target: DagsFolder, options: Options | None = None) -> dict[str, Change]:
    """Deploy `source`; gives what was done with each file."""
    options = options or Options(cleanup=True)
    dag_files = [path.name for path in source.glob("*.py")]
    with target.locked(), tempfile.TemporaryDirectory() as place:
        target.mend()
        files, _, problems = choose(source, dag_files)
        assert not problems
        snapshot = take(source, files, Path(place) / "dags")
        old = target.manifest()
        plan = plan_for(old, snapshot, {name: [name[:-3]] for name in dag_files}, options, target, source)
        new = next_manifest(old, plan, {}, target, Result(source=str(source), mode=options.mode))
        deploy(target, old, new, snapshot, plan)
    return {change.file: change for change in plan.changes}


def seen(folder: Path) -> dict[str, str]:
    """What Airflow would find: it follows links, passes over those that lead nowhere, and over our hidden folder."""
    found = {}
    for root, folders, files in os.walk(folder, followlinks=True):
        if HIDDEN in folders:
            folders.remove(HIDDEN)
        for name in files:
            place = Path(root, name)
            if place.is_file():
                found[str(place.relative_to(folder))] = place.read_text()
    return found


def dangling(folder: Path) -> list[Path]:
    """Links that lead nowhere, but for those in releases."""
    places = (place for place in folder.rglob("*") if "releases" not in place.parts)
    return [place for place in places if place.is_symlink() and not place.exists()]
