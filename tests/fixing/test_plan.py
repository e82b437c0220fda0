"""The way from what real tools say, language by language, to batches."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from air_executor.fixing.configuration.config import FixingConfig
from air_executor.fixing.issue import Issue, with_fingerprints
from air_executor.fixing.planning.batches import plan
from air_executor.fixing.sources import SourceLines
from tests.fixing.conftest import SYSTEM_PATH, Write, project_of, run_check

FILES: dict[str, str | bytes] = {
    # Python
    "api/pyproject.toml": '[project]\nname = "api"\n[tool.ruff.lint]\nselect = ["F"]\n[tool.ruff.format]\n',
    "api/one.py": "import os\nimport sys\n\n\nx: int = 'a'\n",
    "api/two.py": "import os\n\n\ny: int = 'b'\nz:   int = 'c'\n",
    "api/test_api.py": "def test_one():\n    assert 1 == 2\n",
    # JavaScript and TypeScript
    "web/package.json": '{"name": "web", "type": "module"}',
    "web/biome.json": "{}",
    "web/tsconfig.json": '{"compilerOptions": {"strict": true, "types": []}}',
    "web/src/a.ts": "export const a: number = 'a';\nexport const b: number = 'b';\nexport const c: number = 'c';\n",
    "web/src/b.ts": "export function f() {\n\tlet one = 1;\n\tdebugger;\n\treturn one;\n}\n",
    # Go
    "cmd/go.mod": "module example.org/cmd\n\ngo 1.21\n",
    "cmd/main.go": 'package main\n\nimport "fmt"\n\nfunc main() {\n\tfmt.Printf("%d\\n",  "one")\n}\n',
    # Rust
    "core/Cargo.toml": '[package]\nname = "core_of_it"\nversion = "0.1.0"\nedition = "2021"\n',
    "core/src/lib.rs": """
        use std::fmt;

        pub fn one() -> i32 {
            return 1;
        }

        pub fn two() -> i32 {
            return  2;
        }
    """,
}
CHECKS = {
    "python": ("api", ("ruff", "ruff-format", "mypy", "pytest")),
    "javascript": ("web", ("biome", "biome-format", "tsc")),
    "go": ("cmd", ("gofmt", "go-vet")),
    "rust": ("core", ("clippy", "rustfmt")),
}


@pytest.fixture
def found(
    repository: Write, tools: Path, with_node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[Issue]:
    """What the tools of four languages find in one repository."""
    if shutil.which("cargo-clippy", path=SYSTEM_PATH) is None:
        pytest.fail("cargo and rust-clippy are not installed: `scripts/install-test-services.sh` installs them")
    monkeypatch.setenv("PATH", f"{tools / 'bin'}{os.pathsep}{os.environ['PATH']}")
    place = repository(FILES)
    (place / "web" / "node_modules").symlink_to(with_node)
    issues: list[Issue] = []
    for language, (root, checks) in CHECKS.items():
        project = project_of(place, language, root)
        for name in checks:
            result = run_check(project, name, tmp_path / f"{language}-{name}")
            assert result.outcome == "findings", f"{name}: {result.reason}"
            issues += result.issues
    return with_fingerprints(issues, SourceLines(place))


def test_findings_of_each_language_become_batches_by_their_codes(found: list[Issue]) -> None:
    batches = plan(found, FixingConfig())

    assert [f"{batch.phase} {batch.kind}: {batch.subject}" for batch in batches] == [
        "build location: fix: type errors in api/ (3 issues, 2 files)",
        "build location: fix: type errors in web/src/ (3 issues, 1 file)",
        "test single: fix: failing tests in api/test_api.py (pytest test-failed)",
        "lint cleanup: chore: remove unused imports (ruff F401, 2 files)",
        "lint single: chore: debugging output in web/src/b.ts (biome lint/suspicious/noDebugger)",
        "lint cleanup: style: format code (biome-format format, 1 file)",
        "lint cleanup: style: format code (ruff-format unformatted, 2 files)",
        "lint cleanup: style: add all missing const (1 file)",
        "lint cleanup: refactor: simplify all needlessly long code (1 file)",
        "lint cleanup: chore: remove unused imports (clippy unused_imports, 1 file)",
        "lint single: fix: likely bugs in cmd/main.go (go-vet printf)",
        "lint cleanup: style: format code (gofmt unformatted, 1 file)",
        "lint cleanup: style: format code (rustfmt unformatted, 1 file)",
    ]
