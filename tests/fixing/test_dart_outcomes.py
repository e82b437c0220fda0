"""Every check of Dart in every situation a tool can be in, by stand-ins that print what the real programs printed
elsewhere (`recorded/`): neither can be had here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from air_executor.fixing.check import Selection
from air_executor.fixing.outcome import CheckResult
from air_executor.fixing.projects import find_projects
from tests.fixing.conftest import SYSTEM_PATH, Write, check_named, program, project_of, run_check
from tests.fixing.outcomes import could_not

RECORDED = Path(__file__).parent / "recorded"
CHECKS = ("dart-analyze", "dart-format", "dart-test", "dart-lcov")
PUBSPEC = "name: thing\nenvironment:\n  sdk: ^3.0.0\ndev_dependencies:\n  test: ^1.25.0\n"
FLUTTER = PUBSPEC + "dependencies:\n  flutter:\n    sdk: flutter\n"
LOCK = 'packages:\n  test:\n    version: "1.32.0"\n'
FILES: dict[str, str | bytes] = {
    "pubspec.yaml": PUBSPEC,
    "pubspec.lock": LOCK,
    ".dart_tool/package_config.json": "{}",
    **{f"lib/{name}.dart": "" for name in ("malo", "feo", "roto", "core/error/failure")},
    "lib/features/auth/domain/use_case/login_use_case.dart": "",
    **{f"test/{name}_test.dart": "" for name in ("sample", "travel_mode", "currency_selection_page")},
}
LCOV = 'for word; do case "$word" in --coverage-path=*) lcov=${word#*=}; esac; done'
SHOW = f'sed "s|/recorded|$PWD|g" {RECORDED}/'
GOOD = f"""case "$1 $2" in
analyze*) echo '{{"version":1,"diagnostics":[]}}';;
format*) echo "Formatted 6 files (0 changed) in 0.01 seconds.";;
test*) [ -z "$lcov" ] || cp {RECORDED}/lcov.info "$lcov"
       {SHOW}dart-test.jsonl | grep -v '"testID":4\\|"id":4' | sed 's/"success":false/"success":true/';;
esac"""
FINDINGS = f"""case "$1" in
analyze) {SHOW}dart-analyze.json; exit 3;;
format) cat {RECORDED}/dart-format.txt; exit 1;;
test) [ -z "$lcov" ] || cp {RECORDED}/lcov.info "$lcov"
      {SHOW}dart-test.jsonl; exit 1;;
