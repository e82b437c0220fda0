"""What go tells of modules, workspaces and tests: the real one, and older ones from recordings."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import textwrap
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from air_executor.fixing.check import Selection
from air_executor.fixing.checking.running import Options, run_checks, skipped_checks
from air_executor.fixing.outcome import CheckResult
from air_executor.fixing.projects import find_projects
from air_executor.fixing.tools.go import Folders, find_go, module_path, work_members
from tests.fixing.conftest import SYSTEM_PATH, Write, program, project_of, run_check

# go compiles its standard library when its cache is new.
pytestmark = pytest.mark.timeout(300)
MODULE = "module example.org/m\n\ngo 1.21\n"
Checked = Callable[..., CheckResult]


@pytest.fixture
def checked(repository: Write, tmp_path: Path, go_cache: Path, with_tools: Path) -> Checked:
    def run(
        name: str,
        files: dict[str, str | bytes],
        root: str = ".",
        *,
        sandboxed: bool = False,
        selection: Selection | None = None,
        reads: Path | None = None,
    ) -> CheckResult:
        project = msgspec.structs.replace(project_of(repository(files), "go", root), selection=selection)
        return run_check(
            project, name, tmp_path / name, cache=go_cache, timeout_s=280, sandboxed=sandboxed, reads=reads
        )

    return run


def found(result: CheckResult) -> list[tuple[str, str, int]]:
    return [(issue.rule, issue.path, issue.line) for issue in result.issues]


def ends(result: CheckResult) -> dict[str, str]:
    return {test.id: test.end for test in result.tests or []}


TESTS = {
    "go.mod": MODULE,
    "a/a_test.go": """
        package a

        import (
            "fmt"
            "testing"
        )

        func TestTable(t *testing.T) {
            for _, name := range []string{"one two", "same", "same", "a/b"} {
                t.Run(name, func(t *testing.T) {
                    if name == "one two" {
                        t.Errorf("first\\nsecond")
                    }
                })
            }
        }

        func TestOwn(t *testing.T) {
            t.Run("inner", func(t *testing.T) { t.Error("inner failed") })
            t.Error("own failed")
        }

        func TestSkipped(t *testing.T) { t.Skip("not here") }

        func ExampleX() {
            fmt.Println("a")
            // Output: b
        }

        func FuzzX(f *testing.F) {
            f.Add(1)
            f.Fuzz(func(t *testing.T, n int) { fmt.Println(`{"Action":"fail"}`) })
        }
        """,
}


def test_identity_of_tests(checked: Checked):
    result = checked("go-test", TESTS)
    assert ends(result) == {
        "a::TestTable": "failed",
        "a::TestTable::one_two": "failed",
        "a::TestTable::same": "passed",
        "a::TestTable::same#01": "passed",
        "a::TestTable::a::b": "passed",
        "a::TestOwn": "failed",
        "a::TestOwn::inner": "failed",
        "a::TestSkipped": "skipped",
        "a::ExampleX": "failed",
        "a::FuzzX": "passed",
        "a::FuzzX::seed#0": "passed",
    }
    tests = {test.id: test for test in result.tests or []}
    assert tests["a::TestTable::one_two"].suite == ("TestTable",)
    assert tests["a::TestTable::one_two"].message.split() == ["a_test.go:12:", "first", "second"]
    assert tests["a::TestSkipped"].message == "a_test.go:23: not here"
    # TestTable failed only for one below it, which is an issue of its own.
    assert [(one.rule, one.path, one.line, one.message) for one in result.issues] == [
        ("test-failed", "a/a_test.go", 12, "first"),
        ("test-failed", "a/a_test.go", 19, "inner failed"),
        ("test-failed", "a/a_test.go", 20, "own failed"),
        ("test-failed", "a/a_test.go", 25, "got: a want: b"),
    ]


def test_chosen_tests(checked: Checked):
    chosen = Selection(tests=("a::TestTable::same#01", "a::TestOwn"), seed=3)
    result = checked("go-test", TESTS, selection=chosen)
    assert ends(result) == {"a::TestTable::same#01": "passed", "a::TestOwn": "failed"}
    assert len(result.issues) == 1
    gone = checked("go-test", TESTS, selection=Selection(tests=("a::TestGone", "gone::TestX")))
    assert (gone.outcome, gone.reason) == ("could_not_run", "none of the tests that were asked for is there")


def test_packages_whose_tests_do_not_come_to_their_end(checked: Checked, tmp_path: Path):
    head = 'package {0}\n\nimport (\n\t"os"\n\t"testing"\n)\n\nvar _ = os.Exit\n\n'
    first = "func TestFirst(t *testing.T) {}\n\n"
    result = checked(
        "go-test",
        {
            "go.mod": MODULE,
            "panics/p_test.go": head.format("panics") + first + "func TestP(t *testing.T) { panic(7) }\n",
            "leaves/l_test.go": head.format("leaves") + first + "func TestL(t *testing.T) { os.Exit(0) }\n",
            "main/m_test.go": head.format("main") + "func TestMain(m *testing.M) { os.Exit(3) }\n",
            "main/m.go": "package main\n\nfunc main() {}\n",
            "setup/s.go": 'package setup\n\nimport _ "example.org/m/nowhere"\n',
            "setup/s_test.go": head.format("setup") + first,
            "untested/u.go": "package untested\n",
        },
    )
    assert ends(result) == {
        "panics::TestFirst": "passed",
        "panics::TestP": "failed",
        "leaves::TestFirst": "passed",
        "leaves::TestL": "failed",  # which go says itself
        "main::": "error",
        "setup::": "error",
    }
    assert found(result) == [
        ("test-failed", "leaves/l_test.go", 12),
        ("package-failed", "main/m.go", 0),
        ("test-failed", "panics/p_test.go", 12),
        ("build-failed", "setup/s.go", 3),
    ]
    assert "panic: 7 [recovered, repanicked]" in {issue.message for issue in result.issues}
    assert "ended early" in (result.note or "")
    assert "example.org/m/panics" in (result.note or "")
    coverage = checked("go-cover", {}, reads=tmp_path / "go-test")
    assert coverage.outcome == "could_not_run"
    assert "unknown" in (coverage.reason or "")


def test_no_tests_are_no_result(checked: Checked):
    result = checked("go-test", {"go.mod": MODULE, "a_test.go": "package m\n"})
    assert (result.outcome, result.reason) == ("could_not_run", "go found no tests")


WORKSPACE: dict[str, str | bytes] = {
    "go.work": 'go 1.21\n\nuse ./app // the program\nuse (\n\t"./lib"\n\t../outside\n)\n',
    "app/go.mod": "module example.org/app\n\ngo 1.21\n",
    "app/app.go": 'package app\n\nimport "example.org/lib"\n\nvar X = lib.X\n',
    "lib/go.mod": "module (\n\texample.org/lib\n)\n\ngo 1.21\n",
    "lib/lib.go": "package lib\n\nvar X = 1\n",
    "alone/go.mod": 'module "example.org/alone" // by itself\n\ngo 1.21\n',
    "alone/alone.go": "package alone\n",
    "alone/testdata/ugly.go": "package  ugly\n",
}


def test_a_workspace(checked: Checked, repository: Write):
    files = {path: text for path, text in WORKSPACE.items() if path != "go.work"}
    files["go.work"] = 'go 1.21\n\nuse ./app\nuse (\n\t"./lib"\n)\n'
    for root in ("app", "lib", "alone"):
        for name in ("go-build", "go-vet", "gofmt"):
            result = checked(name, files, root)
            assert (result.outcome, result.reason) == ("ok", None)
    files["lib/lib.go"] = "package lib\n\nvar X int = nothing\n"
    assert found(checked("go-build", files, "lib")) == [("UndeclaredName", "lib/lib.go", 3)]
    result = checked("go-build", files, "app")
    assert result.outcome == "could_not_run"
    assert "lib/lib.go does not compile" in (result.reason or "")
    assert {project.root: project.workspace for project in find_projects(repository({}))} == {
        "alone": None, "app": ".", "lib": ".",
    }  # fmt: skip


def test_what_is_read_of_modules(repository: Write, with_tools: Path):
    place = repository(WORKSPACE)
    assert work_members(place / "go.work") == ["app", "lib", "../outside"] or sorted(
        work_members(place / "go.work")
    ) == ["../outside", "app", "lib"]
    assert work_members(place / "no.work") == []
    names = {root: module_path(project_of(place, "go", root)) for root in ("app", "lib", "alone")}
    assert names == {root: f"example.org/{root}" for root in names}
    lib = project_of(place, "go", "lib")
    assert Folders(lib).of("example.org/lib") == "lib"
    assert Folders(lib).of("example.org/lib/a b [example.org/lib/a b.test]") == "lib/a b"
    assert Folders(lib).of("example.org/library") is None
    assert find_go(lib).env["GOWORK"] == str(place / "go.work")
    assert find_go(project_of(place, "go", "alone")).env["GOWORK"] == "off"


def test_modules_that_were_downloaded_are_used(repository: Write, with_tools: Path, monkeypatch: pytest.MonkeyPatch):
    project = project_of(repository({"go.mod": MODULE, "a.go": "package m\n"}), "go")
    monkeypatch.setenv("GOMODCACHE", str(project.repository))
    assert find_go(project).env["GOMODCACHE"] == str(project.repository)
    monkeypatch.delenv("GOMODCACHE")
    monkeypatch.setenv("GOPATH", str(project.repository / "nowhere"))
    assert find_go(project).env["GOMODCACHE"] == "{shared}/go-mod"


def test_what_is_not_part_of_the_build_is_told(checked: Checked):
    files: dict[str, str | bytes] = {
        "go.mod": MODULE,
        "a.go": "package m\n",
        "a_windows.go": "package m\n\nvar x int = nothing\n",
        "tagged.go": "//go:build never\n\npackage m\n",
        "testdata/t.go": "not Go at all",
        "_old/o.go": "not Go at all",
    }
    result = checked("go-build", files)
    assert result.outcome == "ok"
    assert result.note == "2 of 5 files are not part of this build (constraints, or errors): a_windows.go, tagged.go"
    assert checked("gofmt", files).outcome == "ok"


def test_what_cannot_be_loaded_at_all(checked: Checked):
    """The compiler's check goes on to the other packages; vet does not, and says so."""
    files: dict[str, str | bytes] = {
        "go.mod": MODULE,
        "latin/l.go": "// Author: José\npackage latin\n".encode("latin-1"),
        "two/a.go": "package one\n",
        "two/b.go": "package two\n",
        "good/g.go": 'package good\n\nimport "os"\n',
    }
    assert found(checked("go-build", files)) == [
        ("UnusedImport", "good/g.go", 3),
        ("package-error", "latin/l.go", 1),
        ("package-error", "two/a.go", 0),
    ]
    vet = checked("go-vet", files)
    assert vet.outcome == "could_not_run"
    assert "stopped" in (vet.reason or "")


