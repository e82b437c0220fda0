"""Batches: every issue in exactly one, the known limits, forms and order, the same ones however the issues come."""

from __future__ import annotations

import itertools
import re
import time
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_executor.fixing.configuration.config import BatchSizes, FixingConfig, IssueGrouping, Mode
from air_executor.fixing.issue import Issue, Severity, with_fingerprints
from air_executor.fixing.planning.batches import Batch, estimate, plan, priority_of
from air_executor.fixing.planning.topics import PHASES, phase_of

SMART = FixingConfig()
RULES: list[tuple[str, str]] = [
    ("ruff", "F401"),
    ("ruff", "F821"),
    ("ruff", "S101"),
    ("ruff", "invalid-syntax"),
    ("ruff-format", "unformatted"),
    ("mypy", "arg-type"),
    ("mypy", "union-attr"),
    ("eslint", "no-unused-vars"),
    ("pytest", "test-failed"),
    ("pytest", "collection-error"),
    ("metrics", "too-complex"),
    ("metrics", "file-too-long"),
    ("coverage", "coverage-gap"),
    ("stylelint", "color-no-hex"),
    ("codeql", "py/injection"),
]
PATHS = ["a.py", "home/a.py", "home/b.py", "home/view/a b.py", "home/view/c.py", "tests/test_é.py"]


def issue(
    rule: str = "ruff F401", path: str = "a.py", line: int = 1, severity: Severity = "error", **more: object
) -> Issue:
    tool, _, code = rule.partition(" ")
    fields = {"tool": tool, "rule": code, "path": path, "line": line, "severity": severity, "message": f"at {line}"}
    return msgspec.convert({**fields, "fingerprint": f"{tool}-{code}-{path}-{line}", **more}, Issue)


