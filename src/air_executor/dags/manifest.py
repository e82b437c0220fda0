"""What was deployed: one file for each release, beside its files, so that both change in the same moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from air_executor.dags.source import Kind
from air_executor.errors import BaseUnusable
from air_executor.store.files import write_atomically

__all__ = ["FORMAT", "Entry", "Manifest", "Mode", "read", "write"]

FORMAT: Final = 1
NAME: Final = "manifest.json"

Mode = Literal["copy", "symlink"]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was deployed. `kept`: the folder has it no longer, and nobody has asked to clean up."""

    kind: Kind
    sha256: str
    dags: tuple[str, ...] = ()
    link: str = ""  # where it leads, if it is a link to the file itself
    kept: bool = False


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One release: its files, the folders that were made for them, and DAGs that are gone but not yet forgotten."""

    format: int = FORMAT
    version: str = ""
    synced_at: str = ""
    source: str = ""
    mode: Mode = "copy"
    files: dict[str, Entry] = {}
    folders: tuple[str, ...] = ()
    stale_dags: tuple[str, ...] = ()

    @property
    def dags(self) -> dict[str, str]:
        """DAG id -> the file it is in."""
        return {dag: name for name, entry in self.files.items() for dag in entry.dags}


def read(release: Path) -> Manifest:
    """The manifest of a release; raises `BaseUnusable` where it cannot be understood, and `FileNotFoundError`."""
    path = release / NAME
    data = path.read_bytes()
    try:
        head: Any = json.loads(data)
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise BaseUnusable(
                f"{path} was written by another version of Air-Executor; sync with that one, or remove the release"
            )
        return msgspec.json.decode(data, type=Manifest)
    except (ValueError, msgspec.MsgspecError) as error:
        raise BaseUnusable(f"{path} is damaged ({error}); remove the folder {release} and sync again") from None


def write(release: Path, manifest: Manifest) -> None:
    """Replace the manifest of a release, in one step."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    write_atomically(release / NAME, text + b"\n", sync=True, mode=0o644)