def test_a_version_of_go_that_is_not_there(checked: Checked):
    result = checked("go-build", {"go.mod": "module m\n\ngo 1.999\n", "a.go": "package m\n"})
    assert result.outcome == "could_not_run"
    assert "1.999" in (result.reason or "")


@pytest.mark.parametrize("name", ["go-build", "go-vet", "gofmt", "go-test"])
def test_in_the_sandbox(checked: Checked, name: str):
    """Without network, and with a home of its own."""
    files = {path: text for path, text in TESTS.items() if path == "go.mod"}
    files["a_test.go"] = """
        package m

        import (
            "net"
            "os"
            "testing"
        )

        func TestSees(t *testing.T) {
            if _, err := net.Dial("tcp", "192.0.2.1:9"); err == nil {
                t.Error("network")
            }
            if err := os.WriteFile("written", nil, 0o600); err != nil {
                t.Error(err)
            }
        }
        """
    files["a_test.go"] = textwrap.dedent(files["a_test.go"]).replace("    ", "\t")
    result = checked(name, files, sandboxed=True)
    assert (result.outcome, result.reason) == ("ok", None)


def test_static_checks_load_nothing_of_the_target(repository: Write, with_tools: Path):
    place = repository({"go.mod": MODULE, "a_test.go": "package m\n"})
    skipped = skipped_checks(find_projects(place), Options(mode="static"))
    assert [one.check for one in skipped] == ["go/go-test", "go/go-cover"]


