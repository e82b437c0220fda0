"""What is drawn and printed while a job runs, without a terminal or a manager."""

import re
import time
from itertools import pairwise
from pathlib import Path

import pytest

from air_executor import AirExecutorClient
from air_executor import events as ev
from air_executor.cli.following import JobFollower
from air_executor.cli.lines import LineDisplay
from air_executor.cli.live import View, picture
from air_executor.cli.output import clean, clock, cut, duration
from air_executor.cli.wording import left_text, rate_text
from air_executor.model import TaskSpec
from air_executor.observe.pace import Estimate
from air_executor.observe.report import report
from air_executor.observe.said import Said
from air_executor.times import to_iso

START = 1_790_000_000.0


def follower(tmp_path: Path, tasks: int, started: int, ended: int, *, failing: int = 7) -> JobFollower:
    """A job of `tasks`; `started` of them a tenth of a second apart, and `ended` ended."""
    client = AirExecutorClient(tmp_path / "base")
    client.create_job("nightly", [{"command": "true"}])
    found = JobFollower(client, "nightly")
    ids = [f"a task with a name that is far too long for a terminal, number {i}: データ" for i in range(tasks)]
    for task in ids:
        found.progress.add(ev.TaskQueued(at=to_iso(START), task=TaskSpec(id=task, command="true")))
    for i, task in enumerate(ids[:started]):
        at = to_iso(START + i / 10)
        found.progress.add(ev.AttemptStarted(at=at, task=task, attempt=1, launcher="l"))
    for i, task in enumerate(ids[:ended]):
        at = to_iso(START + 1 + i / 10)
        reason = "exit" if i % failing == 0 else None
        error = "exit code 1\x1b[31m and\nmore" if reason else None
        found.progress.add(ev.AttemptExited(at=at, task=task, attempt=1, run_s=1.0, reason=reason, error=error))
    return found


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("height", [5, 12, 23, 60])
@pytest.mark.parametrize(("tasks", "started", "ended"), [(0, 0, 0), (3, 1, 0), (100, 60, 20), (500, 480, 80)])
def test_the_picture_fits(width: int, height: int, tasks: int, started: int, ended: int, tmp_path: Path) -> None:
    job = follower(tmp_path, tasks, started, ended)
    for note in ("", "no manager is running, so nothing starts: `air-executor start`"):
        lines = picture(job, START + 60, note, width, height)
        assert 4 <= len(lines) <= height
        assert all(line.cell_len <= width for line in lines), [line.plain for line in lines]
        assert not any("\x1b" in line.plain or "\n" in line.plain for line in lines)


@pytest.mark.parametrize("width", [20, 80, 200])
@pytest.mark.parametrize("height", [5, 12, 30, 60])
@pytest.mark.parametrize(("tasks", "started", "ended"), [(0, 0, 0), (3, 1, 0), (500, 480, 460)])
def test_whatever_keys_are_pressed_the_picture_fits(
    width: int, height: int, tasks: int, started: int, ended: int, tmp_path: Path
) -> None:
    job = follower(tmp_path, tasks, started, ended, failing=3)
    view = View()
    view.with_keys = True
    for key in ("", "f", "j", "j", "k", "k", "k", "f", "j", "f", "?", "x", "?", "l", "j", "f", "q", "?", "esc"):
        if key == "q" and view.log is None:
            continue  # there was no room for a task, or none to choose
        assert not key or view.press(key, job)
        lines = picture(job, START + 60, "a note", width, height, view)
        assert 1 <= len(lines) <= height
        assert all(line.cell_len <= width for line in lines), [line.plain for line in lines]
    assert not view.press("q", job)
    assert not view.press("esc", job)


def test_what_is_chosen_stays_chosen_while_others_come_and_go(tmp_path: Path) -> None:
    job = follower(tmp_path, 20, 10, 0)
    view = View()

    def chosen(*keys: str) -> str:
        for key in keys:
            assert view.press(key, job)
        lines = picture(job, START + 60, "", 120, 60, view)
        (marked,) = [line for line in lines if any(span.style == "reverse" for span in line.spans)]
        return re.sub(r".*number (\d+).*", r"\1", marked.plain)

    picture(job, START + 60, "", 120, 60, view)
    assert chosen("j", "j", "j") == "2"
    ids = list(job.progress.running)
    for task in ids[:2]:
        job.progress.add(ev.AttemptExited(at=to_iso(START + 60), task=task, attempt=1, run_s=1.0))
    assert chosen() == "2"
    job.progress.add(ev.AttemptExited(at=to_iso(START + 60), task=ids[2], attempt=1, run_s=1.0))
    assert chosen() == "3"  # the next one takes its place
    assert chosen("k") == "9"  # round the end


def test_the_report_of_a_job_at_work(tmp_path: Path) -> None:
    job = follower(tmp_path, 1000, 60, 54)
    last = list(job.progress.running)[-1]
    text = report(
        "nightly", job.progress, START + 8, note="a note", said={last: Said(0.4, "page\n3")}, ascii_only=True
    )
    assert text.startswith("=" * 70 + "\nAir-Executor Progress Report\n" + "=" * 70 + "\nJob:      nightly\n")
    assert "Note:     a note\n" in text
    assert "  Total:       1,000\n  Completed:      46  (4.6%)\n" in text
    assert "  Pending:       940  (94.0%)\n  Failed:          8  (0.8%)\n" in text
    assert text.count("\n  + ") == text.count("\n  > ") == text.count("\n  x ") == 5
    assert "    and 1 more\n\nFailed\n" in text
    assert "    and 3 more\n\nEstimated time remaining: about " in text
    assert text.isascii() is False  # names are what they are
    assert not any(mark in text for mark in "✔▶✘")
    shown = report(
        "nightly", job.progress, START + 8, said={task: Said(0.4, "page\n3") for task in job.progress.running}
    )
    assert shown.count("  40% page 3\n") == 5


