"""`config/autonomous_fix.yaml`: what can be set, its defaults, and what is said of a key that is not known.

The file belongs to the target like its code does, so nothing in it names a program to run, a variable of the
environment to hand over, or whom to trust.
"""

from __future__ import annotations

import difflib
import re
import stat
import types
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from air_executor.errors import BaseUnusable, InvalidInput, NotFound
from air_executor.fixing.configuration.sections import (
    BatchSizes,
    CircuitBreaker,
    CompletionCriteria,
    Execution,
    FixingConfig,
    HealthCheck,
    IssueGrouping,
    LanguageConfig,
    Languages,
    Mode,
    Redis,
    TargetProject,
    Weights,
)
from air_executor.fixing.configuration.template import TEMPLATE
from air_executor.jobfile import read_yaml

__all__ = [
    "PLACE",
    "TEMPLATE",
    "BatchSizes",
    "CircuitBreaker",
    "CompletionCriteria",
    "Execution",
    "FixingConfig",
    "HealthCheck",
    "IssueGrouping",
    "LanguageConfig",
    "Languages",
    "Mode",
    "Redis",
    "TargetProject",
    "Weights",
    "config_file",
    "load_config",
    "load_target",
    "parse_config",
]

S = TypeVar("S", bound=Struct)
PLACE: Final = "config/autonomous_fix.yaml"
MAX_BYTES: Final = 1_000_000
ALSO: Final = {"flutter": "dart", "typescript": "javascript"}
"""Other names of languages that the file may use."""
SHARED: Final = frozenset({"enabled", "auto_detect"})
"""Keys of `languages` that are no languages."""


def config_file(repository: Path) -> Path | None:
    """The configuration in its known place, if there is one."""
    path = repository / PLACE
    return path if path.exists() or path.is_symlink() else None


def load_config(repository: Path, path: Path | None = None) -> FixingConfig:
    """The configuration of a repository, or that of `path`; the defaults where there is none.

    Raises `NotFound` for a `path` that is not there, and `InvalidInput` naming file and key of what is wrong.
    """
    place = config_file(repository) if path is None else path
    return FixingConfig() if place is None else parse_config(_read(place), place)


def load_target(repository: Path | None, path: Path | None = None) -> tuple[Path, FixingConfig]:
    """The repository to look at, and its configuration, from what a command was given.

    A named repository counts more than `target_project.path`, that more than the current folder.
    """
    if repository is not None:
        return repository, load_config(repository, path)
    here = Path.cwd()
    place = config_file(here) if path is None else path
    if place is None:
        return here, FixingConfig()
    config = parse_config(_read(place), place)
    if config.target_project.path is None:
        return here, config
    folder = place.resolve().parent
    target = (folder.parent if folder.name == "config" else folder) / config.target_project.path
    if not target.is_dir():
        raise NotFound(f"{place}: target_project.path: {target} is no folder")
    return target.resolve(), config


def parse_config(text: str, path: Path) -> FixingConfig:
    """A configuration from its text; `path` is only named in errors."""
    raw = read_yaml(path, text)
    raw = {} if raw is None else raw
    if not isinstance(raw, dict):
        raise InvalidInput(f"{path}: expected sections such as `health_check:`, not a {type(raw).__name__}")
    raw = _without_empty(raw, FixingConfig)
    languages = raw.get("languages")
    each = _each_language(languages, path) if isinstance(languages, dict) else {}
    if each and isinstance(languages, dict):
        raw["languages"] = {name: value for name, value in languages.items() if name in SHARED}
    _refuse_unknown(raw, FixingConfig, (), path)
    config = _convert(raw, FixingConfig, (), path)
    _check(config, path)
    enabled, only = config.languages.enabled, config.target_project.type
    enabled = tuple(map(_language, enabled)) if enabled is not None else None
    return replace(
        config,
        languages=replace(config.languages, enabled=enabled, each=each),
        target_project=replace(config.target_project, type=_language(only) if only else None),
    )


