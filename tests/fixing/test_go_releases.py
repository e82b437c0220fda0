"""What we find in real Go, out of the sources of Go itself, against what go counts in other forms and processes."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from air_executor.fixing.check import Selection
from air_executor.fixing.outcome import CheckResult
from tests.fixing.conftest import project_of, run_check

# go compiles its standard library when its cache is new.
pytestmark = pytest.mark.timeout(300)
# They import nothing that only the standard library may.
PACKAGES = (
    "container/heap", "container/list", "container/ring", "encoding/ascii85", "encoding/base32", "encoding/csv",
    "encoding/hex", "encoding/xml", "go/scanner", "html", "mime/quotedprintable", "regexp/syntax", "text/scanner",
    "text/tabwriter", "text/template/parse",
)  # fmt: skip


def go(tools: Path, place: Path, cache: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(cache),
        "GOCACHE": str(cache.with_name("shared") / "go-build"),
        "GOPROXY": "off",
        "GOFLAGS": "-buildvcs=false",
        "GOWORK": "off",
    }
    return subprocess.run(
        [tools / "bin" / "go", *words], cwd=place, env=env, capture_output=True, text=True, check=False
    )


@pytest.fixture
def sources(with_tools: Path, go_cache: Path, tmp_path: Path) -> Path:
    """Go's own sources."""
    return Path(go(with_tools, tmp_path, go_cache, "env", "GOROOT").stdout.strip(), "src")


@pytest.fixture
def module(sources: Path, tmp_path: Path) -> Path:
    """Packages of the standard library as a module, made harder: names with spaces, other line ends, a long file."""
    place = tmp_path / "module"
    place.mkdir()
    (place / "go.mod").write_text("module example.org/real\n\ngo 1.24\n")
    for name in PACKAGES:
        (place / name).mkdir(parents=True)
        for path in (sources / name).glob("*.go"):
            shutil.copy(path, place / name)
        if (sources / name / "testdata").is_dir():
            shutil.copytree(sources / name / "testdata", place / name / "testdata")
    ring = (place / "container/ring/ring.go").read_bytes()
    (place / "odd").mkdir()
    (place / "odd/with CRLF.go").write_bytes(ring.replace(b"package ring", b"package odd").replace(b"\n", b"\r\n"))
    lines = "".join(f'func F{n}() {{ fmt.Printf("%d\\n", "{n}") }}\n' for n in range(3_000))
    (place / "odd/long.go").write_text(f'package odd\n\nimport "fmt"\n\n{lines}')
    return place


def places(result: CheckResult) -> Counter[tuple[str, int, int]]:
    return Counter(issue.place for issue in result.issues)


def told(text: str) -> Counter[tuple[str, int, int]]:
    """Places as the compiler and vet print them; indented lines belong to what stands above."""
    found = re.findall(r"^(?:vet: )?(?:\./)?([^\s#:][^:\n]*):(\d+):(\d+): ", text, re.MULTILINE)
    return Counter((path, int(line), int(column)) for path, line, column in found)


def test_vet_finds_what_its_authors_expect(sources: Path, with_tools: Path, go_cache: Path, tmp_path: Path):
    """vet's own tests say in comments on which lines what is found; they are modules within a module too."""
    place = tmp_path / "vet"
    shutil.copytree(sources / "cmd/vet/testdata", place)
    (place / "go.mod").write_text("module example.org/vet\n\ngo 1.21\n")
    shutil.rmtree(place / "cgo")  # needs a compiler of C
    shutil.rmtree(place / "tagtest")  # by tags that nobody gives
    found: Counter[tuple[str, int]] = Counter()
    for root in (".", "rangeloop", "stdversion"):
        result = run_check(project_of(place, "go", root), "go-vet", tmp_path / root, cache=go_cache, timeout_s=280)
        assert result.outcome == "findings", result.reason
        plain = told(go(with_tools, place / root, go_cache, "vet", "./...").stderr)
        assert places(result) == {(os.path.normpath(f"{root}/{path}"), *at): n for (path, *at), n in plain.items()}
        found.update((issue.path, issue.line) for issue in result.issues)
    assert found.total() > 150
    expected = set()
    for path in place.rglob("*.[gs]*"):
        if path.is_file() and path.suffix in (".go", ".s"):
            name = str(path.relative_to(place))
            for number, line in enumerate(path.read_text().split("\n"), 1):
                if re.search(r"// ERROR \"", line):
                    expected.add((name, number))
    # Some of the files are not part of a build on this machine.
    compiled = {path for path, _ in found}
    # Those of print.go hold with options that tell the names of functions.
    assert {one for one in expected if one[0] in compiled and one[0] != "print/print.go"} <= set(found)
    assert len(expected & set(found)) > 120


