"""What configurations of tools for Go, Rust and Dart suppress, and git's own marks that hide files from all tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from air_executor.fixing.suppressions.configuration import Configuration, items, table, tables
from air_executor.fixing.suppressions.suppression import Suppression

__all__ = ["READERS"]

Found = Iterator[Suppression]


def _each(file: Configuration, form: str, given: Any, where: str = "") -> Found:
    for item in [given] if isinstance(given, str) else items(given):
        yield file.entry(form, item, where=where)


def _exclusion_rules(file: Configuration, form: str, given: Any) -> Found:
    """Rules of golangci: which linters, and for which paths, texts or sources."""
    for rule in tables(given):
        limits = [f"{key}: {rule[key]}" for key in ("path", "path-except", "text", "source") if key in rule]
        yield file.entry(form, *items(rule.get("linters")), where=", ".join(limits))


def golangci(file: Configuration) -> Found:
    content = file.toml() if file.name.endswith(".toml") else file.yaml()  # JSON is YAML too
    linters, issues, run = (table(content, name) for name in ("linters", "issues", "run"))
    yield from _each(file, "golangci linters.disable", linters.get("disable"))
    exclusions = table(linters, "exclusions")
    yield from _exclusion_rules(file, "golangci linters.exclusions.rules", exclusions.get("rules"))
    for key in ("paths", "presets"):
        yield from _each(file, f"golangci linters.exclusions.{key}", exclusions.get(key))
    paths = table(content, "formatters", "exclusions").get("paths")
    yield from _each(file, "golangci formatters.exclusions.paths", paths)
    for key in ("exclude", "exclude-dirs", "exclude-files"):
        yield from _each(file, f"golangci issues.{key}", issues.get(key))
    yield from _exclusion_rules(file, "golangci issues.exclude-rules", issues.get("exclude-rules"))
    for key in ("skip-dirs", "skip-files"):
        yield from _each(file, f"golangci run.{key}", run.get(key))
    if run.get("tests") is False:
        yield file.entry("golangci run.tests = false")
    for key in ("new", "new-from-rev", "new-from-merge-base", "new-from-patch"):
        if issues.get(key):
            yield file.entry(f"golangci issues.{key}", str(issues[key]))


def analysis_options(file: Configuration) -> Found:
    content = file.yaml()
    analyzer = table(content, "analyzer")
    yield from _each(file, "dart analyzer.exclude", analyzer.get("exclude"))
    for rule, level in table(analyzer, "errors").items():
        if level in ("ignore", False):
            yield file.entry("dart analyzer.errors", str(rule))
    for name in ("strict-casts", "strict-inference", "strict-raw-types"):
        if table(analyzer, "language").get(name) is False:
            yield file.entry(f"dart analyzer.language.{name} = false")
    for rule, on in table(content, "linter", "rules").items():
        if on is False:
            yield file.entry("dart linter.rules", str(rule))


def cargo(file: Configuration) -> Found:
    content = file.toml()
    for lints in (table(content, "lints"), table(content, "workspace", "lints")):
        for tool, rules in lints.items():
            for rule, level in rules.items() if isinstance(rules, dict) else ():
                if (level.get("level") if isinstance(level, dict) else level) == "allow":
                    yield file.entry("cargo lints allow", f"{tool}::{rule}" if tool != "rust" else rule)
    for kind in ("lib", "bin", "test"):
        given = content.get(kind)
        for target in tables(given) if isinstance(given, list) else [table(content, kind)]:
            for key in ("test", "doctest", "bench"):
                if target.get(key) is False and (key != "bench"):
                    yield file.entry(f"cargo {kind}.{key} = false", where=str(target.get("name", "")))


def gitattributes(file: Configuration) -> Found:
    """Files marked as generated or vendored are not looked at at all."""
    for number, line in enumerate(file.text.split("\n"), 1):
        pattern, *marks = line.split() or [""]
        for mark in marks:
            name, _, value = mark.partition("=")
            if name in ("linguist-generated", "linguist-vendored") and value in ("", "true"):
                yield Suppression(
                    form=f"gitattributes {name}", path=file.path, line=number, rules=(pattern,), in_config=True
                )


READERS: Final[dict[str, Callable[[Configuration], Found]]] = {
    **{f".golangci.{suffix}": golangci for suffix in ("yml", "yaml", "toml", "json")},
    "analysis_options.yaml": analysis_options,
    "Cargo.toml": cargo,
    ".gitattributes": gitattributes,
}
