"""Which projects of a repository and which checks of them the configuration wants."""

from __future__ import annotations

from pathlib import Path

from air_executor.errors import InvalidInput
from air_executor.fixing.check import Project
from air_executor.fixing.configuration.sections import FixingConfig
from air_executor.fixing.files import Files
from air_executor.fixing.languages import Language, languages
from air_executor.fixing.projects import find_projects

__all__ = ["chosen_checks", "chosen_languages", "chosen_projects"]


def chosen_languages(config: FixingConfig) -> list[Language]:
    """Those that are looked at, in the order in which they are known."""
    only, enabled = config.target_project.type, config.languages.enabled
    return [
        language
        for name, language in languages().items()
        if (enabled is None or name in enabled) and (only is None or name == only)
    ]


def chosen_projects(repository: Path, config: FixingConfig, files: Files | None = None) -> list[Project]:
    """The projects of those languages. Without `auto_detect`, a language that has none is `InvalidInput`."""
    chosen = chosen_languages(config)
    found = find_projects(repository, chosen, files)
    there = {project.language for project in found}
    for language in chosen:
        if language.name not in there and not config.languages.auto_detect:
            raise InvalidInput(
                f"{repository}: no file of {language.name}, which the configuration names; "
                "with `languages.auto_detect: true` only those that are there would be looked at"
            )
    return found


def chosen_checks(config: FixingConfig) -> frozenset[str] | None:
    """Names such as `python/ruff`, as `running.Options.only` takes them; None: all that apply.

    Code is measured whatever else is wanted: quality would not be known otherwise.
    """
    each = {name: own.checks for name, own in config.languages.each.items() if own.checks is not None}
    if not each:
        return None
    return frozenset(
        f"{name}/{check.name}"
        for name, language in languages().items()
        for check in language.checks
        if check.kind == "metrics" or check.name in each.get(name, (check.name,))
    )
