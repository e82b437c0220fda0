"""cargo's workspaces and tests, and what we find against what it counts itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from air_executor.fixing.check import Project, Selection
from air_executor.fixing.checking import sandbox
from air_executor.fixing.outcome import CheckResult
from air_executor.fixing.projects import find_projects
from tests.fixing.conftest import SYSTEM_PATH, Write, check_named, project_of, run_check

PACKAGE = '[package]\nname = "%s"\nversion = "0.1.0"\nedition = "2021"\n'


@pytest.fixture(autouse=True)
def system_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", SYSTEM_PATH)


def projects(place: Path) -> dict[str, Project]:
    return {one.root: one for one in find_projects(place) if one.language == "rust"}


def cargo(place: Path, target: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": SYSTEM_PATH,
        "HOME": f"{target}-home",
        "CARGO_TARGET_DIR": str(target),
        "CARGO_TERM_COLOR": "never",
    }
    return subprocess.run(
        ["cargo", *words], cwd=place, env=env, capture_output=True, text=True, errors="replace", check=False
    )


def places(result: CheckResult) -> Counter[tuple[str, int, int]]:
    return Counter((issue.path, issue.line, issue.column) for issue in result.issues)


def test_a_workspace_is_one_project(repository: Write):
    place = repository(
        {
            "Cargo.toml": PACKAGE % "top" + '[workspace]\nmembers = ["m/*"]\nexclude = ["m/out"]\n'
            '[dependencies]\nbeside = { path = "beside" }\n',
            "src/lib.rs": "",
            "m/a/Cargo.toml": PACKAGE % "a",
            "m/a/src/lib.rs": "",
            "m/out/Cargo.toml": PACKAGE % "out",
            "m/out/src/main.rs": "",
            "beside/Cargo.toml": PACKAGE % "beside",
            "beside/src/lib.rs": "",
            "target/debug/build/x.rs": "",
            ".gitignore": "target\n",
        }
    )
    assert {root: one.files for root, one in projects(place).items()} == {
        ".": ("beside/src/lib.rs", "m/a/src/lib.rs", "src/lib.rs"),
        "m/out": ("m/out/src/main.rs",),
    }


def test_what_loads_code(repository: Write):
    place = repository({"Cargo.toml": PACKAGE % "a", "src/lib.rs": ""})
    loads = {name: check_named("rust", name).loads_code(project_of(place, "rust")) for name in ("clippy", "rustfmt")}
    assert loads == {"clippy": True, "rustfmt": False}
    (place / ".cargo").mkdir()
    (place / ".cargo" / "config.toml").write_text('[build]\nrustc-wrapper = "./mine"\n')
    assert check_named("rust", "rustfmt").loads_code(project_of(place, "rust"))


def hard_crate(repository: Write, count: int = 60) -> Path:
    """A workspace below the repository's root: hundreds of findings, a name with a space, CRLF, and a huge file."""
    text = "".join(
        f"pub fn f{n}(x: &Vec<i32>) -> bool {{\n    let unused = {n};\n    return x.len() == 0;\n}}\n"
        for n in range(count)
    )
    inside = '#[path = "with space.rs"]\npub mod spaced;\npub mod crlf;\npub mod huge;\n'
    tests = "".join(
        f'    #[test]\n    fn t{n}() {{ assert!({n} % 7 != 3, "seven {n}"); }}\n'
        f"    #[test]\n    #[ignore]\n    fn i{n}() {{}}\n"
        for n in range(count)
    )
    documented = "".join(f"/// ```\n/// assert!({n} != 1);\n/// ```\npub fn d{n}() {{}}\n" for n in range(3))
    huge = "".join(f"pub const C{n}: u64 = {n};\n" for n in range(5_000))
    return repository(
        {
            "rust/Cargo.toml": '[workspace]\nmembers = ["one", "two"]\n',
            "rust/one/Cargo.toml": PACKAGE % "one",
            "rust/one/src/lib.rs": f"{inside}{documented}\n#[cfg(test)]\nmod tests {{\n{tests}}}\n",
            "rust/one/src/with space.rs": text,
            "rust/one/src/crlf.rs": text.replace("\n", "\r\n").encode(),
            "rust/one/src/huge.rs": huge + "pub fn last() -> i32 {\n    return 1;\n}\n",
            "rust/two/Cargo.toml": PACKAGE % "two" + '[dependencies]\none = { path = "../one" }\n',
            "rust/two/src/main.rs": f"#![allow(dead_code)]\n{text}fn main() {{}}\n",
            "rust/two/tests/outside.rs": "#[test]\nfn outside() {\n    assert!(one::spaced::f1(&vec![]));\n}\n",
        }
    )  # fmt: skip


