"""Imports run downward only, as ARCHITECTURE.md draws it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import air_executor

PACKAGE = Path(air_executor.__file__).parent

LAYERS = {
    "errors": 0,
    "masking": 0,
    "names": 0,
    "times": 0,
    "model": 0,
    "events": 0,
    "lifecycle": 1,
    "scheduling": 1,
    "settings": 2,  # reads config.toml and the environment
    "jobfile": 2,  # reads job files
    "store": 2,
    "runners": 2,
    "manager": 3,
    "client": 3,
    "client_http": 3,
    "task": 3,
    "private_manager": 3,
    "discovery": 3,
    "observe": 4,
    "dags": 4,
    "terminal": 4,  # what the commands of `cli` and `fixing` share
    "cli": 5,
    "web": 5,
    "airflow": 5,
    "fixing": 5,
    "__main__": 5,
}
SURFACES = {"cli", "web", "airflow", "fixing"}
PURE = {"errors", "masking", "names", "times", "model", "events", "lifecycle", "scheduling"}
NO_IO = {
    "os",
    "pathlib",
    "io",
    "socket",
    "subprocess",
    "select",
    "shutil",
    "tempfile",
    "threading",
    "logging",
    "random",
}
ALONE = {"_examples"}
# What Airflow's interface shows is the web application itself, mounted; this one file does that.
ACROSS = {("airflow.ui.dashboard", "web")}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if name.split(".")[0] not in ALONE:
            yield name, ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every module that is imported anywhere in a file, inside functions too, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            if node.module == "air_executor":
                yield from ((f"air_executor.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield node.module or "", node.lineno


def ours(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The parts of this package that a file imports (`__version__` is none)."""
    for name, line in imported(tree):
        top, _, rest = name.partition(".")
        if top == "air_executor" and rest and not rest.startswith("__version__"):
            yield rest.split(".")[0], line


def test_every_module_has_its_layer():
    names = {name.split(".")[0] for name, _ in modules()} - {"__init__"}
    assert names <= set(LAYERS), "say in LAYERS where the new module stands"


def test_imports_run_downward_only():
    upward = []
    for name, tree in modules():
        if name == "__init__":
            continue  # hands out the public names lazily
        layer = LAYERS[name.split(".")[0]]
        upward += [
            f"{name}:{line} (L{layer}) imports {other} (L{LAYERS.get(other)})"
            for other, line in ours(tree)
            if LAYERS.get(other, 99) > layer
        ]
    assert not upward, "\n".join(upward)


def test_surfaces_do_not_import_each_other():
    crossing = [
        f"{name}:{line} imports {other}"
        for name, tree in modules()
        if name.split(".")[0] in SURFACES
        for other, line in ours(tree)
        if other in SURFACES and other != name.split(".")[0] and (name, other) not in ACROSS
    ]
    assert not crossing, "\n".join(crossing)


def test_the_core_does_no_io():
    allowed = {("names", "os")}  # os.urandom for new job ids
    found = [
        f"{name}:{line} imports {module}"
        for name, tree in modules()
        if name in PURE
        for module, line in imported(tree)
        if module.split(".")[0] in NO_IO and (name, module) not in allowed
    ]
    assert not found, "\n".join(found)


def test_the_core_asks_no_clock():
    for name, tree in modules():
        if name in ("lifecycle", "scheduling", "model", "events"):
            assert not [line for module, line in imported(tree) if module in ("time", "datetime")], name


def test_only_the_manager_joins_decisions_and_files():
    for name, tree in modules():
        if name.split(".")[0] in ("store", "runners"):
            assert not [line for other, line in ours(tree) if other == "scheduling"], name


def test_third_party_modules_are_where_they_belong():
    homes = {
        "click": {"cli", "fixing", "terminal"},
        "rich": {"cli", "observe"},
        "yaml": {"jobfile", "fixing"},
        "matplotlib": {"observe"},
    }
    for name, tree in modules():
        for module, line in imported(tree):
            top = module.split(".")[0]
            assert name.split(".")[0] in homes.get(top, {name.split(".")[0]}), f"{name}:{line} imports {module}"
