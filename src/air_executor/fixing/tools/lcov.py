"""The form in which lcov and many others tell which lines ran."""

from __future__ import annotations

from pathlib import Path

__all__ = ["read_lcov"]


def read_lcov(path: Path) -> dict[str, dict[int, int]]:
    """Source file -> line -> how often it ran. Records of one file add up. Raises ValueError for another form."""
    files: dict[str, dict[int, int]] = {}
    current: dict[int, int] | None = None
    for number, line in enumerate(path.read_text("utf-8", "surrogateescape").split("\n"), 1):
        kind, _, rest = line.strip().partition(":")
        if kind == "SF":
            current = files.setdefault(rest, {})
        elif kind == "end_of_record":
            current = None
        elif kind == "DA":
            if current is None:
                raise ValueError(f"line {number} belongs to no file")
            place, count = rest.split(",")[:2]
            current[int(place)] = current.get(int(place), 0) + int(count)
        elif kind and kind not in KINDS:
            raise ValueError(f"line {number} is {line[:60]!r}")
    if current is not None:
        raise ValueError("it breaks off")
    return files


KINDS = frozenset({"TN", "VER", "FN", "FNDA", "FNF", "FNH", "FNL", "FNA", "BRDA", "BRF", "BRH", "LF", "LH", "MCDC",
                   "MCF", "MCH"})  # fmt: skip
