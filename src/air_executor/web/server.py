"""The server: listens, speaks TLS if told so, and ends within a moment although streams are open."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn

from air_executor.errors import InvalidInput
from air_executor.web.access import Access, is_loopback
from air_executor.web.app import Application, create_app

__all__ = ["make_access", "serve"]

PATIENCE_S: Final = 10
"""How long requests that are under way may take when the server is told to end."""
SWITCH_S: Final = 0.001
"""A long journal is read beside the requests, which must not wait for it."""
NICENESS: Final = 5
"""Looking takes second place to the tasks, but still shows what happens on a machine they keep busy."""


def serve(
    base: str | None,
    host: str,
    port: int,
    access: Access,
    *,
    index: str | None = None,
    certificate: str | None = None,
    key: str | None = None,
) -> None:
    """Serve until told to end by a signal. Port 0 takes any that is free."""
    app = create_app(base, access=access, index=index)
    listening = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    scheme = "https" if certificate else "http"
    print(f"serving {app.site.base} on {scheme}://{shown}:{listening.getsockname()[1]}/", flush=True)
    os.nice(NICENESS)
    sys.setswitchinterval(SWITCH_S)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="on",
        ssl_certfile=certificate,
        ssl_keyfile=key,
        timeout_graceful_shutdown=PATIENCE_S,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=65_536,
        proxy_headers=False,
        server_header=False,
        ws="none",
    )
    Server(config, app).run(sockets=[listening])


class Server(uvicorn.Server):
    """Ends streams at once when it is told to end; they would be waited for otherwise. Its end is no failure."""

    def __init__(self, config: uvicorn.Config, app: Application) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
        self._app.site.stop_soon()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        raise InvalidInput(f"cannot listen on {host}, port {port}: {error.strerror}") from None
    return listening


def make_access(host: str, token_file: str | None, read_token_file: str | None) -> Access:
    """Who may do what: tokens from files, or from `AIR_EXECUTOR_TOKEN` and `AIR_EXECUTOR_READ_TOKEN`.

    Without tokens only loopback addresses may be listened on.
    """
    write = _tokens(token_file, "AIR_EXECUTOR_TOKEN")
    read = _tokens(read_token_file, "AIR_EXECUTOR_READ_TOKEN")
    if not write and not read and not is_loopback(f"[{host}]" if ":" in host else host):
        raise InvalidInput(
            f"listening on {host} lets others in: give a token (--token-file FILE, or AIR_EXECUTOR_TOKEN), "
            "or listen on 127.0.0.1"
        )
    return Access(write, read)


def _tokens(path: str | None, variable: str) -> list[str]:
    """One token a line of the file, else the one in the environment."""
    if path is None:
        token = os.environ.get(variable, "").strip()
        return [_good(token, variable)] if token else []
    try:
        lines = Path(path).read_text("utf-8").split("\n")
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{path}: expected one token a line") from None
    tokens = [_good(line.strip(), path) for line in lines if line.strip()]
    if not tokens:
        raise InvalidInput(f"{path}: holds no token; make one with `openssl rand -hex 32 > {path}`")
    return tokens


def _good(token: str, source: str) -> str:
    if len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidInput(f"{source}: expected tokens of 16 or more letters, digits and signs, without spaces")
    return token
