"""Which user of this machine is at the other end of a connection."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

__all__ = ["user_of_peer"]

ESTABLISHED = "01"


def user_of_peer(peer: tuple[str, int], ours: tuple[str, int]) -> int | None:
    """The user id that opened the connection from `peer` to `ours`; None when the kernel's tables do not tell."""
    family = socket.AF_INET6 if ":" in peer[0] else socket.AF_INET
    wanted = [_shown(family, *peer), _shown(family, *ours), ESTABLISHED]
    table = Path("/proc/net/tcp6" if family == socket.AF_INET6 else "/proc/net/tcp")
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in table.read_text("ascii").splitlines():
            fields = line.split()
            if fields[1:4] == wanted:
                return int(fields[7])
    return None


def _shown(family: socket.AddressFamily, address: str, port: int) -> str:
    """An address as `/proc/net/tcp` shows it: words of four bytes, each little end first."""
    packed = socket.inet_pton(family, address)
    words = (packed[at : at + 4][::-1].hex().upper() for at in range(0, len(packed), 4))
    return f"{''.join(words)}:{port:04X}"
