"""What jobs and tasks may be called, the file names made from them, and ids nobody chose."""

from __future__ import annotations

import hashlib
import os
from urllib.parse import quote

from air_executor.errors import InvalidName

__all__ = ["automatic_id", "check_job_id", "check_job_name", "check_task_id", "file_stem", "new_job_id"]

MAX_JOB_NAME_BYTES = 255
MAX_TASK_ID_BYTES = 1_000
MAX_STEM_BYTES = 200

_BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"


def _encoded(text: object, what: str) -> bytes:
    if not isinstance(text, str):
        raise InvalidName(f"{what}: expected a string, got {type(text).__name__}")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidName(f"{what} {text!a}: holds bytes that are not valid Unicode") from None


def check_job_name(name: object) -> str:
    """Return `name` if a job may be called so, else raise `InvalidName` with the rule it breaks."""
    raw = _encoded(name, "job name")
    assert isinstance(name, str)
    if not raw:
        raise InvalidName("job name: expected at least one character")
    if len(raw) > MAX_JOB_NAME_BYTES:
        raise InvalidName(f"job name {name[:40]!r}…: {len(raw)} bytes are over the limit of {MAX_JOB_NAME_BYTES}")
    if "/" in name:
        raise InvalidName(f"job name {name!r}: '/' is not allowed, the name is used as a folder name")
    if name.startswith("."):
        raise InvalidName(f"job name {name!r}: a leading '.' is not allowed")
    if not name.isprintable():
        raise InvalidName(f"job name {name!r}: only printable characters are allowed")
    return name


def check_job_id(job_id: object) -> str:
    """Return `job_id` if a run may have this id, else raise `InvalidName` with the rule it breaks."""
    raw = _encoded(job_id, "job id")
    assert isinstance(job_id, str)
    if not 0 < len(raw) <= MAX_JOB_NAME_BYTES or not job_id.isprintable():
        raise InvalidName(f"job id {job_id[:40]!r}: expected 1 to {MAX_JOB_NAME_BYTES} bytes of printable characters")
    return job_id


def check_task_id(task_id: object) -> str:
    """Return `task_id` if a task may be called so, else raise `InvalidName` with the rule it breaks."""
    if type(task_id) is str and task_id.isascii() and 0 < len(task_id) <= MAX_TASK_ID_BYTES:
        raw_size = len(task_id)  # the common case, without encoding
    else:
        raw_size = len(_encoded(task_id, "task id"))
        assert isinstance(task_id, str)
    if raw_size == 0:
        raise InvalidName("task id: expected at least one character")
    if raw_size > MAX_TASK_ID_BYTES:
        raise InvalidName(f"task id {task_id[:40]!r}…: {raw_size} bytes are over the limit of {MAX_TASK_ID_BYTES}")
    if not task_id.isprintable():
        raise InvalidName(f"task id {task_id!r}: only printable characters are allowed")
    return task_id


def file_stem(text: str) -> str:
    """The file name (without suffix) of a task id or run id: percent-encoded, at most 200 bytes.

    Longer names keep a prefix and get `@` and a hash; `@` never appears in an encoded name, so neither
    these nor the `<stem>@<attempt>` names can meet another task's.
    """
    stem = text if text.isascii() and text.isalnum() else quote(text, safe="")
    if stem in (".", ".."):
        return stem.replace(".", "%2E")  # as folder names these two are taken
    if len(stem) <= MAX_STEM_BYTES:
        return stem
    digest = hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
    return f"{stem[:160]}@{digest}"


def automatic_id(label: str, *place: object) -> str:
    """An id for a task that came without one: its command's name and 60 bits over where it stood.

    The same record read twice gets the same id; two equal records in different places get different ones.
    """
    text = "\0".join(map(str, place)).encode("utf-8", "surrogatepass")
    number = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 4
    tail = ""
    for _ in range(12):
        number, digit = divmod(number, 32)
        tail += _BASE32[digit]
    slug = "".join(c if c.isalnum() or c in "-_." else "-" for c in label.rsplit("/", 1)[-1][:24])
    return f"{slug or 'task'}-{tail}"


def new_job_id(at: str) -> str:
    """A job id that sorts by time: `20251002T073000-3f9a1c2b` from the ISO time `at`."""
    stamp = at[:19].replace("-", "").replace(":", "")
    return f"{stamp}-{os.urandom(4).hex()}"
