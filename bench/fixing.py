"""`make bench-fixing`: the health of 2,000 files with 10,000 issues, against the same tools run by hand.

By hand means: a program that does nothing but start the tools that `air-executor fix health` starts, with the same
arguments, in the same order and as many at once, their output into files; nobody reads it. Everything is cold in
both: the caches of the tools are new each time. Then the same health once more, of a project that has not changed.
CPU time is that of everything either way starts; it tells more than the clock where others use the machine too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from air_executor.fixing.checking.execution import adopt_descendants
from bench.measure import alternate, environment, median, timed

ROUNDS = 3
FILES = 2_000
ISSUES = 10_000
SHARE_GOAL = 0.10
KNOWN_GOAL_S = 2.0
PER_PACKAGE = 40
TOOLS = Path(os.environ.get("FIXING_TOOLS") or Path(__file__).parents[1] / ".venv" / "fixing-tools")

HEAD = '''\
"""Part {number} of a program that does little."""

import json
import os
import re


class Part{number}:
    """What is counted."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.seen: dict[str, int] = {{}}
'''
METHOD = '''
    def total_{number}_{method}(self, numbers: list[int]) -> int:
        """Of those that can be divided by {divisor}."""
        total = self.start
        for number in numbers:
            if number % {divisor} == 0:
                total += number * {method}
            elif number > {number}:
                total -= number
        return total

    def name_{number}_{method}(self, word: str) -> str:
        """As often as it was asked for."""
        self.seen[word] = self.seen.get(word, 0) + 1
        return f"{{word}}-{number}-{{self.seen[word]}}"
'''
TAIL = '''

def size_{number}(text: str) -> int:
    """How long a text is."""
    unused = text.strip()
    return text
