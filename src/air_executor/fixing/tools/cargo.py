"""What the checks of Rust share. cargo runs build scripts and macros, and programs that its configuration names.

Nothing is written into the target: what is built goes into the check's own folder, and where there is no `Cargo.lock`
cargo works in a folder of links to the repository, where it may write one. It gets a home of its own, which has the
user's downloaded crates in it but not the keys to where they are from.
"""

from __future__ import annotations

import os
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field

from air_executor.fixing.check import Command, CouldNotRun, Project, Tool, ToolRun
from air_executor.fixing.sources import read_source
from air_executor.fixing.tools.output import first_words, last_words
from air_executor.fixing.tools.programs import find_program, folders_up
from air_executor.fixing.tools.python import config_files
from air_executor.store.files import Identity, identity

__all__ = [
    "Line",
    "Message",
    "Target",
    "cargo_command",
    "cargo_failed",
    "cargo_toml",
    "configuration_files",
    "configured_programs",
    "find_cargo",
]

CONFIG: Final = (".cargo/config.toml", ".cargo/config", "rust-toolchain.toml", "rust-toolchain")
START: Final = """\
# sh start.sh ROOT PLACE CARGO WORDS: cargo in ROOT/PLACE, or, without a lock file there, in links to all of it.
root=$1 place=$2
shift 2
mkdir -p "$CARGO_HOME"
for name in registry git; do
    if [ -d "$CRATES/$name" ] && [ ! -e "$CARGO_HOME/$name" ]; then ln -s "$CRATES/$name" "$CARGO_HOME/$name"; fi
done
if [ -e "$root/$place/Cargo.lock" ]; then
    cd "$root/$place" || exit 1
    exec "$@" --locked
fi
rm -rf "$LINKS"
links=$LINKS
mkdir -p "$links"
while :; do
    step=${place%%/*}
    case $place in */*) place=${place#*/} ;; *) place= ;; esac
    [ "$step" != . ] || step=
    for entry in "$root"/* "$root"/.[!.]*; do
        name=${entry##*/}
        case $name in "$step" | .git) continue ;; esac
        if [ -e "$entry" ]; then ln -s "$entry" "$links/$name"; fi
    done
    [ -n "$step" ] || break
    root=$root/$step links=$links/$step
    mkdir "$links"
done
cd "$links" || exit 1
exec "$@"
"""


class Replacement(Struct):
    """A place in the code, and what the compiler would put there."""

    file_name: str
    line_start: int
    line_end: int
    column_start: int
    column_end: int
    is_primary: bool
    suggestion_applicability: str | None = None
    expansion: Expansion | None = None


class Expansion(Struct):
    span: Replacement


class Code(Struct):
    code: str


class Message(Struct):
    """A diagnostic of the compiler or of clippy."""

    level: str
    message: str
    code: Code | None = None
    spans: list[Replacement] = field(default_factory=list)
    children: list[Message] = field(default_factory=list)


class Target(Struct):
    name: str
    src_path: str
    kind: list[str]


class Profile(Struct):
    test: bool


class Line(Struct):
    """One line of `--message-format=json`."""

    reason: str
    target: Target | None = None
    message: Message | None = None
    executable: str | None = None
    profile: Profile | None = None
    success: bool | None = None


def cargo_toml(path: Path) -> dict[str, Any]:
    """A manifest; empty where it is absent or broken, which cargo will tell. Not to be changed: it is read once."""
    return _toml(path, identity(path.resolve()))


@lru_cache(maxsize=256)
def _toml(path: Path, _: Identity | None) -> dict[str, Any]:
    try:
        return tomllib.loads(read_source(path))
    except (OSError, ValueError):
        return {}


def find_cargo(project: Project) -> Tool:
    """cargo in PATH: a project names the toolchain it wants in a file that rustup reads, but brings none."""
    if project.manifest is None:
        raise CouldNotRun("there is no Cargo.toml, so cargo cannot build these files", "`cargo init`")
    return find_program(project, "cargo", own=None, mend="install Rust: rustup, or cargo of your system")


def configured_programs(project: Project) -> bool:
    """Whether files of the repository tell cargo or rustup which programs to run."""
    return any((folder / name).exists() for folder in folders_up(project) for name in CONFIG)


def configuration_files(project: Project, *more: str) -> list[Path]:
    return config_files(project, "Cargo.toml", *CONFIG, *more, below=True)


def cargo_command(
    project: Project,
    tool: Tool,
    words: list[str],
    *,
    env: dict[str, str] | None = None,
    inputs: dict[str, str] | None = None,
    outputs: dict[str, str] | None = None,
) -> Command:
    user = os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")
    return Command(
        argv=("/bin/sh", "{out}/start.sh", str(project.repository), project.root, *tool.argv, *words),
        cwd=project.path,
        env={
            "CARGO_HOME": "{cache}/home",
            "CARGO_TARGET_DIR": "{cache}/target",
            "CARGO_TERM_COLOR": "never",
            "CARGO_INCREMENTAL": "0",
            "RUSTUP_AUTO_INSTALL": "0",
            "CRATES": user,
            "LINKS": "{cache}/links",
            **(env or {}),
        },
        inputs={"start.sh": START, **(inputs or {})},
        outputs=outputs or {},
    )


def cargo_failed(tool: str, run: ToolRun, mend: str) -> CouldNotRun:
    """What to raise for a cargo that ended before it had built anything. It says the cause first."""
    how = f"ended by {run.signal}" if run.signal else f"failed with exit code {run.exit_code}"
    said = first_words(run.stderr) or last_words(run.stdout)
    return CouldNotRun(f"{tool} {how}" + (f": {said}" if said else ""), mend)