def test_vet_over_a_real_module(module: Path, with_tools: Path, go_cache: Path, tmp_path: Path):
    result = run_check(project_of(module, "go"), "go-vet", tmp_path / "run", cache=go_cache, timeout_s=280)
    plain = go(with_tools, module, go_cache, "vet", "./...").stderr
    assert places(result) == told(plain), result
    assert plain.count("fmt.Printf format %d has arg") == 3_000
    assert Counter(issue.rule for issue in result.issues)["printf"] >= 3_000
    assert len({issue.fingerprint for issue in result.issues}) == len(result.issues)


def test_gofmt(module: Path, with_tools: Path, go_cache: Path, tmp_path: Path):
    (module / "latin").mkdir()  # which is not Go's encoding: nothing of Go can read it
    (module / "latin/latin.go").write_bytes('package latin\n\n// Author: José\nvar  Name = "x"\n'.encode("latin-1"))
    (module / "odd" / "broken.go").write_text("package odd\n\nfunc f( {\n}\n")
    (module / "container/list/testdata").mkdir()
    (module / "container/list/testdata/ugly.go").write_text("package  ugly\n")
    result = run_check(project_of(module, "go"), "gofmt", tmp_path / "run", cache=go_cache)
    program = Path(go(with_tools, module, go_cache, "env", "GOROOT").stdout.strip(), "bin", "gofmt")
    done = subprocess.run([program, "-d", "-e", "."], cwd=module, capture_output=True, check=False)
    changed = set(re.findall(r"^diff (.+)\.orig \1$", done.stdout.decode("latin-1"), re.MULTILINE))
    changed = {path for path in changed if "testdata" not in path}  # which `go fmt ./...` passes over
    assert {issue.path for issue in result.issues if issue.rule == "unformatted"} == changed
    assert {"odd/with CRLF.go", "odd/long.go"} <= changed
    broken = Counter(issue.place for issue in result.issues if issue.rule == "invalid-syntax")
    assert broken == told(done.stderr.decode("latin-1"))
    assert {path for path, _, _ in broken} == {"latin/latin.go", "odd/broken.go"}


def test_compiler(module: Path, with_tools: Path, go_cache: Path, tmp_path: Path):
    """Beyond the ten errors it tells by itself."""
    for name, old, new in (
        ("regexp/syntax/parse.go", "unicode.", "unikode."),
        ("encoding/xml/xml.go", "d.", "e."),
        ("text/tabwriter/tabwriter.go", "int", "string"),
    ):
        path = module / name
        path.write_text(re.sub(rf"\b{re.escape(old)}" if old != "int" else r"\bint\b", new, path.read_text()))
    result = run_check(project_of(module, "go"), "go-build", tmp_path / "run", cache=go_cache, timeout_s=280)
    plain = go(with_tools, module, go_cache, "build", "-gcflags=-e", "./...").stderr
    assert places(result) == told(plain)
    assert len(result.issues) > 150
    assert {issue.path for issue in result.issues} == {
        "regexp/syntax/parse.go", "encoding/xml/xml.go", "text/tabwriter/tabwriter.go",
    }  # fmt: skip
    rules = Counter(issue.rule for issue in result.issues)
    assert rules["UndeclaredName"] == plain.count("undefined: unikode") + plain.count(": undefined: e\n")
    assert rules["compile-error"] == 0


