"""Whether a repository's own code may run: never, in a sandbox, or because the user trusts it.

Tests, plugins, build scripts, configurations that are programs, and the programs in its virtual environment or
node_modules are the target's code. Trust is given once for a folder and where it was cloned from.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from air_executor.errors import BaseUnusable
from air_executor.fixing.check import CouldNotRun
from air_executor.fixing.checking import sandbox
from air_executor.store.files import write_atomically
from air_executor.times import to_iso

__all__ = ["Mode", "Trusted", "is_trusted", "mode_for", "refusal", "remote_of", "trust", "trusted_file", "withdraw"]

Mode = Literal["static", "sandbox", "trusted", "refused"]
"""`static`: no code of the target runs. `refused`: it would, but there is no sandbox and no trust."""
FILE: Final = "trusted.json"


class Trusted(Struct, frozen=True):
    """One entry of the file of trust."""

    path: str
    remote: str | None
    since: str


def trusted_file() -> Path:
    """In the user's configuration folder, which no repository can write to."""
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(folder, "air-executor", FILE)


def remote_of(repository: Path) -> str | None:
    """Where a repository was cloned from, without user and password; None for none."""
    words = ["git", "-C", str(repository), "config", "--local", "--get", "remote.origin.url"]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        return None
    url = done.stdout.decode(errors="replace").strip()
    scheme, separator, rest = url.partition("://")
    if separator:
        host, slash, path = rest.partition("/")
        url = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    return url or None


def _entries() -> list[Trusted]:
    path = trusted_file()
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Trusted])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError) as error:
        raise BaseUnusable(f"{path} cannot be read ({error}); mend or remove it") from error


def _write(entries: list[Trusted]) -> None:
    path = trusted_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, msgspec.json.format(msgspec.json.encode(entries), indent=2) + b"\n")
    except OSError as error:
        raise BaseUnusable(f"{path} cannot be written: {error.strerror}") from error


def is_trusted(repository: Path) -> bool:
    """Whether the user has said so, of this folder with this origin."""
    place = str(repository.resolve())
    same = [entry for entry in _entries() if entry.path == place]
    return bool(same) and same[0].remote == remote_of(repository)


def trust(repository: Path) -> None:
    """Record that the repository's code may run."""
    place = str(repository.resolve())
    entries = [entry for entry in _entries() if entry.path != place]
    _write([*entries, Trusted(place, remote_of(repository), to_iso(time.time()))])


def withdraw(repository: Path) -> bool:
    """Forget it again; whether there was something to forget."""
    place = str(repository.resolve())
    entries = _entries()
    kept = [entry for entry in entries if entry.path != place]
    if len(kept) < len(entries):
        _write(kept)
    return len(kept) < len(entries)


def mode_for(repository: Path, *, static_only: bool = False) -> Mode:
    """How checks of this repository run."""
    if static_only:
        return "static"
    if is_trusted(repository):
        return "trusted"
    return "sandbox" if sandbox.available() is None else "refused"


def refusal(check: str) -> CouldNotRun:
    """What to say of a check that loads code where that is refused."""
    return CouldNotRun(
        f"{check} runs code of this repository, which is not trusted, and {sandbox.available()}",
        "say `--trust` if you trust it, install bubblewrap, or ask for static checks only (`--static-only`)",
    )