VET_OF_1_21 = """# example.org/m/clean
{}
# example.org/m/ok
{
	"example.org/m/ok": {
		"printf": [
			{
				"posn": "PLACE/ok.go:8:3",
				"message": "fmt.Printf format %d has arg \\"x\\" of wrong type string"
			}
		]
	}
}
"""


@pytest.mark.parametrize(
    ("broken", "code"), [("", 0), ("# example.org/m/typ\nvet: t.go:7:9: cannot use 2 as string value\n", 1)]
)
def test_vet_of_older_versions(
    repository: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, code: int
):
    """Recorded from Go 1.21.13, which writes its report among the headings in standard error."""
    place = repository({"go.mod": MODULE, "ok.go": "package m\n", "t.go": "package m\n"})
    (tmp_path / "told").write_text(VET_OF_1_21.replace("PLACE", str(place)) + broken)
    answer = 'case "$*" in version) echo "go version go1.21.13 linux/amd64"; exit;; esac'
    program(tmp_path / "bin" / "go", f"#!/bin/sh\n{answer}\ncat {tmp_path}/told >&2\nexit {code}\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{SYSTEM_PATH}")
    result = run_check(project_of(place, "go"), "go-vet", tmp_path / "run")
    assert result.outcome == "findings", result.reason
    assert found(result) == [("printf", "ok.go", 8)] + ([("compile-error", "t.go", 7)] if code else [])


