"""Charts of runs: what is drawn, and that the files are pictures."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ET
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from air_executor import events as ev
from air_executor.model import TaskSpec
from air_executor.observe.chart import picture, render
from air_executor.observe.progress import Progress
from air_executor.observe.roll import CODES, COMPLETED, GRID, RUNNING
from air_executor.store.layout import Base
from air_executor.times import to_iso
from tests.observe.journal import START, Journal


def drawn(journal: Journal, now: float = START + 1000) -> tuple[dict[str, list[float]], list[list[Any]]]:
    progress = Progress()
    for line in journal.path.read_bytes().splitlines():
        progress.add(ev.decode_event(line))
    return picture(progress, now)


def test_what_is_drawn_of_a_growing_run(base: Base) -> None:
    journal = Journal(base, "nightly").queue("a").start("a").wait(2).queue("b", "c").start("b").wait(1)
    journal.exit("a").wait(1).exit("b", reason="exit").start("c")
    series, spans = drawn(journal, START + 10)
    assert (series["t"][0], series["t"][-1]) == (START, START + 10)
    assert {name: values[-1] for name, values in series.items() if name != "t"} == {
        "total": 3,
        "completed": 1,
        "running": 1,
        "failed": 1,
    }
    assert series["total"] == sorted(series["total"])
    assert spans == [
        [0, 0, START, START + 3, GRID[COMPLETED], 1],
        [1, 1, START + 2, START + 4, GRID[CODES["exit"]], 1],
        [0, 2, START + 4, None, GRID[RUNNING], 1],
    ]


def test_very_many_spans_become_one_where_they_would_be_one_point(base: Base) -> None:
    progress = Progress()
    for n in range(12_000):  # two lanes, always busy, for 120 s; in the middle of it some tasks fail
        at, end, task = to_iso(START + n / 100), to_iso(START + (n + 1) / 100), f"t{n}"
        progress.add(ev.TaskQueued(at=at, task=TaskSpec(id=task, command="true")))
        progress.add(ev.AttemptStarted(at=at, task=task, attempt=1, launcher="l"))
        if n > 1:
            bad = "exit" if n in (6_000, 6_001, 9_000) else None
            progress.add(ev.AttemptExited(at=end, task=f"t{n - 1}", attempt=1, run_s=0.1, reason=bad))
    _, spans = picture(progress, START + 120)
    assert {span[0] for span in spans} == {0, 1, 2}
    for lane in (1, 2):
        mine = [span for span in spans if span[0] == lane]
        assert [mine[0][2], mine[-1][3]] == [pytest.approx(START, abs=0.2), pytest.approx(START + 120, abs=0.2)]
        assert all(before[3] == after[2] for before, after in pairwise(mine))  # no hole where there was none
        assert len(mine) < 20
    failed = [span for span in spans if span[4] == GRID[CODES["exit"]]]
    assert [round(span[2] - START) for span in sorted(failed, key=lambda span: span[2])] == [60, 60, 90]


def png_size(data: bytes) -> tuple[int, int]:
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    pixels, at = b"", 8
    while at < len(data):
        (length,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        if kind == b"IDAT":
            pixels += data[at + 8 : at + 8 + length]
        at += length + 12
    assert len(set(zlib.decompress(pixels))) > 50, "an empty picture"
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def test_pictures(base: Base, tmp_path: Path) -> None:
    journal = Journal(base, "nightly")
    for n in range(40):
        journal.run_task(f"t{n}", 0.5, reason="exit" if n % 9 == 0 else None)
    series, spans = drawn(journal.end())
    png = render(series, spans, title="nightly $x^2$ <b> データ", format="png")
    assert png_size(png)[0] == 1400
    assert render(series, spans, title="nightly $x^2$ <b> データ", format="png") == png  # the same file every time
    svg = render(series, spans, title="nightly <b>&", format="svg")
    texts = [text for element in ET.fromstring(svg).iter() if (text := (element.text or "").strip())]
    assert {"nightly <b>&", "35 of 40 tasks completed, 5 failed, in 20 s", "completed", "total"} <= set(texts)
    assert render(series, spans, title="nightly <b>&", format="svg") == svg


@pytest.mark.parametrize("spans", [[], [[0, 0, START, None, 1, 1]], [[200, 0, START, START + 1, 2, 1]]])
def test_pictures_of_next_to_nothing(spans: list[list[object]]) -> None:
    empty: dict[str, list[float]] = {name: [] for name in ("t", "total", "completed", "running", "failed")}
    one: dict[str, list[float]] = {"t": [START], "total": [1], "completed": [0], "running": [0], "failed": [0]}
    for series in (empty, one):
        assert png_size(render(series, spans, title="x", format="png"))[0] == 1400
