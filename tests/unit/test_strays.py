"""The mark in a process's environment, and finding real processes by it."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from air_executor.runners.strays import mark_of, signal_strays, strays_of

RESULT = b"AIR_EXECUTOR_RESULT=/base/jobs/j/inbox/results/a@1.json"
BEGAN = b"AIR_EXECUTOR_BEGAN=2025-10-02T07:30:00.000Z"


@pytest.mark.parametrize(
    ("environ", "mark"),
    [
        (
            b"PATH=/bin\0" + RESULT + b"\0" + BEGAN + b"\0AIR_EXECUTOR_RUN=r-1\0",
            (RESULT, b"AIR_EXECUTOR_RUN=r-1", BEGAN),
        ),
        (b"AIR_EXECUTOR_RUN=r-1\0" + RESULT, (RESULT, b"AIR_EXECUTOR_RUN=r-1", b"AIR_EXECUTOR_BEGAN=")),
        (
            RESULT + b"\0",
            (RESULT, b"AIR_EXECUTOR_RUN=", b"AIR_EXECUTOR_BEGAN="),
        ),  # of a version before these variables
        (b"NOTE=see " + RESULT + b"\0AIR_EXECUTOR_RUN=r-1\0", None),
        (b"AIR_EXECUTOR_RUN=r-1\0", None),
        (b"", None),
    ],
)
def test_mark(environ: bytes, mark: object) -> None:
    assert mark_of(environ) == mark


def sleeper(began: str) -> subprocess.Popen[bytes]:
    env = {
        "AIR_EXECUTOR_RESULT": f"/{os.getpid()}/a@1.json",
        "AIR_EXECUTOR_RUN": "one",
        "AIR_EXECUTOR_BEGAN": began,
        "FILLER": "x" * 100_000,
    }
    return subprocess.Popen(["sleep", "1000"], env=env, start_new_session=True)


@pytest.fixture
def two() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes = [sleeper("one"), sleeper("two")]
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_only_processes_of_that_run_are_found_and_signalled(two: list[subprocess.Popen[bytes]]) -> None:
    first, second = two
    result = b"AIR_EXECUTOR_RESULT=/%d/a@1.json" % os.getpid()
    mark, other = ((result, b"AIR_EXECUTOR_RUN=one", b"AIR_EXECUTOR_BEGAN=" + began) for began in (b"one", b"two"))
    assert strays_of({mark}) == {mark: [first.pid]}
    assert strays_of({mark, other}) == {mark: [first.pid], other: [second.pid]}
    signal_strays([first.pid, second.pid], mark, signal.SIGTERM)  # as if the second's number had been the first's
    assert first.wait(10) == -signal.SIGTERM
    assert second.poll() is None
    signal_strays([first.pid], mark, signal.SIGKILL)  # is gone: nothing happens
