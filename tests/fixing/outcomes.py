"""What holds for the checks of every language when a program does not do what it should: that is no clean result."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import pytest

from air_executor.fixing.outcome import CheckResult

Situation = Callable[..., CheckResult]


def could_not(result: CheckResult, *words: str) -> None:
    """The check could not run, says why with these words, and gives nothing that might be taken for a result."""
    assert result.outcome == "could_not_run", result
    assert result.reason, "no reason"
    assert result.mend, "nothing said about how to mend it"
    assert "\n" not in result.reason
    assert not result.issues
    assert result.tests is None
    assert result.coverage is None
    for word in words:
        assert word in result.reason


class Misbehaving:
    """The tests themselves. A test file has a class of these with its `checks`, and a fixture `with_program`:
    `with_program(check, shell_script, timeout_s=…)` gives the result where the script is the check's program."""

    checks: ClassVar[tuple[str, ...]]
    readers: ClassVar[frozenset[str]] = frozenset()
    """Those that only read what another check's program left behind; what they say is of that."""
    found: ClassVar[int] = 1
    """The exit code by which the programs say that they found something."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        crashes = [
            "kill -SEGV $$",
            "exit 70",
            f"echo internal error >&2; exit {2 if self.found == 1 else self.found}",
        ]
        values = {"name": self.checks, "crash": crashes, "code": (0, self.found, 2), "stream": ("stdout", "stderr")}
        for argument, given in values.items():
            if argument in metafunc.fixturenames:
                metafunc.parametrize(
                    argument, given, ids=["signal", "code", "error"] if argument == "crash" else None
                )

    def garbage(self, name: str) -> str:
        """A script that writes nonsense wherever the check looks."""
        return "echo '{[garbage'"

    def test_crash(self, with_program: Situation, name: str, crash: str):
        could_not(with_program(name, crash))

    def test_silence_with_success_is_not_clean(self, with_program: Situation, name: str):
        could_not(with_program(name, "exit 0"))

    def test_hang(self, with_program: Situation, name: str):
        words = () if name in self.readers else ("did not end within 1 s",)
        could_not(with_program(name, "sleep 600 & sleep 600", timeout_s=1.0), *words)

    def test_garbage(self, with_program: Situation, name: str, code: int):
        could_not(with_program(name, f"{self.garbage(name)}\nexit {code}"))

    def test_flood(self, with_program: Situation, name: str, stream: str):
        words = () if name in self.readers else ("more than 64 MB",)
        could_not(with_program(name, f"head -c 300000000 /dev/zero >/dev/{stream}; exit 0"), *words)
