"""What is measured of files: against lizard's own report, against Python's own parser, and of files that are hard."""

from __future__ import annotations

import ast
import csv
import io
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from air_executor.fixing.check import Tool
from air_executor.fixing.checking.running import STATIC, Options, run_checks
from air_executor.fixing.metrics import measure as measuring
from air_executor.fixing.metrics.measure import Asked, measure
from air_executor.fixing.metrics.measures import FileMetrics, ProjectMetrics
from air_executor.fixing.outcome import CheckResult
from air_executor.fixing.projects import find_projects
from tests.fixing.conftest import ROOT, Write, git, program, project_of, run_check
from tests.fixing.releases import release

CLEAN = {
    "pyproject.toml": "[project]\nname = 'x'\n",
    "a.py": "def f(a):\n    if a:\n        return 1\n    return 2\n",
}


def measured(folder: Path, *paths: str) -> ProjectMetrics:
    return measure(Asked(str(folder), paths))


def one(folder: Path, path: str) -> FileMetrics:
    return measured(folder, path).files[0]


Row = tuple[str, str, int, int, int, int]


def told_by_lizard(folder: Path, *languages: str) -> Counter[Row]:
    """What its command line prints, in a process of its own."""
    words = [word for language in languages for word in ("-l", language)]
    done = subprocess.run(
        [sys.executable, "-m", "lizard", "--csv", *words, "."],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = csv.reader(io.StringIO(done.stdout))
    return Counter(
        (os.path.normpath(row[6]), row[7], int(row[9]), int(row[10]), int(row[1]), int(row[3])) for row in rows
    )


def told_by_us(metrics: ProjectMetrics) -> Counter[Row]:
    return Counter(
        (file.path, one.name, one.line, one.end_line, one.complexity, one.parameters)
        for file in metrics.files
        for one in file.functions or ()
    )


def listed(folder: Path, *suffixes: str) -> list[str]:
    found = [path for path in folder.rglob("*") if path.suffix in suffixes and path.is_file()]
    return sorted(str(path.relative_to(folder)) for path in found)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "version", "source"),
    [("boltons", "20.0.0", False), ("thefuck", "3.32", False), ("docopt", "0.6.2", True), ("toolz", "0.11.0", False)],
)
def test_functions_of_old_releases(name: str, version: str, source: bool, tmp_path: Path):
    place = tmp_path / name
    shutil.copytree(release(name, version, source=source), place)
    (place / "a folder").mkdir()
    largest = max((place / path for path in listed(place, ".py")), key=lambda path: path.stat().st_size)
    content = largest.read_bytes().replace(b"\r\n", b"\n")
    # lizard's command line leaves out what has the same text as another file.
    (place / "a folder" / "with CRLF.py").write_bytes(b"\r\n" + content.replace(b"\n", b"\r\n"))
    (place / "latin.py").write_bytes('# -*- coding: latin-1 -*-\ndef é(ü):\n    return ü or "é"\n'.encode("latin-1"))
    (place / "broken.py").write_text("def f(:\n    if a\n        pass\n\ndef g():\n    if b: pass\n")
    ours = measured(place, *listed(place, ".py"))
    assert ours.unknown == {}
    theirs = told_by_lizard(place, "python")
    # Of Latin-1 lizard leaves out what is not ASCII, and so the names.
    assert [*told_by_us(ours) - theirs] == [("latin.py", "é", 2, 3, 2, 1)]
    assert {row[0] for row in theirs - told_by_us(ours)} <= {"latin.py"}
    assert sum(theirs.values()) > 20
    for file in ours.files:
        assert file.lines == len((place / file.path).read_bytes().splitlines())


@pytest.mark.parametrize("package", ["net/textproto", "encoding/csv", "go/printer"])
def test_functions_of_go(package: str, tools: Path, tmp_path: Path):
    (source,) = tools.glob("lib/python3*/site-packages/go/src")
    place = tmp_path / "go"
    shutil.copytree(source / package, place, ignore=shutil.ignore_patterns("testdata"))
    ours = measured(place, *listed(place, ".go"))
    assert ours.unknown == {}
    assert told_by_us(ours) == told_by_lizard(place, "go")
    assert max(one.nesting or 0 for file in ours.files for one in file.functions or ()) > 2


def test_functions_of_typescript():
    place = ROOT / "dashboard" / "src"
    ours = measured(place, *listed(place, ".ts", ".tsx"))
    assert ours.unknown == {}
    assert told_by_us(ours) == told_by_lizard(place, "typescript", "tsx")