def many(count: int, rule: str, path: str = "home/{}.py", *, per_file: int = 1, **more: object) -> list[Issue]:
    return [issue(rule, path.format(n // per_file), 1 + n % per_file, **more) for n in range(count)]


def subjects(issues: list[Issue], config: FixingConfig = SMART) -> list[str]:
    return [batch.subject for batch in plan(issues, config)]


@st.composite
def any_issue(draw: st.DrawFn) -> Issue:
    tool, rule = draw(st.sampled_from(RULES))
    line = draw(st.integers(0, 40))
    return Issue(
        tool=tool,
        rule=rule,
        severity=draw(st.sampled_from(["error", "warning", "info"])),
        message=draw(st.sampled_from(["one", "another"])),
        path=draw(st.sampled_from(PATHS)),
        line=line,
        end_line=draw(st.none() | st.integers(line, line + 30)),
        safe_fix=draw(st.booleans()),
    )


any_issues = st.lists(any_issue(), max_size=40).map(lambda found: with_fingerprints(found, lambda _, line: str(line)))
size = st.integers(1, 30)


@st.composite
def any_config(draw: st.DrawFn) -> FixingConfig:
    sizes = {f"{phase}_fixes": draw(st.none() | size) for phase in PHASES}
    grouping = IssueGrouping(
        mode=draw(st.sampled_from(["mega", "smart", "individual"])),
        mega_batch_mode=draw(st.booleans()),
        max_cleanup_batch_size=draw(size),
        max_location_batch_size=draw(size),
    )
    return FixingConfig(batch_sizes=BatchSizes(**sizes), issue_grouping=grouping)


@given(any_issues, any_config())
def test_each_issue_is_in_exactly_one_batch(issues: list[Issue], config: FixingConfig) -> None:
    batches = plan(issues, config)

    assert sorted(repr(one) for batch in batches for one in batch.issues) == sorted(map(repr, issues))
    assert all(batch.issues for batch in batches)
    assert len({batch.id for batch in batches}) == len(batches)


@given(any_issues, any_config())
def test_no_batch_is_larger_than_its_limits(issues: list[Issue], config: FixingConfig) -> None:
    grouping = config.issue_grouping
    for batch in plan(issues, config):
        limits = {
            "cleanup": grouping.max_cleanup_batch_size,
            "location": grouping.max_location_batch_size,
            "single": 1,
            "mega": len(issues),
        }
        assert len(batch.issues) <= limits[batch.kind]
        of_phase = getattr(config.batch_sizes, f"{batch.phase}_fixes")
        assert of_phase is None or len(batch.issues) <= of_phase


@given(st.data(), any_issues, any_config())
def test_the_order_of_the_issues_does_not_matter(
    data: st.DataObject, issues: list[Issue], config: FixingConfig
) -> None:
    assert plan(data.draw(st.permutations(issues)), config) == plan(issues, config)


@given(st.data(), any_issues, any_config())
def test_what_is_told_twice_is_mended_once(data: st.DataObject, issues: list[Issue], config: FixingConfig) -> None:
    again = data.draw(st.lists(st.sampled_from(issues), max_size=5)) if issues else []

    assert plan([*again, *issues], config) == plan(issues, config)


@given(any_issues, any_config())
def test_batches_of_a_group_share_no_file_and_are_of_one_phase(issues: list[Issue], config: FixingConfig) -> None:
    batches = plan(issues, config)
    for _, of_group in itertools.groupby(sorted(batches, key=lambda b: b.group), key=lambda b: b.group):
        group = list(of_group)
        assert len({batch.phase for batch in group}) == 1
        assert max(Counter(file for batch in group for file in batch.files).values()) == 1
    assert sorted({batch.group for batch in batches}) == list(range(1, len({b.group for b in batches}) + 1))


@given(any_issues, any_config())
def test_in_a_file_nothing_is_overtaken(issues: list[Issue], config: FixingConfig) -> None:
    last: dict[str, int] = {}
    for batch in plan(issues, config):
        assert all(last.get(file, 0) < batch.group for file in batch.files)
        last.update(dict.fromkeys(batch.files, batch.group))


@given(any_issues, any_config())
def test_batches_come_by_phase_and_within_it_by_priority(issues: list[Issue], config: FixingConfig) -> None:
    batches = plan(issues, config)

    turns = [(PHASES.index(batch.phase), batch.priority) for batch in batches]
    assert turns == sorted(turns)
    for batch in batches:
        assert {phase_of(one) for one in batch.issues} == {batch.phase}
        assert batch.priority == min(priority_of(one) for one in batch.issues)
        assert batch.files == tuple(sorted({one.path for one in batch.issues}))


@given(any_issues, any_config(), st.sampled_from(PHASES))
def test_one_phase_is_a_part_of_the_whole_plan(issues: list[Issue], config: FixingConfig, phase: str) -> None:
    whole = plan(issues, config)

    assert plan(issues, config, phase) == [batch for batch in whole if batch.phase == phase]  # type: ignore[arg-type]


@given(any_issues, any_config())
def test_smart_batches_hold_what_belongs_together(issues: list[Issue], config: FixingConfig) -> None:
    for batch in plan(issues, config):
        if batch.kind == "cleanup":
            assert len(batch.rules) == 1
        if batch.kind == "location":
            folders = {
                one.path if batch.phase == "test" else one.path.rpartition("/")[0] + "/" for one in batch.issues
            }
            assert folders == {"/" if batch.where == "./" else batch.where}


@given(any_issues, any_config())
def test_subjects_are_one_line_of_a_conventional_commit(issues: list[Issue], config: FixingConfig) -> None:
    for batch in plan(issues, config):
        assert re.fullmatch(r"(fix|chore|style|docs|refactor|test|perf): \S.*", batch.subject)
        assert len(batch.subject) <= 150


@given(any_issues, any_config())
def test_an_estimate_is_the_sum_of_its_issues(issues: list[Issue], config: FixingConfig) -> None:
    for batch in plan(issues, config):
        assert batch.estimate == sum(estimate(one) for one in batch.issues) >= len(batch.issues)


@given(any_issues, any_issues)
def test_issues_elsewhere_change_no_batch_of_a_rule(issues: list[Issue], others: list[Issue]) -> None:
    """An id stands as long as the batch's own issues do."""
    unused = [one for one in issues if one.rule == "F401"]
    rest = [one for one in others if one.rule != "F401"]

    def ids(batches: list[Batch]) -> list[str]:
        return [batch.id for batch in batches if batch.rules == ("ruff F401",)]

    assert sorted(ids(plan([*unused, *rest], SMART))) == sorted(ids(plan(unused, SMART)))


UNPRINTABLE = st.text(st.sampled_from("\n\r\t\x1b\x7f\u2028\u202e \U000e0001ab1/("), max_size=90)


@given(UNPRINTABLE, UNPRINTABLE)
def test_a_subject_is_one_line_whatever_imported_tools_and_files_are_called(rule: str, name: str) -> None:
    (batch,) = plan([issue(path=f"x/{name}", tool=rule or "t", rule=rule or "r")], SMART)

    assert batch.subject.isprintable()


def test_hostile_rules_take_no_time() -> None:
    codes = ["A" + "1" * 1_000_000, "a/" * 500_000, "(" * 1_000_000]

    assert {batch.topic for batch in plan([issue(rule=f"oxlint {code}") for code in codes], SMART)} == {"other"}


def test_ten_thousand_issues_are_planned_in_a_moment() -> None:
    issues = [
        one
        for n, (tool, rule) in enumerate(RULES[:10])
        for one in many(1_000, f"{tool} {rule}", "src/{}/x.py", per_file=5 + n % 3)
    ]
    began = time.process_time()

    assert sum(len(batch.issues) for batch in plan(issues, SMART)) == 10_000
    assert time.process_time() - began < 5


def test_one_rule_is_cleaned_up_across_the_project() -> None:
    issues = many(30, "ruff F401", "pkg{}/a.py")

    (batch,) = plan(issues, SMART)
    assert (batch.kind, batch.topic, batch.where, batch.rules) == ("cleanup", "unused-imports", "./", ("ruff F401",))
    assert batch.subject == "chore: remove all unused imports (30 files)"


def test_unformatted_files_are_one_batch() -> None:
    assert subjects(many(50, "ruff-format unformatted")) == ["style: format all code (50 files)"]


def test_problems_of_one_kind_in_one_folder_are_one_batch() -> None:
    issues = [*many(8, "mypy arg-type"), *many(7, "mypy return-value")]

    (batch,) = plan(issues, SMART)
    assert (batch.kind, batch.where) == ("location", "home/")
    assert batch.rules == ("mypy arg-type", "mypy return-value")
    assert batch.subject == "fix: type errors in home/ (15 issues, 8 files)"


def test_two_in_a_folder_are_mended_one_by_one() -> None:
    issues = many(2, "mypy arg-type")

    assert [batch.kind for batch in plan(issues, SMART)] == ["single", "single"]
    assert [batch.kind for batch in plan([*issues, issue("mypy index", "home/9.py")], SMART)] == ["location"]


def test_a_folder_does_not_count_for_the_one_above() -> None:
    issues = [*many(2, "mypy arg-type", "home/{}.py"), *many(2, "mypy arg-type", "home/view/{}.py")]

    assert {batch.kind for batch in plan(issues, SMART)} == {"single"}


def test_failing_tests_of_one_file_are_one_batch() -> None:
    issues = [
        *many(3, "pytest test-failed", "tests/test_a.py", per_file=3),
        issue("pytest test-failed", "tests/test_b.py"),
    ]

    assert subjects(issues) == [
        "fix: failing tests in tests/test_a.py (3 issues, 1 file)",
        "fix: failing tests in tests/test_b.py (pytest test-failed)",
    ]


def test_parts_are_counted_and_do_not_claim_to_be_all() -> None:
    issues = many(120, "ruff F401", per_file=4)

    batches = plan(issues, SMART)
    assert [len(batch.issues) for batch in batches] == [40, 40, 40]
    assert batches[0].subject == "chore: remove unused imports (10 files, part 1 of 3)"
    assert {batch.group for batch in batches} == {1}  # whole files, so that they may be mended together
    location = plan(many(21, "mypy arg-type"), SMART)
    assert [batch.subject for batch in location] == [
        "fix: type errors in home/ (11 issues, 11 files, part 1 of 2)",
        "fix: type errors in home/ (10 issues, 10 files, part 2 of 2)",
    ]


def test_a_file_with_more_than_a_batch_holds_is_divided_and_mended_in_turn() -> None:
    batches = plan(many(120, "ruff F401", "a.py", per_file=120), SMART)

    assert [len(batch.issues) for batch in batches] == [50, 50, 20]
    assert [batch.group for batch in batches] == [1, 2, 3]


def test_parts_of_a_rule_stand_together() -> None:
    issues = [*many(120, "ruff UP025", per_file=2), *many(120, "ruff UP032", per_file=2)]

    assert [batch.rules for batch in plan(issues, SMART)] == [("ruff UP025",)] * 3 + [("ruff UP032",)] * 3


def test_code_is_formatted_after_all_else_that_is_as_urgent() -> None:
    issues = [issue("ruff-format unformatted"), *many(3, "ruff S101"), issue("ruff F401"), issue("ruff SIM105")]

    topics = [batch.topic for batch in plan(issues, SMART)]
    assert topics == ["unused-imports", "security", "error-handling", "formatting"]


def test_two_tools_with_one_topic_do_not_both_claim_all() -> None:
    issues = [*many(2, "ruff F401"), *many(1, "eslint unused-imports/no-unused-imports", "web/a.ts")]

    assert subjects(issues) == [
        "chore: remove unused imports (eslint unused-imports/no-unused-imports, 1 file)",
        "chore: remove unused imports (ruff F401, 2 files)",
    ]


def test_a_rule_nobody_knows_is_mended_one_by_one_unless_its_tool_can_mend_it() -> None:
    alone = many(4, "stylelint color-no-hex", "web/{}.css")
    able = many(4, "stylelint color-no-hex", "web/{}.css", safe_fix=True)

    assert [batch.kind for batch in plan(alone, SMART)] == ["single"] * 4
    assert subjects(alone)[0] == "fix: stylelint color-no-hex in web/0.css"
    assert subjects(able) == ["fix: all findings of stylelint color-no-hex (4 files)"]


def test_words_of_a_message_change_nothing() -> None:
    issues = many(5, "mypy arg-type", message="unused import: remove all formatting const")

    assert [(batch.kind, batch.topic) for batch in plan(issues, SMART)] == [("location", "type-errors")]


def grouped(mode: Mode) -> FixingConfig:
    return FixingConfig(issue_grouping=IssueGrouping(mode=mode))


def test_mega_is_one_batch_for_a_phase() -> None:
    issues = [*many(60, "ruff F401"), *many(40, "ruff S101"), *many(3, "pytest test-failed", "tests/test_{}.py")]

    batches = plan(issues, grouped("mega"))
    assert [(batch.phase, batch.kind, batch.topic) for batch in batches] == [
        ("test", "mega", "all"),
        ("lint", "mega", "all"),
    ]
    assert batches[1].subject == "fix: comprehensive cleanup of 100 issues"


def test_individual_is_one_issue_a_batch() -> None:
    issues = [*many(60, "ruff F401"), *many(40, "mypy arg-type")]

    batches = plan(issues, grouped("individual"))
    assert [batch.kind for batch in batches] == ["single"] * 100
    assert batches[-1].subject == "chore: remove unused imports in home/9.py (ruff F401)"


def test_phases_come_in_order_and_priorities_within_them() -> None:
    issues = [
        issue("coverage coverage-gap", "a.py", severity="warning"),
        issue("ruff T201", "b.py", severity="info"),
        issue("ruff B006", "c.py", severity="warning"),
        issue("ruff S101", "d.py", severity="error"),
        issue("pytest test-failed", "tests/test_a.py"),
        issue("mypy arg-type", "e.py"),
    ]

    found = [(batch.phase, batch.priority, batch.files[0]) for batch in plan(issues, SMART)]
    assert found == [
        ("build", 1, "e.py"),
        ("test", 3, "tests/test_a.py"),
        ("lint", 1, "d.py"),
        ("lint", 5, "c.py"),
        ("lint", 8, "b.py"),
        ("coverage", 5, "a.py"),
    ]


@pytest.mark.parametrize(
    ("one", "lengths", "lines"),
    [
        (issue("ruff F401"), {}, 2),
        (issue("metrics too-complex", line=10, end_line=59), {}, 100),
        (issue("ruff-format unformatted", line=0), {"a.py": 70}, 140),
        (issue("ruff-format unformatted", line=0), {}, 400),
        (issue("ruff-format unformatted", line=3, end_line=12), {"a.py": 70}, 20),
    ],
)
def test_a_diff_is_estimated_by_rule_and_range(one: Issue, lengths: dict[str, int], lines: int) -> None:
    (batch,) = plan([one], SMART, lengths=lengths)

    assert batch.estimate == lines


def test_a_plan_can_be_written_and_read() -> None:
    batches = plan([*many(30, "ruff F401"), *many(3, "mypy arg-type")], SMART)

    assert msgspec.json.decode(msgspec.json.encode(batches), type=list[Batch]) == batches


def test_ids_are_the_same_in_every_process() -> None:
    """Written down: a changed way of making them would make every later run forget what an earlier one tried."""
    (batch,) = plan(many(3, "mypy arg-type"), SMART)

    assert batch.id == "fix_build_location_type-errors_81e78a54b1"
