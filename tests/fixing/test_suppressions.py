"""The ledger: every form in every language, told apart from strings and prose, and every entry of configurations."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_executor.fixing.files import find_files
from air_executor.fixing.projects import find_projects
from air_executor.fixing.suppressions import Ledger, Suppression, ledger
from air_executor.fixing.suppressions import known as known_module
from air_executor.fixing.suppressions import ledgers as ledger_module
from air_executor.fixing.suppressions.ledgers import in_source
from air_executor.fixing.suppressions.lexing import Lexed, lex
from tests.fixing.conftest import Write
from tests.fixing.releases import release

Entry = tuple[str, int, tuple[str, ...]]


def found(path: str, text: str) -> list[Entry]:
    """Form, line and rules of what one file suppresses, in order of lines."""
    entries = in_source(path, textwrap.dedent(text).lstrip("\n"))
    assert all(not one.in_config and one.path == path for one in entries)
    return sorted((one.form, one.line, one.rules) for one in entries)


def whole(repository: Path) -> Ledger:
    files = find_files(repository)
    return ledger(repository, find_projects(repository, files=files), files.paths)


PYTHON_LINES: list[tuple[str, str, tuple[str, ...]]] = [
    ("import os  # noqa", "noqa", ()),
    ("import os  # noqa: F401", "noqa", ("F401",)),
    ("import os  # noqa:F401,E501", "noqa", ("F401", "E501")),
    ("import os  # NOQA : F401 E501", "noqa", ("F401", "E501")),
    ("import os  # noqa: F401 since it is an interface", "noqa", ("F401",)),
    ("import os  # why it is  # noqa: ABC123", "noqa", ("ABC123",)),
    ("# ruff: noqa", "ruff: noqa", ()),
    ("# ruff:noqa: F401, E501", "ruff: noqa", ("F401", "E501")),
    ("# flake8: noqa", "flake8: noqa", ()),
    ("import os  # ruff: ignore[F401]", "ruff: ignore", ("F401",)),
    ("import os  # ruff:ignore[unused-import, E501] it is used", "ruff: ignore", ("unused-import", "E501")),
    ("# ruff: file-ignore[F401]", "ruff: file-ignore", ("F401",)),
    ("# ruff: disable[F401]", "ruff: disable", ("F401",)),
    ("x: int = ''  # type: ignore", "type: ignore", ()),
    ("x: int = ''  # type:ignore[assignment, misc]", "type: ignore", ("assignment", "misc")),
    ("x: int = ''  # pyright: ignore", "pyright: ignore", ()),
    ("x: int = ''  # pyright: ignore[reportAssignmentType]", "pyright: ignore", ("reportAssignmentType",)),
    ("# pyright: reportMissingImports=false", "pyright", ("reportMissingImports=false",)),
    ("# pyright: basic", "pyright: basic", ()),
    ("x: int = ''  # ty: ignore[invalid-assignment]", "ty: ignore", ("invalid-assignment",)),
    ("# mypy: ignore-errors", "mypy: ignore-errors", ()),
    ('# mypy: disable-error-code="attr-defined, misc"', "mypy: disable-error-code", ("attr-defined", "misc")),
    ("x = a  # pylint: disable=no-member,bad-name", "pylint: disable", ("no-member", "bad-name")),
    ("# pylint: disable-next=unused-import", "pylint: disable-next", ("unused-import",)),
    ("# pylint: skip-file", "pylint: skip-file", ()),
    ("if debug:  # pragma: no cover", "pragma: no cover", ()),
    ("if debug:  # PRAGMA: NO COVER", "pragma: no cover", ()),
    ("if debug:  # pragma: no branch", "pragma: no branch", ()),
    ("eval(x)  # nosec B307", "nosec", ("B307",)),
    ("x = [1,2]  # fmt: skip", "fmt: skip", ()),
    ("# fmt: off", "fmt: off", ()),
    ("# isort: skip_file", "isort: skip_file", ()),
    ("def f():  # lizard forgives", "lizard forgives", ()),
    ("def f():  # NOSONAR", "nosonar", ()),
    ("@pytest.mark.skip", "pytest.mark.skip", ()),
    ("@pytest.mark.skipif(True, reason='x')", "pytest.mark.skipif", ()),
    ("pytestmark = [pytest.mark.xfail(strict=True)]", "pytest.mark.xfail", ()),
    ("p = pytest.param(1, marks=mark.skip)", "mark.skip", ()),
    ("@pt.mark.skip", "pt.mark.skip", ()),
    ("@u.skipIf(x, 'later')", "u.skipIf", ()),
    ("def pytest_ignore_collect(path):", "pytest_ignore_collect", ()),
    ("from pytest import (\n  raises,\n  xfail,\n); xfail('later')", "xfail", ()),
    ("    pytest.skip('not here')", "pytest.skip", ()),
    ("    pytest . xfail('it fails')", "pytest.xfail", ()),
    ("np = pytest.importorskip('numpy')", "pytest.importorskip", ()),
    ("np = importorskip('numpy')", "importorskip", ()),
    ("@unittest.skip('later')", "unittest.skip", ()),
    ("@unittest.skipUnless(x, 'later')", "unittest.skipUnless", ()),
    ("@skipIf(x, 'later')", "skipIf", ()),
    ("@expectedFailure", "expectedFailure", ()),
    ("    self.skipTest('later')", "skipTest", ()),
    ("    raise unittest.SkipTest('later')", "SkipTest", ()),
    ("    __test__ = False", "__test__ = False", ()),
    ("collect_ignore = ['setup.py']", "collect_ignore", ()),
    ("@no_type_check", "no_type_check", ()),
]  # fmt: skip


@pytest.mark.parametrize(("line", "form", "rules"), PYTHON_LINES, ids=[line for line, _, _ in PYTHON_LINES])
def test_python(line: str, form: str, rules: tuple[str, ...]):
    assert found("a.py", f"x = 1\n{line}\n") == [(form, 2 + line.count("\n"), rules)]


@pytest.mark.parametrize(
    "line",
    [
        'x = "# noqa"',
        "x = '''\n# type: ignore\n# pylint: disable=all\n'''",
        'x = f"# noqa {y}"',
        'x = r"\\"  # " pragma: no cover is what one writes',
        "# one may write noqa here, or nolint",
        "# the tool's `type: ignore` is no good",
        "# types: ignored",
        "# ruff: enable[F401]",
        "# pylint: enable=all",
        "from unittest import skip, SkipTest",
        "except unittest.SkipTest:",
        "self.mark.skipped = True",
        "x.skip()",
        "skip(x)",
        "class xfail: pass",
        "from pytest import raises\nskip(1)",
        "# eslint-disable-next-line",
    ],
)
def test_what_is_none_in_python(line: str):
    assert found("a.py", line + "\n") == []


def test_several_in_one_comment():
    line = "import os  # type: ignore[import]  # noqa: F401  # pylint: disable=unused-import\n"
    assert found("a.py", line) == [
        ("noqa", 1, ("F401",)),
        ("pylint: disable", 1, ("unused-import",)),
        ("type: ignore", 1, ("import",)),
    ]


def test_a_file_that_is_no_python():
    text = "print 'noqa'  # noqa\ndef f(:\n  '''\n# noqa\n'''\n\tif x:\n  y  # type: ignore\nx = '''# noqa\n"
    assert found("a.py", text) == [("noqa", 1, ()), ("noqa", 8, ()), ("type: ignore", 7, ())] or found(
        "a.py", text
    ) == [("noqa", 1, ()), ("type: ignore", 7, ())]


JAVASCRIPT = """
    /* eslint-disable no-console, @typescript-eslint/no-explicit-any -- because */
    /* eslint no-alert: "off", eqeqeq: [0, "always"], semi: "error" -- as it was */
    // eslint-disable-next-line no-alert -- it has to
    alert(1); // eslint-disable-line
    // @ts-ignore
    x.y = 1; // @ts-expect-error: it is so
    /* @ts-nocheck */
    /**
     * what it is
     * @ts-ignore
     */
    // biome-ignore lint/suspicious/noExplicitAny: old code
    // biome-ignore-all lint/style: old code
    // oxlint-disable-next-line no-unused-vars
    /* istanbul ignore next */
    /* c8 ignore start */
    /* v8 ignore next 3 */
    // prettier-ignore
    // $FlowFixMe[incompatible-type]
    // deno-lint-ignore no-explicit-any
    const a = "/* eslint-disable */", b = '// @ts-ignore', c = `// ${"`" /* eslint-disable-line no-x */} // @ts-x`;
    const d = /["'`/*]/.test(a), e = a / b / c; // eslint-disable-line no-div
    const f = `${ `${ {a: "}"} }` } // @ts-nocheck`; // eslint-disable-line no-e
    // one may write eslint-disable here, and @ts-ignore
    const g = <p title="it's">Don't {/* eslint-disable-line no-jsx */}</p>; // eslint-disable-line no-g
"""


def test_javascript():
    assert found("a.tsx", JAVASCRIPT) == sorted(
        [
            ("eslint-disable", 1, ("no-console", "@typescript-eslint/no-explicit-any")),
            ("eslint", 2, ('no-alert: "off"', 'eqeqeq: [0, "always"]')),
            ("eslint-disable-next-line", 3, ("no-alert",)),
            ("eslint-disable-line", 4, ()),
            ("@ts-ignore", 5, ()),
            ("@ts-expect-error", 6, ()),
            ("@ts-nocheck", 7, ()),
            ("@ts-ignore", 10, ()),
            ("biome-ignore", 12, ("lint/suspicious/noExplicitAny",)),
            ("biome-ignore-all", 13, ("lint/style",)),
            ("oxlint-disable-next-line", 14, ("no-unused-vars",)),
            ("istanbul ignore next", 15, ()),
            ("c8 ignore start", 16, ()),
            ("v8 ignore next", 17, ()),
            ("prettier-ignore", 18, ()),
            ("$FlowFixMe", 19, ("incompatible-type",)),
            ("deno-lint-ignore", 20, ("no-explicit-any",)),
            ("eslint-disable-line", 21, ("no-x",)),
            ("eslint-disable-line", 22, ("no-div",)),
            ("eslint-disable-line", 23, ("no-e",)),
            ("eslint-disable-line", 25, ("no-jsx",)),
            ("eslint-disable-line", 25, ("no-g",)),
        ]
    )


def test_components_of_vue_and_svelte():
    text = """
        <!-- eslint-disable vue/no-v-html -->
        <template>
          <!-- @ts-ignore -->
          <p title="// eslint-disable-line">/* eslint-disable */ it's {{ a }}</p>
          <!-- one may write eslint-disable here -->
        </template>
        <script setup lang="ts">
        const a = "<!-- eslint-disable -->" // eslint-disable-line no-a
        it.skip("b", () => {})
        </script>
        <style>
        /* stylelint-disable color-no-hex */
        a::before { content: "/* stylelint-disable */" }
        </style>
        <!-- svelte-ignore a11y_autofocus, css-unused -->
    """
    for name in ("A.vue", "A.svelte"):
        assert found(name, text) == [
            ("@ts-ignore", 3, ()),
            ("eslint-disable", 1, ("vue/no-v-html",)),
            ("eslint-disable-line", 8, ("no-a",)),
            ("it.skip", 9, ()),
            ("stylelint-disable", 12, ("color-no-hex",)),
            ("svelte-ignore", 15, ("a11y_autofocus", "css-unused")),
        ]


@pytest.mark.parametrize(
    "line",
    [
        "/* c8 ignore stop */",
        "/* v8 ignore end */",
        "/* eslint-enable */",
        '/* eslint no-console: "error" */',
        "test.only = function () {};",
        "context.task.fails = true;",
        "x.it.skip(1)",
        "const skip = { skipped: true };",
        "/** see `@ts-ignore` */",
        "// # noqa",
    ],
)
def test_what_is_none_in_javascript(line: str):
    assert found("a.test.ts", line + "\n") == []


def test_rules_over_several_lines():
    text = "/* eslint-disable\n   no-alert,\n   no-console\n*/\nalert(1)\n"
    assert found("a.js", text) == [("eslint-disable", 1, ("no-alert", "no-console"))]


def test_tests_of_javascript_that_are_not_run():
    text = """
        it.skip("a", () => {}); describe.only("b", () => {});
        test.todo("c"); test.concurrent.skip("e", () => {});
        xit("f"); fdescribe("g"); it("it.skip(", () => { this.skip(); });
        test("h", { skip: true }, () => {}); test("i", { todo: 'later', only: false }, () => {});
        list.skip(1); model.fit(2); // it.only()
    """
    of_tests = found("src/a.test.js", text)
    assert of_tests == sorted(
        [
            ("it.skip", 1, ()),
            ("describe.only", 1, ()),
            ("test.todo", 2, ()),
            ("test.concurrent.skip", 2, ()),
            ("xit", 3, ()),
            ("fdescribe", 3, ()),
            ("this.skip", 3, ()),
            ("skip", 4, ()),
            ("todo", 4, ()),
        ]
    )
    assert [form for form, _, _ in found("src/fitting.js", "fit(x); this.skip(); y = {skip: true}\n")] == []


def test_go():
    text = """
        //go:build ignore

        package a

        var x = `//nolint` + "//nolint:all" + string('"') // nolint
        var y = f() //nolint:errcheck,gosec // because
        //nolint:all
        //lint:ignore SA1000 because
        var z = 1 //#nosec G101 G204
        // we do not write nolint here
        func TestA(t *testing.T) { t.Skip("later") }
        func TestB(tt *testing.T) { tt.SkipNow(); s := "t.Skipf(" }
    """
    assert found("a_test.go", text) == sorted(
        [
            ("go:build ignore", 1, ()),
            ("nolint", 5, ()),
            ("nolint", 6, ("errcheck", "gosec")),
            ("nolint", 7, ("all",)),
            ("lint:ignore", 8, ("SA1000",)),
            ("nosec", 9, ("G101", "G204")),
            ("t.Skip", 11, ()),
            ("tt.SkipNow", 12, ()),
        ]
    )
    assert found("a.go", "func (b *buffer) f() { b.Skip(3) }\n") == []


def test_rust():
    text = """
        #![allow(dead_code, clippy::all)]
        /// #[allow(unused)] in a comment
        /* /* nested */ #[allow(unused)] */
        #[allow(unused_variables, reason = "it is so")]
        fn a<'a>(x: &'a str) -> char { let s = "#[ignore]"; let r = r#"#[allow(x)] " "#; '"' }
        #[expect(
            clippy::too_many_arguments,
            clippy::b
        )]
        #[test]
        #[ignore = "slow"]
        fn b() {}
        #[cfg_attr(test, allow(unused))]
        #[rustfmt::skip]
        #[derive(Debug)]
        #[cfg_attr(miri, ignore)]
        fn c() {}
    """
    assert found("src/lib.rs", text) == sorted(
        [
            ("#![allow]", 1, ("dead_code", "clippy::all")),
            ("#[allow]", 4, ("unused_variables",)),
            ("#[expect]", 6, ("clippy::too_many_arguments", "clippy::b")),
            ("#[ignore]", 11, ()),
            ("#[cfg_attr]", 13, ("unused",)),
            ("#[rustfmt::skip]", 14, ()),
            ("#[cfg_attr]", 16, ("ignore",)),
        ]
    )


def test_dart():
    text = """
        // ignore_for_file: avoid_print, lines_longer_than_80_chars
        /* a /* nested */ // ignore: avoid_print */
        print('// ignore: avoid_print'); // ignore: avoid_print
        var s = r'\\'; // ignore: unused_local_variable
        var t = '''
        // ignore: avoid_print
        ''' "${s['a']} // ignore: b"; // coverage:ignore-line
        // we ignore: nothing
        @Skip('later')
        void main() { test('a', () {}, skip: 'later'); test('b', () {}, skip: false); }
    """
    assert found("test/a_test.dart", text) == sorted(
        [
            ("// ignore_for_file", 1, ("avoid_print", "lines_longer_than_80_chars")),
            ("// ignore", 3, ("avoid_print",)),
            ("// ignore", 4, ("unused_local_variable",)),
            ("coverage:ignore-line", 7, ()),
            ("@Skip", 9, ()),
            ("skip", 10, ()),
        ]
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_tools_do(end: str):
    text = end.join(["# a\x0c", "x = '''", "'''", "import os  # noqa", ""])
    assert [(one.form, one.line) for one in in_source("a.py", text)] == [("noqa", 4)]


CONFIGS: dict[str, tuple[str, list[tuple[str, str, str]]]] = {
    "pyproject.toml": (
        """
        [tool.ruff]
        extend-exclude = ["old"]
        [tool.ruff.lint]
        select = ["ALL"]
        ignore = ["E501", "D"]
        per-file-ignores = {"tests/*" = ["S101"]}
        [tool.mypy]
        strict = true
        exclude = "(build|dist)"
        ignore_missing_imports = true
        disable_error_code = ["misc"]
        [[tool.mypy.overrides]]
        module = ["a.*", "b"]
        ignore_errors = true
        disallow_untyped_defs = false
        [tool.pyright]
        reportMissingImports = false
        reportUnusedImport = "warning"
        exclude = ["gen"]
        [tool.coverage.run]
        omit = ["*/migrations/*"]
        [tool.coverage.report]
        exclude_also = ["if TYPE_CHECKING:"]
        [tool.pytest.ini_options]
        addopts = "-q --deselect tests/a.py::b --ignore=tests/slow -m 'not slow' -p no:warnings -p xdist -kfast"
        norecursedirs = ["data"]
        [tool.pylint."messages control"]
        disable = ["all"]
        [tool.bandit]
        skips = ["B101"]
        """,
        [
            ("ruff extend-exclude", "old", ""),
            ("ruff lint.ignore", "E501", ""),
            ("ruff lint.ignore", "D", ""),
            ("ruff lint.per-file-ignores", "S101", "tests/*"),
            ("mypy exclude", "(build|dist)", ""),
            ("mypy ignore_missing_imports", "", ""),
            ("mypy disable_error_code", "misc", ""),
            ("mypy ignore_errors", "", "a.*, b"),
            ("mypy disallow_untyped_defs = false", "", "a.*, b"),
            ("pyright report", "reportMissingImports", ""),
            ("pyright exclude", "gen", ""),
            ("coverage run.omit", "*/migrations/*", ""),
            ("coverage report.exclude_also", "if TYPE_CHECKING:", ""),
            ("pytest addopts --deselect", "tests/a.py::b", ""),
            ("pytest addopts --ignore", "tests/slow", ""),
            ("pytest addopts -m", "not slow", ""),
            ("pytest addopts -p", "no:warnings", ""),
            ("pytest addopts -k", "fast", ""),
            ("pytest norecursedirs", "data", ""),
            ("pylint disable", "all", ""),
            ("bandit skips", "B101", ""),
        ],
    ),
    "ruff.toml": ("[lint]\nextend-ignore = ['E1']\n", [("ruff lint.extend-ignore", "E1", "")]),
    "setup.cfg": (
        """
        [metadata]
        name = a
        [flake8]
        extend-ignore = E203, W503  # black
        exclude = .git,build
        per-file-ignores =
            a.py, b.py: E1, F401
            c.py:E2
        [mypy]
        warn_return_any = False
        [mypy-numpy.*]
        ignore_missing_imports = True
        [tool:pytest]
        addopts = --ignore old
        [coverage:run]
        omit =
            a/*
            b/*
        """,
        [
            ("flake8 extend-ignore", "E203", ""),
            ("flake8 extend-ignore", "W503", ""),
            ("flake8 exclude", ".git", ""),
            ("flake8 exclude", "build", ""),
            ("flake8 per-file-ignores", "E1", "a.py, b.py"),
            ("flake8 per-file-ignores", "F401", "a.py, b.py"),
            ("flake8 per-file-ignores", "E2", "c.py"),
            ("mypy warn_return_any = false", "", ""),
            ("mypy ignore_missing_imports", "", "numpy.*"),
            ("pytest addopts --ignore", "old", ""),
            ("coverage run.omit", "a/*", ""),
            ("coverage run.omit", "b/*", ""),
        ],
    ),
    "mypy.ini": ("[mypy]\nignore_errors = True\nfollow_imports = skip\n",
                 [("mypy ignore_errors", "", ""), ("mypy follow_imports = skip", "", "")]),
    "pytest.ini": ("[pytest]\naddopts = --deselect=a.py\n", [("pytest addopts --deselect", "a.py", "")]),
    ".coveragerc": ("[run]\nomit = a.py, b.py\n[report]\nexclude_lines =\n  pragma: no cover\n  raise X\n",
                    [("coverage run.omit", "a.py", ""), ("coverage run.omit", "b.py", ""),
                     ("coverage report.exclude_lines", "pragma: no cover", ""),
                     ("coverage report.exclude_lines", "raise X", "")]),
    ".pylintrc": ("[MESSAGES CONTROL]\ndisable=missing-docstring,\n  invalid-name\n",
                  [("pylint disable", "missing-docstring", ""), ("pylint disable", "invalid-name", "")]),
    "pyrightconfig.json": (
        '{// why\n"reportMissingImports": "none", "typeCheckingMode": "off", "ignore": ["a b"],\n'
        '"executionEnvironments": [{"root": "x", "reportUnusedImport": false,},],}\n',
        [("pyright report", "reportMissingImports", ""), ("pyright typeCheckingMode = off", "", ""),
         ("pyright ignore", "a b", ""), ("pyright report", "reportUnusedImport", "x")],
    ),
    ".eslintrc.json": (
        '{"rules": {"no-console": "off", "eqeqeq": ["error", 0], "semi": 0}, /* x */ "ignorePatterns": ["dist"],\n'
        ' "overrides": [{"files": ["*.ts", "*.tsx"], "rules": {"no-undef": ["off"]}}]}',
        [("eslint off", "no-console", ""), ("eslint off", "semi", ""), ("eslint ignorePatterns", "dist", ""),
         ("eslint off", "no-undef", "*.ts, *.tsx")],
    ),
    ".eslintrc.yml": ("rules:\n  no-console: off\n  semi: 'off'\n  eqeqeq: 2\n",
                      [("eslint off", "no-console", ""), ("eslint off", "semi", "")]),
    "eslint.config.mjs": (
        """
        // "no-alert": "off"
        export default [
          globalIgnores(["dist/**", 'build']),
          { ignores: ["old/*.js"], rules: { "no-console": "off", semi: 0, "@x/y": ["off", {a: 1}], eqeqeq: "error",
            "max-len": ["error", { code: 100 }] } },
        ];
        """,
        [("eslint globalIgnores", "dist/**", ""), ("eslint globalIgnores", "build", ""),
         ("eslint ignores", "old/*.js", ""), ("eslint off", "no-console", ""), ("eslint off", "semi", ""),
         ("eslint off", "@x/y", "")],
    ),
    ".eslintignore": ("# all of it\ndist\n\n*.min.js\n",
                      [("eslintignore", "dist", ""), ("eslintignore", "*.min.js", "")]),
    ".oxlintrc.json": ('{"rules": {"no-x": "allow"}, "categories": {"style": "off"}}',
                       [("oxlint off", "no-x", ""), ("oxlint category off", "style", "")]),
    "biome.json": (
        '{"formatter": {"enabled": false}, "linter": {"rules": {"style": {"useConst": "off", "noVar": "error"},\n'
        '"suspicious": {"noExplicitAny": {"level": "off"}}, "a11y": "off"}},\n"files": {"includes": ["**", "!dist"]},'
        '"overrides": [{"includes": ["t/**"], "linter": {"rules": {"style": {"noVar": "off"}}}}]}',
        [("biome formatter.enabled = false", "", ""), ("biome off", "style/useConst", ""),
         ("biome off", "suspicious/noExplicitAny", ""), ("biome off", "a11y", ""),
         ("biome files.includes", "!dist", ""), ("biome off", "style/noVar", "t/**")],
    ),
    "tsconfig.json": (
        '{\n  // it is old\n  "compilerOptions": {"strict": false, "noImplicitAny": false, "target": "es5",},\n'
        '  "exclude": ["old"],\n}\n',
        [("tsconfig strict = false", "", ""), ("tsconfig noImplicitAny = false", "", ""),
         ("tsconfig exclude", "old", "")],
    ),
    "package.json": (
        '{"name": "a", "eslintConfig": {"rules": {"a": "off"}}, "jest": {"testPathIgnorePatterns": ["/old/"]},\n'
        '"nyc": {"exclude": ["b"]}}',
        [("eslint off", "a", ""), ("jest testPathIgnorePatterns", "/old/", ""), ("nyc exclude", "b", "")],
    ),
    "vitest.config.ts": ("export default { test: { exclude: ['old/**'], coverage: { exclude: [`x`] } } }\n",
                         [("vitest exclude", "old/**", ""), ("vitest exclude", "x", "")]),
    ".golangci.yml": (
        """
        version: "2"
        run:
          tests: false
        linters:
          disable: [errcheck]
          exclusions:
            presets: [comments]
            paths: [third_party]
            rules:
              - path: _test\\.go
                linters: [gosec, dupl]
        issues:
          exclude-dirs: [gen]
          exclude-rules:
            - text: "G104"
              linters: [gosec]
          new-from-rev: main
        """,
        [("golangci run.tests = false", "", ""), ("golangci linters.disable", "errcheck", ""),
         ("golangci linters.exclusions.presets", "comments", ""),
         ("golangci linters.exclusions.paths", "third_party", ""),
         ("golangci linters.exclusions.rules", "gosec|dupl", "path: _test\\.go"),
         ("golangci issues.exclude-dirs", "gen", ""),
         ("golangci issues.exclude-rules", "gosec", "text: G104"),
         ("golangci issues.new-from-rev", "main", "")],
    ),
    "analysis_options.yaml": (
        "analyzer:\n  exclude: [lib/gen/**]\n  errors:\n    todo: ignore\n    dead_code: warning\n"
        "linter:\n  rules:\n    avoid_print: false\n    prefer_const: true\n",
        [("dart analyzer.exclude", "lib/gen/**", ""), ("dart analyzer.errors", "todo", ""),
         ("dart linter.rules", "avoid_print", "")],
    ),
    "Cargo.toml": (
        "[package]\nname = 'a'\n[lints.clippy]\npedantic = 'warn'\ntoo_many_lines = 'allow'\n"
        "[lints.rust]\nunused = { level = 'allow', priority = -1 }\n[lib]\ndoctest = false\n",
        [("cargo lints allow", "clippy::too_many_lines", ""), ("cargo lints allow", "unused", ""),
         ("cargo lib.doctest = false", "", "")],
    ),
    ".gitattributes": ("*.lock linguist-generated\na.py -linguist-vendored\nb/* linguist-vendored=true text\n",
                       [("gitattributes linguist-generated", "*.lock", ""),
                        ("gitattributes linguist-vendored", "b/*", "")]),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_configurations(repository: Write, name: str):
    text, expected = CONFIGS[name]
    result = whole(repository({f"sub/{name}": text}))
    assert result.unread == ()
    assert all(one.in_config and one.path == f"sub/{name}" for one in result.entries)
    assert sorted((one.form, "|".join(one.rules), one.where) for one in result.entries) == sorted(expected)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_that_cannot_be_read_is_told(repository: Write, name: str):
    if name in (".eslintignore", ".gitattributes", "eslint.config.mjs", "vitest.config.ts"):
        text = "\0 [[ {{ \xff"  # any text is one
        assert whole(repository({name: text})).unread == ()
        return
    result = whole(repository({name: "[a\n{b: [\n"}))
    assert [one.partition(": ")[0] for one in result.unread] == [name]
    assert "\n" not in result.unread[0]
    assert result.entries == ()


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_of_another_form_is_no_crash(repository: Write, name: str):
    forms = {".toml": "tool = 1\nlint = 2\nlints = []\nlib = 3\n", ".json": '{"rules": [], "linter": 1, "jest": []}'}
    text = forms.get(Path(name).suffix, "a: [1, 2]\n" if name.endswith(("yml", "yaml")) else "[flake8]\nignore\n")
    assert all(one.in_config for one in whole(repository({name: text})).entries)


