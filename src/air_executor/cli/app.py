"""The group of all commands; each command's module is imported when it is used."""

from __future__ import annotations

import difflib
import sys
from importlib import import_module
from typing import Any, Final

import click

from air_executor import __version__

__all__ = ["COMMANDS", "SECTIONS", "OutputClosed", "cli"]

SECTIONS: Final[dict[str, dict[str, str]]] = {
    "Run": {
        "run": "running:run",
        "demo": "demo:demo",
    },
    "Jobs": {
        "submit": "submitting:submit",
        "queue": "queueing:queue",
        "close": "requests:close",
        "cancel": "requests:cancel",
        "pause": "requests:pause",
        "resume": "requests:resume",
        "retry": "requests:retry",
    },
    "Look": {
        "status": "status:status",
        "list": "listing:list_jobs",
        "watch": "watching:watch",
        "tasks": "listing:tasks",
        "logs": "logs:logs",
        "events": "events:events",
        "serve": "serving:serve",
        "history": "history:history",
        "chart": "chart:chart",
    },
    "Manager": {
        "init": "setup:init",
        "manager": "managing:manager",
        "start": "managing:start",
        "stop": "managing:stop",
        "observe": "observing:observe",
        "config": "setup:config",
        "doctor": "doctor:doctor",
        "prune": "prune:prune",
        "completion": "setup:completion",
    },
    "Airflow": {
        "dags": "dags:dags",
    },
    "Fixing": {
        "fix": "air_executor.fixing.commands:fix",
    },
}
"""Sections of the help -> command -> module (without a dot: of `air_executor.cli`) and what it is called there."""

COMMANDS: Final = {name: place for section in SECTIONS.values() for name, place in section.items()}
HIDDEN: Final = {"reference": "reference:reference"}


class OutputClosed(Exception):
    """Whoever read our output has gone."""


class LazyGroup(click.Group):
    """Knows the names of its commands; a command itself is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name) or HIDDEN.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        where = module if "." in module else f"air_executor.cli.{module}"
        command: click.Command = getattr(import_module(where), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"no such command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            raise OutputClosed from None  # click would make exit code 1 of it, which says that a job failed
        return result

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for section, names in SECTIONS.items():
            with formatter.section(section):
                commands = [(name, self.get_command(ctx, name)) for name in names]
                limit = formatter.width - 6 - width
                formatter.write_dl(
                    [(name.ljust(width), c.get_short_help_str(limit)) for name, c in commands if c is not None]
                )


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="COMMAND --help tells more about each.",
)
@click.option(
    "--base",
    metavar="FOLDER",
    expose_value=False,
    callback=lambda ctx, _, value: ctx.ensure_object(dict).update(base=value),
    help="The base folder; may be given after the command as well.",
)
@click.version_option(__version__, "-V", "--version", message="%(version)s")
def cli() -> None:
    """Run work whose size is not known in advance: jobs that grow while they run."""
