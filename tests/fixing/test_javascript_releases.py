"""What we find in real old releases of npm against what the tools count themselves, in other processes and forms."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

from air_executor.fixing.outcome import CheckResult
from tests.fixing.conftest import project_of, run_check
from tests.fixing.npm_releases import npm_release

RELEASES = {"jquery": "1.12.4", "should": "3.3.2"}
TYPED = {"mobx": "6.0.4", "rxjs": "6.6.7"}
# Several tools over a whole release, and the release has to be fetched first.
pytestmark = pytest.mark.timeout(300)
ESLINT = 'import js from "@eslint/js";\nexport default [js.configs.all, { ignores: ["eslint.config.mjs"] }];\n'


@pytest.fixture
def tree(name: str, tmp_path: Path, with_node: Path) -> Path:
    """A copy of a release, made harder: names with spaces, other encodings and line ends, a huge file, and one that
    nobody can parse."""
    place = tmp_path / name
    shutil.copytree(npm_release(name, RELEASES[name]), place)
    (place / "package.json").write_text('{"name": "x"}')
    (place / "node_modules").symlink_to(with_node)
    text = max((path.read_bytes() for path in place.rglob("*.js") if path.stat().st_size < 50_000), key=len)
    (place / "a folder (new)").mkdir()
    (place / "a folder (new)" / "with, CRLF.js").write_bytes(text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    (place / "[id].js").write_text("debugger;\n")
    (place / "latin.js").write_bytes('var name = "é";\ndebugger;\n'.encode("latin-1"))
    (place / "broken.js").write_text("var x = (;\n")
    (place / "huge.js").write_text("var data = '" + "0123456789" * 200_000 + "';\ndebugger; f(1, 2);\n")
    return place


def run(tree: Path, *words: str | Path) -> str:
    """What a tool prints, as text."""
    env = {"PATH": os.environ["PATH"], "NO_COLOR": "1", "CI": "true"}
    done = subprocess.run(words, cwd=tree, env=env, capture_output=True, check=False)
    assert done.returncode in (0, 1, 2), done.stderr
    return done.stdout.decode("utf-8", "replace")


def places(result: CheckResult) -> Counter[tuple[str, str, int, int]]:
    return Counter((issue.rule, issue.path, issue.line, issue.column) for issue in result.issues)


@pytest.mark.parametrize("name", sorted(RELEASES))
def test_eslint(tree: Path, tmp_path: Path):
    (tree / "eslint.config.mjs").write_text(ESLINT)
    result = run_check(project_of(tree, "javascript"), "eslint", tmp_path / "run", timeout_s=200)
    eslint = tree / "node_modules" / ".bin" / "eslint"
    counted = json.loads(run(tree, eslint, ".", "--format=json", f"--output-file={tmp_path / 'counted.json'}") or "0")
    counted = json.loads((tmp_path / "counted.json").read_text())
    told = Counter(
        (one["ruleId"] or "parse-error", os.path.relpath(file["filePath"], tree), one["line"], one["column"])
        for file in counted
        for one in file["messages"]
    )
    assert places(result) == told
    assert {path for _, path, _, _ in told} >= {"a folder (new)/with, CRLF.js", "[id].js", "latin.js", "broken.js"}
    totals = re.search(r"(\d+) problems? \((\d+) errors?, (\d+) warnings?\)", run(tree, eslint, "."))
    assert totals is not None
    severities = Counter(issue.severity for issue in result.issues)
    assert (len(result.issues), severities["error"], severities["warning"]) == tuple(map(int, totals.groups()))
    assert len(result.issues) > 500
    fixable = sum(file["fixableErrorCount"] + file["fixableWarningCount"] for file in counted)
    assert sum(issue.safe_fix for issue in result.issues) == fixable
    assert len({issue.fingerprint for issue in result.issues}) == len(result.issues)


@pytest.mark.parametrize("name", sorted(RELEASES))
def test_biome(tree: Path, tmp_path: Path):
    (tree / "biome.json").write_text("{}")
    result = run_check(project_of(tree, "javascript"), "biome", tmp_path / "run", timeout_s=200)
    biome = tree / "node_modules" / ".bin" / "biome"
    printed = run(tree, biome, "lint", "--reporter=github", "--max-diagnostics=none", ".")
    line = re.compile(r"^::\w+ title=(.+?),file=(.+?),line=(\d+),endLine=\d+,col=(\d+),endColumn=\d+::", re.MULTILINE)
    told = Counter(
        (rule, os.path.relpath(unquote(path), tree), int(row), int(column))
        for rule, path, row, column in line.findall(printed)
    )
    found = places(result)
    for without_place in (("lint", "huge.js", 0, 0), ("fs/io", "latin.js", 0, 0)):  # that form does not tell of them
        assert found.pop(without_place) == 1
    assert found == told, result
    assert len(result.issues) > 200
    assert {path for _, path, _, _ in told} >= {"a folder (new)/with, CRLF.js", "[id].js", "broken.js"}


@pytest.mark.parametrize("name", sorted(RELEASES))
def test_biome_format(tree: Path, tmp_path: Path):
    """Against what it changes when it is let."""
    (tree / "biome.json").write_text("{}\n")
    (tree / "package.json").write_text('{ "name": "x" }\n')
    result = run_check(project_of(tree, "javascript"), "biome-format", tmp_path / "run", timeout_s=200)
    shutil.copytree(tree, tmp_path / "copy", symlinks=True)
    run(tmp_path / "copy", tree / "node_modules" / ".bin" / "biome", "format", "--write", ".")
    files = [str(path.relative_to(tree)) for path in tree.rglob("*.js") if "node_modules" not in path.parts]
    changed = {path for path in files if (tree / path).read_bytes() != (tmp_path / "copy" / path).read_bytes()}
    assert {issue.path for issue in result.issues if issue.safe_fix} == changed
    assert len(changed) > 15
    told = {(issue.rule, issue.path) for issue in result.issues if not issue.safe_fix}
    assert told >= {("fs/io", "latin.js"), ("parse", "broken.js")}
    broken = {path for rule, path in told if rule == "parse"}  # the first and last pieces of jquery are
    assert {path for _, path in told} - broken == {"latin.js", "huge.js"}


@pytest.mark.parametrize("name", sorted(RELEASES))
def test_oxlint(tree: Path, tmp_path: Path):
    (tree / ".oxlintrc.json").write_text('{"categories": {"style": "warn", "pedantic": "error"}}')
    result = run_check(project_of(tree, "javascript"), "oxlint", tmp_path / "run", timeout_s=200)
    printed = run(
        tree, tree / "node_modules" / ".bin" / "oxlint", "--format=unix", "--ignore-pattern=node_modules", "."
    )
    line = re.compile(r"^(.+?):(\d+):(\d+): .* \[(?:Error|Warning)(?:/(.+))?\]$", re.MULTILINE)
    told = Counter(
        (rule or "parse-error", path, int(row), int(column)) for path, row, column, rule in line.findall(printed)
    )
    found = places(result)
    assert found.pop(("io", "latin.js", 0, 0)) == 1  # of which that form does not tell
    assert found == told
    assert len(result.issues) > 500
    total = re.search(r"^(\d+) problems?", printed, re.MULTILINE)
    assert total is not None
    assert int(total[1]) == len(result.issues)


@pytest.mark.parametrize("compiler", ["typescript", "typescript7"])
@pytest.mark.parametrize("name", sorted(TYPED))
def test_tsc(name: str, compiler: str, with_node: Path, tmp_path: Path):
    tree = tmp_path / name
    shutil.copytree(
        npm_release(name, TYPED[name]) / "src", tree / "src", ignore=shutil.ignore_patterns("tsconfig.json")
    )
    (tree / "package.json").write_text('{"name": "x"}')
    (tree / "src" / "a folder (1)").mkdir()
    (tree / "src" / "a folder (1)" / "with, CRLF.ts").write_bytes(
        b"export const a = 1;\r\nexport const b: string = a;\r\n"
    )
    (tree / "src" / "latin.ts").write_bytes('export const n = "é"; export const m: number = n;\n'.encode("latin-1"))
    options = {"strict": True, "noUnusedLocals": True, "noUnusedParameters": True, "noUncheckedIndexedAccess": True,
               "exactOptionalPropertyTypes": True, "noImplicitOverride": True, "verbatimModuleSyntax": True,
               "noPropertyAccessFromIndexSignature": True, "types": [], "skipLibCheck": True}  # fmt: skip
    (tree / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "include": ["src"]}))
    (tree / "node_modules" / ".bin").mkdir(parents=True)
    (tree / "node_modules" / ".bin" / "tsc").symlink_to(with_node / compiler / "bin" / "tsc")
    result = run_check(project_of(tree, "javascript"), "tsc", tmp_path / "run", timeout_s=200)
    printed = run(tree, tree / "node_modules" / ".bin" / "tsc", "--noEmit", "--pretty")
    printed = re.sub(r"\x1b\[[0-9;]*m", "", printed)
    line = re.compile(r"^(src/.+?):(\d+):(\d+) - error (TS\d+): ", re.MULTILINE)
    told = Counter((rule, path, int(row), int(column)) for path, row, column, rule in line.findall(printed))
    assert places(result) == told
    total = re.search(r"^Found (\d+) errors in (\d+) files\.", printed, re.MULTILINE)
    assert total is not None
    assert len(result.issues) == int(total[1]) > 100
    assert len({issue.path for issue in result.issues}) == int(total[2])
    again = run_check(project_of(tree, "javascript"), "tsc", tmp_path / "run", timeout_s=200)
    assert places(again) == told  # with its memory of the first run
    assert sorted(os.listdir(tree)) == ["node_modules", "package.json", "src", "tsconfig.json"]


TESTS = """
for (let group = 0; group < 12; group++) {
    describe("group " + group, () => {
        it.each([1, 2, 3, 4])("each %i", (n) => { expect(n).not.toBe(group); });
        describe("inner › of :: it", () => {
            it("twice", () => {});
            it("twice", () => { if (group === 5) throw new Error("five"); });
        });
        it.skip("skipped", () => {});
        it.todo("later");
    });
}
"""


def suites(place: Path, kind: str) -> None:
    """Projects of 84 tests a file, in files with hard names, with one that cannot be loaded."""
    (place / "src").mkdir(parents=True)
    head = 'import { describe, expect, it } from "vitest";\n' if kind == "vitest" else ""
    module = ', "type": "module"' if kind == "vitest" else ""
    (place / "package.json").write_text(f'{{"name": "x"{module}, "devDependencies": {{"{kind}": "*"}}}}')
    for name in ("a.test.js", "with space (1).spec.js", "[id].test.js"):
        (place / "src" / name).write_text(head + TESTS)
    (place / "src" / "crlf.test.js").write_bytes((head + TESTS).replace("\n", "\r\n").encode())
    (place / "src" / "broken.test.js").write_text(head + "it('x', (;\n")


@pytest.mark.parametrize("kind", ["vitest", "jest"])
def test_totals_of_tests(kind: str, with_node: Path, tmp_path: Path):
    tree = tmp_path / kind
    suites(tree, kind)
    (tree / "node_modules").symlink_to(with_node)
    result = run_check(project_of(tree, "javascript"), kind, tmp_path / "run", timeout_s=200)
    assert result.tests is not None, result
    ends = Counter(test.end for test in result.tests)
    if kind == "vitest":
        words = ["run", "--reporter=junit", f"--outputFile={tmp_path / 'junit.xml'}", "--cache=false"]
        run(tree, tree / "node_modules" / ".bin" / "vitest", *words)
        root = ET.parse(tmp_path / "junit.xml").getroot()
        total, failed = int(root.attrib["tests"]), int(root.attrib["failures"])
        skipped = sum(int(suite.attrib["skipped"]) for suite in root)
        assert len(result.tests) == total == 4 * 96 + 1
        assert ends["failed"] + ends["error"] == failed
        assert ends["skipped"] == skipped
    else:
        env = {"PATH": os.environ["PATH"], "NO_COLOR": "1", "CI": "true"}
        words = ["--ci", "--watchman=false", f"--cacheDirectory={tmp_path / 'jest'}"]
        done = subprocess.run(
            [tree / "node_modules" / ".bin" / "jest", *words],
            cwd=tree,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        summary = re.search(r"^Tests: .*$", done.stderr, re.MULTILINE)
        assert summary is not None
        totals = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", summary[0])}
        assert totals.pop("total") == 4 * 96 == len(result.tests) - 1
        assert totals == {"failed": ends["failed"], "passed": ends["passed"], "skipped": 4 * 12, "todo": 4 * 12}
        assert ends["skipped"] == 2 * 4 * 12
    assert ends["error"] == 1
    assert len({test.id for test in result.tests}) == len(result.tests)
    assert len(result.issues) == ends["failed"] + ends["error"]


def test_coverage_against_its_own_summary(with_node: Path, tmp_path: Path):
    """Lines as the summaries of vitest and jest count them."""
    for kind in ("vitest", "jest"):
        tree = tmp_path / kind
        suites(tree, kind)
        (tree / "src" / "broken.test.js").unlink()
        (tree / "node_modules").symlink_to(with_node)
        source = npm_release("should", RELEASES["should"]) / "lib"
        shutil.copytree(source, tree / "lib")
        if kind == "jest":
            (tree / "src" / "lib.test.js").write_text('require("../lib/should"); it("loads", () => {});\n')
        project = project_of(tree, "javascript")
        run_check(project, kind, tmp_path / f"run-{kind}", timeout_s=200)
        result = run_check(project, f"{kind}-coverage", tmp_path / f"cover-{kind}", reads=tmp_path / f"run-{kind}")
        assert result.coverage is not None, result
        words = [
            *("run", "--coverage.enabled", "--coverage.reporter=json-summary", "--coverage.reportOnFailure"),
            *(f"--coverage.reportsDirectory={tmp_path / 'summary'}", "--coverage.include=**/*.js", "--cache=false"),
        ]
        if kind == "jest":
            words = [
                *("--ci", "--watchman=false", "--coverage", "--coverageReporters=json-summary"),
                *(f"--coverageDirectory={tmp_path / 'summary'}", f"--cacheDirectory={tmp_path / 'jest'}"),
                *("--collectCoverageFrom=**/*.js", "--collectCoverageFrom=!**/node_modules/**"),
            ]
        run(tree, tree / "node_modules" / ".bin" / kind, *words)
        summary = json.loads((tmp_path / "summary" / "coverage-summary.json").read_text())
        total = summary.pop("total")["lines"]
        assert (result.coverage.lines, result.coverage.covered) == (total["total"], total["covered"])
        assert total["total"] > 100
        assert {file.path: (file.lines, file.lines - len(file.missing)) for file in result.coverage.files} == {
            os.path.relpath(path, tree): (told["lines"]["total"], told["lines"]["covered"])
            for path, told in summary.items()
        }
