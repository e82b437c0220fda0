"""From a command to the file that is run, and from a failed start to what the user can do about it.

Standard library only, and nothing of this package: the launcher, which runs apart from it, loads this file.
"""

from __future__ import annotations

import errno
import os


class NotStarted(Exception):
    """No process could be made; carries the shell's customary exit code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def find(command: bytes, path: bytes) -> bytes:
    """Look a bare command up in the task's own PATH, as a shell would."""
    denied = b""
    for folder in path.split(b":"):
        candidate = (folder or b".") + b"/" + command
        if os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return candidate
            denied = denied or candidate
    text = os.fsdecode(command)
    if denied:
        raise NotStarted(126, f"command {text!r}: {os.fsdecode(denied)} is not executable")
    raise NotStarted(127, f"command {text!r} not found in PATH{hint(text)}")


def explain(error: OSError, program: bytes, text: str) -> None:
    """Raise `NotStarted` with the shell's exit code and a sentence, where a failed start is the task's own fault."""
    if error.errno == errno.ENOENT:
        if os.path.exists(program):
            raise NotStarted(127, f"command {text!r}: the interpreter in its #! line does not exist") from None
        raise NotStarted(127, f"command {text!r}: no such file{hint(text)}") from None
    if error.errno == errno.ENOTDIR:
        raise NotStarted(127, f"command {text!r}: no such file{hint(text)}") from None
    if error.errno == errno.EACCES:
        what = "is a directory" if os.path.isdir(program) else "is not executable (chmod +x)"
        raise NotStarted(126, f"command {text!r} {what}") from None
    if error.errno == errno.ENOEXEC:
        raise NotStarted(126, f"command {text!r} is neither a program nor a script with a #! line") from None
    if error.errno == errno.E2BIG:
        raise NotStarted(126, f"command {text!r}: arguments and environment are too long for the system") from None


def hint(command: str) -> str:
    """For a whole command line put into `command`."""
    if " " in command.strip():
        return "; it has spaces: put the words into `args`, or set `shell: true`"
    return ""
