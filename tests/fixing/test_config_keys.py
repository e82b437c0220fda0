"""For each key of the configuration: changing it changes what comes out. A key without such a test is not allowed."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from air_executor.errors import InvalidInput
from air_executor.events import AttemptExited, AttemptStarted
from air_executor.fixing.choice import chosen_projects
from air_executor.fixing.configuration.config import FixingConfig, load_target, parse_config
from air_executor.fixing.health.completion import unmet
from air_executor.fixing.health.health import Health, examine
from air_executor.fixing.issue import Issue, with_fingerprints
from air_executor.fixing.planning.batches import plan
from air_executor.store.journal import read_journal
from tests.fixing.conftest import COBOL, Write

FOR_RUNS = {
    "air_executor.timeout",
    "circuit_breaker.max_consecutive_failures",
    "circuit_breaker.max_duration_hours",
    "circuit_breaker.max_total_runs",
    "completion_criteria.stability_runs",
    "redis.db",
    "redis.host",
    "redis.port",
}
"""What only `fix run` looks at."""


def parse(text: str) -> FixingConfig:
    return parse_config(text, Path("c.yaml"))


def config_with(**keys: object) -> FixingConfig:
    """With `section__key=value`."""
    raw: dict[str, Any] = {}
    for name, value in keys.items():
        *above, last = name.split("__")
        place = raw
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    return parse(msgspec.yaml.encode(raw).decode())


def name_of(change: dict[str, object]) -> str:
    return " ".join(f"{key.replace('__', '.')}={value}" for key, value in change.items())


# Batches.

PLANNED = with_fingerprints(
    [
        Issue(tool=tool, rule=rule, severity="error", message="m", path=f"{folder}/{n % files}.py", line=n + 1)
        for tool, rule, folder, files in (
            ("ruff", "F401", "src", 30),
            ("mypy", "arg-type", "home", 30),
            ("pytest", "test-failed", "tests", 1),
            ("coverage", "coverage-gap", "src", 30),
        )
        for n in range(30)
    ],
    lambda path, line: f"{path} {line}",
)
BATCHES: list[dict[str, object]] = [
    {"issue_grouping__mode": "individual"},
    {"issue_grouping__mode": "mega"},
    {"issue_grouping__mega_batch_mode": True},
    {"issue_grouping__max_cleanup_batch_size": 7},
    {"issue_grouping__max_location_batch_size": 7},
    {"batch_sizes__build_fixes": 7},
    {"batch_sizes__test_fixes": 7},
    {"batch_sizes__lint_fixes": 7},
    {"batch_sizes__coverage_fixes": 7},
]


@pytest.mark.parametrize("change", BATCHES, ids=name_of)
def test_batches_change(change: dict[str, object]) -> None:
    changed, usual = plan(PLANNED, config_with(**change)), plan(PLANNED, FixingConfig())

    assert changed != usual
    # A size is of its phase only.
    for key in change:
        section, _, name = key.partition("__")
        if section == "batch_sizes":
            others = [[batch.id for batch in of if f"{batch.phase}_fixes" != name] for of in (changed, usual)]
            assert others[0] == others[1]
            assert max(len(batch.issues) for batch in changed if f"{batch.phase}_fixes" == name) <= 7


# Health.

SAME = "".join(f"    numbers.append({n} * numbers[-1])\n" for n in range(9))
FILES = {
    "pyproject.toml": '[project]\nname = "shop"\nversion = "1"\n[tool.ruff.lint]\nselect = ["F"]\n',
    "shop.py": f"""\
import os
import sys


def total(prices):
    sum_of_all = 0
    for price in prices:
        if price:
            if price > 0:
                sum_of_all += price
    return sum_of_all


def one(numbers):
{SAME}    return numbers


def other(numbers):
    print(numbers)
{SAME}    return len(numbers)
""",
    "test_shop.py": """\
from shop import total


def test_total():
    assert total([1, 2]) == 3


def test_nothing():
    assert total([]) is None
