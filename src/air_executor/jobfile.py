"""Job files: JSON or YAML, with `${name}` filled in from `params`."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from msgspec import Struct

from air_executor.errors import InvalidInput
from air_executor.model import (
    OPTION_FIELDS,
    TaskSpec,
    check_graph,
    param_text,
    parse_options,
    parse_tasks,
)
from air_executor.names import check_job_name

__all__ = ["JobFile", "load_job_file", "parse_job", "read_yaml"]

FIELDS = OPTION_FIELDS | {"name", "tasks"}
TEXT_FIELDS = frozenset({"name", "id", "command", "args", "dependencies", "cwd", "env", "env_from", "group"})
"""Where a param is always filled in as text, whatever its own type."""
LITERAL_FIELDS = frozenset({"params", "origin"})
"""Where nothing is filled in."""
MAX_ALIASED = 10_000_000
"""Characters that aliases of a YAML file may add: a few lines could stand for more than any memory holds."""
MAX_MERGED = 10_000
"""Keys that `<<` may bring into one object."""
_PLACEHOLDER = re.compile(r"\$(\$?)\{([A-Za-z_][A-Za-z0-9_]*)\}")


class JobFile(Struct):
    """A job as a file describes it: `options` and `raw_tasks` as they came, `tasks` checked, with defaults."""

    name: str
    options: dict[str, Any]
    tasks: list[TaskSpec]
    raw_tasks: list[dict[str, Any]]


def load_job_file(path: Path, params: dict[str, str] | None = None) -> JobFile:
    """Read a job file; `params` replace the values it gives. Raises `InvalidInput` naming file and place.

    Besides its own params a file may use `${job_dir}`, the absolute folder it lies in.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        raw = _read_json(path, text) if path.suffix == ".json" else read_yaml(path, text)
        _check_text(path, raw)
        return parse_job(raw, path.stem, params or {}, {"job_dir": str(path.resolve().parent)})
    except InvalidInput as error:
        raise type(error)(_with_path(path, error)) from None
    except RecursionError:
        raise InvalidInput(f"{path}: its lists and objects are nested too deeply") from None


def _with_path(path: Path, error: InvalidInput) -> str:
    text = str(error)
    return text if text.startswith(str(path)) else f"{path}: {text}"


def _check_text(path: Path, raw: Any) -> None:
    """Refuse what no view could show: half of a surrogate pair, dates and sets of YAML, an alias of itself."""
    try:
        json.dumps(raw, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{path}: holds text that is not valid Unicode (half of a surrogate pair)") from None
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{path}: expected what JSON can hold: {error}") from None


def _read_json(path: Path, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{path}, line {error.lineno} column {error.colno}: {error.msg}") from None
    except ValueError as error:
        raise InvalidInput(f"{path}: {error}") from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice!r} stands twice in one object")
    return found


def read_yaml(path: Path, text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML 1.1 without dates (they stay strings) and with duplicate keys refused."""

        def flatten_mapping(self, node: Any) -> None:
            before = len(node.value)
            super().flatten_mapping(node)
            if len(node.value) > before + MAX_MERGED:
                raise yaml.MarkedYAMLError(problem="merges too many keys", problem_mark=node.start_mark)

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = loader.construct_object(key_node, True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r}: expected text (put it in quotes)", problem_mark=key_node.start_mark
                )
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} stands twice", problem_mark=key_node.start_mark)
            seen.add(key)
        loader.flatten_mapping(node)
        return {loader.construct_object(k, True): loader.construct_object(v, True) for k, v in node.value}

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        raw = yaml.load(text, Loader)  # noqa: S506  (a SafeLoader, made stricter)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1} column {mark.column + 1}" if mark else ""
        raise InvalidInput(f"{path}{place}: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidInput(f"{path}: {str(error).splitlines()[0]}") from None
    if _size(raw, {}) > len(text) + MAX_ALIASED:
        raise InvalidInput(f"{path}: its aliases stand for more than {MAX_ALIASED:,} characters")
    return raw


def _size(value: Any, sizes: dict[int, int]) -> int:
    """Characters of `value`, about, with all that its aliases repeat; `sizes` holds those of objects seen."""
    if isinstance(value, str):
        return len(value) + 1
    if not isinstance(value, list | dict):
        return 1
    if id(value) not in sizes:
        sizes[id(value)] = 0  # an alias of itself is refused elsewhere
        inner = value if isinstance(value, list) else [*value, *value.values()]
        sizes[id(value)] = 1 + sum(_size(item, sizes) for item in inner)
    return sizes[id(value)]


def parse_job(
    raw: object, default_name: str, params: dict[str, str], builtin: dict[str, str] | None = None
) -> JobFile:
    """Check a decoded job file and fill its params in. A bare list is taken as its `tasks`."""
    if isinstance(raw, list):
        raw = {"tasks": raw}
    if not isinstance(raw, dict):
        raise InvalidInput("expected an object with `tasks`, or a list of tasks")
    unknown = [key for key in raw if key not in FIELDS]
    if unknown:
        import difflib

        near = difflib.get_close_matches(str(unknown[0]), FIELDS, n=1)
        did_you_mean = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(FIELDS))}"
        raise InvalidInput(f"unknown key {unknown[0]!r} ({did_you_mean})")
    declared = parse_options({"params": raw.get("params")}).params
    for name in params:
        if name not in declared:
            known = ", ".join(sorted(declared)) or "none"
            raise InvalidInput(f"no param {name!r} in the job file (declared: {known})")
    values: dict[str, Any] = {name: _typed(name, text, declared[name]) for name, text in params.items()}
    values = {**(builtin or {}), **declared, **values}
    filled = {
        key: value if key in LITERAL_FIELDS else _fill(value, values, text=key == "name")
        for key, value in raw.items()
    }
    filled["params"] = {name: values[name] for name in declared}
    name = check_job_name(filled.get("name") or default_name)
    tasks = parse_tasks(filled.get("tasks", []), "tasks", parse_options(filled).defaults)
    check_graph(tasks)
    options = {key: value for key, value in filled.items() if key in OPTION_FIELDS and value not in (None, {})}
    return JobFile(name, options, tasks, filled.get("tasks", []))


def _typed(name: str, text: str, default: Any) -> Any:
    """`--param` gives text; it becomes what the file's own value is."""
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(default, int | float):
            value = type(default)(text)
            if not math.isfinite(value):
                raise ValueError
            return value
    except (KeyError, ValueError):
        kind = {"bool": "true or false", "int": "a whole number", "float": "a number"}[type(default).__name__]
        raise InvalidInput(f"param {name!r}: expected {kind}, got {text!r}") from None
    return text


def _fill(value: Any, values: dict[str, Any], *, text: bool = False) -> Any:
    if isinstance(value, str):
        if "${" not in value:
            return value
        whole = _PLACEHOLDER.fullmatch(value)
        if whole and not text and not whole[1] and whole[2] in values:
            return values[whole[2]]
        return _PLACEHOLDER.sub(lambda found: _replacement(found, values), value)
    if isinstance(value, list):
        return [_fill(item, values, text=text) for item in value]
    if isinstance(value, dict):
        return {key: _fill(item, values, text=text or key in TEXT_FIELDS) for key, item in value.items()}
    return value


def _replacement(found: re.Match[str], values: dict[str, Any]) -> str:
    """Names that are no params are left alone (shell variables); `$${name}` stands for `${name}`."""
    if found[2] not in values:
        return found[0]
    if found[1]:
        return found[0][1:]
    value = values[found[2]]
    return param_text(value)
