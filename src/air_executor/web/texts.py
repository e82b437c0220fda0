"""Texts in paths and headers."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

from air_executor.errors import InvalidName

__all__ = ["decoded", "in_header"]


def decoded(segment: str, what: str) -> str:
    """What a percent-encoded segment of a path says."""
    try:
        return unquote_to_bytes(segment.encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise InvalidName(f"{what}: holds bytes that are not valid UTF-8") from None


def in_header(text: str) -> str:
    """A text that anybody may have chosen, as it may stand in a header or in the id of an event."""
    return quote(text, safe="-_.:+~")
