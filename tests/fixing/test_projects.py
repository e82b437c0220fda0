"""Projects of a repository: nearest manifests, workspaces, and each file in exactly one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_executor.errors import InvalidInput
from air_executor.fixing.check import Project
from air_executor.fixing.files import Files, find_files
from air_executor.fixing.languages import BUILT_IN, languages
from air_executor.fixing.languages.language import Language
from air_executor.fixing.projects import _is_member, find_projects
from tests.fixing.conftest import Write

PROJECT = '[project]\nname = "x"\nversion = "1"\n'
WEB = Language(name="web", suffixes=frozenset({".ts", ".tsx"}), manifests=("package.json",), checks=())
GO = Language(name="go-like", suffixes=frozenset({".go"}), manifests=("go.mod",), checks=())


def roots(projects: list[Project]) -> dict[tuple[str, str], tuple[str, ...]]:
    return {(project.language, project.root): project.files for project in projects}


def test_a_monorepo_of_three_languages(repository: Write):
    place = repository(
        {
            "pyproject.toml": PROJECT,
            "a.py": "",
            "src/b.pyi": "",
            "services/api/pyproject.toml": PROJECT,
            "services/api/c.py": "",
            "services/api/plugins/one/setup.py": "from setuptools import setup\nsetup()\n",
            "services/api/plugins/one/d.py": "",
            "web/package.json": "{}",
            "web/e.ts": "",
            "web/tools/f.py": "",
            "web/part/package.json": "{}",
            "web/part/g.tsx": "",
            "go/go.mod": "module x\n",
            "go/h.go": "",
            "loose.go": "",
            "readme.md": "",
        }
    )
    found = find_projects(place, [languages()["python"], WEB, GO])
    assert roots(found) == {
        ("python", "."): ("a.py", "src/b.pyi", "web/tools/f.py"),
        ("python", "services/api"): ("services/api/c.py",),
        ("python", "services/api/plugins/one"): (
            "services/api/plugins/one/d.py",
            "services/api/plugins/one/setup.py",
        ),
        ("web", "web"): ("web/e.ts",),
        ("web", "web/part"): ("web/part/g.tsx",),
        ("go-like", "."): ("loose.go",),
        ("go-like", "go"): ("go/h.go",),
    }
    by_root = {(project.language, project.root): project for project in found}
    assert by_root["python", "."].nested == ("services/api", "services/api/plugins/one")
    assert by_root["python", "services/api"].nested == ("services/api/plugins/one",)
    assert by_root["python", "services/api"].manifest == "services/api/pyproject.toml"
    assert by_root["go-like", "."].manifest is None


def test_what_only_configures_tools_makes_no_project(repository: Write):
    place = repository(
        {
            "a.py": "",
            "docs/pyproject.toml": "[tool.ruff]\n",
            "docs/b.py": "",
            "c/setup.cfg": "[flake8]\n",
            "c/d.py": "",
            "pkg/__init__.py": "",
            "pkg/setup.py": "def setup(): ...\n",
        }
    )
    assert [project.root for project in find_projects(place)] == ["."]


def test_requirements_make_a_project_only_where_nothing_above_does(repository: Write):
    place = repository(
        {"back/requirements.txt": "", "back/a.py": "", "back/docs/requirements.txt": "", "back/docs/b.py": ""}
    )
    assert [project.root for project in find_projects(place)] == ["back"]
    place = repository({"pyproject.toml": PROJECT, "c.py": ""})
    assert [project.root for project in find_projects(place)] == ["."]


def test_members_of_a_workspace_of_uv(repository: Write):
    place = repository(
        {
            "pyproject.toml": PROJECT + '[tool.uv.workspace]\nmembers = ["packages/*"]\nexclude = ["packages/old"]\n',
            "main.py": "",
            **{f"{folder}/pyproject.toml": PROJECT for folder in ("packages/a", "packages/old", "other/b")},
            **{f"{folder}/m.py": "" for folder in ("packages/a", "packages/old", "other/b")},
        }
    )
    assert {project.root: project.workspace for project in find_projects(place)} == {
        ".": None,
        "packages/a": ".",
        "packages/old": None,
        "other/b": None,
    }


@pytest.mark.parametrize(
    ("patterns", "folder", "member"),
    [
        (["packages/*"], "packages/a", True),
        (["packages/*"], "packages/a/b", False),
        (["packages/**"], "packages/a/b", True),
        (["**/lib"], "x/y/lib", True),
        (["**/lib"], "lib", True),
        (["./a"], "a", True),
        (["a/"], "a", True),
        (["{a,b}/*"], "b/c", True),
        (["a.b"], "axb", False),
        (["packages/*", "!packages/old"], "packages/old", False),
        (["crates/lib-?"], "crates/lib-x", True),
    ],
)
def test_patterns_of_members(patterns: list[str], folder: str, member: bool):
    assert _is_member(folder, patterns) is member


NAMES = st.sampled_from(["a", "b", "c", "lib"])
FOLDERS = st.lists(NAMES, max_size=4).map("/".join)
PATHS = st.tuples(
    FOLDERS, st.sampled_from(["m.py", "n.py", "pyproject.toml", "requirements.txt", "x.ts", "package.json"])
)


@given(st.sets(PATHS.map(lambda parts: str(PurePosixPath(*parts))), max_size=30))
def test_each_file_is_in_exactly_one_project_whatever_the_tree(
    tmp_path_factory: pytest.TempPathFactory, paths: set[str]
):
    place = tmp_path_factory.getbasetemp()  # nothing of it is read: a manifest that is not there counts as one
    found = find_projects(place, [languages()["python"], WEB], Files(tuple(sorted(paths))))
    for name, suffix in (("python", ".py"), ("web", ".ts")):
        owned = [file for project in found if project.language == name for file in project.files]
        assert sorted(owned) == sorted(path for path in paths if path.endswith(suffix))
    for project in found:
        for file in project.files:
            assert project.root == "." or file.startswith(project.root + "/")
            assert not any(file.startswith(root + "/") for root in project.nested)


def test_a_language_of_another_distribution(distribution: Callable[[str], None]):
    distribution(
        """
        from air_executor.fixing.languages import Language
        COBOL = Language(name="cobol", suffixes=frozenset({".cob"}), manifests=(), checks=())
        """
    )
    assert set(languages()) == {*BUILT_IN, "cobol"}
    assert languages()["cobol"].suffixes == {".cob"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import no_such_module", r"'cobol' of cobol-language cannot be loaded: No module named 'no_such_module'"),
        ("COBOL = 'text'", r"'cobol' \(cobol_language:COBOL\) is no `Language`"),
    ],
)
def test_a_language_that_cannot_be_loaded(distribution: Callable[[str], None], text: str, told: str):
    distribution(text)
    with pytest.raises(InvalidInput, match=told):
        languages()


def test_suffixes_in_capitals(repository: Write):
    files = find_files(repository({"a.py": "", "B.PY": ""}))
    assert [project.files for project in find_projects(repository({}), None, files)] == [("B.PY", "a.py")]