def test_the_picture_shows_what_matters(tmp_path: Path) -> None:
    text = "\n".join(line.plain for line in picture(follower(tmp_path, 100, 60, 20), START + 6, "", 100, 40))
    assert "nightly  waiting" not in text
    assert "nightly  working" in text
    assert "17/100  17.0%" in text
    assert "✔ 17 completed   ▶ 40 running   · 40 pending   ✘ 3 failed" in text
    assert "tasks/s" in text
    assert "left" in text
    assert "Last failures" in text
    assert "number 14: データ  exit code 1 and more" in text
    assert "and 19 more" in text or "more" in text
    assert text.index("number 20: データ") < text.index("number 21: データ")  # the longest first


def test_counts_keep_their_places_and_colours(tmp_path: Path) -> None:
    few = picture(follower(tmp_path, 2, 0, 0), START, "", 100, 20)[2]
    assert few.plain == "✔ 0 completed   ▶ 0 running   · 2 pending   ✘ 0 failed"


def test_lines_come_at_steps_and_now_and_then(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = follower(tmp_path, 100, 100, 0, failing=1000)
    display = LineDisplay()
    ids = list(job.progress.running)
    now = START + 20
    printed: list[tuple[float, str]] = []
    for i, task in enumerate(ids):
        for _ in range(4):
            now += 0.25
            display.show(job, now, "")
            if text := capsys.readouterr().out:
                printed.append((now, text))
        job.progress.add(ev.AttemptExited(at=to_iso(now), task=task, attempt=1, run_s=1.0))
        if i == 50:  # a long silence
            for _ in range(130):
                now += 1
                display.show(job, now, "")
                if text := capsys.readouterr().out:
                    printed.append((now, text))
    display.close(job, now)
    last = capsys.readouterr().out
    assert last.startswith("[Progress] 100/100 tasks (100.0%)")
    times = [at for at, _ in printed]
    assert 15 <= len(times) <= 40
    assert min(b - a for a, b in pairwise(times)) >= 2
    assert all(text.startswith("[Progress] ") and text.count("\n") == 1 for _, text in printed)


def test_a_note_is_printed_once_and_only_if_it_lasts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = follower(tmp_path, 0, 0, 0)
    display = LineDisplay()
    for tenth in range(50):
        display.show(job, START + tenth / 10, "short" if tenth < 5 else "lasting")
    assert capsys.readouterr().out == "job 'nightly': lasting\n"


def test_following_skips_the_run_before_and_stops_before_the_next(tmp_path: Path) -> None:
    client = AirExecutorClient(tmp_path / "base")
    client.create_job("job", [{"command": "true"}])
    journal = client.base.job("job").journal

    def begin(run: str) -> None:
        at = to_iso(time.time())
        events: list[ev.Event] = [
            ev.RunCreated(at=at, version=1, id=run, name="job", created_at=at, options={}, cwd="/"),  # type: ignore[arg-type]
            ev.TaskQueued(at=at, task=TaskSpec(id=f"of {run}", command="true")),
        ]
        journal.unlink(missing_ok=True)
        journal.write_bytes(ev.encode_events(events))

    begin("before")
    found = JobFollower(client, "job", "mine")
    found.look()
    assert (found.begun, found.behind) == (False, True)
    begin("mine")
    found.look()
    assert (found.begun, found.behind, found.progress.total) == (True, False, 1)
    begin("after")
    found.look()
    found.look()
    assert (found.progress.run_id, found.progress.total) == ("mine", 1)
    found.close()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0004, "0.000 s"),
        (0.042, "0.042 s"),
        (0.0999, "0.1 s"),
        (4.23, "4.2 s"),
        (9.96, "10 s"),
        (7, "7 s"),
        (59.6, "1 min"),
        (185, "3 min 5 s"),
        (7_800, "2 h 10 min"),
        (273_600, "3 d 4 h"),
        (-1.0, "0.000 s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_wording() -> None:
    assert [clock(s) for s in (0, 7.9, 754, 3_723)] == ["0:00", "0:07", "12:34", "1:02:03"]
    assert [rate_text(r) for r in (1234.5, 312.4, 4.25, 0.2)] == [
        "1,234 tasks/s",
        "312 tasks/s",
        "4.2 tasks/s",
        "12 tasks/min",
    ]
    assert left_text(Estimate(3.2, 4.1, 6.0)) == "about 4 s left (3–6 s)"
    assert left_text(Estimate(100, 120, 150)) == "about 2 min left (1 min 40 s to 2 min 30 s)"
    assert left_text(Estimate(0.0, 0.2, 0.4)) == "about 1 s left"
    assert cut("データファイル", 7) == "データ…"
    assert clean("\x1b[31mred\x1b[0m\r\n\tx\x07") == "red x·"
