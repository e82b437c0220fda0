"""Which languages are known: those here, and those other distributions bring by entry points."""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import entry_points
from typing import Final

import msgspec

from air_executor.errors import InvalidInput
from air_executor.fixing.languages.language import Language
from air_executor.fixing.metrics.check import Metrics

__all__ = ["BUILT_IN", "GROUP", "Language", "language_named", "languages"]

GROUP: Final = "air_executor.languages"
BUILT_IN: Final = {
    "python": "air_executor.fixing.languages.python:PYTHON",
    "javascript": "air_executor.fixing.languages.javascript:JAVASCRIPT",
    "go": "air_executor.fixing.languages.go:GO",
    "dart": "air_executor.fixing.languages.dart:DART",
    "rust": "air_executor.fixing.languages.rust:RUST",
}


@cache
def languages() -> dict[str, Language]:
    """All languages by name, each measured too. One that cannot be loaded is an error that names the distribution it
    came with."""
    found = {name: _load(place) for name, place in BUILT_IN.items()}
    for entry in entry_points(group=GROUP):
        try:
            language = entry.load()
        except Exception as error:
            whose = entry.dist.name if entry.dist else entry.value
            raise InvalidInput(f"language {entry.name!r} of {whose} cannot be loaded: {error}") from error
        if not isinstance(language, Language):
            raise InvalidInput(f"language {entry.name!r} ({entry.value}) is no `Language`")
        found[language.name] = language
    return {name: _measured(language) for name, language in found.items()}


@cache
def language_named(name: str) -> Language:
    """One of them; the others need not be loaded for it, unless other distributions bring any."""
    if name in BUILT_IN and not entry_points(group=GROUP):
        return _measured(_load(BUILT_IN[name]))
    return languages()[name]


def _measured(language: Language) -> Language:
    """With the check that is the same for all."""
    if any(check.name == Metrics.name for check in language.checks):
        return language
    return msgspec.structs.replace(language, checks=(*language.checks, Metrics()))


def _load(place: str) -> Language:
    module, _, name = place.partition(":")
    language = getattr(importlib.import_module(module), name)
    assert isinstance(language, Language)
    return language
