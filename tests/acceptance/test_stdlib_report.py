"""examples/stdlib_report, run as its readers run it: the report must equal that of a plain loop."""

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "stdlib_report"

MODULE = b"""
from __future__ import annotations
from collections.abc import Sized
from ..relative import name


class Outer:
    class Inner:
        async def long(self):
            import re
            return re

    def short(self): return lambda: 0


def outer():
    if 1:
        def nested():
            pass
    return nested


def blocks(x):
    match x:
        case 1:
            import string
    try:
        pass
    except OSError:
        import token
    finally:
        import types
"""

SMALL_TREE: dict[str, bytes] = {
    "alone.py": b"import os.path, sys\n\n\ndef one():\n    return os\n",
    "empty.py": b"",
    "no_newline.py": b"x = 1\r\ny = 2",
    "with space and \xc3\xa9.py".encode("latin-1").decode(): b"from json import loads\n",
    "latin.py": b"# -*- coding: latin-1 -*-\nname = '\xe9'\n",
    "broken.py": b"def half(:\n",
    "python2.py": b'print "old"\n',
    "not_utf8.py": b"name = '\xe9'\n",
    "zero.py": b"x = 1\x00\n",
    "deep.py": b"x = " + b"(" * 5000 + b")" * 5000 + b"\n",
    "invalid_escape.py": b"pattern = '\\d'\n",  # makes Python warn
    "pkg/__init__.py": b'"""A \\"quoted\\" word, a | and half a pair \\udc80.\nMore.\n"""\nimport pkg.mod\n',
    "pkg/mod.py": MODULE,
    "pkg/sub/__init__.py": b"",
    "pkg/sub/deep/__init__.py": b"def broken_package(:\n",
    "pkg/data/plain.py": b"def f(): pass\n",
    "pkg/data/notes.txt": b"not a source\n",
    "site-packages/other/__init__.py": b"import ours_not\n",
    "pkg/__pycache__/cached.py": b"import ours_not\n",
}