def nesting_by_parser(text: str) -> dict[tuple[str, int], int]:
    """(name, line of its `def`) -> depth, from Python's own syntax tree."""
    lines = text.split("\n")
    found: dict[tuple[str, int], int] = {}
    blocks = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.With, ast.AsyncWith, ast.Match)

    def walk(node: ast.AST, depth: int, function: tuple[str, int] | None) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function, depth = (node.name, node.lineno), 0
            found[function] = 0
        elif isinstance(node, blocks):
            continued = isinstance(node, ast.If) and lines[node.lineno - 1][node.col_offset :].startswith("elif")
            depth += not continued
            if function is not None:
                found[function] = max(found[function], depth)
        elif isinstance(node, ast.ClassDef):
            function, depth = None, 0
        for child in ast.iter_child_nodes(node):
            walk(child, depth, function)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old strings
        walk(ast.parse(text), 0, None)
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "version"), [("boltons", "20.0.0"), ("toolz", "0.11.0"), ("more-itertools", "6.0.0"), ("ours", "")]
)
def test_nesting_is_what_pythons_parser_sees(name: str, version: str):
    place = ROOT / "src" if name == "ours" else release(name, version, source=False)
    compared = seen = 0
    for file in measured(place, *listed(place, ".py")).files:
        text = (place / file.path).read_text("utf-8")
        told = nesting_by_parser(text)
        ours = {(one.name.rpartition(".")[2], one.line): one.nesting for one in file.functions or ()}
        both = told.keys() & ours.keys()
        assert {key: ours[key] for key in both} == {key: told[key] for key in both}, file.path
        compared, seen = compared + len(both), seen + len(told)
    assert compared > 100
    assert compared > 0.9 * seen  # lizard leaves out those that stand in one line


def test_lines(tmp_path: Path):
    counted = {b"": 0, b"x": 1, b"x\n": 1, b"x\r\ny\r\n\r\n": 3, b"x\ry\r": 2, b"\n\n": 2}
    for number, content in enumerate(counted):
        (tmp_path / f"{number}.py").write_bytes(content)
    files = measured(tmp_path, *(f"{number}.py" for number in range(len(counted)))).files
    assert [file.lines for file in files] == [*counted.values()]


def test_a_language_lizard_does_not_know(tmp_path: Path):
    """Length and copies only; the rest is said to be unknown."""
    (tmp_path / "a.dart").write_text("void main() {\n  if (a) {\n  }\n}\n")
    (tmp_path / "a.cob").write_text("DISPLAY 'HELLO'.\n")
    dart, cobol = measured(tmp_path, "a.dart", "a.cob").files
    for file, lines in ((dart, 4), (cobol, 1)):
        assert (file.lines, file.functions) == (lines, None)
        assert "lizard does not know" in (file.unknown or "")
    assert measured(tmp_path, "a.cob").duplicates is None
    assert measured(tmp_path, "a.cob").duplicated_lines is None
    assert measured(tmp_path, "a.dart").duplicates == ()


PAGE = """\
<template>
  <p v-if="a">it's {{ b }} if {</p>
</template>

<scriptWORDS>
export function f(aKIND) {
  if (a) {
    for (const b of a) {
    }
  }
}
</script>

<style>
p { color: red }
</style>
"""


@pytest.mark.parametrize(
    ("name", "words", "kind"), [("a.vue", "", ""), ("b.vue", ' lang="ts"', ": C"), ("c.svelte", "", "")]
)
def test_code_in_a_page(tmp_path: Path, name: str, words: str, kind: str):
    (tmp_path / name).write_text(PAGE.replace("WORDS", words).replace("KIND", kind))
    file = one(tmp_path, name)
    assert (file.lines, file.unknown) == (16, None)
    assert [(one.name, one.line, one.end_line, one.complexity, one.nesting) for one in file.functions or ()] == [
        ("f", 6, 11, 3, 2)
    ]


def test_one_file_in_another_language_leaves_the_copies_of_the_others(tmp_path: Path):
    block = "".join(f"value_{number} = call(one, two, {number})\n" for number in range(20))
    for name in ("a.py", "b.py", "c.rb"):
        (tmp_path / name).write_text(block)
    metrics = measured(tmp_path, "a.py", "b.py", "c.rb")
    assert metrics.duplicated_lines == 20
    assert "copies" in metrics.unknown["c.rb"]


def test_a_huge_file_has_a_length_and_nothing_else(tmp_path: Path):
    (tmp_path / "a.py").write_text("def f():\n    pass\n" * 60_000)
    huge = one(tmp_path, "a.py")
    assert (huge.lines, huge.functions) == (120_000, None)
    assert "larger than 1 MB" in (huge.unknown or "")