def _read(path: Path) -> str:
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise InvalidInput(f"{path}: not a regular file")
        if facts.st_size > MAX_BYTES:
            raise InvalidInput(f"{path}: over {MAX_BYTES:,} bytes")
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file; `air-executor fix init` writes one") from None
    except OSError as error:
        raise BaseUnusable(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: byte {error.start} is not UTF-8") from None


def _without_empty(raw: dict[str, Any], struct: type[Struct]) -> dict[str, Any]:
    """Without the sections that hold nothing, such as those with every line commented out."""
    found = {}
    for name, value in raw.items():
        section = _section(_hints(struct).get(name))
        if section is None or value is not None:
            found[name] = _without_empty(value, section) if section and isinstance(value, dict) else value
    return found


def _each_language(section: Mapping[str, Any], path: Path) -> dict[str, LanguageConfig]:
    """What the section says of single languages."""
    known = _known_languages()
    each: dict[str, LanguageConfig] = {}
    for name, own in section.items():
        if name in SHARED:
            continue
        if name not in known:
            raise _unknown(path, ("languages", name), SHARED | known)
        language = _language(name)
        if language in each:
            raise InvalidInput(f"{path}: languages.{name} is another name of {language}, which stands there as well")
        own = {} if own is None else own
        _refuse_unknown(own, LanguageConfig, ("languages", name), path)
        each[language] = _convert(own, LanguageConfig, ("languages", name), path)
        checks = _known_checks(language)
        for check in each[language].checks or ():
            if check not in checks:
                raise InvalidInput(
                    f"{path}: languages.{name}.checks: unknown check {check!r} ({_hint(check, checks)})"
                )
    return each


def _known_languages() -> set[str]:
    from air_executor.fixing.languages import languages

    known = set(languages())
    return known | {other for other, name in ALSO.items() if name in known}


def _language(name: str) -> str:
    return ALSO.get(name, name)


def _known_checks(language: str) -> list[str]:
    from air_executor.fixing.languages import languages

    return [check.name for check in languages()[language].checks]


def _convert(raw: Any, struct: type[S], above: tuple[str, ...], path: Path) -> S:
    try:
        return msgspec.convert(raw, struct)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `")
        keys = [key for key in re.split(r"[.\[\]]+", place.removesuffix("`").removeprefix("$")) if key]
        hint: Any = struct
        for key in keys:
            section = _section(hint)
            hint = get_type_hints(section)[key] if section is not None else hint
            raw = raw[int(key) if isinstance(raw, list) else key]
        choices = get_args(hint) if get_origin(hint) is Literal else ()
        what = what.replace("`object`", "keys with values")
        words = f"expected one of {', '.join(choices)}" if choices else what[:1].lower() + what[1:].replace("`", "")
        got = f"; it is {raw!r}" if isinstance(raw, str | int | float) else ""
        raise InvalidInput(f"{path}: {'.'.join((*above, *keys))}: {words}{got}") from None


def _refuse_unknown(raw: Any, struct: type[Struct], above: tuple[str, ...], path: Path) -> None:
    if not isinstance(raw, dict):
        return  # which the conversion refuses
    hints = _hints(struct)
    for name, value in raw.items():
        if name not in hints:
            raise _unknown(path, (*above, name), hints)
        section = _section(hints[name])
        if section is not None:
            _refuse_unknown(value, section, (*above, name), path)


def _hints(struct: type[Struct]) -> dict[str, Any]:
    """The types of a section's keys."""
    return {name: hint for name, hint in get_type_hints(struct).items() if name != "each"}


def _section(hint: Any) -> type[Struct] | None:
    """The struct a field holds, if it holds one."""
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Struct)), None)


def _unknown(path: Path, keys: tuple[str, ...], known: Collection[str]) -> InvalidInput:
    """The error, with the nearest key of the same section, else the same key of another one."""
    *above, name = keys
    near = difflib.get_close_matches(name, known, n=1)
    elsewhere = {place[-1]: ".".join(place) for place in _all_keys(FixingConfig, ())}
    other = difflib.get_close_matches(name, elsewhere, n=1, cutoff=0.8)
    if near:
        hint = f"did you mean {'.'.join((*above, near[0]))!r}?"
    elif other:
        hint = f"did you mean {elsewhere[other[0]]!r}?"
    else:
        hint = f"known: {', '.join(sorted(known))}"
    return InvalidInput(f"{path}: unknown key {'.'.join(keys)!r} ({hint})")


def _hint(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"


def _all_keys(struct: type[Struct], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, hint in _hints(struct).items():
        section = _section(hint)
        if section is None:
            yield (*above, name)
        else:
            yield from _all_keys(section, (*above, name))


def _check(config: FixingConfig, path: Path) -> None:
    """What no type says."""
    weights = config.health_check.weights
    for names in (("analysis", "quality"), ("pass_rate", "coverage"), ("static", "dynamic")):
        values = [getattr(weights, name) for name in names]
        if not abs(sum(values) - 1) < 1e-9:
            said = " + ".join(f"{name} {value:g}" for name, value in zip(names, values, strict=True))
            raise InvalidInput(f"{path}: health_check.weights: {said} is {sum(values):g}; the two have to sum to 1")
    if weights.analysis_few_errors > weights.analysis:
        raise InvalidInput(
            f"{path}: health_check.weights.analysis_few_errors: {weights.analysis_few_errors:g} "
            f"is more than {weights.analysis:g}, what an analysis without errors gives"
        )
    grouping = config.issue_grouping
    if grouping.mega_batch_mode and grouping.mode == "individual":
        raise InvalidInput(
            f"{path}: issue_grouping: `mode: individual` and `mega_batch_mode: true` exclude each other"
        )
    known = _known_languages()
    named = [("target_project.type", config.target_project.type)] if config.target_project.type else []
    named += [("languages.enabled", name) for name in config.languages.enabled or ()]
    for key, name in named:
        if name not in known:
            raise InvalidInput(f"{path}: {key}: unknown language {name!r} ({_hint(name, known)})")
    enabled, only = config.languages.enabled, config.target_project.type
    if enabled == () or (enabled is None and only is None and not config.languages.auto_detect):
        raise InvalidInput(f"{path}: languages.enabled has to name at least one, or nothing would be looked at")
    if enabled is not None and only is not None and _language(only) not in map(_language, enabled):
        raise InvalidInput(f"{path}: target_project.type: {only!r} is not among languages.enabled")
