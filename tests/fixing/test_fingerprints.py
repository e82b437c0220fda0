"""Fingerprints: an issue is known again when lines have moved, and two issues never share one."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from air_executor.fixing.issue import Issue, with_fingerprints
from air_executor.fixing.sources import SourceLines

TEXTS = st.text("abc =().'é\t", max_size=8)
SOURCES = st.lists(TEXTS, min_size=1, max_size=12)
PLACES = st.lists(
    st.tuples(st.integers(0, 11), st.integers(1, 5), st.sampled_from(["F401", "E501", "no-undef"])), max_size=12
)


def issues_in(source: list[str], places: list[tuple[int, int, str]], path: str = "a.py") -> list[Issue]:
    return [
        Issue(
            tool="t", rule=rule, severity="error", message="m", path=path, line=line % len(source) + 1, column=column
        )
        for line, column, rule in places
    ]


def prints(source: list[str], issues: list[Issue]) -> list[str]:
    return [issue.fingerprint for issue in with_fingerprints(issues, lambda _, line: source[line - 1])]


@given(SOURCES, PLACES)
def test_no_two_issues_share_one(source: list[str], places: list[tuple[int, int, str]]):
    found = prints(source, issues_in(source, places))
    assert len(set(found)) == len(found) == len(places)


@given(SOURCES, PLACES, st.integers(0, 12), st.lists(TEXTS, max_size=5))
def test_inserted_lines_change_none(
    source: list[str], places: list[tuple[int, int, str]], where: int, inserted: list[str]
):
    where = min(where, len(source))
    issues = issues_in(source, places)
    after = source[:where] + inserted + source[where:]
    moved = [
        Issue(
            tool=issue.tool,
            rule=issue.rule,
            severity=issue.severity,
            message=issue.message,
            path=issue.path,
            line=issue.line + (len(inserted) if issue.line > where else 0),
            column=issue.column,
        )
        for issue in issues
    ]
    assert prints(source, issues) == prints(after, moved)


@given(SOURCES, PLACES, st.data())
def test_renamed_neighbours_change_none(source: list[str], places: list[tuple[int, int, str]], data: st.DataObject):
    issues = issues_in(source, places)
    touched = {issue.line for issue in issues}
    changed = [
        line if number in touched else data.draw(TEXTS, label="renamed")
        for number, line in enumerate(source, start=1)
    ]
    assert prints(source, issues) == prints(changed, issues)


@given(SOURCES, PLACES, st.randoms())
def test_order_does_not_count(source: list[str], places: list[tuple[int, int, str]], random: object):
    issues = issues_in(source, places)
    shuffled = list(issues)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert prints(source, issues) == prints(source, shuffled)


@given(SOURCES, PLACES, st.integers(0, 3))
def test_indentation_does_not_count(source: list[str], places: list[tuple[int, int, str]], depth: int):
    issues = issues_in(source, places)
    assert prints(source, issues) == prints(["    " * depth + line for line in source], issues)


@given(SOURCES, PLACES)
def test_mending_one_leaves_those_of_other_lines(source: list[str], places: list[tuple[int, int, str]]):
    """When every issue of one line is gone, those of lines with another text keep theirs."""
    issues = issues_in(source, places)
    if not issues:
        return
    gone = "".join(source[issues[0].line - 1].split())
    rest = [issue for issue in issues if "".join(source[issue.line - 1].split()) != gone]
    assert set(prints(source, rest)) <= set(prints(source, issues))


def test_another_rule_file_or_tool_is_another_issue():
    base = Issue(tool="t", rule="r", severity="error", message="m", path="a", line=1)
    others = [
        Issue(tool="u", rule="r", severity="error", message="m", path="a", line=1),
        Issue(tool="t", rule="s", severity="error", message="m", path="a", line=1),
        Issue(tool="t", rule="r", severity="error", message="m", path="b", line=1),
    ]
    found = {issue.fingerprint for issue in with_fingerprints([base, *others], lambda *_: "x")}
    assert len(found) == 4


def test_lines_as_tools_count_them(tmp_path: Path):
    (tmp_path / "crlf.py").write_bytes(b"one\r\ntwo\r\nthree")
    (tmp_path / "latin.py").write_bytes("é = 1\nzwei\n".encode("latin-1"))
    (tmp_path / "bom.py").write_bytes("\ufeffone\n".encode())
    (tmp_path / "feed.py").write_bytes(b"one\n\x0ctwo\x0b\x1c\nthree\n")
    lines = SourceLines(tmp_path)
    assert [lines("crlf.py", number) for number in (1, 2, 3, 4)] == ["one", "two", "three", ""]
    assert [lines("latin.py", number) for number in (1, 2)] == ["é = 1", "zwei"]
    assert lines("bom.py", 1) == "one"
    assert lines("feed.py", 3) == "three"
    assert lines("nowhere.py", 1) == ""
    assert lines("crlf.py", 0) == ""


def test_many_issues_on_one_very_long_line():
    """As in code made for browsers: the line is looked at once."""
    asked = []

    def line(path: str, number: int) -> str:
        asked.append((path, number))
        return "x = 1; " * 300_000

    issues = [
        Issue(tool="t", rule="r", severity="error", message="m", path="a.js", line=1, column=n) for n in range(9_000)
    ]
    found = with_fingerprints(issues, line)
    assert len({issue.fingerprint for issue in found}) == 9_000
    assert asked == [("a.js", 1)]
