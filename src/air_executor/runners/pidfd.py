"""How a process ended, asked of the kernel by its pidfd: also when somebody else was its parent.

PIDFD_GET_INFO is in Linux since 6.13, the exit information since 6.15 (`include/uapi/linux/pidfd.h`).
"""

from __future__ import annotations

import fcntl
import struct
from typing import Final

__all__ = ["pidfd_exit_status"]

# struct pidfd_info: mask, cgroupid, pid, tgid, ppid, 8 ids, exit_code; 64 bytes in its first version
_INFO: Final = struct.Struct("=QQ3I8Ii")
_GET_INFO: Final = 0xC000_0000 | (_INFO.size << 16) | (0xFF << 8) | 11  # _IOWR(PIDFS_IOCTL_MAGIC, 11, struct)
_EXIT: Final = 1 << 3


def pidfd_exit_status(pidfd: int) -> int | None:
    """The wait status of an ended process whose pidfd was opened while it lived; None where not known."""
    request = bytearray(_INFO.pack(_EXIT, *[0] * 13))
    try:
        fcntl.ioctl(pidfd, _GET_INFO, request)
    except OSError:
        return None
    mask, *_, status = _INFO.unpack(request)
    return int(status) if mask & _EXIT else None