esac"""
Stand = Callable[..., CheckResult]


@pytest.fixture
def stand_in(repository: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """The result where `dart` and `flutter` do as told; `$lcov` is where coverage goes, and `dart-lcov` reads what
    such tests have left."""

    def run(
        name: str,
        body: str,
        files: dict[str, str | bytes] = FILES,
        timeout_s: float = 30.0,
        selection: Selection | None = None,
    ) -> CheckResult:
        place = repository(files)
        for command, said in (("dart", "Dart SDK version: 3.9.2 (stable)"), ("flutter", "Flutter 3.35.3 • stable")):
            answer = f'case "$*" in --version) echo "{said}"; exit;; esac\necho "{command} $*" >>{tmp_path}/words'
            program(tmp_path / "bin" / command, f"#!/bin/sh\n{answer}\n{LCOV}\n{body}\n")
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{SYSTEM_PATH}")
        project = msgspec.structs.replace(project_of(place, "dart"), selection=selection)
        reads = None
        if name == "dart-lcov":
            reads = tmp_path / "read"
            run_check(project, "dart-test", reads, timeout_s=timeout_s)
        return run_check(project, name, tmp_path / "run", timeout_s=timeout_s, reads=reads)

    return run


def found(result: CheckResult) -> list[tuple[str, str, int, int, str]]:
    return sorted((one.rule, one.path, one.line, one.column, one.severity) for one in result.issues)


@pytest.mark.parametrize("name", CHECKS)
def test_clean(stand_in: Stand, name: str):
    result = stand_in(name, GOOD)
    assert (result.outcome, result.issues, result.reason) == ("ok", [], None)
    assert result.version == "3.9.2"
    if name == "dart-test":
        assert [(test.id, test.end) for test in result.tests or []] == [
            ("test/sample_test.dart::passes", "passed"),
            ("test/sample_test.dart::skips", "skipped"),
        ]


def test_findings_of_the_analyzer(stand_in: Stand):
    result = stand_in("dart-analyze", FINDINGS)
    assert found(result) == [
        ("invalid_assignment", "lib/malo.dart", 3, 14, "error"),
        ("unused_local_variable", "lib/malo.dart", 2, 7, "warning"),
        ("unused_local_variable", "lib/malo.dart", 3, 10, "warning"),
    ]
    recorded = json.loads((RECORDED / "dart-analyze.json").read_text())
    assert len(result.issues) == len(recorded["diagnostics"])
    assert result.issues[-1].url == "https://dart.dev/diagnostics/invalid_assignment"


def test_findings_of_the_formatter(stand_in: Stand):
    assert found(stand_in("dart-format", FINDINGS)) == [("unformatted", "lib/feo.dart", 0, 0, "warning")]


def test_findings_of_tests(stand_in: Stand, tmp_path: Path):
    result = stand_in("dart-test", FINDINGS)
    assert [(test.id, test.end, test.message) for test in result.tests or []] == [
        ("test/sample_test.dart::passes", "passed", ""),
        ("test/sample_test.dart::fails", "failed", "Expected: <3>\n  Actual: <2>\n"),
        ("test/sample_test.dart::skips", "skipped", "demo skip"),
    ]
    assert found(result) == [("test-failed", "test/sample_test.dart", 8, 3, "error")]
    assert "dart test --reporter=json --coverage-path=" in (tmp_path / "words").read_text()


def test_coverage(stand_in: Stand):
    result = stand_in("dart-lcov", FINDINGS)
    assert result.note == "3 files of lib/ are not counted: no test imports them"
    coverage = result.coverage
    assert coverage is not None
    assert (coverage.covered, coverage.lines) == (12, 19)
    assert [(file.path, file.missing) for file in coverage.files] == [
        ("lib/core/error/failure.dart", (8, 9, 13, 25)),
        ("lib/features/auth/domain/use_case/login_use_case.dart", (19, 23, 24)),
    ]
    totals = [*map(int, re.findall(r"^L[FH]:(\d+)$", (RECORDED / "lcov.info").read_text(), re.MULTILINE))]
    assert (coverage.lines, coverage.covered) == (sum(totals[0::2]), sum(totals[1::2]))


def test_flutter(stand_in: Stand, tmp_path: Path):
    result = stand_in("dart-test", f"{SHOW}flutter-test.jsonl", FILES | {"pubspec.yaml": FLUTTER})
    assert result.outcome == "ok", result.reason
    assert result.version == "3.35.3"
    assert [(test.framework, test.file, test.suite, test.name) for test in result.tests or []] == [
        (
            "flutter test", "test/travel_mode_test.dart", ("TravelEvent Model Tests",),
            "should create TravelEvent with required fields",
        ),
        (
            "flutter test", "test/currency_selection_page_test.dart", (),
            "Selecting base currency returns via Navigator.pop",
        ),
    ]  # fmt: skip
    assert "flutter test --machine --no-pub --coverage --coverage-path=" in (tmp_path / "words").read_text()


def test_a_widget_test_that_fails_stands_where_it_is_written(stand_in: Stand):
    failed = f"""{SHOW}flutter-test.jsonl | sed 's/"testID":102,"result":"success"/"testID":102,"result":"error"/'"""
    result = stand_in("dart-test", failed + "\nexit 1", FILES | {"pubspec.yaml": FLUTTER})
    assert found(result) == [("test-error", "test/currency_selection_page_test.dart", 85, 3, "error")]


def test_a_file_of_tests_that_does_not_compile(stand_in: Stand):
    failed = f"""{SHOW}dart-test.jsonl | sed -n '1,3p'
        echo '{{"testID":1,"error":"Failed to load: nothing","isFailure":false,"type":"error","time":5}}'
        echo '{{"testID":1,"result":"error","skipped":false,"hidden":false,"type":"testDone","time":6}}'
        echo '{{"success":false,"type":"done","time":7}}'; exit 1"""
    result = stand_in("dart-test", failed)
    assert [(test.id, test.end) for test in result.tests or []] == [("test/sample_test.dart::", "error")]
    assert found(result) == [("collection-error", "test/sample_test.dart", 0, 0, "error")]


def test_a_chosen_test_in_another_order(stand_in: Stand, tmp_path: Path):
    chosen = Selection(tests=("test/sample_test.dart::fails",), seed=7)
    result = stand_in("dart-test", FINDINGS, selection=chosen)
    assert [test.id for test in result.tests or []] == ["test/sample_test.dart::fails"]
    assert len(result.issues) == 1
    words = (tmp_path / "words").read_text()
    assert "--test-randomize-ordering-seed=7 test/sample_test.dart\n" in words
    could_not(
        stand_in("dart-test", FINDINGS, selection=Selection(tests=("test/sample_test.dart::gone",))), "no tests"
    )


def test_syntax_errors(stand_in: Stand):
    result = stand_in("dart-format", f"cat {RECORDED}/dart-format.txt; cat {RECORDED}/dart-format.err >&2; exit 65")
    assert found(result) == [
        *[("invalid-syntax", "lib/roto.dart", 2, 1, "error")] * 4,
        ("unformatted", "lib/feo.dart", 0, 0, "warning"),
    ]
    recorded = (RECORDED / "dart-format.err").read_text()
    assert recorded.count(" of lib/roto.dart: ") == 4
    report = (
        f"{SHOW}dart-analyze.json | sed 's/invalid_assignment/expected_token/; s/COMPILE_TIME/SYNTACTIC/'; exit 3"
    )
    assert ("expected_token", "lib/malo.dart", 3, 14, "error") in found(stand_in("dart-analyze", report))


@pytest.mark.parametrize("name", CHECKS)
def test_config_error(stand_in: Stand, name: str):
    """64 is a wrong use, and 65 wrong data; the analyzer tells a broken configuration like a finding."""
    could_not(stand_in(name, "echo 'Error on line 1 of pubspec.yaml' >&2; exit 64"))
    if name == "dart-analyze":
        report = f"{SHOW}dart-analyze.json | sed 's|lib/malo.dart|analysis_options.yaml|g'; exit 3"
        could_not(stand_in(name, report), "cannot read analysis_options.yaml")


@pytest.mark.parametrize("name", CHECKS)
def test_missing(repository: Write, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    could_not(run_check(project_of(repository(FILES), "dart"), name, tmp_path / "run"), "dart is not there")


@pytest.mark.parametrize("name", ["dart-analyze", "dart-test"])
def test_packages_that_were_not_fetched(stand_in: Stand, name: str):
    result = stand_in(name, GOOD, {path: text for path, text in FILES.items() if ".dart_tool" not in path})
    could_not(result, "not been fetched")
    assert "dart pub get" in (result.mend or "")


def test_a_runner_that_writes_no_lcov(stand_in: Stand, tmp_path: Path):
    files = FILES | {"pubspec.lock": LOCK.replace("1.32.0", "1.25.8")}
    could_not(stand_in("dart-lcov", FINDINGS, files), "1.29")
    assert "--coverage-path" not in (tmp_path / "words").read_text()


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize(
    "body",
    ["exit 0", "exit 1", "kill -SEGV $$", "exit 255", "echo internal error >&2; exit 2", "echo '{[garbage'; exit 0",
     "echo '{[garbage'; exit 1", "echo garbage; echo garbage >\"${lcov:-/dev/stdout}\"; exit 0"],
)  # fmt: skip
def test_crash_silence_and_garbage(stand_in: Stand, name: str, body: str):
    could_not(stand_in(name, body))


@pytest.mark.parametrize("text", ["SF:lib/feo.dart\nDA:1,1\n", "DA:1,1\n", "SF:a\nDA:x,1\nend_of_record\n", "<xml/>"])
def test_coverage_that_breaks_off_or_is_none(stand_in: Stand, text: str):
    could_not(stand_in("dart-lcov", f"printf '{text}' >\"$lcov\"; exit 1"))


@pytest.mark.parametrize("lines", [1, 7, 9, 14])
def test_a_run_of_tests_that_breaks_off(stand_in: Stand, lines: int):
    could_not(stand_in("dart-test", f"{SHOW}dart-test.jsonl | sed -n '1,{lines}p'; exit 1"), "to their end")


def test_what_does_not_go_together(stand_in: Stand):
    could_not(stand_in("dart-test", f"{SHOW}dart-test.jsonl; exit 0"), "exit code")
    could_not(stand_in("dart-analyze", f"{SHOW}dart-analyze.json; exit 0"), "exit code")
    could_not(stand_in("dart-format", f"cat {RECORDED}/dart-format.txt; exit 0"), "exit code")
    could_not(stand_in("dart-format", f"sed 's/(1 ch/(2 ch/' {RECORDED}/dart-format.txt; exit 1"), "summary")


@pytest.mark.parametrize("name", CHECKS)
def test_hang(stand_in: Stand, name: str):
    could_not(stand_in(name, "sleep 600 & sleep 600", timeout_s=1.0))


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_flood(stand_in: Stand, name: str, stream: str):
    could_not(stand_in(name, f"head -c 300000000 /dev/zero >/dev/{stream}; exit 0"))


def test_plugins_of_the_analyzer_are_code(repository: Write):
    check = check_named("dart", "dart-analyze")
    for options, loads in (
        ("linter: {}\n", False),
        ("analyzer:\n  plugins: [custom_lint]\n", True),
        ("plugins: {my_lints: ^1.0.0}\n", True),
    ):
        place = repository(FILES | {"analysis_options.yaml": options})
        assert check.loads_code(project_of(place, "dart")) is loads


@pytest.mark.parametrize(
    "manifest",
    [
        {"pubspec.yaml": "name: all\nworkspace:\n  - packages/a\n  - apps/b\n"},
        {
            "pubspec.yaml": "name: all\n",
            "melos.yaml": "name: all\npackages: [packages/**, apps/*]\nignore: ['**/old']\n",
        },
    ],
)
def test_workspaces(repository: Write, manifest: dict[str, str | bytes]):
    files = {f"{folder}/lib/x.dart": "" for folder in ("packages/a", "packages/a/nested/old", "apps/b")}
    manifests = {f"{path.rpartition('/lib')[0]}/pubspec.yaml": "name: x\n" for path in files}
    place = repository(manifest | files | manifests | {"tool/y.dart": ""})
    found = {project.root: (project.workspace, project.files) for project in find_projects(place)}
    assert found == {
        ".": (None, ("tool/y.dart",)),
        "apps/b": (".", ("apps/b/lib/x.dart",)),
        "packages/a": (".", ("packages/a/lib/x.dart",)),
        "packages/a/nested/old": (None, ("packages/a/nested/old/lib/x.dart",)),
    }
