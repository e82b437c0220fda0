"""Which tools of JavaScript apply, where they are found and started, and what configurations do to their results."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import msgspec
import pytest

from air_executor.fixing.check import CouldNotRun, Project, Selection, Tool
from air_executor.fixing.checking import sandbox
from air_executor.fixing.checking.running import Options, run_checks, skipped_checks
from air_executor.fixing.languages import languages
from air_executor.fixing.projects import find_projects
from air_executor.fixing.tools.node import read_json
from tests.fixing.conftest import Write, check_named, program, project_of, run_check

PACKAGE = '{"name": "thing", "type": "module"}'
FLAT = 'import js from "@eslint/js";\nexport default [js.configs.recommended];\n'
VITEST = '{"name": "thing", "type": "module", "devDependencies": {"vitest": "*"}}'
TEST = 'import { expect, test } from "vitest";\ntest("one", () => { expect(1).toBe(1); });\n'


def applying(project: Project) -> list[str]:
    checks = languages()["javascript"].checks
    return [check.name for check in checks if check.kind != "metrics" and check.applies(project)]


def projects(place: Path) -> dict[str, Project]:
    return {one.root: one for one in find_projects(place) if one.language == "javascript"}


def linked(place: Path, modules: Path) -> Path:
    (place / "node_modules").symlink_to(modules)
    return place


OXLINT = {".oxlintrc.json": ""}
CHECKED_JS = '{"compilerOptions": {"checkJs": true}}'
BIOME = ["biome", "biome-format"]
COVERED = ["vitest", "vitest-coverage"]


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"a.js": ""}, ["oxlint"]),
        ({"a.js": "", "eslint.config.js": ""}, ["eslint"]),
        ({"a.js": "", ".eslintrc.yml": ""}, ["eslint"]),
        ({"a.js": "", "package.json": '{"name": "a", "eslintConfig": {}}'}, ["eslint"]),
        ({"a.js": "", "biome.jsonc": "{/* all */}"}, BIOME),
        ({"a.js": "", "biome.json": '{"formatter": {"enabled": false}}'}, ["biome"]),
        ({"a.js": "", "biome.json": '{"linter": {"enabled": false}}'}, ["biome-format"]),
        ({"a.js": "", "biome.json": "{}"} | OXLINT, [*BIOME, "oxlint"]),
        ({"a.ts": "", "tsconfig.json": "{}", "eslint.config.js": ""}, ["eslint", "tsc"]),
        ({"a.js": "", "tsconfig.json": "{}", "eslint.config.js": ""}, ["eslint"]),
        ({"a.js": "", "jsconfig.json": CHECKED_JS} | OXLINT, ["oxlint", "tsc"]),
        ({"a.js": "", "package.json": VITEST, "biome.json": "{}"}, [*BIOME, *COVERED]),
        ({"a.js": "", "vite.config.js": "export default { test: {} }"} | OXLINT, ["oxlint", *COVERED]),
        ({"a.js": "", "vite.config.js": "export default { build: {} }"} | OXLINT, ["oxlint"]),
        (
            {"a.js": "", "package.json": '{"name": "a", "scripts": {"test": "tsc && jest --ci"}}'} | OXLINT,
            ["oxlint", "jest", "jest-coverage"],
        ),
        ({"a.js": "", "package.json": '{"name": "a", "scripts": {"test": "my-jest"}}'} | OXLINT, ["oxlint"]),
    ],
)
def test_which_apply(repository: Write, files: dict[str, str], wanted: list[str]):
    place = repository({"package.json": PACKAGE, **files})
    assert applying(project_of(place, "javascript")) == wanted


def test_a_script_among_other_languages_is_no_project_to_check(repository: Write):
    place = repository({"docs/a.js": "", "pyproject.toml": "[project]\nname = 'a'\n"})
    assert applying(project_of(place, "javascript")) == []


def test_what_loads_code(repository: Write):
    place = repository(
        {"package.json": VITEST, "a.ts": "", "eslint.config.js": "", "biome.json": "", "tsconfig.json": ""}
    )
    options = Options(mode="static")
    assert {one.check for one in skipped_checks(find_projects(place), options)} == {
        "javascript/eslint", "javascript/vitest", "javascript/vitest-coverage",
    }  # fmt: skip
    oxlint = check_named("javascript", "oxlint")
    assert not oxlint.loads_code(project_of(place, "javascript"))
    for name, content in ((".oxlintrc.json", '{"jsPlugins": ["./mine.js"]}'), ("oxlint.config.ts", "")):
        place = repository({"package.json": PACKAGE, "a.js": "", name: content}, folder=name)
        assert oxlint.loads_code(project_of(place, "javascript"))


def test_the_projects_own_before_path(repository: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    place = repository(
        {"package.json": '{"name": "r", "workspaces": ["m/*"]}', "m/a/package.json": PACKAGE, "m/a/a.js": ""}
    )
    project = projects(place)["m/a"]
    oxlint = check_named("javascript", "oxlint")
    with pytest.raises(CouldNotRun, match="none is configured"):
        oxlint.find(project)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    mine = program(tmp_path / "bin" / "oxlint", "#!/bin/sh\n")
    assert oxlint.find(project) == Tool((str(mine),), None, False)
    of_workspace = program(place / "node_modules" / ".bin" / "oxlint", "#!/bin/sh\n")
    assert oxlint.find(project) == Tool((str(of_workspace),), None, True)
    own = program(place / "m" / "a" / "node_modules" / ".bin" / "oxlint", "#!/bin/sh\n")
    assert oxlint.find(project) == Tool((str(own),), None, True)
    assert oxlint.find(msgspec.structs.replace(project, own_programs=False)) == Tool((str(mine),), None, False)


def test_projects_and_workspaces(repository: Write):
    place = repository(
        {
            "package.json": '{"name": "root"}',
            "pnpm-workspace.yaml": "packages:\n  - 'packages/**'\n  - '!packages/old'\n",
            "index.js": "",
            "packages/a/package.json": '{"name": "a"}',
            "packages/a/src/a.ts": "",
            "packages/a/esm/package.json": '{"type": "module", "main": "a.js"}',
            "packages/a/esm/a.js": "",
            "packages/a/part/package.json": '{"name": "a/part", "main": "a.js"}',
            "packages/a/part/a.vue": "",
            "packages/old/package.json": '{"name": "old"}',
            "packages/old/o.mjs": "",
            "node_modules/dep/package.json": '{"name": "dep"}',
            "node_modules/dep/d.js": "",
            "tools/t.cts": "",
        }
    )
    found = projects(place)
    assert {root: one.files for root, one in found.items()} == {
        ".": ("index.js", "tools/t.cts"),
        "packages/a": ("packages/a/esm/a.js", "packages/a/part/a.vue", "packages/a/src/a.ts"),
        "packages/old": ("packages/old/o.mjs",),
    }
    assert (found["packages/a"].workspace, found["packages/old"].workspace) == (".", None)
    assert found["."].nested == ("packages/a", "packages/old")


def test_workspaces_of_npm_and_yarn(repository: Write):
    for number, given in enumerate(('["m/*"]', '{"packages": ["m/*"]}')):
        files = {"package.json": f'{{"workspaces": {given}}}', "m/a/package.json": PACKAGE, "m/a/a.js": ""}
        assert projects(repository({**files}, folder=str(number)))["m/a"].workspace == "."


def test_json_as_people_write_it(repository: Write):
    place = repository(
        {"a.json": '{ // one, "two"\n "a//b": "/* no */", /* [,] */ "c": [1, 2, /* x */ ], }', "b.json": "{"}
    )
    assert read_json(place / "a.json") == {"a//b": "/* no */", "c": [1, 2]}
    assert read_json(place / "b.json") is None
    assert read_json(place / "none.json") is None


def test_eslint_of_the_old_kind(repository: Write, with_node: Path, tmp_path: Path):
    """Which files it looks at the project's own script says; its own rules hold in folders below."""
    place = repository(
        {
            "package.json": '{"name": "a", "scripts": {"lint": "tsc && eslint --ext .js,.ts src"}}',
            ".eslintrc.json": '{"root": true, "rules": {"no-debugger": 1}, "ignorePatterns": ["left/"]}',
            "src/a.js": "debugger\n",
            "src/b.ts": "debugger\n",
            "src/c.mts": "debugger\n",
            "left/d.js": "debugger\n",
            "in/.eslintrc.yml": "rules: {no-debugger: 2}\n",
            "in/e.js": "debugger\n",
            "nested/package.json": '{"name": "nested"}',
            "nested/f.js": "debugger\n",
        }
    )
    (place / "node_modules" / ".bin").mkdir(parents=True)
    (place / "node_modules" / ".bin" / "eslint").symlink_to(with_node / "eslint8" / "bin" / "eslint.js")
    result = run_check(project_of(place, "javascript"), "eslint", tmp_path / "run")
    assert result.version == "8.57.1"
    found = {(issue.path, issue.rule, issue.severity) for issue in result.issues}
    assert found == {
        ("src/a.js", "no-debugger", "warning"),
        ("src/b.ts", "no-debugger", "warning"),
        ("in/e.js", "no-debugger", "error"),
    }


