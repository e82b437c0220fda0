"""Which projects of a repository and which checks of them the configuration wants."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from air_executor.errors import NotFound
from air_executor.fixing.check import Project
from air_executor.fixing.config_sections import FixingConfig
from air_executor.fixing.files import Files
from air_executor.fixing.languages import languages
from air_executor.fixing.projects import find_projects

__all__ = ["chosen_checks", "chosen_languages", "chosen_projects"]


def chosen_languages(config: FixingConfig) -> list[str]:
    """Names of the languages that are looked at, in the order in which they are known."""
    only, enabled = config.target_project.type, config.languages.enabled
    return [name for name in languages() if (enabled is None or name in enabled) and (only is None or name == only)]


def chosen_projects(repository: Path, config: FixingConfig, files: Files | None = None) -> list[Project]:
    """The projects of those languages. Without `auto_detect`, a language that has none is `NotFound`."""
    chosen = chosen_languages(config)
    found = find_projects(repository, [languages()[name] for name in chosen], files)
    if not config.languages.auto_detect:
        missing = [name for name in chosen if all(project.language != name for project in found)]
        if missing:
            raise NotFound(
                f"{repository}: no file of {missing[0]}, which the configuration names; "
                "take it out there, or let `auto_detect: true` look for what is there"
            )
    return found


def chosen_checks(config: FixingConfig, projects: Iterable[Project]) -> frozenset[str] | None:
    """Names such as `python/ruff`, as `running.Options.only` takes them; None: all that apply.

    What a wanted check reads is run as well, wanted or not.
    """
    each = {name: own.checks for name, own in config.languages.each.items() if own.checks is not None}
    of = {project.language for project in projects}
    if not each.keys() & of:
        return None
    return frozenset(
        f"{name}/{check.name}"
        for name in of
        for check in languages()[name].checks
        if name not in each or check.name in each[name]
    )
