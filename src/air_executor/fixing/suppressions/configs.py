"""Which files configure tools that can be told to be silent there, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Final

from air_executor.fixing.suppressions import compiled_configs, python_configs, web_configs
from air_executor.fixing.suppressions.configuration import Configuration
from air_executor.fixing.suppressions.suppression import Suppression

__all__ = ["in_configuration", "is_configuration"]

READERS: Final[dict[str, Callable[[Configuration], Iterable[Suppression]]]] = {
    **python_configs.READERS,
    **web_configs.READERS,
    **compiled_configs.READERS,
}
"""Pattern of a file's name -> what reads it; the first that fits."""
EXACT: Final = {name: reader for name, reader in READERS.items() if "*" not in name}
PATTERNS: Final = {name: reader for name, reader in READERS.items() if "*" in name}


def _reader(path: str) -> Callable[[Configuration], Iterable[Suppression]] | None:
    name = path.rpartition("/")[2]
    if name in EXACT:
        return EXACT[name]
    return next((reader for pattern, reader in PATTERNS.items() if fnmatchcase(name, pattern)), None)


def is_configuration(path: str) -> bool:
    return _reader(path) is not None


def in_configuration(path: str, text: str) -> list[Suppression]:
    """The suppressions in one configuration. A ValueError says why it cannot be read."""
    reader = _reader(path)
    return [] if reader is None else [*reader(Configuration(path, text))]