'''
"""Five issues: three imports and a variable that are not used, and what is not the type it is said to be."""
METHODS = 6
TEST = """\
import pytest
from package{package} import part{number}


@pytest.mark.parametrize("start", [0, 1, 2])
def test_total(start):
    part = part{number}.Part{number}(start)
    assert part.total_{number}_0([]) == start


def test_name():
    assert part{number}.Part{number}(0).name_{number}_0("a") == "a-{number}-1"
"""
PYPROJECT = """\
[project]
name = "large"
version = "1"
[tool.ruff.lint]
select = ["F", "E9"]
[tool.mypy]
files = ["."]
[tool.pytest.ini_options]
pythonpath = ["."]
"""


def write_project(place: Path, files: int) -> int:
    """A project of so many modules; one in ten has tests. Gives how many issues its tools have to find."""
    place.mkdir()
    (place / "pyproject.toml").write_text(PYPROJECT)
    (place / "tests").mkdir()
    for number in range(files):
        folder = place / f"package{number // PER_PACKAGE}"
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
        methods = [METHOD.format(number=number, method=one, divisor=one + 2) for one in range(METHODS)]
        text = HEAD.format(number=number) + "".join(methods) + TAIL.format(number=number)
        (folder / f"part{number}.py").write_text(text)
        if number % 10 == 0:
            test = TEST.format(number=number, package=number // PER_PACKAGE)
            (place / "tests" / f"test_part{number}.py").write_text(test)
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all of it"]):
        subprocess.run([*git, *words], cwd=place, check=True)
    return 5 * files


class Bench:
    """One project, and a folder for what each way leaves behind."""

    def __init__(self, scratch: Path, files: int, issues: int) -> None:
        self.scratch = scratch
        self.project = scratch / "project"
        self.issues = issues
        self.slots = len(os.sched_getaffinity(0))
        if write_project(self.project, files) < issues:
            raise SystemExit(f"bench: {files} files do not hold {issues} issues")
        self.env = environment() | {"PATH": f"{TOOLS / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        self.env["PYTHONDONTWRITEBYTECODE"] = "1"
        self.folder = scratch

    def fresh(self) -> None:
        """A new folder for caches, so that nothing is known."""
        self.folder = Path(tempfile.mkdtemp(dir=self.scratch))

    def counted(self, action: Callable[[], object]) -> float:
        """CPU seconds of all processes that an action starts, until the last has ended."""
        before = self.cpu_s()
        action()
        self.reap()
        return self.cpu_s() - before

    def cpu_s(self) -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def reap(self) -> None:
        """Wait for what outlives its parent, such as launchers, whose children only then are counted."""
        while True:
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return

    def health(self) -> None:
        """What `air-executor fix health` says."""
        env = self.env | {f"XDG_{name}_HOME": str(self.folder / name) for name in ("CACHE", "CONFIG", "STATE")}
        words = [sys.executable, "-m", "air_executor", "fix", "health", str(self.project), "--dynamic", "--trust"]
        with (self.folder / "health.json").open("wb") as out:
            subprocess.run([*words, "--json"], check=True, env=env, stdout=out, stderr=subprocess.DEVNULL)

    def ours(self) -> None:
        self.fresh()
        self.health()

    def by_hand(self) -> None:
        self.fresh()
        with ThreadPoolExecutor(self.slots) as slots:
            for ended in [slots.submit(self.tool, *words) for words in self.static()]:
                ended.result()
        for words in self.dynamic():
            self.tool(*words)

    def static(self) -> list[list[str]]:
        cache = f"--cache-dir={self.folder}"
        asked = {"repository": str(self.project), "paths": self.listed()}
        (self.folder / "files.json").write_text(json.dumps(asked))
        return [
            ["ruff", "check", "--output-format=json", f"{cache}/ruff", "."],
            ["ruff", "format", "--check", "--output-format=json", f"{cache}/ruff-format", "."],
            ["mypy", "--output=json", "--show-column-numbers", f"{cache}/mypy"],
            [
                sys.executable, "-P", "-m", "air_executor.fixing.metrics.measure", f"{self.folder}/files.json",
                f"{self.folder}/metrics.json",
            ],
        ]  # fmt: skip

    def dynamic(self) -> list[list[str]]:
        data = f"--data-file={self.folder}/coverage"
        pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
        return [
            ["python", "-m", "coverage", "run", data, "--source=.", *pytest],
            ["python", *pytest, "--collect-only"],
            ["python", "-m", "coverage", "json", data, "-q", "-o", f"{self.folder}/coverage.json"],
        ]

    def listed(self) -> list[str]:
        return sorted(str(path.relative_to(self.project)) for path in self.project.rglob("*.py"))

    def tool(self, *words: str) -> None:
        name = "-".join(words[:4]).replace("/", "_")
        with (self.folder / name).open("wb") as out:
            done = subprocess.run(
                words, cwd=self.project, env=self.env, stdout=out, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode not in (0, 1):
            raise SystemExit(f"bench: {' '.join(words[:6])}: exit code {done.returncode}; see {self.folder / name}")

    def check(self) -> str:
        """That the health holds all there is; in words."""
        health = json.loads((self.folder / "health.json").read_text())
        found = [issue for result in health["results"] for issue in result.get("issues", ())]
        outcomes = {result["check"]: result["outcome"] for result in health["results"]}
        tests = sum(len(result.get("tests") or ()) for result in health["results"])
        if len(found) != self.issues or "could_not_run" in outcomes.values() or not tests:
            raise SystemExit(f"bench: {len(found)} issues of {self.issues}, {tests} tests, {outcomes}")
        return f"{', '.join(outcomes)}: {len(found):,} issues, {tests:,} tests"


def run(rounds: int = ROUNDS, files: int = FILES, issues: int = ISSUES) -> bool:
    """Print the times; whether the goals are met."""
    if not (TOOLS / "bin" / "ruff").exists():
        raise SystemExit(f"bench: {TOOLS} is not there: `make .venv/.fixing-tools` installs it")
    with tempfile.TemporaryDirectory(prefix="air-executor-bench-") as scratch:
        bench = Bench(Path(scratch), files, issues)
        used: dict[str, list[float]] = {"by_hand": [], "ours": []}
        adopt_descendants()
        seconds = alternate(
            rounds,
            by_hand=lambda: used["by_hand"].append(bench.counted(bench.by_hand)),
            ours=lambda: used["ours"].append(bench.counted(bench.ours)),
        )
        told = bench.check()
        known = median([timed(bench.health) for _ in range(rounds)])
        bench.check()
    hand, ours = median(seconds["by_hand"]), median(seconds["ours"])
    share = ours / hand - 1
    print(f"  {files:,} files; {told}")
    print(f"  the tools by hand {hand:.1f} s, fix health {ours:.1f} s: {100 * share:+.1f}% (goal at most +10%)")
    cpu_hand, cpu = median(used["by_hand"]), median(used["ours"])
    print(f"  CPU time: by hand {cpu_hand:.1f} s, fix health {cpu:.1f} s: {100 * (cpu / cpu_hand - 1):+.1f}%")
    print(f"  once more, unchanged: {known:.2f} s (goal under {KNOWN_GOAL_S:g})")
    return share <= SHARE_GOAL and known < KNOWN_GOAL_S


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    print("fixing", flush=True)
    return 0 if run(given.rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
