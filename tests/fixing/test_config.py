"""`config/autonomous_fix.yaml`: every key is known, does something, and says so when it is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import yaml

from air_executor.errors import BaseUnusable, InvalidInput, NotFound
from air_executor.fixing.choice import chosen_checks, chosen_languages, chosen_projects
from air_executor.fixing.configuration.config import (
    PLACE,
    TEMPLATE,
    FixingConfig,
    load_config,
    load_target,
    parse_config,
)
from air_executor.fixing.languages import languages
from tests.fixing.conftest import COBOL, Write

FILE = Path("c.yaml")


def parse(text: str) -> FixingConfig:
    return parse_config(text, FILE)


def refusal(text: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse(text)
    return str(caught.value)


def test_the_template_is_the_defaults() -> None:
    assert parse(TEMPLATE) == FixingConfig()


def keys_of(value: object, above: str = "") -> set[str]:
    if not isinstance(value, dict):
        return {above}
    return {key for name, inner in value.items() for key in keys_of(inner, f"{above}.{name}" if above else name)}


def test_the_template_names_every_key_there_is() -> None:
    """Those that are commented out too."""
    lines = TEMPLATE.replace("  # python:", "  python:").replace("  #   ", "    ").replace("\n# redis:", "\nredis:")
    text = lines.replace("\n#   ", "\n  ")
    config = msgspec.structs.replace(FixingConfig(), redis=parse("redis: {}").redis)
    every = keys_of(msgspec.to_builtins(config)) - {"languages.each"}

    assert every == {key for key in keys_of(yaml.safe_load(text)) if not key.startswith("languages.python.")}
    assert parse(text) != FixingConfig()


@pytest.mark.parametrize(
    "text",
    ["", "# nothing", "health_check:", "{}", "\ufeffredis:", "health_check: {weights: }", "languages: {python: }"],
)
def test_what_is_not_said_is_as_by_default(text: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    config = load_config(tmp_path, path)

    assert msgspec.structs.replace(config, languages=FixingConfig().languages) == FixingConfig()


def test_a_repository_without_a_configuration_has_the_defaults(tmp_path: Path) -> None:
    assert load_config(tmp_path) == FixingConfig()


def test_the_known_place_is_found(repository: Write) -> None:
    place = repository({PLACE: "health_check: {coverage_threshold: 60}"})

    assert load_config(place).health_check.coverage_threshold == 60


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("foo:", "unknown key 'foo' (known: air_executor, "),
        ("helth_check: {}", "unknown key 'helth_check' (did you mean 'health_check'?)"),
        (
            "health_check: {complexity: 3}",
            "unknown key 'health_check.complexity' (did you mean 'health_check.complexity_threshold'?)",
        ),
        (
            "coverage_threshold: 3",
            "unknown key 'coverage_threshold' (did you mean 'health_check.coverage_threshold'?)",
        ),
        ("batch_sizes: {huge: 3}", "unknown key 'batch_sizes.huge' (known: "),
        ("redis: {hots: a}", "unknown key 'redis.hots' (did you mean 'redis.host'?)"),
        ("health_check: {weights: {qualty: 1}}", "(did you mean 'health_check.weights.quality'?)"),
        ("languages: {pyton: {}}", "unknown key 'languages.pyton' (did you mean 'languages.python'?)"),
        ("languages: {each: {}}", "unknown key 'languages.each'"),
        (
            "languages: {python: {check: []}}",
            "unknown key 'languages.python.check' (did you mean 'languages.python.checks'?)",
        ),
        (
            "languages: {python: {checks: [ruf]}}",
            "languages.python.checks: unknown check 'ruf' (did you mean",
        ),
        ("languages: {enabled: [pyton]}", "languages.enabled: unknown language 'pyton' (did you mean 'python'?)"),
        ("target_project: {type: pyhton}", "target_project.type: unknown language 'pyhton' (did you mean 'python'?)"),
    ],
)
def test_a_key_nobody_knows_is_refused_with_the_nearest_one(text: str, said: str) -> None:
    assert refusal(text).startswith("c.yaml: ")
    assert said in refusal(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "health_check: {complexity_threshold: many}",
            "health_check.complexity_threshold: expected int, got str; it is",
        ),
        ("health_check: {complexity_threshold: 0}", "health_check.complexity_threshold: expected int >= 1; it is 0"),
        ("health_check: {complexity_threshold: true}", "health_check.complexity_threshold: expected int, got bool"),
        ("health_check: {healthy_threshold: 80}", "health_check.healthy_threshold: expected float <= 1.0; it is 80"),
        ("health_check: {healthy_threshold: .nan}", "health_check.healthy_threshold: expected float"),
        ("health_check: 3", "health_check: expected keys with values, got int; it is 3"),
        ("health_check: []", "health_check: expected keys with values, got array"),
        ("languages: []", "languages: expected keys with values, got array"),
        ("languages: {python: 3}", "languages.python: expected keys with values, got int; it is 3"),
        ("languages: {enabled: [1]}", "languages.enabled.0: expected str, got int; it is 1"),
        ("languages: {python: {complexity_threshold: x}}", "languages.python.complexity_threshold: expected int"),
        ("issue_grouping: {mode: big}", "issue_grouping.mode: expected one of mega, smart, individual; it is 'big'"),
        ("redis: {port: 99999}", "redis.port: expected int <= 65535; it is 99999"),
        ("[1]", "expected sections such as `health_check:`, not a list"),
        ("just text", "expected sections such as `health_check:`, not a str"),
        (
            "health_check: {weights: {quality: 0.5}}",
            "weights: analysis 0.6 + quality 0.5 is 1.1; the two have to sum to 1",
        ),
        ("health_check: {weights: {pass_rate: 0.5}}", "the two have to sum to 1"),
        ("health_check: {weights: {dynamic: 0.5}}", "the two have to sum to 1"),
        ("health_check: {weights: {analysis_few_errors: 0.7}}", "analysis_few_errors: 0.7 is more than 0.6"),
        ("issue_grouping: {mode: individual, mega_batch_mode: true}", "exclude each other"),
        ("languages: {enabled: []}", "has to name at least one"),
        ("languages: {auto_detect: false}", "has to name at least one"),
        ("a: 1\na: 2", "line 2 column 1: key 'a' stands twice"),
        ("health_check: {", "c.yaml, line 1 column 16: "),
        ("health_check: !!python/object:os.system {}", "c.yaml, line 1"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_place(text: str, said: str) -> None:
    assert refusal(text).startswith("c.yaml")
    assert said in refusal(text)
    assert "\n" not in refusal(text)


def test_other_names_of_languages(distribution: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("air_executor.fixing.configuration.config.ALSO", {"snake": "python"})

    config = parse("languages: {enabled: [snake], snake: {nesting_threshold: 9}}\ntarget_project: {type: snake}")
    assert config.languages.enabled == ("python",)
    assert config.target_project.type == "python"
    assert config.health_check_for("python").nesting_threshold == 9
    assert "which stands there as well" in refusal("languages: {snake: {}, python: {}}")


def test_a_file_that_is_asked_for_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="fix init"):
        load_config(tmp_path, tmp_path / "none.yaml")


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A pipe would be waited for as long as nobody writes to it."""
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "big.yaml").write_bytes(b"#" * 1_000_001)
    (tmp_path / "latin.yaml").write_bytes(b"# \xe9")
    for name, said in (("pipe", "not a regular file"), ("big", "over 1,000,000 bytes"), ("latin", "not UTF-8")):
        with pytest.raises(InvalidInput, match=said):
            load_config(tmp_path, tmp_path / f"{name}.yaml")


