"""Options and arguments that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from air_executor.terminal import Shape, json_option

__all__ = [
    "Shape",
    "base_option",
    "capacity_options",
    "job_argument",
    "json_option",
    "param_option",
    "parse_params",
]

F = TypeVar("F", bound=Callable[..., Any])


def base_option(function: F) -> F:
    """`--base`, which may also stand before the command."""
    option = click.option(
        "--base",
        metavar="FOLDER",
        callback=lambda ctx, _, value: value or (ctx.find_root().obj or {}).get("base"),
        help="The base folder, or the one that holds `.air-executor` [default: AIR_EXECUTOR_BASE, else "
        "`.air-executor` here].",
    )
    return option(function)


def _job_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from air_executor.store.layout import Base

    try:
        names = sorted(os.listdir(Base(ctx.params.get("base")).jobs))
    except OSError:
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete) and name[0] != "."]


def job_argument(*, required: bool = True) -> Callable[[F], F]:
    """`JOB`, completed by the shell from the base folder."""
    return click.argument("job", required=required, shell_complete=_job_names)


def param_option(function: F) -> F:
    option = click.option(
        "--param", "-p", "params", metavar="NAME=VALUE", multiple=True,
        help="A value for a param of the job file; may be repeated.",
    )  # fmt: skip
    return option(function)


def parse_params(params: tuple[str, ...]) -> dict[str, str]:
    """`("a=1",)` -> `{"a": "1"}`."""
    found = {}
    for text in params:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"expected NAME=VALUE, got {text!r}", param_hint="'--param'")
        found[name] = value
    return found


def capacity_options(function: F) -> F:
    """What a manager may use of the machine."""
    for option in (
        click.option("--memory-mb", type=float, help="Memory that tasks naming `memory_mb` share."),
        click.option("--cpus", type=float, help="CPUs that tasks naming `cpus` share."),
        click.option("--slots", type=int, help="Tasks that run at once [default: the CPUs]."),
    ):
        function = option(function)
    return function