@pytest.mark.parametrize("end", [b"", b"x", b"\r", b"\n", b"\r\n"])
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8])
def test_lines_of_a_huge_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes, limit: int):
    monkeypatch.setattr(measuring, "SIZE_LIMIT", limit)
    content = b"a\r\nbc\rd\n\n\r\r\n\nefgh\r\n" + end
    (tmp_path / "a.py").write_bytes(content)
    assert one(tmp_path, "a.py").lines == len(content.splitlines())


def test_a_file_that_cannot_be_read(tmp_path: Path):
    (tmp_path / "folder.py").mkdir()
    os.mkfifo(tmp_path / "pipe.py")
    for name in ("folder.py", "pipe.py", "missing.py"):
        file = one(tmp_path, name)
        assert (file.lines, file.functions) == (None, None)
        assert "cannot be read" in (file.unknown or "")


def test_a_file_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(measuring, "FILE_LIMIT_S", 0.001)
    (tmp_path / "a.py").write_text("def f():\n    return 1 + 2\n" * 10_000)
    slow = one(tmp_path, "a.py")
    assert (slow.lines, slow.functions) == (20_000, None)
    assert "did not end within" in (slow.unknown or "")
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_generated_code_is_not_taken_for_measured(tmp_path: Path):
    (tmp_path / "a.py").write_text("def f():\n    pass\n# GENERATED CODE\ndef g():\n    pass\n")
    (tmp_path / "b.py").write_text("TEXT = 'GENERATED CODE'\ndef g():\n    pass\n")
    first, second = measured(tmp_path, "a.py", "b.py").files
    assert "generated" in (first.unknown or "")
    assert second.unknown is None
    assert len(second.functions or ()) == 1


def test_braces_that_do_not_fit_leave_the_nesting_unknown(tmp_path: Path):
    (tmp_path / "a.js").write_text("function f(a) { if (a) { return 1 } } }\n")
    file = one(tmp_path, "a.js")
    assert file.functions is not None
    assert [(function.name, function.complexity, function.nesting) for function in file.functions] == [("f", 2, None)]
    assert "nesting" in (file.unknown or "")


def test_what_breaks_lizard_is_told_of_that_file_alone(tmp_path: Path):
    (tmp_path / "a.tsx").write_text(
        "const { a } = f<A, B>(\n  () => g(),\n  { c: d }\n)\nawait h(async () => {\n})\n"
    )
    (tmp_path / "b.tsx").write_text("function f() { return 1 }\n")
    first, second = measured(tmp_path, "a.tsx", "b.tsx").files
    assert (first.lines, first.functions) == (6, None)
    assert "lizard failed: IndexError" in (first.unknown or "")
    assert [function.name for function in second.functions or ()] == ["f"]


def situations() -> Iterator[tuple[str, dict[str, str | bytes]]]:
    yield "clean", CLEAN
    yield "syntax error", CLEAN | {"b c.py": "def f(:\n   pass\n\x00"}
    yield "other tools' configuration is broken", CLEAN | {"pyproject.toml": "[tool", "setup.cfg": "[lizard\n"}
    yield "encodings", CLEAN | {"é.py": "x = 'é'\r\n".encode("latin-1"), "b.py": "x = 1\n".encode("utf-16")}
    yield "empty", CLEAN | {"b.py": ""}
    yield "its own module", CLEAN | {"lizard.py": "raise SystemExit(3)\n", "msgspec.py": "raise SystemExit(3)\n"}


@pytest.mark.parametrize(("name", "files"), [*situations()], ids=[name for name, _ in situations()])
@pytest.mark.parametrize("sandboxed", [False, True])
def test_check(repository: Write, tmp_path: Path, name: str, files: dict[str, str | bytes], sandboxed: bool):
    project = project_of(repository(files))
    result = run_check(project, "metrics", tmp_path / "run", sandboxed=sandboxed)
    assert (result.outcome, result.issues, result.reason, result.kind) == ("ok", [], None, "metrics")
    assert result.metrics is not None
    assert tuple(file.path for file in result.metrics.files) == project.files
    assert all(file.lines is not None for file in result.metrics.files)
    (function,) = next(file for file in result.metrics.files if file.path == "a.py").functions or ()
    assert (function.name, function.complexity, function.nesting, function.lines) == ("f", 2, 1, 4)
    assert result.version == measuring.import_module("importlib.metadata").version("lizard")


def could_not(result: CheckResult, *words: str) -> None:
    assert result.outcome == "could_not_run", result
    assert result.metrics is None
    assert result.mend
    for word in words:
        assert word in (result.reason or "")
    assert "\n" not in (result.reason or "")


