"""Output of go, golangci-lint and dart that was cut off, or changed in some bytes.

A reader gives what is there, or says that it could not, and nothing else; what tells its own end is never taken for
whole without it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from air_executor.fixing.check import CouldNotRun, Findings, Project, ToolRun
from tests.fixing.conftest import check_named

RECORDED = Path(__file__).parent / "recorded"
VET = {"example.org/m": {"printf": [{"posn": "{place}/a.go:2:8", "end": "{place}/a.go:2:9", "message": "wrong"}]}}
PACKAGE = {
    "Dir": "{place}",
    "ImportPath": "example.org/m",
    "GoFiles": ["a.go"],
    "Error": {"ImportStack": [], "Pos": "", "Err": "# example.org/m\na.go:2:8: no [go.dev/e/UnusedVar]\n\tmore\n"},
}
EVENTS = [
    {"Action": "start", "Package": "example.org/m"},
    {"Action": "run", "Package": "example.org/m", "Test": "TestA"},
    {"Action": "output", "Package": "example.org/m", "Test": "TestA", "Output": "    a_test.go:7: bad\n"},
    {"Action": "fail", "Package": "example.org/m", "Test": "TestA", "Elapsed": 0.1},
    {"Action": "fail", "Package": "example.org/m", "Elapsed": 0.1},
]
OUTPUT: dict[tuple[str, str], tuple[str, int]] = {
    ("go", "go-build"): (json.dumps(PACKAGE, indent=1), 0),
    ("go", "go-vet"): (json.dumps(VET, indent=1), 0),
    ("go", "gofmt"): ("/out/canary.go\na.go\n", 0),
    ("go", "go-test"): ("".join(json.dumps(event) + "\n" for event in EVENTS), 1),
    ("go", "go-cover"): ("mode: set\nexample.org/m/a.go:1.1,2.9 1 0\n", 0),
    ("go", "golangci-lint"): ((RECORDED / "golangci-2.json").read_text(), 1),
    ("dart", "dart-analyze"): ((RECORDED / "dart-analyze.json").read_text(), 3),
    ("dart", "dart-format"): ((RECORDED / "dart-format.txt").read_text(), 1),
    ("dart", "dart-test"): ((RECORDED / "dart-test.jsonl").read_text(), 1),
    ("dart", "dart-lcov"): ((RECORDED / "lcov.info").read_text(), 0),
}
FILES = {
    "go": ("a.go", "a_test.go", "b.go", "c.go"),
    "dart": ("lib/core/error/failure.dart", "lib/feo.dart", "lib/malo.dart", "test/sample_test.dart"),
}
ENDS = [
    ("go", "go-vet"),
    ("go", "golangci-lint"),
    ("dart", "dart-analyze"),
    ("dart", "dart-format"),
    ("dart", "dart-test"),
]


@pytest.fixture
def project(language: str, tmp_path: Path) -> Project:
    place = tmp_path.resolve()
    for name in FILES[language]:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("first\nsecond line\n")
    (place / "go.mod").write_text("module example.org/m\n")
    return Project(repository=place, root=".", language=language, manifest=None, files=FILES[language])


def read(project: Project, name: str, output: bytes, code: int) -> Findings | CouldNotRun:
    """What the check makes of it; it is standard output, and every file it may read."""
    folder = project.repository.with_name("output")
    folder.mkdir(exist_ok=True)
    (folder / "told").write_bytes(output)
    (folder / "nothing").touch()
    told = folder / "told"
    quiet = name in ("go-cover", "golangci-lint", "dart-lcov")
    events = folder / "events"
    events.write_text('{"Action":"pass","Package":"example.org/m"}\n')
    run = ToolRun(
        exit_code=code,
        signal=None,
        stdout=folder / "nothing" if quiet else told,
        stderr=folder / "nothing",
        outputs={"profile": told, "report": told, "lcov": told, "stdout": events},
        duration_s=0.1,
        version="1.27.3",
    )
    try:
        return check_named(project.language, name).parse(project, run)
    except CouldNotRun as error:
        return error


def text_of(project: Project, name: str) -> tuple[bytes, int]:
    text, code = OUTPUT[project.language, name]
    text = text.replace("{place}", str(project.repository)).replace("/recorded", str(project.repository))
    return text.encode(), code


@pytest.mark.parametrize(("language", "name"), OUTPUT)
def test_as_it_was(project: Project, name: str):
    found = read(project, name, *text_of(project, name))
    assert isinstance(found, Findings), found
    assert found.issues or found.coverage


@pytest.mark.parametrize(("language", "name"), OUTPUT)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_changed_in_places(project: Project, name: str, data: st.DataObject):
    output, code = text_of(project, name)
    changed = bytearray(output)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(output) - 1))
        changed[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    read(project, name, bytes(changed), data.draw(st.sampled_from([code, 0, 1, 2])))


@pytest.mark.parametrize(("language", "name"), ENDS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_cut_off(project: Project, name: str, data: st.DataObject):
    output, code = text_of(project, name)
    whole = read(project, name, output, code)
    length = len(output.rstrip())
    cut = data.draw(st.integers(0, len(output)))
    found = read(project, name, output[:cut], code)
    assert (found == whole) if cut >= length else isinstance(found, CouldNotRun)