def test_eslint_looks_at_no_file(repository: Write, with_node: Path, tmp_path: Path):
    files = {
        "package.json": PACKAGE,
        "src/a.js": "debugger\n",
        "eslint.config.js": 'export default [{ ignores: ["**"] }];',
    }
    place = linked(repository({**files}), with_node)
    result = run_check(project_of(place, "javascript"), "eslint", tmp_path / "run")
    assert (result.outcome, result.reason) == (
        "could_not_run",
        "eslint's configuration leaves it no file of this project",
    )


def test_eslint_tells_of_directives_and_fixes(repository: Write, with_node: Path, tmp_path: Path):
    files = {
        "package.json": PACKAGE,
        "eslint.config.js": """
            export default [
                { rules: { "no-extra-boolean-cast": 1 }, linterOptions: { reportUnusedDisableDirectives: "error" } },
            ];
        """,
        "src/a.js": "// eslint-disable-next-line no-alert\nexport const a = 1;\nif (!!a) { a; }\n",
    }
    place = linked(repository({**files}), with_node)
    result = run_check(project_of(place, "javascript"), "eslint", tmp_path / "run")
    found = [(one.rule, one.severity, one.line, one.safe_fix) for one in result.issues]
    assert found == [("directive", "error", 1, True), ("no-extra-boolean-cast", "warning", 3, True)]
    assert result.issues[1].url is not None
    assert result.issues[1].url.endswith("/no-extra-boolean-cast")


