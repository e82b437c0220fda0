"""Single keys from the terminal, without waiting for them."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from typing import Any, Final, Self

__all__ = ["Keys", "Left"]

_NAMES: Final = {
    b"\x1b": "esc", b"\r": "enter", b"\n": "enter", b"\x1b[A": "k", b"\x1b[B": "j", b"\x1bOA": "k", b"\x1bOB": "j",
}  # fmt: skip


class Left(Exception):
    """Somebody has pressed the key that leaves."""


class Keys:
    """While in use the terminal hands every key over at once; Ctrl-C stays what it is."""

    def __init__(self) -> None:
        self._before: list[Any] | None = None

    def __enter__(self) -> Self:
        with contextlib.suppress(termios.error, ValueError, OSError):  # no terminal: no keys
            fd = sys.stdin.fileno()
            if os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp():
                self._before = termios.tcgetattr(fd)
                tty.setcbreak(fd, termios.TCSADRAIN)  # keys that were pressed early count
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._before)
            self._before = None

    @property
    def there(self) -> bool:
        return self._before is not None

    def pressed(self, wait_s: float = 0.0) -> list[str]:
        """The keys since the last call; up and down arrows are `k` and `j`. Waits for the first so long at most."""
        if self._before is None:
            return []
        fd = sys.stdin.fileno()
        if not select.select([fd], [], [], wait_s)[0]:
            return []
        data = os.read(fd, 256)
        if not data:  # the terminal is gone
            return ["q"]
        if data in _NAMES:
            return [_NAMES[data]]
        if data.startswith(b"\x1b"):
            return []
        return [_NAMES.get(bytes([byte]), chr(byte)) for byte in data if byte < 128]
