"""`init`, `config`, `completion`: before any work is done."""

from __future__ import annotations

import click

from air_executor.cli.options import Shape, base_option, json_option

__all__ = ["completion", "config", "init"]


@click.command()
@click.option("--group", metavar="NAME", help="Share the folder with the members of this group of users.")
@base_option
def init(base: str | None, group: str | None) -> None:
    """Make a base folder.

    Other commands make it where they need it, for this user only (mode 0700). With --group, managers and
    clients of different users work on it together (mode 2770).
    """
    import grp

    from air_executor.errors import InvalidInput
    from air_executor.store.layout import Base

    folder = Base(base)
    try:
        gid = None if group is None else grp.getgrnam(group).gr_gid
    except KeyError:
        raise InvalidInput(f"no group of users is called {group!r}") from None
    existed = folder.jobs.is_dir()
    folder.create(gid)
    click.echo(f"base folder {folder} {'was there already' if existed and group is None else 'is ready'}")


CONFIG = Shape(
    "one object",
    {
        "base": "the base folder",
        "settings": "an object: setting -> {`value`, `from`: `default`, a file, or `AIR_EXECUTOR_…`}",
    },
)


@click.command()
@json_option(CONFIG)
@base_option
def config(base: str | None, as_json: bool) -> None:
    """Print what is set, and where it comes from.

    Settings are defaults, then config.toml in the base folder, then AIR_EXECUTOR_<NAME>, then options of
    `manager`, `start` and `run`.
    """
    from air_executor.cli.output import print_json, print_table
    from air_executor.settings import load_settings, shown_settings
    from air_executor.store.layout import Base

    folder = Base(base)
    settings, origin = load_settings(folder.config)
    values = shown_settings(settings)
    if as_json:
        found = {name: {"value": value, "from": origin[name]} for name, value in values.items()}
        print_json({"base": str(folder), "settings": found})
        return
    click.echo(f"base folder: {folder}{'' if folder.jobs.is_dir() else ' (not made yet)'}")
    rows = [[name, f"{v:g}" if isinstance(v, float) else str(v), origin[name]] for name, v in values.items()]
    print_table(["SETTING", "VALUE", "FROM"], rows)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a completion script for a shell.

    It completes commands, options and job names.

    \b
    bash:  air-executor completion bash > ~/.local/share/bash-completion/completions/air-executor
    zsh:   air-executor completion zsh > a file called _air-executor in a folder of $fpath
    fish:  air-executor completion fish > ~/.config/fish/completions/air-executor.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    root = ctx.find_root()
    complete = kind(root.command, {}, "air-executor", "_AIR_EXECUTOR_COMPLETE")
    # BashComplete.source() would run bash to look at its version; the script works from 4.4 on.
    click.echo(complete.source_template % complete.source_vars())
