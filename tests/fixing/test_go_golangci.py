"""golangci-lint by a stand-in that prints what it has printed elsewhere (`recorded/`): none can be had here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from air_executor.fixing.outcome import CheckResult
from tests.fixing.conftest import SYSTEM_PATH, Write, check_named, program, project_of, run_check
from tests.fixing.outcomes import could_not

RECORDED = Path(__file__).parent / "recorded"
FILES: dict[str, str | bytes] = {
    "go.mod": "module example.com/fix\n",
    "a.go": "package pkg\n",
    "c.go": "package pkg\n",
}
REPORT = """
for word; do case "$word" in --output.json.path=*|--out-format=json:*) report=${word#*[=:]}; report=${report#json:}; esac; done
"""  # noqa: E501
Stand = Callable[..., CheckResult]


@pytest.fixture
def stand_in(repository: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """The result where golangci-lint, of this version, does as told; `$report` is the file it is to write."""

    def run(
        body: str,
        version: str = "2.13.2",
        files: dict[str, str | bytes] = FILES,
        timeout_s: float = 30.0,
        root: str = ".",
    ) -> CheckResult:
        place = repository(files)
        answer = f'case "$1" in version) echo "golangci-lint has version {version} built with go1.27"; exit;; esac'
        program(tmp_path / "bin" / "golangci-lint", f"#!/bin/sh\n{answer}\n{REPORT}\n{body}\n")
        program(tmp_path / "bin" / "go", "#!/bin/sh\nexit 1\n")
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{SYSTEM_PATH}")
        project = project_of(place, "go", root)
        return run_check(project, "golangci-lint", tmp_path / "run", timeout_s=timeout_s)

    return run


def found(result: CheckResult) -> list[tuple[str, str, int, int, str]]:
    return [(one.rule, one.path, one.line, one.column, one.severity) for one in result.issues]


def test_version_two(stand_in: Stand):
    result = stand_in(f'cp {RECORDED}/golangci-2.json "$report"; exit 1')
    assert result.outcome == "findings", result.reason
    assert result.version == "2.13.2"
    assert found(result) == [
        ("gosec/G401", "a.go", 10, 7, "warning"),
        ("errcheck", "a.go", 12, 9, "warning"),
        ("typecheck", "c.go", 2, 12, "error"),
    ]
    assert "do not compile" in (result.note or "")
    assert len(json.loads((RECORDED / "golangci-2.json").read_text())["Issues"]) == len(result.issues)


def test_version_one(stand_in: Stand):
    files = FILES | {"testdata/misspell.go": "package testdata\n"}
    result = stand_in(f'cp {RECORDED}/golangci-1.json "$report"; exit 1', version="v1.50.1", files=files)
    assert found(result) == [("misspell", "testdata/misspell.go", 6, 38, "warning")]
    assert not result.issues[0].safe_fix  # it corrects texts of the program too


def test_paths_as_seen_from_a_configuration_above(stand_in: Stand):
    files: dict[str, str | bytes] = {".golangci.yml": "version: '2'\n"}
    files |= {f"back/{name}": content for name, content in FILES.items()}
    report = (RECORDED / "golangci-2.json").read_text().replace('"a.go"', '"back/a.go"')
    result = stand_in(f"cat >\"$report\" <<'END'\n{report}END\nexit 1", files=files, root="back")
    assert {path for _, path, *_ in found(result)} == {"back/a.go", "back/c.go"}


def test_names_of_rules_where_linters_have_no_codes(stand_in: Stand):
    one = {"Pos": {"Filename": "a.go", "Line": 1, "Column": 1}}
    texts = [
        ("govet", "printf: wrong type"), ("revive", "exported: comment it"), ("staticcheck", "SA4006: never used"),
        ("errcheck", "Close: not checked"),
    ]  # fmt: skip
    report = json.dumps({"Issues": [{**one, "FromLinter": linter, "Text": text} for linter, text in texts]})
    result = stand_in(f"echo '{report}' >\"$report\"; exit 1")
    assert sorted(issue.rule for issue in result.issues) == [
        "errcheck", "govet/printf", "revive/exported", "staticcheck/SA4006",
    ]  # fmt: skip


def test_fixes_that_are_safe(stand_in: Stand):
    one = {"Text": "x", "Pos": {"Filename": "a.go", "Line": 1}, "SuggestedFixes": [{"TextEdits": []}]}
    report = json.dumps({"Issues": [{**one, "FromLinter": linter} for linter in ("gofumpt", "perfsprint")]})
    result = stand_in(f"echo '{report}' >\"$report\"; exit 1")
    assert {issue.rule: issue.safe_fix for issue in result.issues} == {"gofumpt": True, "perfsprint": False}


@pytest.mark.parametrize("report", ['{"Issues":[],"Report":{}}', '{"Issues":null,"Report":{}}'])
def test_clean(stand_in: Stand, report: str):
    result = stand_in(f"echo '{report}' >\"$report\"; exit 0")
    assert (result.outcome, result.issues, result.note) == ("ok", [], None)


@pytest.mark.parametrize("code", [2, 3, 4, 5, 6, 7])
def test_config_error_and_other_failures(stand_in: Stand, code: int):
    """3: its configuration; 4: its own time-out; 5: no files; 7: what it logged."""
    could_not(stand_in(f"echo 'level=error msg=\"cannot load config\"' >&2; exit {code}"), "cannot load config")


def test_missing(repository: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    place = repository(FILES | {".golangci.yml": "version: '2'\n"})
    could_not(run_check(project_of(place, "go"), "golangci-lint", tmp_path / "run"), "golangci-lint is not there")
    check = check_named("go", "golangci-lint")
    assert check.applies(project_of(place, "go"))
    (place / ".golangci.yml").unlink()
    assert not check.applies(project_of(place, "go"))


@pytest.mark.parametrize(
    "body",
    [
        "exit 0", "exit 1", "kill -SEGV $$", "exit 70",
        'echo "{[garbage" >"$report"; exit 0', 'echo "{[garbage" >"$report"; exit 1', 'echo "{}" >"$report"; exit 0',
        "echo '{\"Issues\":[]}' >\"$report\"; exit 1",
        "echo '{\"Issues\":[],\"Report\":{\"Error\":\"buildir failed\"}}' >\"$report\"; exit 0",
    ],
)  # fmt: skip
def test_silence_crash_and_garbage(stand_in: Stand, body: str):
    could_not(stand_in(body))


def test_hang(stand_in: Stand):
    could_not(stand_in("sleep 600 & sleep 600", timeout_s=1.0), "did not end within 1 s")


@pytest.mark.parametrize("stream", ["/dev/stdout", "/dev/stderr", '"$report"'])
def test_flood(stand_in: Stand, stream: str):
    could_not(stand_in(f"head -c 300000000 /dev/zero >{stream}; exit 0"), "more than 64 MB")


@pytest.mark.parametrize(
    ("config", "left_out", "loads"),
    [
        (None, True, False),
        ("linters:\n  enable: [gosec]\n", True, False),
        ("linters:\n  settings:\n    govet: {enable-all: true}\n", False, False),
        ("linters:\n  disable-all: true\n  enable: [errcheck]\n", False, False),
        ("linters:\n  default: none\n", False, False),
        ("linters-settings:\n  custom:\n    mine: {path: mine.so}\n", True, True),
        ("linters:\n  settings:\n    custom:\n      mine: {type: module}\n", True, True),
        ("linters: {{{ custom", True, True),
    ],
)
def test_what_its_configuration_changes(
    stand_in: Stand, repository: Write, tmp_path: Path, config: str | None, left_out: bool, loads: bool
):
    files = FILES | ({".golangci.yaml": config} if config else {})
    result = stand_in(f'echo "$*" >{tmp_path}/words; echo \'{{"Issues":[]}}\' >"$report"', files=files)
    assert result.outcome == "ok"
    assert ("--disable=govet" in (tmp_path / "words").read_text()) is left_out
    assert check_named("go", "golangci-lint").loads_code(project_of(repository({}), "go")) is loads
