"""Air-Executor: runs work whose size nobody knows in advance.

    from air_executor import AirExecutorClient, task

Everything is imported when it is first used, so that `import air_executor` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["AirExecutorClient", "__version__", "errors", "task"]

if TYPE_CHECKING:
    from air_executor import errors, task
    from air_executor.client import AirExecutorClient


def __getattr__(name: str) -> Any:
    if name == "AirExecutorClient":
        from air_executor.client import AirExecutorClient

        return AirExecutorClient
    if name in ("errors", "task"):
        from importlib import import_module

        return import_module(f"air_executor.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
