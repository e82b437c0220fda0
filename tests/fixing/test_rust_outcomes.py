"""Every check of Rust in every situation a tool can be in: only a clean project is ever taken for clean."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from air_executor.fixing.outcome import CheckResult
from tests.fixing.conftest import SYSTEM_PATH, Write, program, project_of, run_check
from tests.fixing.outcomes import Misbehaving, Situation, could_not

CHECKS = ("clippy", "rustfmt", "cargo-test")
CARGO = """
    [package]
    name = "thing"
    version = "0.1.0"
    edition = "2021"
"""
CLEAN: dict[str, str] = {
    "Cargo.toml": CARGO,
    "src/lib.rs": """
        /// One.
        /// ```
        /// assert_eq!(thing::one(), 1);
        /// ```
        pub fn one() -> i32 {
            1
        }

        #[cfg(test)]
        mod tests {
            #[test]
            fn one() {
                println!("{{ \\"type\\": what a test prints");
                assert_eq!(super::one(), 1);
            }
        }
    """,
    "tests/it.rs": """
        #[test]
        fn outside() {
            assert_eq!(thing::one(), 1);
        }
    """,
}
FINDINGS = CLEAN | {
    "src/lib.rs": """
        pub fn one() -> i32 {
            let unused = 3;
            return  2;
        }
    """
}
FOUND = {
    "clippy": [
        ("clippy::needless_return", "src/lib.rs", 3, 5, True),
        ("unused_variables", "src/lib.rs", 2, 9, True),
    ],
    "rustfmt": [("unformatted", "src/lib.rs", 0, 0, True)],
    "cargo-test": [("test-failed", "tests/it.rs", 3, 0, False)],
}
SYNTAX = {"clippy": "unclassified", "rustfmt": "parse-error", "cargo-test": "collection-error"}
CONFIG: dict[str, dict[str, str]] = {
    "clippy": {"clippy.toml": "no-such-option = 1\n"},
    "rustfmt": {"rustfmt.toml": 'max_width = "wide"\n'},
    "cargo-test": {"Cargo.toml": CARGO + "    [dependencies\n"},
}


@pytest.fixture
def checked(repository: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Situation:
    """The result of one check with the system's cargo."""
    if shutil.which("cargo-clippy", path=SYSTEM_PATH) is None:
        pytest.fail("cargo and rust-clippy are not installed: `scripts/install-test-services.sh` installs them")
    monkeypatch.setenv("PATH", SYSTEM_PATH)

    def run(name: str, files: dict[str, str]) -> CheckResult:
        place = repository({**files})
        before = sorted(place.rglob("*"))
        result = run_check(project_of(place, "rust"), name, tmp_path / "run")
        assert sorted(place.rglob("*")) == before, "something was written into the target"
        return result

    return run


@pytest.fixture
def with_program(repository: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Situation:
    """The result of a check whose cargo does as told."""

    def run(name: str, body: str, timeout_s: float = 30.0) -> CheckResult:
        text = f'#!/bin/sh\ncase "$*" in *--version*) echo "cargo 99.1.0"; exit 0;; esac\n{body}\n'
        program(tmp_path / "bin" / "cargo", text)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
        return run_check(project_of(repository({**CLEAN}), "rust"), name, tmp_path / "run", timeout_s=timeout_s)

    return run


@pytest.mark.parametrize("name", CHECKS)
def test_clean(checked: Situation, name: str):
    result = checked(name, CLEAN)
    assert (result.outcome, result.issues, result.reason, result.note) == ("ok", [], None, None)
    assert result.version is not None
    if name == "cargo-test":
        assert [(test.id, test.end) for test in result.tests or []] == [
            ("src/lib.rs::tests::one", "passed"),
            ("tests/it.rs::outside", "passed"),
            ("src/lib.rs::doctest::one", "passed"),
        ]


@pytest.mark.parametrize("name", CHECKS)
def test_findings(checked: Situation, name: str):
    result = checked(name, FINDINGS)
    found = sorted((one.rule, one.path, one.line, one.column, one.safe_fix) for one in result.issues)
    assert (found, result.outcome) == (FOUND[name], "findings"), result
    assert all(issue.fingerprint for issue in result.issues)


@pytest.mark.parametrize("name", CHECKS)
def test_syntax_error(checked: Situation, name: str):
    result = checked(name, CLEAN | {"src/lib.rs": "mod a_module;\n", "src/a_module.rs": "fn broken( {\n"})
    assert result.outcome == "findings", result
    assert {issue.rule for issue in result.issues} == {SYNTAX[name]}
    assert {(issue.path, issue.line) for issue in result.issues} == {("src/a_module.rs", 1)}
    if name == "cargo-test":
        assert {(test.id, test.end) for test in result.tests or []} == {("src/lib.rs::", "error")}
        assert result.note is not None


@pytest.mark.parametrize("name", CHECKS)
def test_config_error(checked: Situation, name: str):
    could_not(checked(name, CLEAN | CONFIG[name]))


@pytest.mark.parametrize("name", CHECKS)
def test_broken_manifest(checked: Situation, name: str):
    could_not(checked(name, CLEAN | {"Cargo.toml": CARGO + "    [dependencies\n"}))


@pytest.mark.parametrize("name", CHECKS)
def test_missing(name: str, repository: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    could_not(run_check(project_of(repository({**CLEAN}), "rust"), name, tmp_path / "run"), "cargo is not there")


@pytest.mark.parametrize("name", CHECKS)
def test_not_really_there(name: str, repository: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program(tmp_path / "bin" / "cargo", "#!/no/such/interpreter\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    could_not(run_check(project_of(repository({**CLEAN}), "rust"), name, tmp_path / "run"), "cannot be started")


def test_a_flood_of_tests(with_program: Situation):
    could_not(with_program("cargo-test", 'head -c 300000000 /dev/zero >"$REPORT"'), "more than 64 MB")


class TestMisbehaving(Misbehaving):
    checks = CHECKS
    found = 101

    def garbage(self, name: str) -> str:
        return "echo '{[garbage' | tee -a \"$REPORT\""
