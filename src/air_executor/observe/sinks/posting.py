"""One HTTP request to somebody else's server: no redirect is followed, nothing is waited for long."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

from air_executor import __version__
from air_executor.errors import InvalidInput

__all__ = ["check_url", "post", "shown_url"]

TIMEOUT_S: Final = 10.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Whoever was named gets it, or nobody: a redirect could lead anywhere, and would drop the body."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def check_url(text: str, what: str) -> str:
    """Return `text` if it is an http or https URL, else raise `InvalidInput`."""
    try:
        url = urlsplit(text)
        good = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        good = False
    if not good or not text.isascii() or any(c.isspace() for c in text):
        raise InvalidInput(f"{what}: expected an http:// or https:// URL")
    return text


def shown_url(text: str) -> str:
    """A URL fit for logs: paths and queries of webhooks are secrets."""
    url = urlsplit(text)
    port = "" if url.port is None else f":{url.port}"
    return f"{url.scheme}://{url.hostname}{port}/…"


def post(url: str, body: bytes, headers: dict[str, str], timeout_s: float = TIMEOUT_S) -> str | None:
    """Post JSON; None when it was taken (2xx), else what went wrong."""
    request = urllib.request.Request(url, data=body, method="POST")
    request.add_header("Content-Type", "application/json")
    request.add_header("User-Agent", f"air-executor/{__version__}")
    for name, value in headers.items():
        request.add_header(name, value)
    try:
        with _opener.open(request, timeout=timeout_s) as answer:
            answer.read(65_536)
            return None
    except urllib.error.HTTPError as error:
        error.close()
        return f"{shown_url(url)} answered {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return f"{shown_url(url)}: {getattr(reason, 'strerror', None) or reason}"
