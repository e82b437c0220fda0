"""What was not accepted is kept beside the views, under a name that the job's error or warning tells."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from air_executor.store.files import write_atomically

__all__ = ["Aside"]


class Aside:
    """Keeps bytes and files in a job's folder as `<stem>-<number>`."""

    def __init__(self, folder: Path, mode: int) -> None:
        self._folder = folder
        self._mode = mode

    def _free(self, stem: str) -> Path:
        number = 0
        while (path := self._folder / f"{stem}-{number}").exists():
            number += 1
        return path

    def keep(self, stem: str, data: bytes) -> str:
        """Keep `data`; gives the file's name."""
        path = self._free(stem)
        write_atomically(path, data, mode=self._mode)
        return path.name

    def move(self, path: Path, stem: str) -> str:
        """Move a file out of the way; gives its new name."""
        kept = self._free(stem)
        with contextlib.suppress(FileNotFoundError):
            path.rename(kept)
        return kept.name

    def keep_file(self, path: Path, stem: str) -> str:
        """Give a file a second name where it stays, and leave the first: what tells of it may not be journalled
        before a crash, and then it must be found again. Where that is not allowed it is moved."""
        kept = self._free(stem)
        try:
            os.link(path, kept, follow_symlinks=False)
        except FileNotFoundError:
            pass
        except OSError:
            path.rename(kept)
        return kept.name
