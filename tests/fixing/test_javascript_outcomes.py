"""Every check of JavaScript in every situation a tool can be in: only a clean project is ever taken for clean."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from air_executor.fixing.outcome import CheckResult
from tests.fixing.conftest import Write, program, project_of, run_check
from tests.fixing.outcomes import Misbehaving, Situation, could_not

CHECKS = ("eslint", "biome", "biome-format", "oxlint", "tsc", "vitest", "vitest-coverage", "jest", "jest-coverage")
PACKAGE = '{"name": "thing", "type": "module"}'
THING = "export function one() {\n\treturn 1;\n}\n"
ESLINT = """
    import js from "@eslint/js";
    globalThis.console.log("{[ what a configuration prints");
    export default [js.configs.recommended];
"""
VITEST = {
    "package.json": '{"name": "thing", "type": "module", "devDependencies": {"vitest": "*"}}',
    "src/thing.js": THING,
    "src/thing.test.js": """
        import { expect, test } from "vitest";
        import { one } from "./thing.js";
        test("one", () => {
            expect(one()).toBe(1);
        });
    """,
}
JEST = {
    "package.json": '{"name": "thing", "jest": {}}',
    "src/thing.js": "exports.one = () => {\n\treturn 1;\n};\n",
    "src/thing.test.js": """
        const { one } = require("./thing.js");
        test("one", () => {
            expect(one()).toBe(1);
        });
    """,
}
CLEAN: dict[str, dict[str, str]] = {
    "eslint": {"package.json": PACKAGE, "src/thing.js": THING, "eslint.config.js": ESLINT},
    "biome": {"package.json": PACKAGE, "src/thing.js": THING, "biome.json": "{}"},
    "biome-format": {"package.json": PACKAGE, "src/thing.js": THING, "biome.json": "{}"},
    "oxlint": {"package.json": PACKAGE, "src/thing.js": THING},
    "tsc": {
        "package.json": PACKAGE,
        "tsconfig.json": '{\n// strict\n"compilerOptions": {"strict": true, "types": [],},}',
        "src/thing.ts": "export function one(): number {\n\treturn 1;\n}\n",
    },
    "vitest": VITEST,
    "vitest-coverage": VITEST,
    "jest": JEST,
    "jest-coverage": JEST,
}
FINDINGS: dict[str, dict[str, str]] = {
    "eslint": {"src/thing.js": "export function one() {\n\tif (unknown) {}\n\treturn 1;\n}\n"},
    "biome": {"src/thing.js": "export function one(a) {\n\tdebugger;\n\treturn a == 1;\n}\n"},
    "biome-format": {"src/thing.js": "export   function one() {\n\treturn 1\n}\n"},
    "oxlint": {"src/thing.js": "export function one() {\n\tdebugger;\n\treturn 1;\n}\n"},
    "tsc": {"src/thing.ts": "export function one(): number {\n\treturn '1';\n}\n"},
    "vitest": {"src/thing.js": "export function one() {\n\treturn 2;\n}\n"},
    "vitest-coverage": {"src/thing.js": THING + "export function two() {\n\treturn 2;\n}\n"},
    "jest": {"src/thing.js": "exports.one = () => {\n\treturn 2;\n};\n"},
    "jest-coverage": {"src/other.js": "exports.two = () => {\n\treturn 2;\n};\n"},
}
FOUND = {
    "eslint": [("no-empty", "src/thing.js", 2, 15), ("no-undef", "src/thing.js", 2, 6)],
    "biome": [
        ("lint/suspicious/noDebugger", "src/thing.js", 2, 2),
        ("lint/suspicious/noDoubleEquals", "src/thing.js", 3, 11),
    ],
    "biome-format": [("format", "src/thing.js", 0, 0)],
    "oxlint": [("eslint(no-debugger)", "src/thing.js", 2, 2)],
    "tsc": [("TS2322", "src/thing.ts", 2, 2)],
    "vitest": [("test-failed", "src/thing.test.js", 3, 0)],
    "vitest-coverage": [],
    "jest": [("test-failed", "src/thing.test.js", 2, 0)],
    "jest-coverage": [],
}
BROKEN = "export const broken = ;\n"
SYNTAX: dict[str, tuple[str, ...]] = {
    "eslint": ("src/broken file.js", "parse-error"),
    "biome": ("src/broken file.js", "parse"),
    "biome-format": ("src/broken file.js", "parse", "format"),
    "oxlint": ("src/broken file.js", "parse-error"),
    "tsc": ("src/broken file.ts", "TS1109"),
    "vitest": ("src/broken file.test.js", "collection-error"),
    "jest": ("src/broken file.test.js", "collection-error"),
}
CONFIG: dict[str, dict[str, str]] = {
    "eslint": {"eslint.config.js": 'export default [{ rules: { "no-undef": "perhaps" } }];'},
    "biome": {"biome.json": '{"linter": {"rules": {"no": "such"}}}'},
    "biome-format": {"biome.json": '{"formatter": {"indentStyle": "sometimes"}}'},
    "oxlint": {".oxlintrc.json": '{"rules": {"no-debugger": "perhaps"}}'},
    "tsc": {"tsconfig.json": '{"compilerOptions": {"strict": "perhaps"}}'},
    "vitest": {"vitest.config.js": 'throw new Error("of the configuration");'},
    "vitest-coverage": {"vitest.config.js": 'throw new Error("of the configuration");'},
    "jest": {"package.json": '{"name": "thing", "jest": {"preset": "no-such-preset"}}'},
    "jest-coverage": {"package.json": '{"name": "thing", "jest": {"preset": "no-such-preset"}}'},
}
PROGRAM = {name: name.removesuffix("-coverage").removesuffix("-format") for name in CHECKS}


@pytest.fixture
def checked(repository: Write, tmp_path: Path, with_node: Path) -> Situation:
    """The result of one check with the project's own tools; coverage after the tests it reads."""

    def run(name: str, files: dict[str, str], *, tools: bool = True) -> CheckResult:
        place = repository({**files})
        if tools:
            (place / "node_modules").symlink_to(with_node)
        project = project_of(place, "javascript")
        reads = None
        if name.endswith("-coverage"):
            reads = tmp_path / "read"
            run_check(project, PROGRAM[name], reads)
        return run_check(project, name, tmp_path / "run", reads=reads)

    return run


