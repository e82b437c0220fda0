"""Which user of this machine is at the other end of a connection."""

from __future__ import annotations

import contextlib
import socket
import struct
from pathlib import Path
from typing import Final

__all__ = ["user_of_peer"]

Address = tuple[str, int]

NETLINK_SOCK_DIAG: Final = 4
SOCK_DIAG_BY_FAMILY: Final = 20
NLM_F_REQUEST: Final = 1
ESTABLISHED: Final = 1
ANY_COOKIE: Final = b"\xff" * 8
PATIENCE_S: Final = 0.2
# struct nlmsghdr; family, protocol, extensions, padding and states of struct inet_diag_req_v2
_HEAD: Final = struct.Struct("=IHHII BBBBI")
_USER_AT: Final = 16 + 4 + 48 + 12
"""Of `idiag_uid` in the answer: behind the header, four bytes of state, the socket's id, and three numbers."""


def user_of_peer(peer: Address, ours: Address) -> int | None:
    """The user id that opened the connection from `peer` to `ours`; None when the kernel does not tell."""
    family = socket.AF_INET6 if ":" in peer[0] else socket.AF_INET
    with contextlib.suppress(OSError, struct.error):
        return _asked(family, peer, ours)
    with contextlib.suppress(OSError, ValueError, IndexError):
        return _looked_up(family, peer, ours)
    return None


def _asked(family: socket.AddressFamily, peer: Address, ours: Address) -> int | None:
    """By netlink: microseconds, however many connections there are. `OSError` where that is not allowed."""
    ends = (socket.inet_pton(family, address).ljust(16, b"\0") for address, _ in (peer, ours))
    identity = struct.pack("!HH", peer[1], ours[1]) + b"".join(ends) + bytes(4) + ANY_COOKIE
    head = _HEAD.pack(
        _HEAD.size + len(identity), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0,
        family, socket.IPPROTO_TCP, 0, 0, 1 << ESTABLISHED,
    )  # fmt: skip
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(PATIENCE_S)
        kernel.send(head + identity)
        answer = kernel.recv(4_096)
    if struct.unpack_from("=H", answer, 4)[0] != SOCK_DIAG_BY_FAMILY:
        raise OSError("no such connection, or nobody may ask")
    user: int = struct.unpack_from("=I", answer, _USER_AT)[0]
    return user


def _looked_up(family: socket.AddressFamily, peer: Address, ours: Address) -> int | None:
    """In the kernel's table of all connections, which takes milliseconds where there are many."""
    wanted = [_shown(family, *peer), _shown(family, *ours), f"{ESTABLISHED:02X}"]
    table = Path("/proc/net/tcp6" if family == socket.AF_INET6 else "/proc/net/tcp")
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