def test_a_configuration_that_cannot_be_read_is_no_default(repository: Write) -> None:
    place = repository({"a.py": ""})
    (place / "config").mkdir()
    (place / PLACE).symlink_to("loop")
    (place / "config" / "loop").symlink_to("autonomous_fix.yaml")

    with pytest.raises(BaseUnusable, match="symbolic links"):
        load_config(place)


def test_a_link_to_nothing_is_no_default(repository: Write) -> None:
    place = repository({"a.py": ""})
    (place / "config").mkdir()
    (place / PLACE).symlink_to("nowhere")

    with pytest.raises(NotFound):
        load_config(place)


# What is looked at.


def test_the_target_is_the_named_one_else_the_configured_else_here(
    repository: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = repository({"a.py": ""}, "named")
    other = repository({PLACE: "health_check: {coverage_threshold: 1}"}, "other")
    here = repository({PLACE: "target_project: {path: ../other}\nhealth_check: {coverage_threshold: 2}"}, "here")
    monkeypatch.chdir(here)

    assert load_target(named) == (named, FixingConfig())
    target, config = load_target(None)
    assert (target, config.health_check.coverage_threshold) == (other, 2)
    assert load_target(None, other / PLACE)[0] == here  # which does not say what it is for
    (here / PLACE).unlink()
    assert load_target(None) == (here, FixingConfig())


def test_a_target_is_relative_to_its_file(repository: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    place = repository({"jobs/nightly.yaml": "target_project: {path: ../code}", "code/a.py": ""})
    monkeypatch.chdir("/")

    assert load_target(None, place / "jobs" / "nightly.yaml")[0] == place / "code"


def test_a_target_that_is_not_there_is_an_error(repository: Write) -> None:
    place = repository({"c.yaml": "target_project: {path: gone}"})

    with pytest.raises(NotFound, match="gone is no folder"):
        load_target(None, place / "c.yaml")


@pytest.fixture
def two_languages(distribution: Callable[[str], None], repository: Write) -> Path:
    distribution(COBOL)
    return repository({"pyproject.toml": "[project]\nname = 'a'\n", "a.py": "", "b.cbl": ""})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["cobol", "python"]),
        ("languages: {enabled: [python]}", ["python"]),
        ("languages: {enabled: [python, cobol], auto_detect: false}", ["cobol", "python"]),
        ("target_project: {type: cobol}", ["cobol"]),
        ("target_project: {type: cobol}\nlanguages: {auto_detect: false}", ["cobol"]),
    ],
)
def test_languages_are_chosen(text: str, found: list[str], two_languages: Path) -> None:
    config = parse(text)

    assert [project.language for project in chosen_projects(two_languages, config)] == found
    assert set(found) <= {language.name for language in chosen_languages(config)}