def test_a_command_line_too_long_for_all_files(
    repository: Write, with_node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("air_executor.fixing.tools.eslint.LIST_LIMIT", 20)
    files = {"package.json": PACKAGE, "eslint.config.js": FLAT, "src/a.js": "debugger;\n"}
    files |= {"m/package.json": PACKAGE, "m/b.js": "debugger;\n"}
    place = linked(repository({**files}), with_node)
    project = project_of(place, "javascript")
    command = check_named("javascript", "eslint").command(project, Tool(("eslint",), "10.15.0", True))
    assert command is not None
    assert command.argv[-2:] == ("--ignore-pattern=/m/", ".")
    result = run_check(project, "eslint", tmp_path / "run")
    assert [(issue.path, issue.rule) for issue in result.issues] == [("src/a.js", "no-debugger")]


def test_biome_tells_of_fixes(repository: Write, with_node: Path, tmp_path: Path):
    rules = {"preset": "none", "style": {"useConst": "warn"}, "suspicious": {"noDebugger": "error"}}
    files = {"package.json": PACKAGE, "biome.json": json.dumps({"linter": {"rules": rules}})}
    files["a/a.js"] = "let a = 1;\ndebugger;\nexport { a };\n"
    place = linked(repository({**files}), with_node)
    result = run_check(project_of(place, "javascript"), "biome", tmp_path / "run")
    found = [(one.rule, one.severity, one.line, one.column, one.safe_fix) for one in result.issues]
    assert found == [
        ("lint/style/useConst", "warning", 1, 1, True),
        ("lint/suspicious/noDebugger", "error", 2, 1, False),
    ]


def test_biomes_configuration_of_a_workspace(repository: Write, with_node: Path, tmp_path: Path):
    files = {"package.json": '{"name": "r", "workspaces": ["m/*"]}', "biome.json": "{}", "b.js": "debugger;\n"}
    files |= {"m/a/package.json": PACKAGE, "m/a/x/a.js": "debugger;\n"}
    place = linked(repository({**files}), with_node)
    for root, wanted in ((".", ["b.js"]), ("m/a", ["m/a/x/a.js"])):
        result = run_check(projects(place)[root], "biome", tmp_path / f"run{root[-1]}")
        assert [issue.path for issue in result.issues] == wanted


def test_biomes_json_of_old(repository: Write, tmp_path: Path):
    """As version 1.9 wrote it: spans of bytes instead of lines."""
    place = repository({"package.json": PACKAGE, "biome.json": "{}", "ä.js": "const ä = 1;\ndebugger;\n"})
    one = {
        "category": "lint/suspicious/noDebugger",
        "severity": "error",
        "description": "This is an unexpected use.",
        "message": [{"elements": [], "content": "This is an unexpected use."}],
        "advices": {"advices": []},
        "location": {"path": {"file": "ä.js"}, "span": [14, 23], "sourceCode": None},
        "tags": ["fixable"],
    }
    summary = {"changed": 0, "unchanged": 1, "errors": 1, "warnings": 0, "diagnosticsNotPrinted": 0}
    report = {"summary": summary, "diagnostics": [one], "command": "lint"}
    told = f"cat <<'END'\n{json.dumps(report)}\nEND\nexit 1\n"
    text = f"#!/bin/sh\n[ $1 = lint ] || {{ echo Version: 1.9.4; exit; }}\n{told}"
    program(place / "node_modules" / ".bin" / "biome", text)
    result = run_check(project_of(place, "javascript"), "biome", tmp_path / "run")
    (issue,) = result.issues
    assert (issue.path, issue.line, issue.column, issue.message) == ("ä.js", 2, 1, "This is an unexpected use.")


def test_oxlint_passes_over_packages_and_nested_projects(repository: Write, with_node: Path, tmp_path: Path):
    files = {"package.json": PACKAGE, "a.js": "debugger;\n", "m/package.json": PACKAGE, "m/b.js": "debugger;\n"}
    place = linked(repository({**files}), with_node)
    result = run_check(project_of(place, "javascript"), "oxlint", tmp_path / "run")
    assert [(one.path, one.severity, one.line) for one in result.issues] == [("a.js", "warning", 1)]
    assert result.duration_s < 30


REFERENCES = {
    "package.json": PACKAGE,
    "tsconfig.json": '{"files": [], "references": [{"path": "./tsconfig.app.json"}, {"path": "./node"}]}',
    "tsconfig.app.json": '{"compilerOptions": {"strict": true, "types": []}, "include": ["app", "shared"]}',
    "node/tsconfig.json": '{"compilerOptions": {"strict": false, "types": []}, "include": [".", "../shared"]}',
    "app/a.ts": "export const a: number = null;\n",
    "node/n.ts": "export const n: number = null;\nexport const m: string = 1;\n",
    "shared/s.ts": "export const s: string = 1;\n",
}


@pytest.mark.parametrize("compiler", ["typescript", "typescript7"])
def test_references_of_tsc(repository: Write, with_node: Path, tmp_path: Path, compiler: str):
    """A configuration that only refers to others checks nothing by itself, and would be taken for clean."""
    place = repository({**REFERENCES, "left.ts": ""})
    (place / "node_modules" / ".bin").mkdir(parents=True)
    (place / "node_modules" / ".bin" / "tsc").symlink_to(with_node / compiler / "bin" / "tsc")
    before = sorted(place.rglob("*"))
    for _ in range(2):
        result = run_check(project_of(place, "javascript"), "tsc", tmp_path / "run")
        found = [(one.path, one.line, one.rule) for one in result.issues]
        assert found == [("app/a.ts", 1, "TS2322"), ("node/n.ts", 2, "TS2322"), ("shared/s.ts", 1, "TS2322")]
        assert result.note == "no tsconfig.json of the project includes left.ts"
    assert sorted(place.rglob("*")) == before


def test_tsc_needs_what_is_built(repository: Write, with_node: Path, tmp_path: Path):
    composite = '{"compilerOptions": {"composite": true, "types": []}, "include": ["."], "references": [%s]}'
    files = {
        "package.json": PACKAGE,
        "tsconfig.json": '{"files": [], "references": [{"path": "./app"}]}',
        "lib/tsconfig.json": composite % "",
        "lib/a.ts": "export const a = 1;\n",
        "app/tsconfig.json": composite % '{"path": "../lib"}',
        "app/b.ts": 'import { a } from "../lib/a";\nexport const b = a;\n',
    }
    place = linked(repository({**files}), with_node)
    result = run_check(project_of(place, "javascript"), "tsc", tmp_path / "run")
    assert result.outcome == "could_not_run"
    assert result.mend == "build it first: `npx tsc --build`"


def test_tsc_without_packages(repository: Write, with_node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Imports that are not found because nothing is installed are no errors of the code."""
    files = {
        "package.json": PACKAGE,
        "tsconfig.json": '{"compilerOptions": {"types": []}}',
        "a.ts": 'import "dep";\n',
    }
    place = repository({**files})
    monkeypatch.setenv("PATH", f"{with_node / '.bin'}{os.pathsep}{os.environ['PATH']}")
    project = project_of(place, "javascript")
    assert run_check(project, "tsc", tmp_path / "one").reason is None  # nothing is imported by that form
    (place / "a.ts").write_text('import { dep } from "dep";\nexport const a: number = dep;\n')
    result = run_check(project, "tsc", tmp_path / "two")
    assert (result.outcome, "no packages are installed" in str(result.reason)) == ("could_not_run", True)
    (place / "node_modules").mkdir()
    result = run_check(project, "tsc", tmp_path / "three")
    assert [(one.path, one.rule) for one in result.issues] == [("a.ts", "TS2307")]


def test_errors_outside_of_tests(repository: Write, with_node: Path, tmp_path: Path):
    """vitest's JSON does not hold them."""
    late = """
        import { test } from "vitest";
        test("late", async () => {
            setTimeout(() => { throw new Error("too late"); }, 1);
            await new Promise((done) => setTimeout(done, 200));
        });
    """
    place = linked(repository({"package.json": VITEST, "src/late.test.js": late, "src/a.test.js": TEST}), with_node)
    result = run_check(project_of(place, "javascript"), "vitest", tmp_path / "run")
    found = [(one.rule, one.path, one.message) for one in result.issues]
    assert found == [("unhandled-error", "src/late.test.js", "too late")]
    assert [test.end for test in result.tests or []] == ["passed", "passed"]


MANY = """
    describe("outer", () => {
        it("a.b (c)", () => {});
        it("twice", () => {});
        it("twice", () => {});
        it.each([1, 2])("each %i :: $x", () => {});
        it("fails", () => { throw new Error("always"); });
    });
"""


@pytest.mark.parametrize("kind", ["vitest", "jest"])
def test_chosen_tests(repository: Write, with_node: Path, tmp_path: Path, kind: str):
    head = 'import { describe, it } from "vitest";\n' if kind == "vitest" else ""
    module = '"type": "module", ' if kind == "vitest" else ""
    files = {
        "package.json": f'{{"name": "a", {module}"devDependencies": {{"{kind}": "*"}}}}',
        "src/[id] a.test.js": head + MANY,
        "src/b.test.js": head + MANY,
    }
    place = linked(repository({**files}), with_node)
    project = project_of(place, "javascript")
    result = run_check(project, kind, tmp_path / "all")
    ids = [test.id for test in result.tests or []]
    assert len(ids) == 12
    wanted = (ids[0], ids[2], ids[4])
    assert wanted[1].endswith("::twice#1")
    chosen = msgspec.structs.replace(project, selection=Selection(tests=wanted, seed=3))
    result = run_check(chosen, kind, tmp_path / "chosen")
    ended = {test.id: test.end for test in result.tests or []}
    assert (result.outcome, ended) == ("ok", dict.fromkeys(wanted, "passed")), result
    failing = next(one for one in ids if one.startswith("src/b") and one.endswith("fails"))
    again = msgspec.structs.replace(project, selection=Selection(tests=(failing,)))
    result = run_check(again, kind, tmp_path / "again")
    assert [(test.id, test.end) for test in result.tests or []] == [(failing, "failed")]
    none = msgspec.structs.replace(project, selection=Selection(tests=("src/none.test.js::x",)))
    assert run_check(none, kind, tmp_path / "none").outcome == "could_not_run"


@pytest.mark.parametrize("kind", ["vitest", "jest"])
def test_tests_of_a_workspace(repository: Write, with_node: Path, tmp_path: Path, kind: str):
    """Configured at the root only: each project runs its own tests, and none those of another."""
    one = TEST if kind == "vitest" else 'test("one", () => {});\n'
    module = '"type": "module", ' if kind == "vitest" else ""
    files = {
        "package.json": f'{{"name": "r", {module}"workspaces": ["m/*"], "devDependencies": {{"{kind}": "*"}}}}',
        "m/a/package.json": f'{{{module}"name": "a"}}',
        "m/a/src/a.test.js": one,
        "m/ab/package.json": f'{{{module}"name": "ab"}}',
        "m/ab/src/b.test.js": one,
        "m/c/package.json": f'{{{module}"name": "c"}}',
        "m/c/c.js": "",
        "top.test.js": one,
    }
    place = linked(repository({**files}), with_node)
    found = projects(place)
    ran = {}
    for root, project in found.items():
        if kind in applying(project):
            result = run_check(project, kind, tmp_path / root.replace("/", "-"))
            ran[root] = [test.id for test in result.tests or []]
    assert ran == {".": ["top.test.js::one"], "m/a": ["m/a/src/a.test.js::one"], "m/ab": ["m/ab/src/b.test.js::one"]}


def test_coverage_counts_what_no_test_imports(repository: Write, with_node: Path, tmp_path: Path):
    files = {
        "package.json": VITEST,
        "src/a.js": "export const a = () => {\n  return 1;\n};\n",
        "src/a.test.js": 'import { test } from "vitest";\nimport { a } from "./a.js";\ntest("a", () => { a(); });\n',
        "src/never.js": "export const never = () => {\n  return 1;\n};\n",
        "x.config.js": "export default {};\n",
    }
    place = linked(repository({**files}), with_node)
    project = project_of(place, "javascript")
    for folder, wanted in (("one", {"src/a.js", "src/never.js"}), ("two", {"src/a.js"})):
        run_check(project, "vitest", tmp_path / folder)
        result = run_check(project, "vitest-coverage", tmp_path / f"{folder}c", reads=tmp_path / folder)
        assert result.coverage is not None
        assert {file.path for file in result.coverage.files} == wanted
        config = 'export default { test: { coverage: { include: ["src/a.js"] } } };\n'
        (place / "vitest.config.js").write_text(config)


def copy_packages(name: str, source: Path, target: Path, *others: str) -> None:
    """A package with its program, and all that it needs; links to them would lead nowhere in the sandbox."""
    waiting, seen = [name, *others], set[str]()
    while waiting:
        package = waiting.pop()
        place = source / package
        if package in seen or not place.is_dir():  # optional ones are for other systems
            continue
        seen.add(package)
        shutil.copytree(place, target / package, symlinks=True)
        for manifest in (place / "package.json", *place.glob("**/node_modules/**/package.json")):
            told = json.loads(manifest.read_text())
            for kind in ("dependencies", "optionalDependencies", "peerDependencies"):
                waiting += told.get(kind, ())
    (target / ".bin").mkdir()
    (target / ".bin" / name).symlink_to((source / ".bin" / name).readlink())


@pytest.mark.skipif(sandbox.available() is not None, reason=str(sandbox.available()))
@pytest.mark.parametrize("kind", ["eslint", "vitest", "jest"])
def test_in_the_sandbox(repository: Write, with_node: Path, tmp_path: Path, kind: str):
    """Where the packages cannot be written to, and there is no network."""
    files = {
        "eslint": {"package.json": PACKAGE, "eslint.config.js": FLAT, "a.js": "debugger;\n"},
        "vitest": {"package.json": VITEST, "vitest.config.js": "export default { test: {} };\n", "a.test.js": TEST},
        "jest": {"package.json": '{"name": "a", "jest": {}}', "a.test.js": 'test("one", () => {});\n'},
    }[kind]
    place = repository({**files})
    copy_packages(kind, with_node, place / "node_modules", "@eslint/js")
    before = sorted(place.rglob("*"))
    result = run_check(project_of(place, "javascript"), kind, tmp_path / "run", sandboxed=True)
    assert result.reason is None, result
    assert (len(result.issues), len(result.tests or [])) == ((1, 0) if kind == "eslint" else (0, 1))
    assert sorted(place.rglob("*")) == before


def test_a_whole_run_is_cached(repository: Write, with_node: Path, tmp_path: Path):
    files = {"package.json": PACKAGE, "eslint.config.js": FLAT, "biome.json": "{}", "a.js": "debugger;\n"}
    place = linked(repository({**files}), with_node)
    options = Options(mode="trusted", only=frozenset({"eslint", "biome"}))
    for cached in (False, True):
        results = run_checks(find_projects(place), options, folder=tmp_path / "cache")
        assert [(one.check, one.outcome, one.cached) for one in results] == [
            ("javascript/eslint", "findings", cached), ("javascript/biome", "findings", cached),
        ]  # fmt: skip
