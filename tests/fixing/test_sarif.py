"""SARIF of other tools is read as exactly as their own form, and ours comes back as it was."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_executor.fixing.issue import Issue
from air_executor.fixing.sarif import read_sarif, write_sarif
from tests.fixing.conftest import Write, project_of, run_check
from tests.fixing.releases import release


def log(*results: dict[str, Any], **run: Any) -> dict[str, Any]:
    driver = {"name": "tool", "version": "7.1", "rules": [{"id": "R1"}, {"id": "R2"}]}
    return {"version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": [*results], **run}]}


def result(path: str = "a.c", **more: Any) -> dict[str, Any]:
    place = {"artifactLocation": {"uri": path}, "region": {"startLine": 2, "startColumn": 3}}
    return {"ruleId": "R1", "message": {"text": "no"}, "locations": [{"physicalLocation": place}], **more}


@pytest.fixture
def read(repository: Write, tmp_path: Path):
    place = repository({"a.c": "one\ntwo three\n", "with space/ü.c": "x\n"})

    def run(content: Any):
        path = tmp_path / "tool.sarif"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return read_sarif(path, place)

    return run


@pytest.mark.parametrize("name", ["docopt", "more-itertools"])
def test_as_exact_as_the_tools_own_form(name: str, with_tools: Path, tmp_path: Path):
    version, source = {"docopt": ("0.6.2", True), "more-itertools": ("6.0.0", False)}[name]
    place = tmp_path / "tree"
    place.mkdir()
    for path in release(name, version, source=source).rglob("*[!p].py"):  # no setup.py, which would be a manifest
        (place / "a folder").mkdir(exist_ok=True)
        (place / "a folder" / path.name).write_bytes(path.read_bytes())
    (place / "pyproject.toml").write_text('[tool.ruff.lint]\nselect = ["E", "F", "W", "I", "B", "UP", "D"]\n')
    words = [with_tools / "bin" / "ruff", "check", "--no-cache", "--output-format=sarif", "."]
    done = subprocess.run(words, cwd=place, capture_output=True, check=False)
    (tmp_path / "ruff.sarif").write_bytes(done.stdout)
    found = read_sarif(tmp_path / "ruff.sarif", place)
    own = run_check(project_of(place), "ruff", tmp_path / "run")
    assert found.outcome == "findings"
    assert (found.tool, found.version) == ("ruff", own.version)
    assert len(own.issues) > 100
    assert Counter((issue.rule, issue.place, issue.end_line, issue.end_column) for issue in found.issues) == Counter(
        (issue.rule, issue.place, issue.end_line, issue.end_column) for issue in own.issues
    )
    assert {issue.fingerprint for issue in found.issues} == {issue.fingerprint for issue in own.issues}


def test_where_a_result_stands(read, repository: Write):
    place = repository({})
    bases = {
        "SRC": {"uri": place.as_uri() + "/"},
        "IN": {"uri": "with%20space/", "uriBaseId": "SRC"},
        "X": {},
        "LOOP": {"uri": "", "uriBaseId": "LOOP"},
    }
    places = [
        {"uri": "a.c"},
        {"uri": (place / "a.c").as_uri()},
        {"uri": "%C3%BC.c", "uriBaseId": "IN"},
        {"uri": "a.c", "uriBaseId": "X"},
        {"uri": "a.c", "uriBaseId": "nowhere"},
        {"uri": "a.c", "uriBaseId": "LOOP"},
        {"index": 0},
        {"uri": "./with%20space/../a.c"},
        {"uri": "../out.c"},
        {"uri": "https://example.org/a.c"},
        {"uri": "file:///etc/passwd"},
    ]
    results = [
        {"message": {"text": "x"}, "locations": [{"physicalLocation": {"artifactLocation": one}}]} for one in places
    ]
    found = read(log(*results, {"message": {"text": "nowhere"}},
                     originalUriBaseIds=bases, artifacts=[{"location": {"uri": "a.c"}}]))  # fmt: skip
    assert Counter(issue.path for issue in found.issues) == {"a.c": 7, "with space/ü.c": 1}
    assert found.note == "left out: 4 in no file of the repository"


def test_what_a_result_says(read):
    rules = [
        {"id": "R1", "defaultConfiguration": {"level": "error"}, "helpUri": "https://example.org/R1",
         "messageStrings": {"m": {"text": "use {0}, not {1} ({7})"}}},
        {"id": "R2"},
    ]  # fmt: skip
    driver = {"name": "tool", "semanticVersion": "1.2.3", "rules": rules}
    extra = {"name": "plugin", "rules": [{"id": "P1", "defaultConfiguration": {"level": "note"}}]}
    found = read(
        log(
            result(message={"id": "m", "arguments": ["this", "that"]}),
            result(ruleId=None, ruleIndex=1, level="note"),
            result(ruleId="R1/sub"),
            result(ruleId=None, rule={"index": 0, "toolComponent": {"index": 0}}),
            result(ruleId=None, message={"text": " two\n  lines {0}"}),
            tool={"driver": driver, "extensions": [extra]},
        )
    )
    assert found.version == "1.2.3"
    assert sorted((issue.rule, issue.severity, issue.message, issue.url) for issue in found.issues) == [
        ("P1", "info", "no", None),
        ("R1", "error", "use this, not that ({7})", "https://example.org/R1"),
        ("R1/sub", "error", "no", "https://example.org/R1"),
        ("R2", "info", "no", None),
        ("unnamed", "warning", "two lines {0}", None),
    ]


def test_what_does_not_count_is_told(read):
    found = read(
        log(
            result(suppressions=[{"kind": "inSource"}]),
            result(suppressions=[{"kind": "external", "status": "rejected"}]),
            result(suppressions=[]),
            result(baselineState="absent"),
            result(kind="pass"),
            result(kind="informational"),
        )
    )
    assert len(found.issues) == 2
    assert found.note == "left out: 1 gone since the baseline, 1 suppressed, 2 that failed nothing"


def test_nothing_found(read, tmp_path: Path):
    found = read(log())
    assert (found.outcome, found.check, found.tool, found.issues) == ("ok", "sarif/tool.sarif", "tool", [])
    assert read(b"\xef\xbb\xbf" + json.dumps(log(result())).encode()).outcome == "findings"


FAILED = {"executionSuccessful": False, "toolExecutionNotifications": [
    {"level": "error", "message": {"text": "out of\nmemory"}}]}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not SARIF"),
        (b"{[garbage", "is not SARIF"),
        (b"[]", "is not SARIF"),
        (b"{}", "is not SARIF"),
        (json.dumps(log(result())).encode()[:-40], "is not SARIF"),
        (b"[" * 100_000, "is not SARIF"),
        ({"version": "2.0.0", "runs": []}, "is SARIF 2.0.0"),
        ({"version": "2.1.0", "runs": []}, "no run of a tool"),
        ({"version": "2.1.0", "runs": None}, "no run of a tool"),
        (log(result(message="text")), "is not SARIF"),
        (log(results=None), "no results, which is not the same as none"),
        (log(invocations=[FAILED]), "tool did not succeed: out of memory"),
    ],
    ids=range(12),
)
def test_what_cannot_be_trusted_is_no_clean_result(read, content: Any, told: str):
    found = read(content)
    assert found.outcome == "could_not_run"
    assert told in (found.reason or "")
    assert "\n" not in (found.reason or "")
    assert found.mend
    assert not found.issues


def test_no_file_and_a_flood(repository: Write, tmp_path: Path):
    assert "cannot be read" in (read_sarif(tmp_path / "no.sarif", repository({})).reason or "")
    with (tmp_path / "large.sarif").open("wb") as file:
        file.truncate(300_000_000)  # sparse: takes no room
    found = read_sarif(tmp_path / "large.sarif", repository({}))
    assert found.outcome == "could_not_run"
    assert "larger than 64 MB" in (found.reason or "")


WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
NAMES = WORDS.filter(lambda name: "/" not in name and name not in (".", ".."))
PLACES = st.tuples(st.integers(1, 9_999), st.integers(0, 300), st.none() | st.integers(1, 9_999)) | st.just(
    (0, 0, None)
)
ISSUES = st.builds(
    lambda tool, rule, severity, words, names, place, fix, mark: Issue(
        tool=tool,
        rule=rule,
        severity=severity,
        message=" ".join(words),
        path="/".join(names),
        line=place[0],
        column=place[1],
        end_line=place[2],
        safe_fix=fix,
        fingerprint=f"{mark:020x}",
    ),
    st.sampled_from(["ruff", "go-vet"]), WORDS, st.sampled_from(["error", "warning", "info"]),
    st.lists(st.text("abcü漢'\"{0}", min_size=1), min_size=1, max_size=3), st.lists(NAMES, min_size=1, max_size=3),
    PLACES, st.booleans(), st.integers(0, 2**64),
)  # fmt: skip


@given(st.lists(ISSUES, max_size=12))
def test_what_we_write_comes_back(tmp_path_factory: pytest.TempPathFactory, issues: list[Issue]):
    place = tmp_path_factory.getbasetemp()
    written = write_sarif(issues, {"ruff": "0.1.2"})
    (place / "ours.sarif").write_bytes(written)
    found = read_sarif(place / "ours.sarif", place)
    assert found.outcome == ("findings" if issues else "ok")
    key = repr
    assert sorted(found.issues, key=key) == sorted(issues, key=key)
    for run in json.loads(written)["runs"]:
        assert len(run["tool"]["driver"]["rules"]) == len({one["ruleId"] for one in run["results"]})
        for one in run["results"]:
            assert run["tool"]["driver"]["rules"][one["ruleIndex"]]["id"] == one["ruleId"]
            assert "\\" not in one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
