"""What goes along with a DAG file: the modules and files it names, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from air_executor.dags.imports import names_in
from air_executor.dags.source import choose, files_below, take
from air_executor.errors import InvalidInput


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("source", "package", "named"),
    [
        ("import a.b as c, d", "", {"a.b", "d"}),
        ("from a import b", "", {"a", "a.b"}),
        ("from a import *", "", {"a"}),
        ("from . import b", "p.q", {"p.q", "p.q.b"}),
        ("from .. import b", "p.q", {"p", "p.b"}),
        ("from ..x import b", "p.q", {"p.x", "p.x.b"}),
        ("from ... import b", "p", set()),
        ("def f():\n  import late", "", {"late"}),
        ("if TYPE_CHECKING:\n  import typed", "", {"typed"}),
        ("import_module('plug.in')", "", {"plug.in"}),
        ("importlib.import_module('plug')", "", {"plug"}),
        ("importlib.import_module(name)", "", set()),
        ("['python', '-m', 'tool.main']", "", {"tool.main"}),
        ("x = 'work.crawl:pages'", "", {"work.crawl"}),
        ("x = 'http://example.org'", "", set()),
        ("x = 'a sentence: words'", "", set()),
        ("__all__ = ['one', 'two']", "p", {"p.one", "p.two"}),
    ],
)
def test_modules(source: str, package: str, named: set[str]) -> None:
    assert names_in(source.encode(), "x.py", package).modules == named


def test_files_in_strings() -> None:
    assert names_in(b"x = ['python', 'work/step.py', '''a\nb.py''']", "x.py", "").files == {"work/step.py"}


def test_other_encodings() -> None:
    source = "# coding: latin-1\nimport a\nx = 'é'".encode("latin-1")
    assert names_in(source, "x.py", "").modules == {"a"}


def test_modules_go_along_transitively(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "dag.py": "from lib.a import thing",
            "lib/__init__.py": "",
            "lib/a.py": "from .b import *",
            "lib/b.py": "import top",
            "lib/unused.py": "import alone",
            "top.py": "import dag, os, lib.a  # in a circle",
            "alone.py": "",
            "tests/test_dag.py": "import dag",
        },
    )
    files, left_out, problems = choose(tmp_path, ["dag.py"])
    assert problems == []
    assert {name: file.kind for name, file in files.items()} == {
        "dag.py": "dag",
        "lib/__init__.py": "module",
        "lib/a.py": "module",
        "lib/b.py": "module",
        "top.py": "module",
    }
    assert files["dag.py"].needs == {"lib/__init__.py", "lib/a.py", "lib/b.py", "top.py"}
    assert left_out == ["alone.py", "lib/unused.py", "tests/test_dag.py"]


def test_programs_go_along(tmp_path: Path) -> None:
    """Job files, scripts and paths name programs, which import what lies beside them."""
    tree(
        tmp_path,
        {
            "dag.py": "job = 'jobs/x/job.yaml'\nloop = HERE / 'jobs' / 'x' / 'loop.py'",
            "jobs/x/job.yaml": "tasks: [{command: python, args: ['${job_dir}/first.py']}, {python: 'more:run'}]",
            "jobs/x/first.py": "import beside\nNEXT = Path(__file__).with_name('second.py')",
            "jobs/x/beside.py": "",
            "jobs/x/second.py": "",
            "jobs/x/more.py": "",
            "jobs/x/loop.py": "",
            "jobs/x/unused.py": "",
            "jobs/run.sh": "exec python x/shell.py",
            "jobs/x/shell.py": "",
            "loop/other.py": "",
        },
    )
    files, left_out, _ = choose(tmp_path, ["dag.py"])
    assert left_out == ["jobs/x/unused.py", "loop/other.py"]
    assert {name for name, file in files.items() if file.kind == "data"} == {"jobs/run.sh", "jobs/x/job.yaml"}


def test_include_exclude_and_data(tmp_path: Path) -> None:
    there = {"dag.py": "", "plug.py": "import late", "late.py": "", "sql/q": "select", "sql/big": "x", "notes": "hi"}
    tree(tmp_path, there)
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / ".airflowignore").write_text("sql")
    (tmp_path / "sql" / ".airflowignore").write_text("*")
    tree(tmp_path / "__pycache__", {"x": "x"})
    assert set(choose(tmp_path, ["dag.py"])[0]) == {"dag.py", "notes", "sql/.airflowignore", "sql/big", "sql/q"}
    assert set(choose(tmp_path, ["dag.py"], data=False)[0]) == {"dag.py"}
    files = choose(tmp_path, ["dag.py"], include=["pl*.py"], exclude=["sql/", "no*"])[0]
    assert {name: file.kind for name, file in files.items()} == {
        "dag.py": "dag",
        "late.py": "module",
        "plug.py": "module",
    }
    assert set(choose(tmp_path, ["dag.py"], exclude=["dag.py", "sql", "notes"])[0]) == set()


def test_what_is_not_python(tmp_path: Path) -> None:
    tree(tmp_path, {"dag.py": "import bad, nul\n", "bad.py": "x = (\n\n", "nul.py": "\0"})
    files, _, problems = choose(tmp_path, ["dag.py"])
    assert set(files) == {"dag.py", "bad.py", "nul.py"}
    assert sorted(map(str, problems)) == [
        "bad.py:1: SyntaxError: '(' was never closed",
        "nul.py: SyntaxError: source code string cannot contain null bytes",
    ]


def test_links_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    tree(tmp_path / "elsewhere", {"a.py": "x = 1"})
    folder = tree(tmp_path / "folder", {"dag.py": "import a"})
    (folder / "a.py").symlink_to(tmp_path / "elsewhere" / "a.py")
    (folder / "round").symlink_to(folder)
    (folder / "gone.py").symlink_to(tmp_path / "nothing")
    assert files_below(folder) == ["a.py", "dag.py"]
    snapshot = take(folder, choose(folder, ["dag.py"])[0], tmp_path / "copy")
    assert not (snapshot.root / "a.py").is_symlink()
    assert (snapshot.root / "a.py").read_text() == "x = 1"


def test_what_goes_away_meanwhile_is_named(tmp_path: Path) -> None:
    files = choose(tree(tmp_path / "folder", {"dag.py": ""}), ["dag.py"])[0]
    (tmp_path / "folder" / "dag.py").unlink()
    with pytest.raises(InvalidInput, match=r"cannot copy .*dag\.py: No such file"):
        take(tmp_path / "folder", files, tmp_path / "copy")
