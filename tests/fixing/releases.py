"""Real old releases from PyPI, fetched once by name with pip and kept under `.venv/`."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from tests.fixing.conftest import ROOT

KEPT = ROOT / ".venv" / "releases"


def release(name: str, version: str, *, source: bool) -> Path:
    """The unpacked release, as source package or wheel. Not to be written to."""
    place = KEPT / f"{name}-{version}{'' if source else '-wheel'}"
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / ".whole").exists():
            _fetch(name, version, place, source)
            (place / ".whole").touch()
    return place / "tree"


def _fetch(name: str, version: str, place: Path, source: bool) -> None:
    form = "--no-binary" if source else "--only-binary"
    words = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", form, ":all:", "-d", str(place)]
    subprocess.run([sys.executable, "-m", "pip", *words, f"{name}=={version}"], check=True, stdin=subprocess.DEVNULL)
    (archive,) = (path for path in place.iterdir() if path.suffix in (".gz", ".zip", ".whl"))
    tree = place / "tree"
    if archive.suffix == ".gz":
        with tarfile.open(archive) as packed:
            packed.extraction_filter = getattr(tarfile, "data_filter", None)  # which the first versions of 3.11 lack
            packed.extractall(place / "unpacked")
        (place / "unpacked" / f"{name}-{version}").rename(tree)
    else:
        with zipfile.ZipFile(archive) as packed_wheel:
            packed_wheel.extractall(tree)
