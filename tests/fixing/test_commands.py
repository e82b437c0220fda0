"""`air-executor fix health`, `issues` and `plan`, with real tools on small repositories."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click
import pytest

from air_executor.cli import main
from air_executor.fixing import trust
from air_executor.fixing.configuration.config import PLACE
from air_executor.fixing.reports.listing import by_file, selected
from air_executor.fixing.reports.shapes import FLAKY, HEALTH, ISSUES, PLAN
from tests.fixing.conftest import Write, program
from tests.fixing.healths import issue

PYPROJECT = '[project]\nname = "shop"\nversion = "1"\n[tool.ruff.lint]\nselect = ["E", "F"]\n'
TEST = "from cart import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n"
WELL = {"pyproject.toml": PYPROJECT, "cart.py": "def total(prices):\n    return sum(prices)\n", "test_cart.py": TEST}
CART = """\
import os


def total(prices):
    return sum(prices)


def cheapest(prices):
    return min(price)
"""
ILL = WELL | {
    "cart.py": CART,
    "sub dir/more.py": "import os\nimport sys\n",
}


class Said:
    """What a command printed, and its exit code."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        self.code = main(["fix", *arguments])
        self.out, self.err = capsys.readouterr()
        assert "Traceback" not in self.err

    @property
    def value(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


@pytest.fixture
def fix(capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda *arguments: Said(capsys, *map(str, arguments))


@pytest.fixture(autouse=True)
def _private_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def places(value: dict[str, Any]) -> Counter[tuple[str, str, int]]:
    return Counter((one["rule"], one["path"], one.get("line", 0)) for one in value["issues"])


MORE = "sub dir/more.py"
FOUND = Counter([("F401", "cart.py", 1), ("F821", "cart.py", 9), ("F401", MORE, 1), ("F401", MORE, 2)])


# ---- health ----------------------------------------------------------------------------------------


def test_a_healthy_project(repository: Write, with_tools: Path, fix: Any) -> None:
    folder = repository(WELL)
    before = snapshot(folder)
    said = fix("health", folder, "--fail-under", "95")
    assert said.code == 0, said.err
    for line in (
        "Smart Health Check: repository",
        "Smart Health Summary: repository",
        "Overall health: 100%: healthy",
    ):
        assert line in said.out, said.out
    assert "1 passed" in said.out
    assert snapshot(folder) == before, "the project was changed"


def test_health_as_json(repository: Write, with_tools: Path, fix: Any) -> None:
    folder = repository(ILL)
    value = fix("health", folder, "--dynamic", "--json").value
    assert value.keys() == HEALTH.keys.keys()
    assert {key: count for key, count in places(value).items() if key[0].startswith("F")} == FOUND
    assert value["static"]["errors"] == 4
    assert (value["dynamic"]["passed"], value["dynamic"]["failed"]) == (1, 0)
    assert value["healthy"] in (True, False)
    assert value["formula"]


def test_static_only_runs_none_of_the_projects_code(repository: Write, with_tools: Path, fix: Any) -> None:
    mark = "import pathlib\npathlib.Path('ran').touch()\n"
    folder = repository(WELL | {"conftest.py": mark})
    value = fix("health", folder, "--static-only", "--json").value
    assert value["mode"] == "static"
    assert value["dynamic"] is None
    assert value["dynamic_skipped"]
    assert {one["check"] for one in value["skipped"]} >= {"python/pytest", "python/coverage"}
    assert not (folder / "ran").exists()


def test_fail_under(repository: Write, with_tools: Path, fix: Any) -> None:
    folder = repository(ILL)
    overall = fix("health", folder, "--static-only", "--json").value["overall"] * 100
    assert fix("health", folder, "--static-only", "--fail-under", f"{overall - 1:.2f}").code == 0
    said = fix("health", folder, "--static-only", "--fail-under", f"{overall + 1:.2f}")
    assert said.code == 1
    assert "is asked for" in said.err
    assert fix("health", folder, "--static-only", "--fail-under", "nan").code == 1


def test_what_could_not_run_is_never_good_enough(
    repository: Write, with_tools: Path, fix: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository(WELL | {"pyproject.toml": PYPROJECT + "[tool.mypy]\nno_such_option = 1\nstrict = 7\n"})
    bin_folder = folder.parent / "bin"
    program(
        bin_folder / "mypy",
        '#!/bin/sh\ncase "$*" in *version*) echo mypy 2.4.1; exit;; esac\necho lost >&2; exit 70\n',
    )
    monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
    said = fix("health", folder, "--fail-under", "0")
    assert said.code == 1
    assert "python/mypy could not run: " in said.out
    assert "exit code 70: lost" in said.out
    assert "Overall health: not known" in said.out
    assert "not known" in said.err
    for command in ("issues", "plan"):
        said = fix(command, folder)
        assert said.code == 1, command
        assert "air-executor: python/mypy could not run: " in said.err
    assert [one["check"] for one in fix("issues", folder, "--json").value["could_not_run"]] == ["python/mypy"]


def test_baseline(repository: Write, with_tools: Path, fix: Any, tmp_path: Path) -> None:
    folder, known = repository(ILL), tmp_path / "known.json"

    def against() -> Any:
        return fix("health", folder, "--static-only", "--baseline", known)

    assert against().code == 3
    assert fix("health", folder, "--dynamic", "--write-baseline", known).code == 0
    said = against()
    assert (said.code, "0 new issues, 0 gone" in said.err) == (0, True), said.err
    assert "python/pytest in . was not run now as it was then" in said.err

    repository({"cart.py": "# one\n# more\n" + CART, "sub dir/more.py": "import sys\nimport json\n"})
    said = against()
    assert said.code == 1
    assert "new: sub dir/more.py:2:8: F401: " in said.err
    assert "1 new issue, 1 gone" in said.err
    assert (
        fix("issues", folder, "--static-only", "--new-since", known, "--json").value["issues"][0]["path"]
        == "sub dir/more.py"
    )

    repository({"pyproject.toml": PYPROJECT.replace('"F"', '"F", "D1"')})
    assert "python/ruff has another configuration than then" in against().err
    known.write_text("{}[")
    assert against().code == 2


def test_html(repository: Write, with_tools: Path, fix: Any, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>.py"
    folder, place = repository(ILL | {hostile: "import os\n"}), tmp_path / "report.html"
    for _ in range(2):
        assert fix("health", folder, "--static-only", "--html", place).code == 0
    text = place.read_text("utf-8")
    assert "<img" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;.py:1:8" in text
    assert text.count('class="overall"') >= 3  # two runs and what explains the colour


def test_html_without_a_history(
    repository: Write, with_tools: Path, fix: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").write_text("a file, where a folder should be\n")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    said = fix("health", repository(WELL), "--static-only", "--html", tmp_path / "report.html")
    assert said.code == 0
    assert "the history does not hold this examination" in said.out
    assert "<circle" in (tmp_path / "report.html").read_text().partition("Score over time")[2].partition("</svg>")[0]


def test_progress_is_one_line_that_goes_away(repository: Write, with_tools: Path) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "air_executor", "fix", "health", str(repository(WELL)), "--static-only"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        assert process.stdout is not None
        printed = process.stdout.read().decode()
    shown = b""
    with contextlib.suppress(OSError):  # what reading the end of a terminal gives
        while data := os.read(ours, 4096):
            shown += data
    os.close(ours)
    assert process.returncode == 0
    assert "Smart Health Summary" in printed
    assert "\x1b" not in printed
    steps = shown.decode().split("\r\x1b[K")
    assert steps[0] == steps[-1] == ""
    assert steps[1] == "looking for projects …"
    assert any("checked, last python/ruff …" in step for step in steps)
    assert all("\n" not in step and len(step) < 120 for step in steps)


def test_trust_is_remembered_until_it_is_withdrawn(repository: Write, with_tools: Path, fix: Any) -> None:
    folder = repository(WELL)
    assert fix("health", folder, "--json").value["mode"] == "sandbox"
    said = fix("health", folder, "--trust", "--json")
    assert said.value["mode"] == "trusted"
    assert "is trusted from now on" in said.err
    assert trust.is_trusted(folder)
    assert fix("issues", folder, "--static-only", "--json").code == 0
    assert fix("health", folder, "--json").value["mode"] == "trusted"
    said = fix("health", folder, "--no-trust", "--json")
    assert said.value["mode"] == "sandbox"
    assert "no longer trusted" in said.err
    assert not trust.is_trusted(folder)


# ---- issues ----------------------------------------------------------------------------------------


def test_issues(repository: Write, with_tools: Path, fix: Any) -> None:
    folder = repository(ILL)
    said = fix("issues", folder, "--static-only")
    assert said.code == 0
    assert said.err == "air-executor: left out: python/pytest, python/coverage: it runs code of the repository\n"
    lines = said.out.splitlines()
    assert lines[0].split() == ["PLACE", "SEVERITY", "TOOL", "RULE", "FIX", "MESSAGE"]
    assert len(lines) == 6
    assert lines[1].startswith("cart.py:1:8 ")
    assert lines[3].startswith("sub dir/more.py:1:8 ")
    assert lines[-1] == "4 issues in 2 files: 4 errors"
    filters = ("--rule", "F4*", "--path", "sub dir", "--severity", "error")
    value = fix("issues", folder, "--static-only", "--json", *filters).value
    assert value.keys() == ISSUES.keys.keys()
    assert (len(value["issues"]), value["total"]) == (2, 4)
    assert fix("issues", folder, "--static-only", "--rule", "F8*").out.splitlines()[-1].startswith("1 of 4 issues")


def test_on_a_terminal_issues_stand_below_their_files() -> None:
    found = [
        issue("F401", "cart.py", 1, safe_fix=True, message="word " * 30),
        issue("too-long", "cart.py", 0, column=0, tool="metrics", severity="warning", message="301 lines"),
        issue("F821", f"{'deep/' * 30}more.py", 12, column=7, message="short"),
    ]
    lines = [click.unstyle(line) for line in by_file(found, 60)]
    assert lines[0] == "cart.py"
    assert lines[1].startswith("   1:1  error    ruff F401         fix  word word ")
    assert lines[1].endswith("…")
    assert len(lines[1]) <= 60
    assert lines[2] == "        warning  metrics too-long       301 lines"
    assert lines[3:] == [f"{'deep/' * 30}more.py", "  12:7  error    ruff F821              short"]
    assert list(by_file([], 60)) == []


LISTED = [
    issue("F401", "cart.py", 1),
    issue("F821", "cart.py", 9),
    issue("F401", "sub dir/more.py", 1, severity="warning"),
    issue("too-long", "sub dir/more.py", 2, severity="info"),
]


@pytest.mark.parametrize(
    ("rules", "paths", "severity", "left"),
    [
        ([], [], "info", [0, 1, 2, 3]),
        ([], [], "warning", [0, 1, 2]),
        ([], [], "error", [0, 1]),
        (["F401"], [], "info", [0, 2]),
        (["F4*", "F821"], [], "info", [0, 1, 2]),
        (["f401"], [], "info", []),
        ([], ["sub dir"], "info", [2, 3]),
        ([], ["./sub dir/"], "info", [2, 3]),
        ([], ["sub"], "info", []),
        ([], ["*.py"], "error", [0, 1]),
        ([], ["cart.py", "sub dir/more.py"], "info", [0, 1, 2, 3]),
        ([], ["."], "info", [0, 1, 2, 3]),
        (["F401"], ["sub dir"], "error", []),
    ],
)
def test_filters(rules: list[str], paths: list[str], severity: str, left: list[int]) -> None:
    assert selected(LISTED, rules, paths, severity) == [LISTED[number] for number in left]


def test_sarif_that_cannot_be_read_is_told(repository: Write, with_tools: Path, fix: Any, tmp_path: Path) -> None:
    place = tmp_path / "bad.sarif"
    place.write_text("{")
    said = fix("health", repository(WELL), "--static-only", "--sarif", place, "--fail-under", "0")
    assert said.code == 1
    assert re.search(r"could not run: .*bad\.sarif", said.out), said.out


def test_sarif_out_and_in(repository: Write, with_tools: Path, fix: Any, tmp_path: Path) -> None:
    folder, place = repository(ILL), tmp_path / "out.sarif"
    assert fix("issues", folder, "--static-only", "--sarif-output", place).code == 0
    runs = json.loads(place.read_bytes())["runs"]
    assert sorted(one["ruleId"] for run in runs for one in run["results"]) == ["F401", "F401", "F401", "F821"]
    to_stdout = fix("issues", folder, "--static-only", "--sarif-output", "-")
    assert json.loads(to_stdout.out)["runs"] == runs
    clean = repository({**WELL, "sub dir/more.py": ILL["sub dir/more.py"]}, "other")
    value = fix("issues", clean, "--static-only", "--sarif", place, "--rule", "F*", "--json").value
    assert places(value)["F821", "cart.py", 9] == 1


# ---- plan ------------------------------------------------------------------------------------------


def test_plan(repository: Write, with_tools: Path, fix: Any) -> None:
    folder = repository(ILL)
    said = fix("plan", folder, "--static-only")
    assert said.code == 0
    assert "remove all unused imports (2 files)" in said.out
    assert said.out.splitlines()[-1].startswith("2 batches of 4 issues in 2 files: ")
    value = fix("plan", folder, "--static-only", "--json").value
    assert value.keys() == PLAN.keys.keys()
    planned = [one["fingerprint"] for batch in value["batches"] for one in batch["issues"]]
    listed = [one["fingerprint"] for one in fix("issues", folder, "--static-only", "--json").value["issues"]]
    assert sorted(planned) == sorted(listed)
    one_batch = repository({PLACE: "issue_grouping: {mode: mega}\n"})
    assert len(fix("plan", one_batch, "--static-only", "--json").value["batches"]) == 1
    assert fix("plan", folder, "--static-only", "--phase", "test").out == "0 batches of 0 issues in 0 files\n"


# ---- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("health", "nowhere"), 3, "nowhere: no such folder"),
        (("health", "project", "--static-only", "--trust"), 2, "--static-only and --trust exclude each other"),
        (("health", "project", "--static-only", "--dynamic"), 2, "--static-only and --dynamic exclude each other"),
        (("health", "project", "--fail-under", "101"), 2, "101"),
        (("health", "project", "--config", "no.yaml"), 3, "no.yaml: no such file"),
        (("health", "project", "--config", "bad.yaml"), 2, "did you mean 'health_check'?"),
        (("issues", "project", "--severity", "bad"), 2, "bad"),
        (("issues", "project", "--new-since", "no.json"), 3, "no.json: no such baseline"),
        (("health", "project", "--sarif", "no.sarif"), 3, "no.sarif"),
        (("health", "project", "--html", "no/report.html"), 3, "no/report.html: the folder no is not there"),
        (("health", "project", "--write-baseline", "no/known.json"), 3, "no/known.json"),
        (("health", "project", "--baseline", "bad.yaml"), 2, "bad.yaml: not a baseline"),
        (("issues", "project", "--sarif-output", "no/out.sarif"), 3, "no/out.sarif"),
        (("issues", "project", "--sarif-output", "-", "--json"), 2, "both are for standard output"),
        (("plan", "project", "--phase", "none"), 2, "none"),
        (("doctor", "project", "--config", "bad.yaml"), 2, "did you mean 'health_check'?"),
        (("nothing",), 2, "nothing"),
    ],
)
def test_errors_are_one_line_with_a_code(
    repository: Write,
    with_tools: Path,
    fix: Any,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    text: str,
) -> None:
    folder = repository({"main.py": "x = 1\n"}, "project").parent
    (folder / "bad.yaml").write_text("health_chek: {}\n")
    monkeypatch.chdir(folder)
    said = fix(*arguments)
    assert said.code == code, said.err
    lines = [line for line in said.err.splitlines() if line.startswith("air-executor: error: ")]
    assert len(lines) == 1, said.err
    assert text in lines[0]


def test_the_extra_is_asked_for(repository: Write, fix: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lizard", None)  # as if it were not installed
    for command in ("health", "issues", "plan"):
        said = fix(command, repository(WELL))
        assert said.code == 1
        assert said.err == (
            "air-executor: error: measuring code needs one more package: pip install 'air-executor[fixing]'\n"
        )
    assert fix("init", "--stdout").code == 0


def test_the_configuration_names_the_project(
    repository: Write, with_tools: Path, fix: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository(ILL)
    (folder.parent / "ours.yaml").write_text("target_project: {path: repository}\n")
    monkeypatch.chdir(folder.parent)
    value = fix("issues", "--static-only", "--config", "ours.yaml", "--json").value
    assert value["repository"] == str(folder)
    monkeypatch.chdir(folder)
    assert fix("issues", "--static-only", "--json").value["repository"] == str(folder)


def test_an_empty_folder_is_not_healthy(tmp_path: Path, with_tools: Path, fix: Any) -> None:
    said = fix("health", tmp_path, "--fail-under", "0")
    assert said.code == 1
    assert "no project of a known language" in said.out
    assert "Overall health: not known" in said.out


# ---- flaky -----------------------------------------------------------------------------------------

TURNS = """
import pathlib, random, time
import pytest

MARK = pathlib.Path(__file__).with_name("turn")


def test_every_other_time():
    before = MARK.exists()
    MARK.unlink() if before else MARK.touch()
    assert before


def test_steady():
    pass


@pytest.mark.parametrize("at", [time.time_ns()])
def test_named_by_the_clock(at):
    pass
"""


def test_flaky(repository: Write, with_tools: Path, fix: Any) -> None:
    folder = repository({"pyproject.toml": PYPROJECT, "test_turns.py": TURNS})
    said = fix("flaky", folder, "--trust", "--json", "--seed", "7")
    value = said.value
    assert said.code == 1
    assert value.keys() == FLAKY.keys.keys()
    assert value["seed"] == 7
    (differing,) = value["flaky"]
    assert (differing["check"], differing["id"]) == ("python/pytest", "test_turns.py::test_every_other_time")
    assert set(differing["ends"]) == {"passed", "failed"}
    assert len(value["unstable"]) == 1
    assert value["incomplete"] == []
    said = fix("flaky", folder)
    assert said.code == 1
    assert "test_turns.py::test_every_other_time" in said.out
    assert said.out.splitlines()[-1].startswith("1 of 3 tests did not always end alike, 1 have no steady name (seed ")


def test_tests_that_cannot_be_collected_are_not_steady(repository: Write, with_tools: Path, fix: Any) -> None:
    said = fix("flaky", repository(WELL | {"test_lost.py": "import no_such_module\n"}))
    assert said.code == 1
    assert "test_lost.py could not be collected: ModuleNotFoundError: No module named 'no_such_module'" in said.err
    assert said.out.startswith("0 of 1 test did not always end alike")


def test_no_test_is_flaky(repository: Write, with_tools: Path, fix: Any) -> None:
    said = fix("flaky", repository(WELL))
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("0 of 1 test did not always end alike, 0 have no steady name")