def test_tests_of_older_versions(repository: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Recorded from Go 1.21.13, which tells what it cannot build in a line of text and in standard error."""
    place = repository({"go.mod": MODULE, "bt/a_test.go": "package bt\n", "ok/ok_test.go": "package ok\n"})
    event = '{"Time":"2026-11-20T19:30:10.668422268Z","Action":"%s","Package":"example.org/m/ok"%s}\n'
    (tmp_path / "told").write_text(
        "FAIL\texample.org/m/bt [build failed]\n"
        + event % ("start", "")
        + event % ("run", ',"Test":"TestOne"')
        + event % ("pass", ',"Test":"TestOne","Elapsed":0.01')
        + event % ("pass", ',"Elapsed":0.01')
    )
    said = "# example.org/m/bt [example.org/m/bt.test]\\nbt/a_test.go:3:28: undefined: undefined1"
    answer = 'case "$*" in version) echo "go version go1.21.13 linux/amd64"; exit;; esac'
    program(tmp_path / "bin" / "go", f"#!/bin/sh\n{answer}\ncat {tmp_path}/told\nprintf '{said}\\n' >&2\nexit 1\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{SYSTEM_PATH}")
    result = run_check(project_of(place, "go"), "go-test", tmp_path / "run")
    assert ends(result) == {"ok::TestOne": "passed", "bt::": "error"}
    assert found(result) == [("build-failed", "bt/a_test.go", 3)]
    assert result.issues[0].message == "undefined: undefined1"


def test_more_files_than_a_command_line_holds(checked: Checked, repository: Write):
    folder = "/".join(["a_rather_long_name_of_a_folder" * 6] * 3)
    files: dict[str, str | bytes] = {f"{folder}/f{number}.go": "package f\n" for number in range(4_000)}
    files |= {"go.mod": MODULE, f"{folder}/z.go": "package  f\n", "a b.go": "package  f\n"}
    result = checked("gofmt", files)
    assert found(result) == [("unformatted", "a b.go", 0), ("unformatted", f"{folder}/z.go", 0)]
    assert sum(len(path) for path in files) > 2_100_000


def test_all_checks_as_a_job(repository: Write, go_cache: Path, with_tools: Path, tmp_path: Path):
    """In the sandbox, which is what an unknown repository gets; what is known is not asked again."""
    place = repository(
        {
            "go.mod": MODULE,
            "a.go": "package m\n\nfunc One() int { return 1 }\n\nfunc Two() int { return 2 }\n",
            "a_test.go": 'package m\n\nimport "testing"\n\nfunc TestOne(t *testing.T) { One() }\n',
        }
    )
    name = hashlib.sha256(os.fsencode(place)).hexdigest()[:16]
    (tmp_path / "kept" / "tools" / name).mkdir(parents=True)
    (tmp_path / "kept" / "tools" / name / "shared-sandbox").symlink_to(go_cache.with_name("shared"))
    before = sorted(place.rglob("*"))
    for cached in (False, True):
        began = time.monotonic()
        results = run_checks(find_projects(place), Options(mode="sandbox"), folder=tmp_path / "kept")
        assert [
            (result.check, result.outcome, result.cached) for result in results if "metrics" not in result.check
        ] == [(f"go/{check}", "ok", cached) for check in ("go-build", "go-vet", "gofmt", "go-test", "go-cover")]
        assert not cached or time.monotonic() - began < 2
        (coverage,) = (result.coverage for result in results if result.coverage is not None)
        assert [(file.path, file.lines, file.missing) for file in coverage.files] == [("a.go", 2, (5,))]
    assert sorted(place.rglob("*")) == before


@pytest.fixture
def with_dependency(tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str | bytes]:
    """A module that depends on another one, which the user has downloaded into the usual place."""
    versions = tmp_path / "proxy" / "example.org" / "dep" / "@v"
    versions.mkdir(parents=True)
    (versions / "v1.0.0.info").write_text('{"Version": "v1.0.0"}')
    (versions / "v1.0.0.mod").write_text("module example.org/dep\n")
    with zipfile.ZipFile(versions / "v1.0.0.zip", "w") as packed:
        packed.writestr("example.org/dep@v1.0.0/go.mod", "module example.org/dep\n")
        packed.writestr("example.org/dep@v1.0.0/dep.go", "package dep\n\nvar X = 1\n")
    home, scratch = tmp_path / "home of the user", tmp_path / "scratch"
    home.mkdir()
    scratch.mkdir()
    (scratch / "go.mod").write_text(MODULE + "\nrequire example.org/dep v1.0.0\n")
    (scratch / "a.go").write_text('package m\n\nimport "example.org/dep"\n\nvar X = dep.X\n')
    env = {"PATH": SYSTEM_PATH, "HOME": str(home), "GOPROXY": f"file://{tmp_path}/proxy", "GONOSUMDB": "*"}
    env |= {"GOFLAGS": "-mod=mod -modcacherw", "GOCACHE": str(tmp_path / "built")}
    for words in (("mod", "download"), ("mod", "tidy")):
        subprocess.run([tools / "bin" / "go", *words], cwd=scratch, env=env, check=True, capture_output=True)
    monkeypatch.setenv("HOME", str(home))
    return {path.name: path.read_text() for path in scratch.iterdir()}


@pytest.mark.parametrize("sandboxed", [False, True])
def test_what_was_downloaded_is_used(
    checked: Checked, with_dependency: dict[str, str | bytes], tmp_path: Path, sandboxed: bool
):
    assert "go.sum" in with_dependency
    result = checked("go-build", with_dependency, sandboxed=sandboxed)
    assert (result.outcome, result.reason) == ("ok", None)
    shutil.rmtree(tmp_path / "home of the user" / "go")
    gone = checked("go-build", with_dependency, sandboxed=sandboxed)
    assert gone.outcome == "could_not_run"
    assert "go mod download" in (gone.mend or "")


@pytest.mark.parametrize("name", ["go-build", "go-vet", "go-test"])
def test_a_version_too_old(repository: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    program(tmp_path / "bin" / "go", "#!/bin/sh\necho 'go version go1.17.13 linux/amd64'\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{SYSTEM_PATH}")
    project = project_of(repository({"go.mod": MODULE, "a_test.go": "package m\n"}), "go")
    result = run_check(project, name, tmp_path / "run")
    assert result.reason == "go 1.17.13 is too old: 1.21 and later tell what is needed here"
    assert "update Go" in (result.mend or "")


def test_coverage_of_older_versions(repository: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Recorded from Go 1.21.13, whose blocks begin at the brace, and which leaves packages without tests out."""
    code = "package ok\n\nfunc One(n int) int {\n\tif n > 1 {\n\t\tn++\n\n\t\t// twice\n\t}\n\treturn n\n}\n"
    files = {"go.mod": MODULE, "ok/ok.go": code, "ok/ok_test.go": "package ok\n", "none/n.go": "package none\n"}
    place = repository({**files})
    profile = "".join(
        f"example.org/m/ok/ok.go:{block}\\n" for block in ("3.21,4.11 1 1", "4.11,8.3 1 0", "9.2,9.10 1 1")
    )
    event = '{"Action":"%s","Package":"example.org/m/ok"%s}'
    events = [event % ("start", ""), event % ("pass", ',"Test":"TestOne"'), event % ("pass", "")]
    answer = 'case "$*" in version) echo "go version go1.21.13 linux/amd64"; exit;; esac'
    write = (
        f'for word; do case "$word" in -coverprofile=*) printf "mode: set\\n{profile}" >"${{word#*=}}"; esac; done'
    )
    lines = "".join(f"echo '{line}'\n" for line in events)
    program(tmp_path / "bin" / "go", f"#!/bin/sh\n{answer}\n{write}\n{lines}")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{SYSTEM_PATH}")
    project = project_of(place, "go")
    run_check(project, "go-test", tmp_path / "read")
    result = run_check(project, "go-cover", tmp_path / "run", reads=tmp_path / "read")
    assert result.coverage is not None, result.reason
    assert [(file.path, file.lines, file.missing) for file in result.coverage.files] == [("ok/ok.go", 3, (5,))]
    assert result.note == "1 packages are not counted, as go does before 1.22 where there are no tests: none"
