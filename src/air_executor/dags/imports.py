"""What a Python file names: the modules it imports, and the files and modules that stand in its strings."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from typing import Final, NamedTuple

__all__ = ["Named", "names_in", "names_in_text"]

REFERENCE: Final = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):[A-Za-z_]\w*(?:\.\w+)*")
MODULE: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
FILE: Final = re.compile(r"[\w./-]+\.py\b")
IMPORTING: Final = frozenset({"import_module", "__import__", "run_module"})


class Named(NamedTuple):
    """`modules` are dotted names that may or may not be modules; `files` are paths that end with `.py`."""

    modules: frozenset[str]
    files: frozenset[str]


def names_in(source: bytes, name: str, package: str) -> Named:
    """Everything that `source` may need at some time, inside functions too.

    `package` is the one that relative imports start from. Of strings count `module:function`, what ends with
    `.py`, what is handed to `import_module`, and what follows `-m` in a list. Raises `SyntaxError`.
    """
    modules: set[str] = set()
    files: set[str] = set()
    for node in ast.walk(ast.parse(source, name)):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            modules.update(_from(node, package))
        elif isinstance(node, ast.Call):
            modules.update(_imported_by_call(node))
        elif isinstance(node, ast.List | ast.Tuple):
            modules.update(_after_dash_m(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if reference := REFERENCE.fullmatch(node.value):
                modules.add(reference["module"])
            elif node.value.endswith(".py") and "\n" not in node.value:
                files.add(node.value)
        elif isinstance(node, ast.Assign) and "__all__" in [getattr(target, "id", "") for target in node.targets]:
            # `from package import *` imports the submodules that are listed here.
            modules.update(f"{package}.{word}" for word in _words(node.value) if package)
    return Named(frozenset(modules), frozenset(files))


def names_in_text(text: str) -> Named:
    """What a job file, a script or settings may name: words that look like Python files, or `module:function`."""
    files = {word.lstrip("/") for word in FILE.findall(text)}
    return Named(frozenset(match["module"] for match in REFERENCE.finditer(text)), frozenset(files))


def _from(node: ast.ImportFrom, package: str) -> set[str]:
    """`from a import b` may mean the module `a.b`, or a name in `a`."""
    start = node.module or ""
    if node.level:
        parts = package.split(".") if package else []
        if node.level - 1 > len(parts):
            return set()  # leads out of the folder; importing it will say so
        parts = parts[: len(parts) - node.level + 1]
        start = ".".join([*parts, *([node.module] if node.module else [])])
    below = {f"{start}.{alias.name}" if start else alias.name for alias in node.names if alias.name != "*"}
    return {start, *below} - {""}


def _imported_by_call(node: ast.Call) -> set[str]:
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    first = node.args[0] if node.args else None
    if called in IMPORTING and isinstance(first, ast.Constant) and isinstance(first.value, str):
        return {first.value} if MODULE.fullmatch(first.value) else set()
    return set()


def _after_dash_m(node: ast.List | ast.Tuple) -> set[str]:
    words = _words(node)
    return {word for before, word in pairwise(words) if before == "-m" and MODULE.fullmatch(word)}


def _words(node: ast.expr) -> list[str]:
    items = node.elts if isinstance(node, ast.List | ast.Tuple) else []
    return [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]