def test_tests_and_coverage(module: Path, with_tools: Path, go_cache: Path, tmp_path: Path):
    """Totals against those of the text form, lines against the page that `go tool cover` makes."""
    shutil.rmtree(module / "odd")
    (module / "container/ring/more_test.go").write_text(
        'package ring\n\nimport "testing"\n\nfunc TestBad(t *testing.T) { t.Error("bad") }\n'
        'func TestSkipped(t *testing.T) { t.Skip("not today") }\n'
    )
    project = project_of(module, "go")
    result = run_check(project, "go-test", tmp_path / "read", cache=go_cache, timeout_s=280)
    text = go(with_tools, module, go_cache, "test", "-v", "-count=1", "-vet=off", "./...").stdout
    counted = Counter(re.findall(r"^\s*--- (PASS|FAIL|SKIP): ", text, re.MULTILINE))
    names = {"passed": "PASS", "failed": "FAIL", "skipped": "SKIP"}
    assert Counter(names[test.end] for test in result.tests or []) == counted
    assert counted.total() > 300
    assert len({test.id for test in result.tests or []}) == counted.total()
    assert [(issue.rule, issue.path, issue.line, issue.message) for issue in result.issues] == [
        ("test-failed", "container/ring/more_test.go", 5, "bad")
    ]

    covered = run_check(project, "go-cover", tmp_path / "run", reads=tmp_path / "read", cache=go_cache).coverage
    assert covered is not None
    profile = tmp_path / "read" / "out" / "cover.out"
    go(with_tools, module, go_cache, "tool", "cover", f"-html={profile}", "-o", str(tmp_path / "cover.html"))
    page = (tmp_path / "cover.html").read_text()
    files = dict(
        re.findall(r'<option value="(file\d+)">example\.org/real/(\S+) \(', page),
    )
    assert {file.path for file in covered.files} == set(files.values())
    for file in covered.files:
        number = next(key for key, path in files.items() if path == file.path)
        assert file == type(file)(file.path, *_of_page(page, number))
    assert covered.lines > 3_000


def _of_page(page: str, number: str) -> tuple[int, tuple[int, ...]]:
    """Lines that hold code within coloured text, and those where none of it ran."""
    found = re.search(rf'<pre class="file" id="{number}"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert found is not None
    ran: dict[int, bool] = {}
    line, stack = 1, [None]
    for tag, close, text in re.findall(r'<span class="(cov\d+)"[^>]*>|(</span>)|([^<]+)', found[1]):
        if tag or close:
            stack = [*stack, tag] if tag else stack[:-1]
            continue
        for index, part in enumerate(html.unescape(text).split("\n")):
            line += index > 0
            code = part.strip(" \t\r{}()")
            if stack[-1] is not None and code and not code.startswith("//"):
                ran[line] = ran.get(line, False) or stack[-1] != "cov0"
    return len(ran), tuple(sorted(number for number in ran if not ran[number]))


def test_identity_survives_a_shuffled_run(module: Path, with_tools: Path, go_cache: Path, tmp_path: Path):
    project = project_of(module, "go")
    wanted = ("container/list::TestRemove", "encoding/csv::TestRead::Simple", "no/such::TestX")
    ids = []
    for seed in (None, 7):
        chosen = msgspec.structs.replace(project, selection=Selection(tests=wanted, seed=seed))
        result = run_check(chosen, "go-test", tmp_path / f"run{seed}", cache=go_cache, timeout_s=280)
        ids.append(sorted(test.id for test in result.tests or []))
    assert ids == [["container/list::TestRemove", "encoding/csv::TestRead::Simple"]] * 2
