"""What configurations of Python's tools suppress."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any, Final

from air_executor.fixing.suppressions.configuration import Configuration, items, table, tables
from air_executor.fixing.suppressions.suppression import Suppression

__all__ = ["READERS"]

Found = Iterator[Suppression]

MYPY_SILENT: Final = ("ignore_errors", "ignore_missing_imports", "allow_untyped_globals", "allow_redefinition")
MYPY_STRICT: Final = (
    "strict", "check_untyped_defs", "disallow_any_generics", "disallow_incomplete_defs", "disallow_subclassing_any",
    "disallow_untyped_calls", "disallow_untyped_decorators", "disallow_untyped_defs", "extra_checks",
    "no_implicit_optional", "no_implicit_reexport", "strict_equality", "strict_optional", "warn_no_return",
    "warn_redundant_casts", "warn_return_any", "warn_unused_configs", "warn_unused_ignores",
)  # fmt: skip
PYTEST_OPTIONS: Final = ("--deselect", "--ignore", "--ignore-glob", "-k", "-m", "-p")
LINES: Final = r"\s*\n\s*"


def _true(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.lower() in ("1", "true", "yes", "on"))


def _false(value: Any) -> bool:
    return value is False or (isinstance(value, str) and value.lower() in ("0", "false", "no", "off"))


def _each(file: Configuration, form: str, given: Any, separator: str = r"[\s,]+", where: str = "") -> Found:
    for item in items(given, separator):
        yield file.entry(form, item, where=where)


def ruff(file: Configuration, content: dict[str, Any]) -> Found:
    for part in ("", "lint", "format"):
        options = table(content, part) if part else content
        name = f"ruff {part}.".replace(" .", " ")
        for key in ("ignore", "extend-ignore", "exclude", "extend-exclude"):
            yield from _each(file, name + key, options.get(key))
        for key in ("per-file-ignores", "extend-per-file-ignores"):
            for pattern, rules in table(options, key).items():
                yield from _each(file, name + key, rules, where=pattern)


def mypy(file: Configuration, options: dict[str, Any], where: str = "") -> Found:
    for key in MYPY_SILENT:
        if _true(options.get(key)):
            yield file.entry(f"mypy {key}", where=where)
    for key in MYPY_STRICT:
        if _false(options.get(key)):
            yield file.entry(f"mypy {key} = false", where=where)
    if options.get("follow_imports") in ("skip", "silent"):
        yield file.entry(f"mypy follow_imports = {options['follow_imports']}", where=where)
    yield from _each(file, "mypy exclude", options.get("exclude"), LINES)
    yield from _each(file, "mypy disable_error_code", options.get("disable_error_code"), where=where)


def pyright(file: Configuration, options: dict[str, Any]) -> Found:
    for name, value in options.items():
        if name.startswith("report") and value in (False, "none"):
            yield file.entry("pyright report", name)
        elif name.startswith("strict") and value is False:
            yield file.entry(f"pyright {name} = false")
    if options.get("typeCheckingMode") == "off":
        yield file.entry("pyright typeCheckingMode = off")
    for key in ("ignore", "exclude"):
        yield from _each(file, f"pyright {key}", options.get(key), r"\n")
    for environment in tables(options.get("executionEnvironments")):
        for name, value in environment.items():
            if name.startswith("report") and value in (False, "none"):
                yield file.entry("pyright report", name, where=str(environment.get("root", "")))


def coverage(file: Configuration, run: dict[str, Any], report: dict[str, Any]) -> Found:
    for part, options in (("run", run), ("report", report)):
        yield from _each(file, f"coverage {part}.omit", options.get("omit"))
    for key in ("exclude_lines", "exclude_also", "partial_branches", "partial_also"):
        yield from _each(file, f"coverage report.{key}", report.get(key), LINES)


def pytest(file: Configuration, options: dict[str, Any]) -> Found:
    given = options.get("addopts", [])
    try:
        words = shlex.split(given) if isinstance(given, str) else items(given)
    except ValueError:
        words = str(given).split()
    left = iter(words)
    for word in left:
        name, equals, value = word.partition("=")
        if name not in PYTEST_OPTIONS:  # `-kname` as well as `-k name`
            name, value, equals = word[:2], word[2:], "=" if len(word) > 2 and not word.startswith("--") else ""
        if name in PYTEST_OPTIONS:
            value = value if equals else next(left, "")
            if name != "-p" or value.startswith("no:"):
                yield file.entry(f"pytest addopts {name}", value)
    for key in ("norecursedirs", "collect_ignore", "collect_ignore_glob"):
        yield from _each(file, f"pytest {key}", options.get(key))


def flake8(file: Configuration, options: dict[str, Any]) -> Found:
    for key in ("ignore", "extend-ignore", "exclude", "extend-exclude"):
        value = options.get(key, options.get(key.replace("-", "_")))
        yield from _each(file, f"flake8 {key}", re.sub(r"#.*", "", value) if isinstance(value, str) else value)
    given = options.get("per-file-ignores", options.get("per_file_ignores"))
    names: list[str] = []
    rules = False
    for word in re.findall(r":|[^\s,:]+", given) if isinstance(given, str) else ():
        if word == ":":
            rules = True
        elif rules and re.fullmatch(r"[A-Z]+\d*", word):
            yield file.entry("flake8 per-file-ignores", word, where=", ".join(names))
        else:  # the next name begins where the rules end
            names = [word] if rules else [*names, word]
            rules = False


def pylint(file: Configuration, sections: dict[str, Any]) -> Found:
    for name, options in sections.items():
        if not isinstance(options, dict):
            name, options = "", {name: options}
        for key in ("disable", "ignore", "ignore-paths", "ignore-patterns", "ignored-modules", "ignored-classes"):
            yield from _each(file, f"pylint {key}", options.get(key))


def formatters(file: Configuration, tool: dict[str, Any]) -> Found:
    for name, keys in {
        "black": ("exclude", "extend-exclude", "force-exclude"),
        "isort": ("skip", "extend_skip", "skip_glob", "extend_skip_glob"),
        "bandit": ("skips", "exclude_dirs"),
        "vulture": ("exclude", "ignore_names", "ignore_decorators"),
    }.items():
        for key in keys:
            yield from _each(file, f"{name} {key}", table(tool, name).get(key), LINES)


def pyproject(file: Configuration) -> Found:
    tool = table(file.toml(), "tool")
    yield from ruff(file, table(tool, "ruff"))
    yield from mypy(file, table(tool, "mypy"))
    for override in tables(table(tool, "mypy").get("overrides")):
        yield from mypy(file, override, where=", ".join(items(override.get("module"))))
    yield from pyright(file, {**table(tool, "pyright"), **table(tool, "basedpyright")})
    yield from coverage(file, table(tool, "coverage", "run"), table(tool, "coverage", "report"))
    yield from pytest(file, table(tool, "pytest", "ini_options") or table(tool, "pytest"))
    yield from pylint(file, table(tool, "pylint"))
    yield from flake8(file, table(tool, "flake8"))
    yield from formatters(file, tool)


def sections(file: Configuration) -> Found:
    """`setup.cfg`, `tox.ini` and the like: many tools, a section each."""
    found = file.ini()
    yield from flake8(file, found.get("flake8", {}))
    for name, options in found.items():
        if name == "mypy" or name.startswith("mypy-"):
            yield from mypy(file, dict(options), where=name.removeprefix("mypy").removeprefix("-"))
    for name in ("tool:pytest", "pytest"):
        yield from pytest(file, dict(found.get(name, {})))
    for prefix in ("coverage:", ""):
        if prefix or file.name == ".coveragerc":
            yield from coverage(file, dict(found.get(prefix + "run", {})), dict(found.get(prefix + "report", {})))
    pylints = found if "pylint" in file.name else {name: one for name, one in found.items() if "pylint" in name}
    yield from pylint(file, dict(pylints))
    yield from formatters(file, dict(found))


def ruff_toml(file: Configuration) -> Found:
    return ruff(file, file.toml())


def pyright_json(file: Configuration) -> Found:
    return pyright(file, file.json())


READERS: Final[dict[str, Callable[[Configuration], Found]]] = {
    "pyproject.toml": pyproject,
    "ruff.toml": ruff_toml,
    ".ruff.toml": ruff_toml,
    "pyrightconfig.json": pyright_json,
    **dict.fromkeys(
        ("setup.cfg", "tox.ini", ".flake8", "mypy.ini", ".mypy.ini", "pytest.ini", ".pytest.ini", ".coveragerc",
         ".pylintrc", "pylintrc", ".isort.cfg"),
        sections,
    ),
}  # fmt: skip
