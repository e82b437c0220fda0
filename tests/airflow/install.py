"""Installs each Airflow of `versions` in an environment of its own in .venv: `python -m tests.airflow.install`.

Each gets exactly its pins, and then air-executor (editable) as its users get it: with these pins as constraints.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.airflow import versions
from tests.airflow.versions import CONSTRAINTS, PRE, ROOT, Version

AT_ONCE = 2
BUILD = "import sys; from hatchling.build import build_editable; print(build_editable(sys.argv[1]))"


class Failed(Exception):
    """The output of a command that failed."""


def run(*command: str | Path) -> str:
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def pip(environment: Path, *args: str | Path) -> None:
    python = environment / "bin" / "python"
    quiet = ("--disable-pip-version-check", "--no-input", "--quiet")
    run(sys.executable, "-m", "pip", "--python", python, *quiet, *args)


def install(version: Version, wheel: Path) -> None:
    """Make the environment of a version anew, or bring it up to its pins."""
    environment = ROOT / ".venv" / version.tag
    pins = CONSTRAINTS / f"{version.tag}.txt"
    made_of = environment / "pins.txt"
    if not made_of.is_file() or made_of.read_text() != pins.read_text():
        # without pip: ours serves all
        venv.EnvBuilder(clear=True, symlinks=True).create(environment)
        pip(environment, "install", "--no-deps", "--no-compile", "-r", pins)
        made_of.write_text(pins.read_text())
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write(with_ours(version))
        constraints.flush()
        pip(environment, "uninstall", "--yes", "air-executor")
        pip(environment, "install", "-c", constraints.name, f"air-executor[airflow] @ {wheel.as_uri()}")


def with_ours(version: Version) -> str:
    """The pins of a version; of what it lacks, our own."""
    ours = versions.read(CONSTRAINTS / "runtime.txt").pins
    return "".join(f"{name}=={number}\n" for name, number in (ours | version.pins).items())


def main() -> int:
    wanted = [version for version in versions.ALL.values() if version.unsupported is None]
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(AT_ONCE) as at_once:
        wheel = Path(scratch) / run(sys.executable, "-c", BUILD, scratch).splitlines()[-1]
        installs = {version: at_once.submit(install, version, wheel) for version in wanted}
        status = 0
        for version, installing in installs.items():
            try:
                installing.result()
            except Failed as error:
                print(f"installing Airflow {version.version} failed:\n{error}", file=sys.stderr)
                status = max(status, 0 if version.name == PRE else 1)
    return status


if __name__ == "__main__":
    sys.exit(main())
