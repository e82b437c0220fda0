"""What people read of a repository's health: on a terminal, and as a page with plots."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_executor.fixing.configuration.sections import FixingConfig
from air_executor.fixing.health.health import Health
from air_executor.fixing.health.history import Record
from air_executor.fixing.reports.html import page
from air_executor.fixing.reports.plots import Bar, Line, Point, bars, lines, points
from air_executor.fixing.reports.report import comparable, health_lines, percent
from tests.browser.conftest import chromium
from tests.fixing.healths import HOSTILE, health, issue

SHARES = st.floats(0, 1)


def report(one: Health, width: int = 200) -> str:
    return click.unstyle("\n".join(health_lines(one, "thing", width)))


def well(**changed: Any) -> Health:
    """Everything ran, and found nothing."""
    one = health()
    static = msgspec.structs.replace(
        one.static, errors=0, errors_found=0, analysis=1.0, score=0.94, passed=True, unknown=()
    )
    results = tuple(result for result in one.results if result.outcome != "could_not_run")
    return msgspec.structs.replace(
        one, static=static, results=results, overall=0.81, healthy=True, unknown=(), skipped=(), **changed
    )


# ---- numbers ---------------------------------------------------------------------------------------


@given(SHARES, SHARES)
def test_a_percentage_shows_on_which_side_of_the_border_it_lies(share: float, border: float) -> None:
    shown = float(percent(share, border).rstrip("%"))
    if abs(share - border) > 1e-6:
        assert (shown >= border * 100) == (share >= border)
    assert abs(shown - share * 100) <= 0.5


@given(st.fractions(0, 1, max_denominator=100_000).map(float))
def test_only_all_is_100_percent_and_only_nothing_is_0(share: float) -> None:
    assert (percent(share) == "100%") == (share == 1)
    assert (percent(share) == "0%") == (share == 0)


def test_percentages() -> None:
    assert [percent(0.188), percent(0.1316), percent(0.9996), percent(0.7996, 0.8)] == [
        "19%",
        "13%",
        "99.96%",
        "79.96%",
    ]
    assert [percent(2 / 3, digits=1), percent(1.0, digits=1), percent(None)] == ["66.7%", "100%", "not known"]


# ---- the terminal ----------------------------------------------------------------------------------


def test_the_known_form() -> None:
    """An analysis with 1,818 errors and quality 47%, as the first version printed it."""
    one = health()
    quality = msgspec.structs.replace(one.static.quality, score=0.47)
    static = msgspec.structs.replace(
        one.static,
        errors=1818,
        errors_found=1818,
        analysis=0.0,
        quality=quality,
        score=0.188,
        passed=False,
        unknown=(),
    )
    text = report(
        msgspec.structs.replace(
            one,
            static=static,
            dynamic=None,
            dynamic_skipped="static analysis does not pass",
            overall=0.1316,
            healthy=False,
            unknown=(),
            formula=("overall = 0.7 × static 0.188 = 0.132",),
        )
    )
    for line in (
        "Smart Health Check: thing",
        "Static analysis: 19% (1,818 errors, code quality 47%): does not pass (from 60% on)",
        "Dynamic checks: skipped: static analysis does not pass",
        "Smart Health Summary: thing",
        "Static:   19% (1,818 errors, code quality 47%)",
        "Dynamic:  skipped: static analysis does not pass",
        "Overall health: 13%: not healthy (healthy from 80% on)",
        "  overall = 0.7 × static 0.188 = 0.132",
    ):
        assert f"\n{line}\n" in f"\n{text}\n", line


def test_every_check_stands_there_with_its_outcome() -> None:
    text = report(health())
    for words in (
        r"findings +python/ruff +\. +3 errors, 1 warning +ruff 0\.17\.5, 0\.3 s",
        r"could not run +python/mypy +\. +see below",
        r"ok +python/metrics +\. +120 files measured +metrics 1\.24\.3, known from before",
        r"skipped +python/pyright +\. +it was not asked for",
        r"findings +python/pytest +\. +1 failed, 2 passed, 1 skipped",
        r"ok +python/coverage +\. +71\.2% \(712 of 1,000 lines\)",
    ):
        assert re.search(rf"^  {words}", text, re.M), words
    assert (
        "python/mypy could not run: mypy is not there: neither the project nor PATH has it\n  -> `pip install mypy`"
        in text
    )
    static, _, dynamic = text.partition("Dynamic checks:")
    assert "python/pytest" in dynamic
    assert "python/pytest" not in static


def test_what_could_not_run_is_never_healthy() -> None:
    text = report(health())
    assert "Overall health: not known (healthy from 80% on)" in text
    assert "not known: what 1 check would have found that could not run (see above)" in text
    assert "not known: no analyser applies to go in tools" in text
    assert "3 errors found, but not everything was looked at" in text
    assert "Overall health: 81%: healthy (from 80% on)" in report(well())
    assert "81%: whether healthy cannot be told" in report(msgspec.structs.replace(well(), healthy=None))


def test_counts() -> None:
    text = report(health())
    assert "Code metrics: 108 of 120 files and 96 of 120 functions keep within the thresholds" in text
    assert "Issues: 5 (4 errors, 1 warning): F401 2, E501 1, F821 1, test-failed 1" in text
    assert "Suppressions: 1 in code, 1 in configurations: noqa 1, ruff per-file-ignores 1" in text
    assert "Tests: 4 in 2.5 s: 4 unit (66.7%), the slowest tests/test_a.py::test_d (1.0 s)" in text
    many = tuple(issue(f"R{number:03}", "a.py", number) for number in range(1, 21))
    assert "R008 1, and 12 more" in report(health(issues=many))


def test_the_last_comparable_examination_is_told() -> None:
    now = health()
    runs = [
        Record(at="2026-01-01T00:00:00Z", overall=0.31, dynamic=0.5, issues=7),
        Record(at="2026-01-01T10:20:30Z", overall=0.412, dynamic=0.5, issues=1),
        Record(at="2026-01-01T23:00:00Z", overall=0.1, dynamic=None, issues=99),
        Record(at=now.at, overall=None, dynamic=0.5, issues=5),
    ]
    before = comparable(now, runs)
    assert before == runs[1]
    text = "\n".join(health_lines(now, "thing", 200, before))
    assert "\n  before: 41% with 1 issue (2026-01-01 10:20 UTC)\n" in text
    assert comparable(now, runs[2:]) is None
    assert "before:" not in report(now)


def hostile() -> Health:
    one = health()
    results = [
        msgspec.structs.replace(
            result, project=HOSTILE, version=HOSTILE, note=HOSTILE, **({"reason": HOSTILE} if result.reason else {})
        )
        for result in one.results
    ]
    return health(
        repository=f"/srv/{HOSTILE}",
        results=tuple(results),
        issues=(issue(HOSTILE, HOSTILE, 1, tool=HOSTILE, message=HOSTILE),),
        unknown=(HOSTILE,),
        formula=(HOSTILE,),
        dynamic_skipped=HOSTILE,
        flaky=(HOSTILE,),
    )


def test_names_move_no_cursor() -> None:
    for line in health_lines(hostile(), HOSTILE, 120):
        assert click.unstyle(line).isprintable(), line


def test_a_table_keeps_within_the_terminal() -> None:
    text = report(health(), width=80)
    rows = [line for line in text.split("\n") if re.match(r"  (ok|findings|could not run|skipped) ", line)]
    assert len(rows) == 6
    assert max(map(len, rows)) <= 80


def test_long_lines_are_folded_between_words() -> None:
    notes = tuple(" ".join(f"word{number}" for number in range(60)) for _ in range(2))
    one = health(notes=notes, unknown=notes)
    narrow = click.unstyle("\n".join(health_lines(one, "thing", 70)))
    assert max(map(len, narrow.split("\n"))) <= 70
    wide = click.unstyle("\n".join(health_lines(one, "thing", 10_000)))
    assert narrow.count("word31 ") == wide.count("word31 ") == 4
    assert narrow.replace("\n  ", " ").split()[:20] == wide.split()[:20]


# ---- plots -----------------------------------------------------------------------------------------


def tree(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def test_bars_are_as_long_as_their_numbers() -> None:
    svg = tree(bars("n", [Bar("a", [("error", 30), ("warning", 10)]), Bar("b", [("error", 10), ("warning", 0)])]))
    widths = [float(one.attrib["width"]) for one in svg.iter("rect")]
    assert len(widths) == 3
    assert widths[0] == pytest.approx(3 * widths[1], abs=0.2)
    assert widths[1] == pytest.approx(widths[2], abs=0.2)
    texts = ["".join(one.itertext()) for one in svg.iter("text")]
    assert texts == ["a", "40", "b", "10"]


def test_long_labels_lose_the_side_that_tells_less() -> None:
    long = "a/very/long/folder/name/that/ends/here"
    texts = [
        "".join(one.itertext()) for one in tree(bars("n", [Bar(long, [("error", 1)], cut_at_end=False)])).iter("text")
    ]
    assert texts[0].startswith("…")
    assert texts[0].endswith("/ends/here")
    assert tree(bars("n", [])).tag == "svg"


@given(st.lists(st.none() | SHARES, max_size=12))
def test_lines_have_gaps_where_nothing_is_known(values: list[float | None]) -> None:
    svg = tree(lines("n", [str(number) for number in range(len(values))], [Line("overall", "overall", values)]))
    drawn = [float(one.attrib["cy"]) for one in svg.iter("circle")]
    known = [value for value in values if value is not None]
    assert len(drawn) == len(known)
    stretches = "".join("x" if value is not None else " " for value in values).split()
    assert [len(one.attrib["points"].split()) for one in svg.iter("polyline")] == [len(one) for one in stretches]
    for (y, value), (other_y, other) in zip(
        zip(drawn, known, strict=True), zip(drawn[1:], known[1:], strict=True), strict=False
    ):
        assert (value < other) <= (y >= other_y)


def test_points_lie_on_their_side_of_the_borders() -> None:
    given = [Point(10, 3, "small", False), Point(900, 3, "long", True), Point(10, 40, "complex", True)]
    svg = tree(points("n", given, "lines", "complexity", 300, 15))
    upright, flat = [one for one in svg.iter("line") if one.attrib["class"] == "border"]
    border_x, border_y = float(upright.attrib["x1"]), float(flat.attrib["y1"])
    sides = {}
    for circle in svg.iter("circle"):
        name = "".join(circle.itertext())
        sides[name] = (float(circle.attrib["cx"]) > border_x, float(circle.attrib["cy"]) < border_y)
    assert sides == {"small": (False, False), "long": (True, False), "complex": (False, True)}


# ---- the page --------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Collects elements, and finds what would be fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [
            f"{tag} {name}={value}" for name, value in attrs if name in ("src", "href", "srcset", "data")
        ]
        self.fetched += [f"{tag} {name}" for name, _ in attrs if name.startswith("on")]
        if tag not in ("meta", "br", "hr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def history(*overall: float | None) -> list[Record]:
    return [
        Record(at=f"2026-01-{day:02}T03:04:05Z", static=0.5, dynamic=0.7, overall=value)
        for day, value in enumerate(overall, 1)
    ]


@pytest.mark.parametrize("one", [health(), well(), health(results=(), issues=(), dynamic=None), hostile()])
def test_the_page_is_whole_and_fetches_nothing(one: Health) -> None:
    text = page(one, FixingConfig(), history(0.2, None, 0.6))
    read = Reader(text)
    assert read.open == []
    assert read.fetched == []
    assert not {"script", "img", "iframe", "link", "object", "form"} & set(read.tags)
    assert "url(" not in text
    assert "http://" not in text
    assert "https://" not in text


def test_the_page_tells_what_the_terminal_tells() -> None:
    text = re.sub(r"<style>.*?</style>", "", page(health(), FixingConfig(), history(0.2)), flags=re.S)
    plain = " ".join(re.sub(r"<[^>]+>", " ", text).split())
    for words in (
        "Overall not known",
        "python/mypy could not run: mypy is not there: neither the project nor PATH has it → `pip install mypy`",
        "Tests 66.7% 2 passed, 1 failed",
        "Coverage 71.2% 712 of 1,000 lines",
        "F401 ruff, 2 errors, 2 with a safe fix of the tool",
        "src/b c.py:1:1",
        "dynamic = 0.7 × pass rate 0.667 + 0.3 × coverage 0.712 = 0.680",
        "ruff per-file-ignores 1",
    ):
        assert words in plain, words


def test_only_what_is_comparable_is_drawn() -> None:
    runs = [
        Record(at=f"2026-01-0{day}T00:00:00Z", static=0.5, dynamic=d, overall=0.4) for day, d in ((1, None), (2, 0.5))
    ]
    drawn = page(health(), FixingConfig(), runs).partition("Score over time")[2].partition("</svg>")[0]
    assert drawn.count('class="overall"') == 2  # a line of one point, and the point
    assert drawn.count("<circle") == 4


def test_other_thresholds_draw_other_points() -> None:
    strict = msgspec.convert({"health_check": {"file_size_threshold": 10}}, FixingConfig)
    assert "beyond a threshold: 120 of 120" in page(health(), strict, [])
    assert "beyond a threshold: 120 of 120" not in page(health(), FixingConfig(), [])


def test_a_browser_shows_it_light_and_dark_and_narrow(tmp_path: Path) -> None:
    place = tmp_path / "report.html"
    place.write_text(page(hostile(), FixingConfig(), history(0.2, None, 0.6)), "utf-8")
    backgrounds = []
    with chromium() as browser:
        for scheme, width in (("light", 1280), ("dark", 400)):
            context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})  # type: ignore[arg-type]
            said: list[str] = []
            view = context.new_page()
            view.on("console", lambda message, said=said: said.append(message.text))
            view.on("dialog", lambda dialog, said=said: said.append(dialog.message))
            view.goto(place.as_uri())
            backgrounds.append(view.evaluate("getComputedStyle(document.body).backgroundColor"))
            assert view.evaluate("document.documentElement.scrollWidth") <= width
            assert view.locator("svg").count() == 4
            assert said == []
            view.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
            context.close()
    assert backgrounds[0] != backgrounds[1]
