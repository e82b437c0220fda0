"""The manager: the one place where decisions (lifecycle, scheduling) meet files and processes."""

from air_executor.manager.loop import Manager

__all__ = ["Manager"]
