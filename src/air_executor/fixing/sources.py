"""Lines of source files as tools count them, whatever their encoding and line ends."""

from __future__ import annotations

import errno
import re
from collections import OrderedDict
from pathlib import Path
from typing import Final

__all__ = ["SourceLines", "read_source"]

LINE_END: Final = re.compile("\r\n|\r|\n")  # not what `splitlines` takes for one too: form feeds stand in old files
KEPT: Final = 64


def read_source(path: Path) -> str:
    """The text of a file: UTF-8, else Latin-1, in which every byte is a character. A pipe is none."""
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


class SourceLines:
    """Gives single lines of the files of a repository; remembers the last files."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._files: OrderedDict[str, list[str]] = OrderedDict()

    def __call__(self, path: str, line: int) -> str:
        """A line, counted from 1; empty for one that is not there."""
        lines = self._files.get(path)
        if lines is None:
            try:
                lines = LINE_END.split(read_source(self._repository / path))
            except OSError:
                lines = []
            self._files[path] = lines
            if len(self._files) > KEPT:
                self._files.popitem(last=False)
        return lines[line - 1] if 0 < line <= len(lines) else ""