def test_a_type_that_is_not_enabled_leaves_nothing(two_languages: Path) -> None:
    assert "is not among languages.enabled" in refusal(
        "target_project: {type: cobol}\nlanguages: {enabled: [python]}"
    )


def test_without_detection_a_language_that_is_not_there_is_an_error(two_languages: Path) -> None:
    (two_languages / "b.cbl").unlink()
    names = "languages: {enabled: [python, cobol]"

    assert [project.language for project in chosen_projects(two_languages, parse(f"{names}}}"))] == ["python"]
    with pytest.raises(InvalidInput, match="no file of cobol"):
        chosen_projects(two_languages, parse(f"{names}, auto_detect: false}}"))


def test_checks_are_chosen() -> None:
    assert chosen_checks(FixingConfig()) is None
    chosen = chosen_checks(parse("languages: {python: {checks: [ruff, pytest]}}"))
    assert chosen is not None
    assert {name for name in chosen if name.startswith("python/")} == {
        "python/ruff",
        "python/pytest",
        "python/metrics",
    }
    others = {name: language for name, language in languages().items() if name != "python"}
    assert {f"{name}/{check.name}" for name, one in others.items() for check in one.checks} <= chosen


def test_a_language_has_thresholds_of_its_own() -> None:
    config = parse("languages: {python: {coverage_threshold: 50}}\nhealth_check: {nesting_threshold: 7}")

    assert config.health_check_for("python").coverage_threshold == 50
    assert config.health_check_for("python").nesting_threshold == 7
    assert config.health_check_for("go") == config.health_check
