"""HTTP: the interface for programs, the dashboard, and the server that offers both (`air-executor serve`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from air_executor.web.access import Access as Access
    from air_executor.web.app import create_app as create_app

__all__ = ["Access", "create_app"]

_HOMES = {"Access": "access", "create_app": "app"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
