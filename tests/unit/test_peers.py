"""Whose connection it is, asked of the kernel in both ways."""

from __future__ import annotations

import os
import socket
import struct

import pytest

from air_executor.web import peers


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_the_user_of_a_connection(family: socket.AddressFamily, address: str) -> None:
    try:
        server = socket.create_server((address, 0), family=family)
    except OSError:
        assert family == socket.AF_INET6, "no IPv4 on the loopback"
        return
    with server, socket.create_connection(server.getsockname()[:2]) as connection:
        accepted, _ = server.accept()
        with accepted:
            peer, ours = connection.getsockname()[:2], server.getsockname()[:2]
            assert peers.user_of_peer(peer, ours) == os.geteuid()
            for ask in (peers._asked, peers._looked_up):
                try:
                    assert ask(family, peer, ours) == os.geteuid(), ask
                except (OSError, struct.error):
                    assert ask is peers._asked, "the table can always be read"
            assert peers.user_of_peer(("127.0.0.1", 1), ours) is None