def test_clippy_against_its_own_words(repository: Write, tmp_path: Path):
    place = hard_crate(repository)
    project = projects(place)["rust"]
    result = run_check(project, "clippy", tmp_path / "run", timeout_s=200)
    assert not (place / "rust" / "Cargo.lock").exists()
    words = ("clippy", "--workspace", "--all-targets", "--message-format=short")
    done = cargo(place / "rust", tmp_path / "target", *words)
    line = re.compile(r"^(\S.*?):(\d+):(\d+): (?:warning|error)", re.MULTILINE)
    told = {(f"rust/{path}", int(row), int(column)) for path, row, column in line.findall(done.stderr)}
    assert places(result).keys() == told
    assert {Path(path).name for path, _, _ in told} >= {"with space.rs", "crlf.rs", "huge.rs"}
    # Its sums say how much of it is told of another target as well.
    total = re.compile(r"^warning: `\w+` \(.+?\) generated (\d+) warnings?(?: \((\d+) duplicates?\))?", re.MULTILINE)
    new = [int(count) - int(again or 0) for count, again in total.findall(done.stderr)]
    assert len(result.issues) == sum(new) > 500
    assert len({issue.fingerprint for issue in result.issues}) == len(result.issues)


def test_totals_of_tests(repository: Write, tmp_path: Path):
    place = hard_crate(repository)
    result = run_check(projects(place)["rust"], "cargo-test", tmp_path / "run", timeout_s=200)
    assert result.tests is not None, result
    done = cargo(place / "rust", tmp_path / "target", "test", "--workspace", "--no-fail-fast")
    sums = re.findall(r"^test result: \S+ (\d+) passed; (\d+) failed; (\d+) ignored", done.stdout, re.MULTILINE)
    told = [sum(int(one[place]) for one in sums) for place in range(3)]
    ends = Counter(test.end for test in result.tests)
    assert [ends["passed"], ends["failed"], ends["skipped"]] == told
    assert sum(told) == len(result.tests) == 60 * 2 + 1 + 3
    assert len({test.id for test in result.tests}) == len(result.tests)
    failed = [issue for issue in result.issues if issue.rule == "test-failed"]
    assert len(failed) == ends["failed"] > 5
    lines = (place / "rust/one/src/lib.rs").read_text().split("\n")
    wanted = [line for line in lines if "% 7 != 3" in line and int(line.split("assert!(")[1].split()[0]) % 7 == 3]
    assert sorted(lines[issue.line - 1] for issue in failed) == sorted([*wanted, "/// ```"])
    assert {test.id for test in result.tests if test.suite == ("doctest",)} == {
        f"rust/one/src/lib.rs::doctest::d{number}" for number in range(3)
    }


def test_chosen_tests(repository: Write, tmp_path: Path):
    place = hard_crate(repository, count=8)
    project = projects(place)["rust"]
    wanted = (
        "rust/one/src/lib.rs::tests::t1",
        "rust/one/src/lib.rs::tests::t3",
        "rust/two/tests/outside.rs::outside",
    )
    chosen = msgspec.structs.replace(project, selection=Selection(tests=wanted, seed=7))
    result = run_check(chosen, "cargo-test", tmp_path / "run", timeout_s=200)
    assert {test.id: test.end for test in result.tests or []} == {
        wanted[0]: "passed", wanted[1]: "failed", wanted[2]: "passed",
    }, result  # fmt: skip
    selection = Selection(tests=("rust/one/src/lib.rs::doctest::d2",))
    documented = msgspec.structs.replace(project, selection=selection)
    result = run_check(documented, "cargo-test", tmp_path / "doc", timeout_s=200)
    assert {test.id: test.end for test in result.tests or []} == {"rust/one/src/lib.rs::doctest::d2": "passed"}


def test_a_test_that_ends_the_program(repository: Write, tmp_path: Path):
    text = "#[test]\nfn fine() {}\n#[test]\nfn stops() {\n    std::process::abort();\n}\n"
    place = repository({"Cargo.toml": PACKAGE % "a", "src/lib.rs": text})
    result = run_check(project_of(place, "rust"), "cargo-test", tmp_path / "run")
    assert result.outcome == "could_not_run"
    assert "before it had told of all its 2 tests" in str(result.reason)


