"""A repository of Python, TypeScript and Go, with roots in roots: every tool looks at every file exactly once.

Every file holds one finding for each tool of its language: one left out, or looked at twice, would be seen.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from air_executor.fixing.checking.running import STATIC, Options, run_checks
from air_executor.fixing.outcome import CheckResult
from air_executor.fixing.projects import find_projects
from air_executor.fixing.trust import Mode
from tests.fixing.conftest import Write, git

# go compiles its standard library when its cache is new.
pytestmark = pytest.mark.timeout(300)
PYPROJECT = (
    '[project]\nname = "x"\nversion = "1"\n[tool.ruff.lint]\nselect = ["F"]\n[tool.ruff.format]\n[tool.mypy]\n'
)
PYTHON = "import os\n\nx: int = 'a'\n"
PACKAGE = '{"name": "x", "type": "module"}'
TSCONFIG = '{"compilerOptions": {"strict": true, "types": [], "noEmit": true}, "exclude": [%s]}'
ESLINT = (
    'import { parser } from "typescript-eslint";\nexport default [{ files: ["**/*.ts"], languageOptions: { parser }, '
)
ESLINT += 'rules: { "no-debugger": "error" } }];\n'
TYPESCRIPT = "debugger;\nexport const x: number = 'a';\n"
GO = 'package {0}\n\nimport "fmt"\n\nfunc {1}()  {{ fmt.Printf("%d", "x") }}\n'
WRONG = "package {0}\n\nfunc {1}()  {{ x := 1 }}\n"
PYTHON_FILES = (
    "main.py", "src/with space.py", "web/tools/build.py", "go/gen.py",
    "services/api/app.py", "services/api/plugins/one/plugin.py", "services/api/plugins/one/web/host.py",
)  # fmt: skip
TYPESCRIPT_FILES = (
    "web/app.ts", "web/src/with space.ts", "web/parts/one/part.ts", "go/cmd/ui/ui.ts",
    "services/api/plugins/one/web/plugin.ts",
)  # fmt: skip
GO_FILES = {
    "go/main.go": "root", "go/cmd/tool/tool.go": "tool", "go/cmd/tool/tool_test.go": "tool",
    "go/inner/inner.go": "inner", "go/inner/deep/deep.go": "deep", "services/api/agent/agent.go": "agent",
    "web/parts/one/host/host.go": "host",
}  # fmt: skip
BROKEN_FILES = {"go/broken/a.go": "broken", "go/broken/sub/b.go": "sub", "go/broken/sub/b_test.go": "sub"}
MODULES = ("go", "go/inner", "go/broken", "services/api/agent", "web/parts/one/host")


@pytest.fixture
def monorepo(repository: Write, with_node: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files: dict[str, str | bytes] = {
        ".gitignore": "node_modules\nbuild/\n",
        ".gitattributes": "vendored.py linguist-vendored\ngenerated.ts linguist-generated\n",
        "vendored.py": PYTHON, "web/generated.ts": "export {};\n", "build/left.py": PYTHON, "readme.md": "",
        "go.work": "go 1.21\n\nuse (\n\t./go\n\t./go/inner\n)\n",
        "web/tsconfig.json": TSCONFIG % '"parts"',
    }  # fmt: skip
    for root in (".", "services/api", "services/api/plugins/one"):
        files[os.path.normpath(f"{root}/pyproject.toml")] = PYPROJECT
    for root in ("web", "web/parts/one", "go/cmd/ui", "services/api/plugins/one/web"):
        files[f"{root}/package.json"] = PACKAGE
        files[f"{root}/eslint.config.mjs"] = ESLINT
        files.setdefault(f"{root}/tsconfig.json", TSCONFIG % "")
    for root in MODULES:
        files[f"{root}/go.mod"] = f"module example.org/{root}\n\ngo 1.21\n"
    files |= dict.fromkeys(PYTHON_FILES, PYTHON) | dict.fromkeys(TYPESCRIPT_FILES, TYPESCRIPT)
    names = (f"F{number}" for number in range(99))
    files |= {path: GO.format(package, next(names)) for path, package in GO_FILES.items()}
    files |= {path: WRONG.format(package, next(names)) for path, package in BROKEN_FILES.items()}
    place = repository({})
    for path, content in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(str(content))
    (place / "node_modules").symlink_to(with_node)
    git(place, "init", "-q")
    monkeypatch.setenv("PATH", f"{tools / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return place


def run(place: Path, go_cache: Path, kept: Path, mode: Mode) -> list[CheckResult]:
    """All static checks, with what go has built for other tests."""
    name = hashlib.sha256(os.fsencode(place)).hexdigest()[:16]
    (kept / "tools" / name).mkdir(parents=True, exist_ok=True)
    for shared in ("shared", "shared-sandbox"):
        (kept / "tools" / name / shared).symlink_to(go_cache.with_name("shared"))
    options = Options(mode=mode, kinds=STATIC)
    return run_checks(find_projects(place), options, folder=kept)


def files_of(results: list[CheckResult], check: str, rule: str | None = None) -> Counter[str]:
    return Counter(
        issue.path
        for result in results
        for issue in result.issues
        if result.check == check and rule in (None, issue.rule)
    )


def once(*paths: str) -> Counter[str]:
    return Counter(paths)


def test_every_file_exactly_once(monorepo: Path, go_cache: Path, tmp_path: Path):
    results = run(monorepo, go_cache, tmp_path / "kept", "trusted")
    assert {result.check: result.reason for result in results if result.outcome == "could_not_run"} == {}
    assert files_of(results, "python/ruff", "F401") == once(*PYTHON_FILES)
    assert files_of(results, "python/ruff-format") == once(*PYTHON_FILES)
    assert files_of(results, "python/mypy", "assignment") == once(*PYTHON_FILES)
    assert files_of(results, "javascript/eslint", "no-debugger") == once(*TYPESCRIPT_FILES)
    assert files_of(results, "javascript/tsc", "TS2322") == once(*TYPESCRIPT_FILES)
    assert files_of(results, "go/gofmt", "unformatted") == once(*GO_FILES, *BROKEN_FILES)
    assert files_of(results, "go/go-vet", "printf") == once(*GO_FILES)
    assert files_of(results, "go/go-build", "UnusedVar") == once(*BROKEN_FILES)
    prints = Counter(issue.fingerprint for result in results for issue in result.issues)
    assert set(prints.values()) == {1}


def test_every_file_is_in_one_project_of_its_language(monorepo: Path):
    """And in none that another tool of the same repository would not count."""
    found = find_projects(monorepo)
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--cached", "--exclude-standard", "*.py", "*.ts", "*.mjs", "*.go"],
        cwd=monorepo, capture_output=True, text=True, check=True,
    ).stdout.split("\n")[:-1]  # fmt: skip
    owned = Counter(path for project in found for path in project.files)
    assert owned == once(*(path for path in listed if "generated" not in path and "vendored" not in path))
    roots = {(project.language, project.root): project.workspace for project in found}
    assert [root for language, root in sorted(roots) if language == "go"] == sorted(MODULES)
    assert {root: workspace for (language, root), workspace in roots.items() if language == "go" and workspace} == {
        "go": ".",
        "go/inner": ".",
    }


def test_in_the_sandbox_it_is_the_same(monorepo: Path, go_cache: Path, tmp_path: Path):
    results = run(monorepo, go_cache, tmp_path / "kept", "sandbox")
    go = [result for result in results if result.check.startswith("go/")]
    assert {result.reason for result in go} == {None}
    assert files_of(results, "go/go-vet", "printf") == once(*GO_FILES)
    assert files_of(results, "go/go-build", "UnusedVar") == once(*BROKEN_FILES)
    assert files_of(results, "go/gofmt", "unformatted") == once(*GO_FILES, *BROKEN_FILES)
    assert files_of(results, "python/ruff", "F401") == once(*PYTHON_FILES)
