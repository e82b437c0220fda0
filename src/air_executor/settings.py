"""What can be set, its defaults, and where each value came from."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

from air_executor.errors import BaseUnusable, InvalidInput

__all__ = ["OBSERVING", "SINKS", "Settings", "load_settings", "shown_settings"]


class Settings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Settings of a manager. The comment under each is its documentation."""

    slots: Annotated[int, Meta(ge=1)] = msgspec.field(default_factory=lambda: len(os.sched_getaffinity(0)))
    """Tasks that run at once, of all jobs together (default: the CPUs this process may use)."""
    cpus: Annotated[float, Meta(gt=0)] = msgspec.field(default_factory=lambda: float(len(os.sched_getaffinity(0))))
    """CPUs that tasks naming `cpus` share (default: the CPUs this process may use)."""
    memory_mb: Annotated[float, Meta(gt=0)] = msgspec.field(
        default_factory=lambda: os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6
    )
    """Memory that tasks naming `memory_mb` share (default: the machine's)."""
    launchers: Annotated[int, Meta(ge=1, le=64)] = msgspec.field(
        default_factory=lambda: min(8, len(os.sched_getaffinity(0)))
    )
    """Launcher processes (default: one a CPU, at most 8)."""
    sync: Literal["each", "group", "off"] = "group"
    """When journals go to the disk: before every start, every 20 ms, or when the system likes."""
    grace_s: Annotated[float, Meta(ge=0)] = 5.0
    """Time between TERM and KILL when a task is stopped."""
    poll_interval_s: Annotated[float, Meta(gt=0)] = 1.0
    """How often folders are looked at where the system gives no notification."""
    log_max_mb: Annotated[float, Meta(ge=0)] = 10.0
    """Size at which `manager.log` is put aside as `manager.log.1` (0: never)."""
    log_keep: Annotated[int, Meta(ge=1)] = 3
    """How many old ones of it are kept."""
    prune_after_days: Annotated[float, Meta(ge=0)] | None = None
    """Age at which a manager removes ended jobs and earlier runs by itself (default: never)."""
    prune_keep: Annotated[int, Meta(ge=0)] = 0
    """How many ended jobs, and earlier runs of each job, stay however old they are."""
    history: str | None = None
    """Where the history is kept: `sqlite` (in the base folder) or a database URL (default: nowhere)."""
    metrics_port: Annotated[int, Meta(ge=1, le=65_535)] | None = None
    """Port of `/metrics` for Prometheus (default: none)."""
    metrics_host: str = "127.0.0.1"
    """Address that port is opened on."""
    metrics_jobs: Annotated[int, Meta(ge=0)] = 100
    """Jobs that have metrics of their own at once; the others are counted together."""
    statsd: str | None = None
    """HOST:PORT of a StatsD server (default: none)."""
    statsd_form: Literal["tags", "names"] = "tags"
    """Whether StatsD gets the job as a tag, or as part of the name."""
    otlp: str | None = None
    """URL of an OpenTelemetry collector (default: none)."""
    otlp_interval_s: Annotated[float, Meta(gt=0)] = 10.0
    """How often it is sent all metrics."""
    webhook: str | None = None
    """URL that is told of alerts (default: none)."""
    webhook_form: Literal["json", "slack"] = "json"
    """What is posted there."""
    webhook_secret_file: str | None = None
    """File with the secret that alerts are signed with (default: they are not)."""
    no_progress_min: Annotated[float, Meta(gt=0)] | None = None
    """Minutes without a start or end of a task after which a job is told of (default: never)."""


SINKS: Final = ("history", "metrics_port", "statsd", "otlp", "webhook")
"""Settings that each by itself make somebody observe."""
OBSERVING: Final = (
    *SINKS,
    "metrics_host",
    "metrics_jobs",
    "statsd_form",
    "otlp_interval_s",
    "webhook_form",
    "webhook_secret_file",
    "no_progress_min",
)
"""Settings of the observer alone; values of some are secrets."""


def shown_settings(settings: Settings) -> dict[str, Any]:
    """The settings as anybody may see them: URLs without user, password, path and query."""
    values: dict[str, Any] = msgspec.to_builtins(settings)
    for name in ("history", "otlp", "webhook"):
        value = values[name]
        if value is not None and "://" in value:
            scheme, _, rest = value.partition("://")
            if name == "webhook":
                values[name] = f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}/…"
            elif "@" in rest:
                who, _, where = rest.rpartition("@")
                values[name] = f"{scheme}://{who.partition(':')[0]}:***@{where}" if ":" in who else value
    return values


def load_settings(config: Path, options: dict[str, Any] | None = None) -> tuple[Settings, dict[str, str]]:
    """Settings from defaults, `config` (TOML), `AIR_EXECUTOR_<NAME>` and `options`, the later ones first.

    The second value tells where each came from. Raises `InvalidInput` naming the place of a bad value,
    and `BaseUnusable` when `config` cannot be read.
    """
    values: dict[str, Any] = {}
    origin = dict.fromkeys(Settings.__struct_fields__, "default")
    try:
        from_file = tomllib.loads(config.read_text()) if config.exists() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{config}: {error}") from None
    except OSError as error:
        raise BaseUnusable(f"{config}: {error.strerror}") from None
    from_env = {
        name: os.environ[variable]
        for name in Settings.__struct_fields__
        if (variable := f"AIR_EXECUTOR_{name.upper()}") in os.environ
    }
    given = {name: value for name, value in (options or {}).items() if value is not None}
    for place, found in ((str(config), from_file), ("environment", from_env), ("option", given)):
        for name, value in found.items():
            values[name] = _checked(name, value, place)
            origin[name] = f"AIR_EXECUTOR_{name.upper()}" if place == "environment" else place
    return Settings(**values), origin


def _checked(name: str, value: Any, place: str) -> Any:
    kind = get_type_hints(Settings, include_extras=True).get(name)
    if kind is None:
        known = ", ".join(Settings.__struct_fields__)
        raise InvalidInput(f"{place}: unknown setting {name!r} (known: {known})")
    try:
        return msgspec.convert(value, kind, strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        choices = ", ".join(get_args(kind)) if get_args(kind) and all(type(a) is str for a in get_args(kind)) else ""
        allowed = f" (one of {choices})" if choices else ""
        expected = str(error).lower().removesuffix(", got `str`")  # which says less than the value itself
        raise InvalidInput(f"{place}: setting {name!r}: {expected}{allowed}, got {value!r}") from None