def test_lines_of_entries_are_told_where_they_are_certain(repository: Write):
    text = '[tool.ruff.lint]\nignore = [\n  "E501", # long\n  "E1",\n]\nper-file-ignores."x" = ["E1"]\n'
    entries = whole(repository({"pyproject.toml": text})).entries
    assert {(one.rules, one.where): one.line for one in entries} == {
        (("E501",), ""): 3,
        (("E1",), ""): 0,  # two lines hold it
        (("E1",), "x"): 6,
    }


def test_the_ledger_of_a_repository(repository: Write):
    place = repository(
        {
            "pyproject.toml": '[project]\nname = "a"\n[tool.ruff.lint]\nignore = ["E501"]\n',
            "a b.py": "import os  # noqa\nimport re  # noqa: F401\n",
            "inner/pyproject.toml": '[project]\nname = "b"\n',
            "inner/x.py": b"# \xe9\r\nimport os  # noqa\r\n",
            "gen/y.py": "import os  # noqa\n",
            ".gitattributes": "gen/* linguist-generated\n",
            "notes.txt": "# noqa\n",
            "broken.json": "{",
        }
    )
    result = whole(place)
    assert result.counts == {"noqa": 3, "gitattributes linguist-generated": 1, "ruff lint.ignore": 1}
    assert list(result.counts) == ["noqa", "gitattributes linguist-generated", "ruff lint.ignore"]
    assert result.entries == tuple(sorted(result.entries, key=lambda one: (one.path, one.line)))
    assert Suppression(form="noqa", path="inner/x.py", line=2) in result.entries
    assert result.unread == ()