""",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With two errors, a failing test, half of it covered, and a bit too much of everything for strict thresholds."""
    place = tmp_path_factory.mktemp("shop")
    for name, text in FILES.items():
        (place / name).write_text(textwrap.dedent(text) if name != "shop.py" else text)
    return place


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def one_cache(with_tools: Path, private_folders: None, kept: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Checks are run once for all these tests: their results are known by the content of the files."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(kept / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(kept / "state"))
    return kept / "cache"


def looked_at(place: Path, config: FixingConfig, *, use_cache: bool = True) -> Health:
    return examine(place, config, mode="trusted", use_cache=use_cache)


def told(health: Health) -> tuple[object, ...]:
    """What of it may differ by the configuration only, not from run to run."""
    rules = sorted((issue.rule, issue.path, issue.line) for issue in health.issues)
    checks = sorted((result.check, result.outcome) for result in health.results)
    dynamic = health.dynamic.score if health.dynamic is not None else None
    return health.static.score, health.static.passed, dynamic, health.overall, health.healthy, rules, checks


THRESHOLDS: dict[str, object] = {
    "file_size_threshold": 20,
    "function_length_threshold": 5,
    "complexity_threshold": 2,
    "nesting_threshold": 1,
    "duplication_threshold": 8,
    "coverage_threshold": 10,
}
HEALTH: list[dict[str, object]] = [
    *({f"health_check__{name}": value} for name, value in THRESHOLDS.items()),
    *({f"languages__python__{name}": value} for name, value in THRESHOLDS.items()),
    {"languages__python__checks": ["ruff"]},
    {"health_check__static_pass_threshold": 0.99},
    {"health_check__healthy_threshold": 0.1},
    {"health_check__few_errors": 1},
    {"health_check__weights__analysis": 0.5, "health_check__weights__quality": 0.5},
    {"health_check__weights__analysis_few_errors": 0.5},
    {"health_check__weights__pass_rate": 0.5, "health_check__weights__coverage": 0.5},
    {"health_check__weights__static": 0.7, "health_check__weights__dynamic": 0.3},
]


@pytest.mark.parametrize("change", HEALTH, ids=name_of)
def test_health_changes(change: dict[str, object], shop: Path, one_cache: Path) -> None:
    usual = looked_at(shop, FixingConfig())

    assert usual.healthy is False  # so everything could run
    assert told(looked_at(shop, config_with(**change))) != told(usual)


def test_static_health_alone_has_a_weight_of_its_own(shop: Path, one_cache: Path) -> None:
    found = [
        looked_at(
            shop, config_with(health_check__static_pass_threshold=0.99, health_check__weights__static_alone=alone)
        )
        for alone in (0.7, 0.5)
    ]

    assert found[0].overall != found[1].overall


def test_an_analysis_without_errors_has_a_weight_of_its_own(shop: Path, one_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(FILES["pyproject.toml"])
    (tmp_path / "a.py").write_text("X = 1\n")
    few = {"health_check__weights__analysis_few_errors": 0.2, "health_check__file_size_threshold": 1}
    (tmp_path / "b.py").write_text("X = 1\nY = 2\n")

    found = [
        examine(
            tmp_path,
            config_with(**few, health_check__weights__analysis=share, health_check__weights__quality=1 - share),
            mode="static",
        )
        for share in (0.6, 0.5)
    ]
    assert found[0].static.score != found[1].static.score


COMPLETE: list[dict[str, object]] = [
    {"completion_criteria__build_passes": False},
    {"completion_criteria__max_lint_errors": 2},
    {"completion_criteria__min_test_pass_rate": 0.5},
]


def test_what_is_left_to_do_changes(shop: Path, one_cache: Path) -> None:
    (shop / "broken.py").write_text("def\n")
    try:
        found = examine(shop, FixingConfig(), mode="trusted", dynamic=True)
    finally:
        (shop / "broken.py").unlink()

    usual = unmet(found, FixingConfig().completion_criteria)
    assert [clause.partition(" find ")[0] for clause in usual[:2]] == ["compilers and type checkers", "linters"]
    for change in COMPLETE:
        assert unmet(found, config_with(**change).completion_criteria) != usual


@pytest.mark.parametrize(
    ("key", "check"),
    [("health_check__static_timeout", "python/ruff"), ("health_check__test_timeout", "python/pytest")],
)
def test_a_timeout_ends_checks(key: str, check: str, shop: Path, one_cache: Path) -> None:
    found = examine(shop, config_with(**{key: 0.001}), mode="trusted", dynamic=True, use_cache=False)

    ended = {result.check: result.reason or "" for result in found.results if result.outcome == "could_not_run"}
    assert "did not end within 0.001 s" in ended[check]
    assert found.healthy is None


def most_at_once(cache: Path) -> int:
    """How many checks of the last run ran at the same time."""
    (journal,) = sorted((cache / "air-executor").rglob("journal.jsonl"), key=lambda path: path.stat().st_mtime)[-1:]
    running = most = 0
    for event in read_journal(journal)[0]:
        running += isinstance(event, AttemptStarted)
        most = max(most, running)
        running -= isinstance(event, AttemptExited)
    return most


@pytest.mark.parametrize("slots", [1, 3])
def test_so_many_checks_run_at_once(slots: int, shop: Path, one_cache: Path) -> None:
    examine(shop, config_with(air_executor__slots=slots), mode="static", use_cache=False)

    assert most_at_once(one_cache) == slots


# What is looked at.


@pytest.fixture
def two_languages(distribution: Callable[[str], None], repository: Write) -> Path:
    distribution(COBOL)
    return repository({"pyproject.toml": "[project]\nname = 'a'\n", "a.py": ""})


LOOKED_AT: list[dict[str, object]] = [
    {"languages__enabled": ["cobol"]},
    {"languages__enabled": ["python", "cobol"], "languages__auto_detect": False},
    {"target_project__type": "cobol"},
]


@pytest.mark.parametrize("change", LOOKED_AT, ids=name_of)
def test_what_is_looked_at_changes(change: dict[str, object], two_languages: Path) -> None:
    def found(config: FixingConfig) -> list[str]:
        try:
            return [project.language for project in chosen_projects(two_languages, config)]
        except InvalidInput as error:
            return [str(error)]

    assert found(FixingConfig()) == ["python"]
    assert found(config_with(**change)) != ["python"]


def test_the_target_changes(repository: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    place = repository({"c.yaml": "target_project: {path: null}", "d.yaml": "target_project: {path: other}"})
    (place / "other").mkdir()
    monkeypatch.chdir(place)

    assert [load_target(None, place / name)[0] for name in ("c.yaml", "d.yaml")] == [place, place / "other"]


# All of them.

IN_TESTS_OF_THEIR_OWN = {
    "air_executor.slots",
    "health_check.static_timeout",
    "health_check.test_timeout",
    "health_check.weights.static_alone",
    "target_project.path",
}


def leaves(value: object, above: str = "") -> set[str]:
    if not isinstance(value, dict):
        return {above}
    return {key for name, inner in value.items() for key in leaves(inner, f"{above}.{name}" if above else name)}


def test_every_key_is_tried() -> None:
    config = parse("redis: {}\nlanguages: {python: {}}")
    raw = msgspec.to_builtins(config)
    raw["languages"]["python"] = raw["languages"].pop("each")["python"]
    tried = {key.replace("__", ".") for change in (*BATCHES, *HEALTH, *COMPLETE, *LOOKED_AT) for key in change}

    assert leaves(raw) == tried | IN_TESTS_OF_THEIR_OWN | FOR_RUNS
    assert not (tried | IN_TESTS_OF_THEIR_OWN) & FOR_RUNS


def other_value(value: object) -> object:
    if isinstance(value, bool):
        return not value
    return {str: "db.example.org", float: 0.5, int: 7}[type(value)]


@pytest.mark.parametrize("key", sorted(FOR_RUNS))
def test_what_is_for_runs_is_read_and_checked(key: str) -> None:
    """Nobody uses it yet, so all that can be seen is that the configuration holds it."""

    def value(config: FixingConfig) -> object:
        found: Any = config
        for name in key.split("."):
            found = getattr(found, name)
        return found

    usual = value(parse("redis: {}"))
    assert value(config_with(**{key.replace(".", "__"): other_value(usual)})) == other_value(usual)
    with pytest.raises(InvalidInput, match=key):
        config_with(**{key.replace(".", "__"): ["a", "list"]})