def test_a_harness_of_its_own(repository: Write, tmp_path: Path):
    manifest = PACKAGE % "a" + '[[test]]\nname = "mine"\nharness = false\n'
    files = {
        "Cargo.toml": manifest,
        "src/lib.rs": "",
        "tests/mine.rs": "fn main() {\n    std::process::exit(3);\n}\n",
    }
    result = run_check(project_of(repository({**files}), "rust"), "cargo-test", tmp_path / "run")
    assert [(test.id, test.end) for test in result.tests or []] == [("tests/mine.rs::mine", "failed")]


def test_errors_in_what_a_macro_makes(repository: Write, tmp_path: Path):
    text = 'pub fn one() -> i32 {\n    let x: i32 = format!("{}", 1);\n    x\n}\n'
    place = repository({"Cargo.toml": PACKAGE % "a", "src/lib.rs": text})
    result = run_check(project_of(place, "rust"), "clippy", tmp_path / "run")
    assert [(one.path, one.line, one.rule, one.severity) for one in result.issues] == [
        ("src/lib.rs", 2, "E0308", "error")
    ]
    assert result.note is not None


def test_a_lock_file_is_kept_to(repository: Write, tmp_path: Path):
    place = repository({"Cargo.toml": PACKAGE % "a", "src/lib.rs": "pub fn one() {}\n"})
    assert cargo(place, tmp_path / "target", "generate-lockfile").returncode == 0
    before = (place / "Cargo.lock").read_bytes()
    assert run_check(project_of(place, "rust"), "clippy", tmp_path / "run").outcome == "ok"
    (place / "Cargo.toml").write_text(PACKAGE % "renamed")
    result = run_check(project_of(place, "rust"), "clippy", tmp_path / "again")
    assert result.outcome == "could_not_run"
    assert "--locked" in str(result.reason)
    assert (place / "Cargo.lock").read_bytes() == before


def test_the_users_keys_stay_with_him(repository: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Crates that are downloaded are there, the keys to where they are from are not."""
    home = tmp_path / "cargo"
    (home / "registry").mkdir(parents=True)
    (home / "credentials.toml").write_text("secret")
    monkeypatch.setenv("CARGO_HOME", str(home))
    build = """
        fn main() {
            let home = std::env::var("CARGO_HOME").unwrap();
            let names: Vec<_> = std::fs::read_dir(home).unwrap().map(|one| one.unwrap().file_name()).collect();
            println!("cargo:warning=sees {names:?}");
            std::process::exit(names.iter().any(|name| name == "credentials.toml") as i32);
        }
    """
    place = repository({"Cargo.toml": PACKAGE % "a", "src/lib.rs": "", "build.rs": build})
    result = run_check(project_of(place, "rust"), "clippy", tmp_path / "run")
    assert result.outcome == "ok", result
    seen = os.listdir(tmp_path / "run" / "cache" / "home")
    assert "registry" in seen
    assert "credentials.toml" not in seen


@pytest.mark.skipif(sandbox.available() is not None, reason=str(sandbox.available()))
@pytest.mark.parametrize("name", ["clippy", "cargo-test"])
def test_in_the_sandbox(repository: Write, tmp_path: Path, name: str):
    text = "pub fn one() -> i32 {\n    return 1;\n}\n#[test]\nfn t() {}\n"
    place = repository({"Cargo.toml": PACKAGE % "a", "src/lib.rs": text})
    result = run_check(project_of(place, "rust"), name, tmp_path / "run", sandboxed=True)
    assert (len(result.issues), len(result.tests or [])) == ((1, 0) if name == "clippy" else (0, 1)), result
    assert sorted(os.listdir(place)) == ["Cargo.toml", "src"]


def test_what_was_built_is_not_copied(repository: Write, tmp_path: Path):
    """It is most of what lies in a folder of Rust, and would soon be too much for the sandbox."""
    place = repository({"Cargo.toml": PACKAGE % "a", "src/lib.rs": "", "sub/x": "", "target/no cache": ""})
    assert cargo(place, place / "sub" / "built", "build").returncode == 0
    shutil.rmtree(place / "sub" / "built-home", ignore_errors=True)
    sandbox.copy_tree(place, tmp_path / "copy")
    assert sorted(str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*")) == [
        "Cargo.lock", "Cargo.toml", "src", "src/lib.rs", "sub", "sub/x", "target", "target/no cache",
    ]  # fmt: skip
