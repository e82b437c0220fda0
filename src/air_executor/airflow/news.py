"""What is found of a run that is waited for, or why nothing can be: the same from a folder and from a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from msgspec import convert

from air_executor.errors import AirExecutorError, NotFound, Refused
from air_executor.observe.ends import Look, look

if TYPE_CHECKING:
    from air_executor.client import AirExecutorClient
    from air_executor.client_http import HttpClient
    from air_executor.store.layout import Base

__all__ = ["News", "news_of", "news_of_folder", "news_of_server"]

Run = tuple[str, str | None]


class News(NamedTuple):
    """What a watcher found of one run; one of the first two is None."""

    look: Look | None
    trouble: str | None
    """Why nothing can be found out at the moment."""
    final: bool = False
    """Whether it is of no use to wait for the trouble to pass."""
    managed: bool | None = None
    """Whether a manager works on the base; None: not known."""

    @property
    def urgent(self) -> bool:
        """Whether it is more than progress."""
        return self.look is None or self.look.ended or self.look.missing


def news_of(client: AirExecutorClient, job: str, run: str | None) -> News:
    """Look once, by way of whichever client it is."""
    from air_executor.client_http import HttpClient

    if isinstance(client, HttpClient):
        return news_of_server(client, [(job, run)])[job, run]
    return news_of_folder(client.base, job, run)._replace(managed=_managed(client))


def _managed(client: AirExecutorClient) -> bool | None:
    try:
        return client.manager_pid is not None
    except AirExecutorError:
        return None


def news_of_folder(base: Base, job: str, run: str | None) -> News:
    try:
        return News(look(base, job, run), None)
    except AirExecutorError as error:
        return News(None, str(error))
    except OSError as error:
        return News(None, f"{error.filename or base}: {error.strerror}")


def news_of_server(client: HttpClient, wanted: Sequence[Run]) -> dict[Run, News]:
    """Of all of them, in one question."""
    final = False
    try:
        return {(found.job, found.run): News(found, None) for found in convert(client.ends(wanted), list[Look])}
    except NotFound:
        final = True
        trouble = f"{client.url} does not know `/ends`: it runs an older Air-Executor; upgrade it"
    except Refused as error:
        final = True
        trouble = f"{client.url} refused: {error}"
    except AirExecutorError as error:
        trouble = str(error)
    except ValueError:
        trouble = f"{client.url} answers something else than Air-Executor does"
    return dict.fromkeys(wanted, News(None, trouble, final))
