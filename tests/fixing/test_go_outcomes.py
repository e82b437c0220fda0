"""Every check of Go in every situation a tool can be in: nothing but a clean module is ever taken for clean."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from air_executor.fixing.outcome import CheckResult
from tests.fixing.conftest import Write, program, project_of, run_check
from tests.fixing.outcomes import Misbehaving, Situation, could_not

# go compiles its standard library when its cache is new.
pytestmark = pytest.mark.timeout(300)
CHECKS = ("go-build", "go-vet", "gofmt", "go-test", "go-cover")
MODULE = "module example.org/thing\n\ngo 1.21\n"
THING = """\
// Package thing is for tests.
package thing

import "fmt"

func One() int {
	return 1
}

func Two(loud bool) int {
	if loud {
		fmt.Println("two")
	}
	return 2
}
"""
TEST = """\
package thing

import "testing"

func TestOne(t *testing.T) {
	if One() != 1 {
		t.Fatal("not one")
	}
	for _, loud := range []bool{true, false} {
		t.Run("loud", func(t *testing.T) { Two(loud) })
	}
}
"""
CLEAN = {"go.mod": MODULE, "thing.go": THING, "thing_test.go": TEST}
FINDINGS = CLEAN | {
    "thing.go": THING.replace("return 1", "return  2").replace('fmt.Println("two")', 'fmt.Printf("%d", "two")'),
    "thing_test.go": TEST.replace("true, false", "false"),
    "sub dir/x y.go": 'package sub\n\nimport "os"\n\nvar X int = "a"\n',
    "broken/x y.go": 'package broken\n\nimport "os"\n\nfunc f() {\n\tx := 1\n}\n\nvar X int = "a"\n',
}
FOUND = {
    "go-build": [
        ("IncompatibleAssign", "broken/x y.go", 9, 13),
        ("UnusedImport", "broken/x y.go", 3, 8),
        ("UnusedVar", "broken/x y.go", 6, 2),
        ("package-error", "sub dir/x y.go", 0, 0),
    ],
    "go-vet": [("printf", "thing.go", 12, 15)],
    "gofmt": [("unformatted", "thing.go", 0, 0)],
    "go-test": [("test-failed", "thing_test.go", 7, 0)],
    "go-cover": [],
}
SYNTAX = CLEAN | {"broken/broken file.go": "package broken\n\nfunc f( {\n}\n"}
CONFIG = CLEAN | {"go.mod": MODULE + "require nothing\n"}


@pytest.fixture
def checked(repository: Write, tmp_path: Path, go_cache: Path) -> Situation:
    """The result of one check; coverage after the tests it reads."""

    def run(name: str, files: dict[str, str | bytes], timeout_s: float = 280.0) -> CheckResult:
        project = project_of(repository(files), "go")
        reads = None
        if name == "go-cover":
            reads = tmp_path / "read"
            run_check(project, "go-test", reads, cache=go_cache, timeout_s=timeout_s)
        return run_check(project, name, tmp_path / "run", timeout_s=timeout_s, reads=reads, cache=go_cache)

    return run


@pytest.fixture
def with_program(repository: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Situation:
    """The result of a check whose `go` does as told; `go-cover` starts nothing and reads what `go test` left."""

    def run(name: str, body: str, timeout_s: float = 30.0) -> CheckResult:
        place = repository(CLEAN)
        root = tmp_path / "go"
        answers = f'case "$*" in *version*) echo "go version go1.99.0"; exit;; *GOROOT*) echo {root}; exit;; esac'
        program(root / "bin" / "go", f"#!/bin/sh\n{answers}\n{body}\n")
        program(root / "bin" / "gofmt", f"#!/bin/sh\n{body}\n")
        monkeypatch.setenv("PATH", f"{root / 'bin'}:/usr/bin:/bin")
        reads = None
        if name == "go-cover":
            reads = tmp_path / "read"
            run_check(project_of(place, "go"), "go-test", reads, timeout_s=timeout_s)
        return run_check(project_of(place, "go"), name, tmp_path / "run", timeout_s=timeout_s, reads=reads)

    return run


@pytest.mark.parametrize("name", CHECKS)
def test_clean(checked: Situation, with_tools: Path, name: str):
    result = checked(name, CLEAN)
    assert (result.outcome, result.issues, result.reason, result.note) == ("ok", [], None, None)
    assert result.version == "1.27.3"
    if name == "go-test":
        assert [(test.id, test.end) for test in result.tests or []] == [
            (".::TestOne", "passed"),
            (".::TestOne::loud", "passed"),
            (".::TestOne::loud#01", "passed"),
        ]
    if name == "go-cover":
        assert result.coverage is not None
        assert (result.coverage.covered, result.coverage.lines) == (4, 4)


@pytest.mark.parametrize("name", CHECKS)
def test_findings(checked: Situation, with_tools: Path, name: str):
    files = {path: text for path, text in FINDINGS.items() if "/" not in path or name == "go-build"}
    result = checked(name, files)
    found = sorted((issue.rule, issue.path, issue.line, issue.column) for issue in result.issues)
    assert found == FOUND[name], result
    assert result.outcome == ("ok" if name == "go-cover" else "findings")
    assert all(issue.fingerprint for issue in result.issues)
    if name == "go-cover":
        assert result.coverage is not None
        assert [(file.path, file.missing) for file in result.coverage.files] == [("thing.go", (11, 12, 14))]


@pytest.mark.parametrize("name", CHECKS)
def test_syntax_error(checked: Situation, with_tools: Path, name: str):
    result = checked(name, SYNTAX)
    if name == "go-cover":
        could_not(result, "broken", "unknown")
        return
    assert result.outcome == "findings"
    assert {issue.path for issue in result.issues} == {"broken/broken file.go"}
    rules = {
        "go-build": "compile-error",
        "go-vet": "compile-error",
        "gofmt": "invalid-syntax",
        "go-test": "build-failed",
    }
    assert {issue.rule for issue in result.issues} == {rules[name]}
    assert {issue.line for issue in result.issues} >= {3}
    if name == "go-test":
        assert [(test.id, test.end) for test in result.tests or [] if test.end != "passed"] == [("broken::", "error")]
    if name == "go-vet":
        assert "do not compile" in (result.note or "")


@pytest.mark.parametrize("name", CHECKS)
def test_config_error(checked: Situation, with_tools: Path, name: str):
    """gofmt has no configuration and does not read `go.mod`."""
    result = checked(name, CONFIG)
    if name == "gofmt":
        assert result.outcome == "ok"
    else:
        could_not(result, "go.mod" if name != "go-cover" else "no profile")


@pytest.mark.parametrize("name", CHECKS)
def test_missing(checked: Situation, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    could_not(checked(name, CLEAN), "go is not there")


@pytest.mark.parametrize("name", CHECKS)
def test_no_module(checked: Situation, with_tools: Path, name: str):
    result = checked(name, {"thing.go": THING, "thing_test.go": TEST})
    if name == "gofmt":
        assert result.outcome == "ok"
    else:
        could_not(result, "belong to no module")


@pytest.mark.parametrize("name", CHECKS)
def test_not_really_there(name: str, repository: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program(tmp_path / "bin" / "go", "#!/no/such/interpreter\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    could_not(run_check(project_of(repository(CLEAN), "go"), name, tmp_path / "run"), "cannot be started")


def test_a_run_of_tests_that_is_cut_off(with_program: Situation):
    lines = [{"Action": "start", "Package": "p"}, {"Action": "run", "Package": "p", "Test": "TestA"}]
    body = "".join(f"echo '{msgspec.json.encode(line).decode()}'\n" for line in lines)
    could_not(with_program("go-test", body + "exit 1"), "stopped in p")


def test_what_has_not_been_downloaded(checked: Situation, with_tools: Path):
    files = CLEAN | {
        "go.mod": MODULE + "\nrequire example.org/other v1.0.0\n",
        "go.sum": "example.org/other v1.0.0 h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
        "example.org/other v1.0.0/go.mod h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        "thing.go": THING.replace('"fmt"', '(\n\t"fmt"\n\n\t_ "example.org/other"\n)'),
    }
    result = checked("go-build", files)
    could_not(result, "has not been downloaded")
    assert "go mod download" in (result.mend or "")
    could_not(checked("go-vet", files))


class TestMisbehaving(Misbehaving):
    checks = CHECKS
    readers = frozenset({"go-cover"})

    def garbage(self, name: str) -> str:
        """`go-cover` gets it as the profile of tests that look sound."""
        if name != "go-cover":
            return super().garbage(name)
        return """
            for word; do case "$word" in -coverprofile=*) echo '{[garbage' >"${word#*=}"; esac; done
            printf '{"Action":"start","Package":"p"}\\n{"Action":"pass","Package":"p"}\\n'
        """
