"""What is measured of code. A measure that could not be taken is None and says why; it is never a number."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Duplicate", "FileMetrics", "FunctionMetrics", "ProjectMetrics"]


class FunctionMetrics(Struct, kw_only=True, frozen=True):
    """A function, method or closure, as lizard finds them."""

    name: str
    line: int
    end_line: int
    complexity: int
    """Cyclomatic: one, and one more for each condition."""
    nesting: int | None
    """How many control structures stand in each other at the deepest place; None where that is not known."""
    parameters: int

    @property
    def lines(self) -> int:
        return self.end_line - self.line + 1


class FileMetrics(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One file."""

    path: str
    """Relative to the repository's root."""
    lines: int | None
    """None: the file cannot be read."""
    functions: tuple[FunctionMetrics, ...] | None = None
    """None: they are not known."""
    unknown: str | None = None
    """Which measures are missing or go only so far, and why."""


class Duplicate(Struct, kw_only=True, frozen=True):
    """Lines that stand word for word somewhere before in the same project; comments and blank lines do not count."""

    path: str
    line: int
    end_line: int
    of_path: str
    of_line: int
    of_end_line: int
    code_lines: int
    tokens: int


class ProjectMetrics(Struct, kw_only=True, frozen=True):
    """All files of one project."""

    files: tuple[FileMetrics, ...]
    duplicates: tuple[Duplicate, ...] | None
    """None: not known for this language. Blocks of at least `duplication.LINES` lines of code."""
    code_lines: int | None
    """Lines that hold more than comments, of the files in which duplicates were looked for."""

    @property
    def lines(self) -> int:
        return sum(file.lines or 0 for file in self.files)

    @property
    def duplicated_lines(self) -> int | None:
        """Lines of code that need not be there."""
        return None if self.duplicates is None else sum(one.code_lines for one in self.duplicates)

    @property
    def unknown(self) -> dict[str, str]:
        """Files of which not everything is known, with the reason."""
        return {file.path: file.unknown for file in self.files if file.unknown is not None}
