"""Which files of a repository are looked at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from air_executor.errors import InvalidInput, NotFound
from air_executor.fixing.checking.cache import Digests
from air_executor.fixing.files import find_files
from air_executor.fixing.projects import find_projects
from tests.fixing.conftest import Write, git


@pytest.fixture(params=["committed", "unborn", "no history"])
def history(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def settle(place: Path, history: str) -> None:
    if history != "no history":
        git(place, "init", "-q")
    if history == "committed":
        git(place, "add", "-A")
        git(place, "commit", "-qm", "one")


def reasons(place: Path) -> dict[str, str]:
    return {left.path: left.reason for left in find_files(place).left_out}


def test_ignored_and_marked_files_are_left_out(repository: Write, history: str):
    place = repository(
        {
            ".gitignore": "build/\n*.log\n",
            ".gitattributes": """
                api_pb2.py linguist-generated
                third/** linguist-vendored=true
                mine.py -linguist-vendored
            """,
            "a.py": "",
            "mine.py": "",
            "with space/b c.py": "",
            "api_pb2.py": "",
            "third/lib/x.py": "",
            "build/lib/a.py": "",
            "sub/.gitignore": "secret.py\n",
            "sub/secret.py": "",
            "sub/kept.py": "",
            "run.log": "",
        }
    )
    settle(place, history)
    names = [path for path in find_files(place).paths if path.endswith(".py")]
    assert names == ["a.py", "mine.py", "sub/kept.py", "with space/b c.py"]
    assert reasons(place) == {"api_pb2.py": "marked as generated", "third/lib/x.py": "marked as vendored"}


def test_installed_packages_are_nobodys_files(repository: Write, history: str):
    place = repository(
        {
            "a.py": "",
            ".venv/lib/b.py": "",
            "env/pyvenv.cfg": "",
            "env/lib/c.py": "",
            "web/node_modules/d/index.js": "",
            "web/e.js": "",
        }
    )
    settle(place, history)
    assert find_files(place).paths == ("a.py", "web/e.js")


def test_names_that_tools_cannot_tell_are_left_out_with_a_reason(repository: Write, history: str):
    place = repository({"a.py": ""})
    Path(os.fsdecode(os.fsencode(place) + b"/caf\xe9.py")).write_text("x = 1\n")
    (place / "two\nlines.py").write_text("x = 1\n")
    (place / "äöü 漢字.py").write_text("x = 1\n")
    settle(place, history)
    assert find_files(place).paths == ("a.py", "äöü 漢字.py")
    assert reasons(place) == {
        "caf\\xe9.py": "its name is not UTF-8",
        "two\nlines.py": "its name holds a control character",
    }


def test_links_pipes_and_what_was_deleted(repository: Write, history: str):
    place = repository({"a.py": "", "b.py": "", "d/c.py": ""})
    (place / "link.py").symlink_to("a.py")
    (place / "folder").symlink_to("d")
    settle(place, history)
    (place / "b.py").unlink()
    os.mkfifo(place / "pipe.py")
    assert find_files(place).paths == ("a.py", "d/c.py")
    assert {"link.py": "a symbolic link", "folder": "a symbolic link"}.items() <= reasons(place).items()


def test_pipes_are_never_read(repository: Write):
    place = repository({"a.py": ""})
    for name in ("pyproject.toml", "setup.cfg", "ruff.toml", "setup.py"):
        os.mkfifo(place / name)
    assert [project.root for project in find_projects(place)] == ["."]
    digests = Digests(place.parent / "digests")
    assert digests.of(place / "pyproject.toml") == digests.of(place / "nowhere")


def test_submodules_and_repositories_inside_are_left_out(repository: Write):
    inner = repository({"x.py": ""}, "inner")
    settle(inner, "committed")
    place = repository({"a.py": ""})
    settle(place, "committed")
    git(place, "submodule", "add", "-q", str(inner), "lib/inner")
    git(place, "commit", "-qm", "two")
    other = repository({"repository/beside/y.py": ""}, ".") / "repository" / "beside"
    settle(other, "committed")
    assert [path for path in find_files(place).paths if path.endswith(".py")] == ["a.py"]
    assert reasons(place) == {"lib/inner": "a submodule", "beside": "a repository of its own"}


def test_a_folder_that_the_repository_around_it_ignores_is_looked_at_all_the_same(repository: Write):
    place = repository({".gitignore": "out/\n", "a.py": "", "out/project/b.py": "", "out/project/c/d.py": ""})
    settle(place, "committed")
    assert find_files(place / "out" / "project").paths == ("b.py", "c/d.py")


def test_a_part_of_a_repository(repository: Write):
    place = repository({".gitignore": "*.log\n", "a.py": "", "part/b.py": "", "part/c.log": ""})
    settle(place, "committed")
    assert find_files(place / "part").paths == ("b.py",)


def test_programs_that_a_repositorys_configuration_names_are_not_run(repository: Write):
    place = repository({"a.py": ""})
    settle(place, "committed")
    git(place, "config", "core.fsmonitor", f"touch {place}/was-run; false")
    assert find_files(place).paths == ("a.py",)
    assert not (place / "was-run").exists()


def test_without_git(repository: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    place = repository({"a.py": "", "b/c.py": "", "node_modules/x.js": "", "v/pyvenv.cfg": "", "v/y.py": ""})
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert find_files(place).paths == ("a.py", "b/c.py")


def test_a_repository_whose_path_is_not_utf_8_is_refused(tmp_path: Path):
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    place.mkdir()
    with pytest.raises(InvalidInput, match="has to be UTF-8"):
        find_files(place)


def test_no_such_folder(tmp_path: Path):
    with pytest.raises(NotFound, match="no such folder"):
        find_files(tmp_path / "nowhere")


def test_what_go_vendors_is_left_out(repository: Write, history: str):
    place = repository(
        {
            "go.mod": "module x\n",
            "a.go": "package x\n",
            "vendor/modules.txt": "# example.org/y v1.0.0\n",
            "vendor/example.org/y/y.go": "package y\n",
            "sub/vendor/modules.txt": "",
            "sub/vendor/z.go": "package z\n",
            "other/vendor/mine.go": "package vendor\n",
        }
    )
    settle(place, history)
    assert find_files(place).paths == ("a.go", "go.mod", "other/vendor/mine.go")
    assert set(reasons(place).values()) == {"vendored by Go"}
