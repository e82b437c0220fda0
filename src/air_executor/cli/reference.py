"""`docs/cli.md`, made from the commands themselves: `air-executor reference > docs/cli.md`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from air_executor.cli import EXIT_CODES
from air_executor.cli.app import SECTIONS, cli
from air_executor.cli.options import Shape

__all__ = ["reference", "render"]

INTRODUCTION = """\
# The command line

<!-- Made from the code by `air-executor reference > docs/cli.md`; a test compares. -->

`air-executor` and `python -m air_executor` are the same. Every command takes `--help`.

**The base folder.** Every command that works on jobs takes `--base FOLDER`, before or after its
name: the base folder, or the one that holds `.air-executor`. Without it `AIR_EXECUTOR_BASE` counts,
else `.air-executor` in the working directory. Commands that bring work (`run`, `submit`, `start`,
`manager`, `demo`, `init`) make it where it is missing.

**Output.** Results go to standard output, hints and errors to standard error. An error is one line
that begins with `air-executor: error:`. On a terminal `run`, `watch` and `submit --wait` draw their
progress in place; elsewhere they print lines like `[Progress] 789/1234 tasks (63.9%), 4 running,
312 tasks/s, about 1 s left`.

**JSON.** What `--json` prints has the keys that stand with each command; more keys may be added,
none will go away. Times are ISO 8601 in UTC, durations seconds.

**Settings** come from defaults, `config.toml` in the base folder, `AIR_EXECUTOR_<NAME>`, and
options, later ones first. `air-executor config` prints what holds. `AIR_EXECUTOR_DEBUG=1` shows the
traceback of a bug of ours.
"""


def render() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *_exit_codes(), *_contents(), *_commands()]).rstrip() + "\n"


def _exit_codes() -> Iterator[str]:
    yield "## Exit codes\n"
    yield "| Code | Meaning |\n| ---: | --- |"
    yield from (f"| {code} | {meaning} |" for code, meaning in sorted(EXIT_CODES.items()))
    yield ""


def _contents() -> Iterator[str]:
    yield "## Commands\n"
    for section, names in SECTIONS.items():
        listed = [one for name in names for one in _with_subcommands(name)]
        yield f"* {section}: " + ", ".join(f"[`{one}`](#air-executor-{one.replace(' ', '-')})" for one in listed)
    yield ""


def _commands() -> Iterator[str]:
    with click.Context(cli, info_name="air-executor", **cli.context_settings) as parent:
        for names in SECTIONS.values():
            for name in names:
                command = cli.get_command(parent, name)
                assert command is not None
                with click.Context(command, info_name=name, parent=parent) as ctx:
                    yield from _command_or_group(ctx, command)


def _with_subcommands(name: str) -> list[str]:
    command = cli.get_command(click.Context(cli), name)
    return [f"{name} {below}" for below in command.commands] if isinstance(command, click.Group) else [name]


def _command_or_group(ctx: click.Context, command: click.Command) -> Iterator[str]:
    if not isinstance(command, click.Group):
        yield from _command(ctx, command)
        return
    for name, below in command.commands.items():
        with click.Context(below, info_name=name, parent=ctx) as inner:
            yield from _command(inner, below)


def _command(ctx: click.Context, command: click.Command) -> Iterator[str]:
    yield f"### {ctx.command_path}\n"
    yield f"    {ctx.command_path} {' '.join(command.collect_usage_pieces(ctx))}\n"
    yield from _paragraphs(inspect.cleandoc(command.help or ""))
    rows = [
        record
        for parameter in command.get_params(ctx)
        if not {"--help", "--base"} & set(parameter.opts)
        and isinstance(parameter, click.Option)
        and (record := parameter.get_help_record(ctx)) is not None
    ]
    if rows:
        yield "| Option | |\n| --- | --- |"
        yield from (f"| `{_cell(option)}` | {_cell(_marked(text))} |" for option, text in rows)
        yield ""
    shape, without_job, *more = getattr(command.callback, "json_shapes", (None, None))
    yield from _shape("`--json`", shape)
    yield from _shape("`--json` without JOB", without_job)
    for other in more:
        yield from _shape("`--json`", other)


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield "\n".join(f"    {line}" for line in paragraph.split("\n")[1:]) + "\n"
        else:
            yield paragraph + "\n"


def _shape(title: str, shape: Shape | None) -> Iterator[str]:
    if shape is None:
        return
    yield f"{title}: {shape.form}.\n"
    yield "| Key | |\n| --- | --- |"
    yield from (f"| `{key}` | {_cell(meaning)} |" for key, meaning in shape.keys.items())
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _marked(text: str) -> str:
    """Names of options and files read better as code."""
    return re.sub(r"(?<![`\w])(--[a-z-]+|[a-z]+\.toml)", r"`\1`", text)


@click.command(hidden=True)
def reference() -> None:
    """Print docs/cli.md."""
    click.echo(render(), nl=False)