@pytest.fixture
def with_program(repository: Write, tmp_path: Path) -> Situation:
    """The result of a check whose program is the project's own and does as told."""

    def run(name: str, body: str, timeout_s: float = 30.0) -> CheckResult:
        place = repository({**CLEAN[name]})
        text = f'#!/bin/sh\ncase "$*" in *--version*) echo "{name} 99.1.0"; exit 0;; esac\n{body}\n'
        program(place / "node_modules" / ".bin" / PROGRAM[name], text)
        (place / "node_modules" / "@vitest" / "coverage-v8").mkdir(parents=True)
        project = project_of(place, "javascript")
        reads = None
        if name.endswith("-coverage"):
            reads = tmp_path / "read"
            result = run_check(project, PROGRAM[name], reads, timeout_s=timeout_s)
            assert result.outcome == "could_not_run"
            if not (reads / "outputs.json").exists():
                return run_check(project, name, tmp_path / "run", timeout_s=timeout_s, reads=reads)
        return run_check(project, name, tmp_path / "run", timeout_s=timeout_s, reads=reads)

    return run


@pytest.mark.parametrize("name", CHECKS)
def test_clean(checked: Situation, name: str):
    result = checked(name, CLEAN[name])
    assert (result.outcome, result.issues, result.reason, result.note) == ("ok", [], None, None)
    if not name.endswith("-coverage"):
        assert result.version is not None
    if name in ("vitest", "jest"):
        assert [test.id for test in result.tests or []] == ["src/thing.test.js::one"]
    if name.endswith("-coverage"):
        assert result.coverage is not None
        covered = {"vitest-coverage": (1, 1), "jest-coverage": (2, 2)}
        assert (result.coverage.covered, result.coverage.lines) == covered[name]


