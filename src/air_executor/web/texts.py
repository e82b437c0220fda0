"""Texts in paths."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from air_executor.errors import InvalidName

__all__ = ["decoded"]


def decoded(segment: str, what: str) -> str:
    """What a percent-encoded segment of a path says."""
    try:
        return unquote_to_bytes(segment.encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise InvalidName(f"{what}: holds bytes that are not valid UTF-8") from None