def test_without_lizard(repository: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in installed])
    could_not(run_check(project_of(repository(CLEAN)), "metrics", tmp_path / "run"), "lizard is not installed")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("kill -SEGV $$", "SIGSEGV"),
        ("echo Traceback >&2; exit 1", "exit code 1"),
        ("exit 0", "no metrics"),
        ("echo '{[garbage' >$2; exit 0", "cannot be understood"),
        ('echo \'{"files": [], "duplicates": [], "code_lines": 0}\' >$2; exit 0', "not the project's files"),
        ("sleep 600 & sleep 600", "did not end within 1 s"),
        ("head -c 300000000 /dev/zero >$2; exit 0", "more than 64 MB"),
        ("head -c 300000000 /dev/zero; exit 0", "more than 64 MB"),
        ("head -c 300000000 /dev/zero >&2; exit 0", "more than 64 MB"),
    ],
    ids=[
        "signal",
        "code",
        "silence",
        "garbage",
        "other files",
        "hang",
        "flood",
        "flood on stdout",
        "flood on stderr",
    ],
)
def test_a_program_that_fails(repository: Write, tmp_path: Path, body: str, words: str):
    fails = program(tmp_path / "fails", f"#!/bin/sh\n{body}\n")
    limit = 1.0 if "sleep" in body else 60.0
    project = project_of(repository(CLEAN))
    could_not(
        run_check(project, "metrics", tmp_path / "run", timeout_s=limit, tool=Tool((str(fails),), "1", False)), words
    )


def test_every_language_is_measured_and_the_result_is_known_again(repository: Write):
    place = repository(CLEAN | {"lib/pyproject.toml": "[project]\nname = 'y'\n", "lib/b.py": "x = 1\n"})
    git(place, "init", "-q")
    options = Options(mode="static", kinds=STATIC, only=frozenset({"metrics"}))
    first = run_checks(find_projects(place), options)
    assert [(result.check, result.project, result.outcome) for result in first] == [
        ("python/metrics", ".", "ok"),
        ("python/metrics", "lib", "ok"),
    ]
    second = run_checks(find_projects(place), options)
    assert [result.cached for result in second] == [True, True]
    assert [result.metrics for result in second] == [result.metrics for result in first]
    (place / "lib" / "b.py").write_text("x = 1\ny = 2\n")
    third = run_checks(find_projects(place), options)
    assert [result.cached for result in third] == [True, False]
    assert third[1].metrics is not None
    assert third[1].metrics.lines == 2


def test_only_files_that_changed_are_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kept = tmp_path / "kept"
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(CLEAN["a.py"])
    asked = Asked(str(tmp_path), ("a.py", "b.py"), "1")
    whole = measure(asked, kept)
    (tmp_path / "b.py").write_text("def g():\n    pass\n")
    looked_at: list[str] = []
    functions = measuring._functions
    monkeypatch.setattr(
        measuring, "_functions", lambda text, *more: (looked_at.append(text), functions(text, *more))[1]
    )
    again = measure(asked, kept)
    assert looked_at == ["def g():\n    pass\n"]
    assert again == measured(tmp_path, "a.py", "b.py")
    assert again.files[0] == whole.files[0]
    assert len(looked_at) == 3
    # What other code measured counts for nothing, nor what cannot be read.
    assert measure(Asked(str(tmp_path), ("a.py", "b.py"), "2"), kept) == again
    assert len(looked_at) == 5
    kept.write_bytes(b"\x00garbage")
    assert measure(asked, kept) == again
    assert len(looked_at) == 7
    assert measure(asked, kept) == again
    assert len(looked_at) == 7


def test_copies_are_found_in_files_that_were_measured_before(tmp_path: Path):
    block = "".join(f"value_{number} = call(one, two, {number})\n" for number in range(20))
    (tmp_path / "a.py").write_text(block)
    kept = tmp_path / "kept"
    for place in (tmp_path / "b.py", tmp_path / "c.py"):
        place.write_text(block + f"# {place.name}\n")
        paths = tuple(sorted(path.name for path in tmp_path.glob("*.py")))
        # In another process, whose hashes are others.
        (tmp_path / "asked").write_bytes(msgspec.json.encode(Asked(str(tmp_path), paths, "1")))
        words = ["-m", measuring.__name__, str(tmp_path / "asked"), str(tmp_path / "out"), str(kept)]
        subprocess.run([sys.executable, *words], check=True, env=os.environ | {"PYTHONPATH": str(ROOT / "src")})
        metrics = msgspec.json.decode((tmp_path / "out").read_bytes(), type=ProjectMetrics)
        assert metrics.duplicated_lines == 20 * (len(paths) - 1)


def test_metrics_survive_being_written_and_read(tmp_path: Path):
    (tmp_path / "a.py").write_text(CLEAN["a.py"])
    metrics = measured(tmp_path, "a.py", "missing.py")
    assert msgspec.json.decode(msgspec.json.encode(metrics), type=ProjectMetrics) == metrics