@pytest.mark.parametrize("name", CHECKS)
def test_findings(checked: Situation, name: str):
    result = checked(name, CLEAN[name] | FINDINGS[name])
    found = sorted((issue.rule, issue.path, issue.line, issue.column) for issue in result.issues)
    assert found == FOUND[name], result
    assert result.outcome == ("ok" if name.endswith("-coverage") else "findings")
    assert all(issue.fingerprint for issue in result.issues)
    if name.endswith("-coverage"):
        assert result.coverage is not None
        missing = {file.path: file.missing for file in result.coverage.files}
        wanted = {
            "vitest-coverage": {"src/thing.js": (5,)},
            "jest-coverage": {"src/other.js": (1, 2), "src/thing.js": ()},
        }
        assert missing == wanted[name]


@pytest.mark.parametrize("name", sorted(SYNTAX))
def test_syntax_error(checked: Situation, name: str):
    path, *rules = SYNTAX[name]
    result = checked(name, CLEAN[name] | {path: BROKEN})
    assert result.outcome == "findings", result
    assert {(issue.path, issue.rule) for issue in result.issues} == {(path, rule) for rule in rules}
    assert not any(issue.safe_fix for issue in result.issues)
    if name == "tsc":
        assert result.note is not None
        assert "until the syntax errors are gone" in result.note
    if name in ("vitest", "jest"):
        assert [(test.id, test.end) for test in result.tests or []] == [
            (f"{path}::", "error"),
            ("src/thing.test.js::one", "passed"),
        ]


@pytest.mark.parametrize("name", CHECKS)
def test_config_error(checked: Situation, name: str):
    could_not(checked(name, CLEAN[name] | CONFIG[name]))


@pytest.mark.parametrize("name", CHECKS)
def test_missing(checked: Situation, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    could_not(checked(name, CLEAN[name], tools=False), f"{PROGRAM[name]} is not there")


@pytest.mark.parametrize("name", sorted(PROGRAM.values()))
def test_node_is_missing(checked: Situation, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    could_not(checked(name, CLEAN[name]), "node is not there")


@pytest.mark.parametrize("name", sorted({*PROGRAM.values()}))
def test_not_really_there(name: str, repository: Write, tmp_path: Path):
    place = repository({**CLEAN[name]})
    program(place / "node_modules" / ".bin" / PROGRAM[name], "#!/no/such/interpreter\n")
    could_not(run_check(project_of(place, "javascript"), name, tmp_path / "run"), "cannot be started")


@pytest.mark.parametrize(
    ("name", "option"), [("eslint", "--output-file"), ("vitest", "--outputFile.json"), ("jest", "--outputFile")]
)
def test_a_flood_of_findings(with_program: Situation, name: str, option: str):
    body = f'for word; do case $word in {option}=*) head -c 300000000 /dev/zero >"${{word#*=}}" ;; esac; done; exit 0'
    could_not(with_program(name, body), "more than 64 MB")


def test_coverage_without_what_measures_it(repository: Write, tmp_path: Path):
    place = repository({**VITEST})
    program(place / "node_modules" / ".bin" / "vitest", "#!/bin/sh\necho vitest/5.1.0\n")
    result = run_check(project_of(place, "javascript"), "vitest-coverage", tmp_path / "run")
    could_not(result, "@vitest/coverage-v8")
    assert msgspec.to_builtins(result)["mend"] == "`npm install --save-dev @vitest/coverage-v8`"


class TestMisbehaving(Misbehaving):
    checks = CHECKS
    readers = frozenset(name for name in CHECKS if name.endswith("-coverage"))

    def garbage(self, name: str) -> str:
        return """
            [ -z "$AIR_EXECUTOR_VITEST_ERRORS" ] || echo '{[garbage' >"$AIR_EXECUTOR_VITEST_ERRORS"
            for word; do
                case $word in
                    --outputFile*=*|--output-file=*) echo '{[garbage' >"${word#*=}" ;;
                    --coverage*irectory=*)
                        mkdir -p "${word#*=}"
                        echo '{[garbage' >"${word#*=}/coverage-final.json" ;;
                esac
            done
            echo '{[garbage'
        """
