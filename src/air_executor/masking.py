"""Keeping values that look secret out of what people and programs are shown."""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["MASK", "looks_secret", "mask_environment", "mask_event", "mask_options"]

MASK: Final = "***"
_ANYWHERE = "passw|passphrase|secret|token|credential|apikey|api_key|private_?key|access_?key"
_AS_A_WORD = "key|pwd|pass|auth"
_SECRET = re.compile(rf"(?i)({_ANYWHERE})|(?:^|_)({_AS_A_WORD})(?:_|$)")


def looks_secret(name: str) -> bool:
    """Whether the value of an environment variable (or param) of this name should not be shown."""
    return _SECRET.search(name) is not None


def mask_environment(env: dict[str, Any]) -> dict[str, Any]:
    """`env` with the values masked whose names look secret; `env` itself when there are none."""
    if not any(map(looks_secret, env)):
        return env
    return {name: MASK if looks_secret(name) else value for name, value in env.items()}


def mask_event(record: dict[str, Any]) -> dict[str, Any]:
    """An event as an object, fit to be shown."""
    task, options = record.get("task"), record.get("options")
    if isinstance(task, dict) and task.get("env"):
        task["env"] = mask_environment(task["env"])
    if isinstance(options, dict):
        mask_options(options)
    return record


def mask_options(options: dict[str, Any]) -> None:
    """Mask, in place, the params of a job, the environment its defaults give, and where its webhook's URL leads."""
    if options.get("params"):
        options["params"] = mask_environment(options["params"])
    defaults = options.get("defaults")
    if isinstance(defaults, dict) and isinstance(defaults.get("env"), dict):
        options["defaults"] = {**defaults, "env": mask_environment(defaults["env"])}
    on_end = options.get("on_end")
    if isinstance(on_end, str):
        options["on_end"] = _mask_url(on_end)


def _mask_url(url: str) -> str:
    """Scheme and host of a URL; of a webhook the rest is as good as a password."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{MASK if path else ''}"