def air_executor(*arguments: str, cwd: Path) -> str:
    """Run the command line and return what it printed; both streams are shown if it fails."""
    # A variable from the session that runs the tests must not choose the base or switch warnings into errors.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AIR_EXECUTOR_", "PYTHONWARN"))}
    done = subprocess.run(
        [sys.executable, "-m", "air_executor", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=90,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def plain_loop(source: str, output: Path) -> dict[str, Any]:
    subprocess.run(
        [sys.executable, str(EXAMPLE / "plain_loop.py"), source, str(output)],
        check=True,
        timeout=90,
        stdout=subprocess.DEVNULL,
    )
    report: dict[str, Any] = read_json(output / "report.json")
    return report


def read_json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def check_beside_json(output: Path, report: dict[str, Any]) -> None:
    """The two files for people belong to the report as well."""
    text = (output / "report.md").read_text("utf-8")
    assert f"{report['totals']['lines']:,} lines" in text
    if importlib.util.find_spec("matplotlib"):
        assert (output / "report.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert "(report.png)" in text
    else:
        assert not (output / "report.png").exists()
        assert "pip install matplotlib" in text


def check_tasks(tasks: list[dict[str, Any]], report: dict[str, Any]) -> None:
    """One task a file and one a package, each run once and in full, and the merge after all of them."""
    assert Counter(task["status"] for task in tasks) == {"completed": len(tasks)}
    by_id = {task["id"]: task for task in tasks}
    assert len(by_id) == len(tasks)
    assert set(by_id) == {
        "discover",
        "merge",
        *(f"file:{record['path']}" for record in report["files"]),
        *(f"package:{record['package']}" for record in report["packages"]),
    }
    others_end = max(datetime.fromisoformat(t["completed_at"]) for t in tasks if t["id"] != "merge")
    assert datetime.fromisoformat(by_id["merge"]["started_at"]) >= others_end


@pytest.fixture
def small_tree(tmp_path: Path) -> Path:
    root = tmp_path / "source tree"
    for name, content in SMALL_TREE.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "dangling.py").symlink_to(root / "nowhere")
    return root


def test_plain_loop_knows_its_files(small_tree: Path, tmp_path: Path) -> None:
    """Equality says little if both are wrong: the plain loop's report is checked against the tree's text."""
    report = plain_loop(str(small_tree), tmp_path / "plain")

    files = {record["path"]: record for record in report["files"]}
    ours = {name for name in SMALL_TREE if name.endswith(".py") and "site-packages" not in name}
    assert set(files) == (ours - {"pkg/__pycache__/cached.py"}) | {"dangling.py"}

    mod = files["pkg/mod.py"]
    assert mod["functions"] == 5
    assert mod["longest_function"] == {"name": "blocks", "lines": 10}
    assert mod["imports"] == ["__future__", "collections", "re", "string", "token", "types"]
    assert files["alone.py"]["imports"] == ["os", "sys"]
    assert files["alone.py"]["longest_function"] == {"name": "one", "lines": 2}
    assert (files["no_newline.py"]["lines"], files["no_newline.py"]["size"]) == (2, 12)
    assert files["empty.py"]["lines"] == 0

    unparsed = {"broken.py", "python2.py", "not_utf8.py", "zero.py", "deep.py", "dangling.py"}
    unparsed.add("pkg/sub/deep/__init__.py")
    assert {path for path, record in files.items() if record["error"]} == unparsed
    assert files["broken.py"]["error"].startswith("line 1: ")
    assert files["broken.py"]["lines"] == 1  # counted all the same

    packages = {record["package"]: record for record in report["packages"]}
    assert set(packages) == {"pkg", "pkg/sub", "pkg/sub/deep"}
    assert packages["pkg"]["about"] == 'A "quoted" word, a | and half a pair ?.'
    assert [packages["pkg"][what] for what in ("modules", "packages", "functions")] == [2, 1, 5]
    assert report["missing"] == []
    assert report["totals"]["errors"] == len(unparsed)
    assert sum(report["function_lengths"].values()) == report["totals"]["functions"] == 7


def test_small_tree(small_tree: Path, tmp_path: Path) -> None:
    output = tmp_path / "report"
    base = tmp_path / ".air-executor"
    air_executor(
        "run",
        str(EXAMPLE / "job.yaml"),
        "--base",
        str(base),
        *("--param", f"source={small_tree}"),
        *("--param", f"output={output}"),
        *("--param", f"python={sys.executable}"),
        cwd=tmp_path,
    )

    report = read_json(output / "report.json")
    assert report == plain_loop(str(small_tree), tmp_path / "plain")
    check_beside_json(output, report)
    check_tasks(read_json(base / "jobs" / "stdlib-report" / "tasks.json"), report)


def test_relative_folders_are_those_of_the_caller(tmp_path: Path) -> None:
    """A folder that is a package itself, with a relative source and the default output."""
    source = tmp_path / "src"
    source.mkdir()
    (source / "__init__.py").write_text('"""The root is a package."""\n')
    air_executor(
        "run",
        str(EXAMPLE / "job.yaml"),
        "--base",
        str(tmp_path / ".air-executor"),
        *("--param", "source=src"),
        *("--param", f"python={sys.executable}"),
        cwd=tmp_path,
    )

    report = read_json(tmp_path / "report" / "report.json")
    assert report == plain_loop(str(source), tmp_path / "plain")
    assert [record["package"] for record in report["packages"]] == ["."]


def test_demo_on_the_standard_library(tmp_path: Path) -> None:
    output = tmp_path / "report"
    base = tmp_path / ".air-executor"
    printed = air_executor("demo", "--base", str(base), "--output", str(output), cwd=tmp_path)

    report = read_json(output / "report.json")
    assert report["totals"]["files"] >= 1000
    assert report["totals"]["packages"] > 20
    assert report == plain_loop("", tmp_path / "plain")
    check_beside_json(output, report)
    check_tasks(read_json(base / "jobs" / "stdlib-report" / "tasks.json"), report)
    assert "report.md" in printed