def test_what_was_found_before_is_known(repository: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    place = repository(
        {"pyproject.toml": "[project]\nname = 'a'\n", "a.py": "x  # noqa\n", "b.py": "y  # noqa: E1\n"}
    )
    kept = tmp_path / "cache" / "kept.msgpack"

    def now() -> Ledger:
        files = find_files(place)
        return ledger(place, find_projects(place, files=files), files.paths, kept)

    taken: list[str] = []

    def noted(text: str, suffix: str) -> Lexed | None:
        taken.append(text)
        return lex(text, suffix)

    monkeypatch.setattr(ledger_module, "lex", noted)
    first = now()
    assert len(taken) == 2
    assert now() == first
    assert len(taken) == 2
    (place / "a.py").write_text("x  # noqa: E2\n")
    (place / "c.py").write_text("x  # noqa\n")
    assert now().counts == {"noqa": 3}
    assert len(taken) == 4
    kept.write_bytes(b"\xff")
    assert now().counts == {"noqa": 3}
    assert len(taken) == 7
    monkeypatch.setattr(known_module, "own_code", lambda: "later")
    assert now().counts == {"noqa": 3}
    assert len(taken) == 10


PIECES: dict[str, tuple[str, list[str]]] = {
    ".py": (
        "a = 1  # noqa",
        [
            "x = '# noqa'",
            'y = """\n\\""" # noqa\n\'\'\'"""',
            "z = f'{a!r} # noqa'",
            "w = 'it\\'s' \"# noqa\"",
            "# not noqa '''",
            "v = r'\\' # noqa'",
            "u = '''\"\"\"'''",
            "t = (\n)",
            "s = b'\\\n# noqa'",
            '# it\'s "fine"',
            "",
        ],
    ),
    ".ts": (
        "b = 1 // @ts-ignore",
        [
            "x = '// @ts-ignore'",
            "y = `// @ts-ignore ${ {a: `}` + '`'} } // @ts-ignore`",
            "z = /[/*]'\"`/.test(s)",
            "w = a / b / c",
            "/* no @ts-ignore ' */",
            "v = `\n// @ts-ignore\n`",
            "u = 'it\\'s'",
            "t = s[0] / 2 // it's",
            "r = x ? /`/ : /'/g",
            "q = `${`${1}`}`",
            "p = {}",
            "o = '\\\n// @ts-ignore'",
            "n = i++ / 2",
        ],
    ),
    ".go": (
        "c := 1 //nolint",
        [
            "x := `//nolint`",
            'y := "//nolint \\""',
            "z := '\"'",
            "/* nolint is not ` here\n*/",
            "w := '\\''",
            "v := `\n//nolint\n`",
            "u := a / b",
            "// it's `fine",
        ],
    ),
    ".rs": (
        "#[ignore]",
        [
            'let s = "#[ignore] // x";',
            'let r = r#"#[ignore] " "#;',
            "let c = '\"';",
            "fn f<'a>(x: &'a str) {}",
            "/* /* #[ignore] */ ' */",
            '// #[ignore] "',
            "let b = b'\\'';",
            'let m = "\n#[ignore]\\"";',
            'let z = r##"#[ignore]"# "##;',
        ],
    ),
    ".dart": (
        "e = 1; // ignore: unused",
        [
            "x = '// ignore: a';",
            'y = """\n// ignore: a\n""";',
            "z = r'\\';",
            "/* /* // ignore: a */ ' */",
            "w = 'it\\'s';",
            "v = '${m['k']} // ignore: a';",
            "u = '''\n'' // ignore: a''';",
            "// we ignore: nothing '",
        ],
    ),
}


@pytest.mark.parametrize("suffix", PIECES)
@given(data=st.data())
def test_comments_are_told_from_strings_in_any_order(suffix: str, data: st.DataObject):
    mark, others = PIECES[suffix]
    pieces = data.draw(st.lists(st.sampled_from([mark, *others]), max_size=12))
    expected, line = [], 1
    for piece in pieces:
        if piece == mark:
            expected.append(line)
        line += 1 + piece.count("\n")
    assert [one.line for one in in_source(f"a{suffix}", "\n".join(pieces) + "\n")] == expected


@pytest.mark.parametrize("suffix", PIECES)
@given(text=st.text(st.sampled_from("ab'\"`/*#\\\n{}$<>![](), :;rn") | st.sampled_from("noqa@tsigrelint-")))
def test_any_text_is_taken_apart(suffix: str, text: str):
    """Without an error, in its place, and in lines that are there."""
    lexed = lex(text, suffix)
    assert lexed is not None
    assert len(lexed.code) == len(lexed.uncommented) == len(text)
    assert lexed.code.count("\n") == text.count("\n")
    assert all(1 <= comment.line <= text.count("\n") + 1 for comment in lexed.comments)
    assert all(1 <= one.line <= text.count("\n") + 1 for one in in_source(f"a{suffix}", text))


def test_code_keeps_its_places():
    text = "a = '#x' # y\nb = 'c'\n"
    lexed = lex(text, ".py")
    assert lexed is not None
    assert lexed.code == "a = '  '    \nb = ' '\n"
    assert lexed.uncommented == "a = '#x'    \nb = 'c'\n"


COUNT = """
import json, re, sys
from pathlib import Path
from pygments.lexers import PythonLexer
from pygments.token import Comment

found = []
for path in sorted(Path(sys.argv[1]).rglob("*.py")):
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    text = text.replace("\\r\\n", "\\n").replace("\\r", "\\n")
    for place, kind, value in PythonLexer(stripnl=False, ensurenl=False).get_tokens_unprocessed(text):
        if kind in Comment:
            for form in ("noqa", "type: ignore", "pragma: no cover", "pylint: disable"):
                marks = re.findall("#+ ?" + form.replace(" ", " ?") + r"(?![a-z-])", value, re.IGNORECASE)
                found += [(str(path.relative_to(sys.argv[1])), text.count("\\n", 0, place) + 1, form)] * len(marks)
print(json.dumps(sorted(found)))
"""


@pytest.mark.parametrize(("name", "version"), [("tornado", "6.2"), ("pylint", "2.3.1"), ("thefuck", "3.32")])
def test_real_releases_are_counted_as_another_lexer_does(name: str, version: str):
    """Comments as Pygments sees them, in another process."""
    tree = release(name, version, source=False)
    done = subprocess.run([sys.executable, "-c", COUNT, str(tree)], capture_output=True, text=True, check=True)
    expected = [tuple(one) for one in json.loads(done.stdout)]
    forms = {form for _, _, form in expected} | {"noqa", "type: ignore", "pragma: no cover", "pylint: disable"}
    paths = [str(path.relative_to(tree)) for path in sorted(tree.rglob("*.py"))]
    entries = [
        (path, one.line, one.form)
        for path in paths
        for one in in_source(path, _text(tree / path))
        if one.form in forms
    ]
    assert len(expected) > 10
    assert sorted(entries) == sorted(expected)


def _text(path: Path) -> str:
    from air_executor.fixing.sources import read_source

    return read_source(path)
