"""The progress report, the same wherever it is printed: the command line, Airflow's task log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from air_executor.observe.progress import Progress
from air_executor.observe.said import Said
from air_executor.observe.wording import GLYPHS, clean, duration, failure_text, left_text, number

__all__ = ["SHOWN", "TITLE", "hindrance", "report"]

TITLE: Final = "Air-Executor Progress Report"
WIDTH: Final = 70
SHOWN: Final = 5


def report(
    name: str,
    progress: Progress,
    now: float,
    *,
    note: str = "",
    said: Mapping[str, Said] | None = None,
    ascii_only: bool = False,
) -> str:
    """Title, job, state, totals with percentages, five tasks each that completed, run, and failed, and the time left.

    `note`: what keeps the job from going on; `said`: what running tasks have said of themselves.
    """
    rule = "=" * WIDTH
    marks = {status: mark[ascii_only] for status, mark in GLYPHS.items()}
    lines = [rule, TITLE, rule]
    lines += _state(name, progress, now, note)
    lines += _counts(progress)
    lines += _tasks(progress, now, said or {}, marks)
    if not progress.ended:
        estimate = progress.estimate(now)
        text = left_text(estimate) if estimate is not None else "not known yet"
        lines += ["", f"Estimated time remaining: {text.replace(' left', '')}"]
    lines.append(rule)
    return "\n".join(lines) + "\n"


def hindrance(progress: Progress, job: str, without_manager: object = None) -> str:
    """What keeps a job from going on, and what to do about it; empty when nothing does.

    `without_manager`: the base folder, where no manager works on it.
    """
    if progress.ended:
        return ""
    if without_manager is not None:
        goes_on = "what runs goes on, but nothing new starts" if progress.running else "nothing starts"
        return f"no manager is running, so {goes_on}: `air-executor start --base {without_manager}`"
    if progress.stopping:
        return f"is being stopped ({progress.stopping.replace('_', ' ')})"
    if progress.paused:
        return f"paused; `air-executor resume {job}` lets it go on"
    if progress.open and not progress.running and not progress.counts["pending"]:
        return f"open: waits for more tasks; `air-executor close {job}` lets it end"
    return ""


def _state(name: str, progress: Progress, now: float, note: str) -> Iterator[str]:
    yield f"Job:      {name}"
    yield f"State:    {progress.state}{f' ({progress.reason})' if progress.reason else ''}"
    if progress.error:
        yield f"Error:    {clean(progress.error)}"
    if progress.elapsed_s(now):
        yield f"{'Took' if progress.ended else 'Elapsed'}:".ljust(10) + duration(progress.elapsed_s(now))
    if note:
        yield f"Note:     {note}"
    for warning in progress.warnings:
        yield f"Warning:  {clean(warning)}"


def _counts(progress: Progress) -> Iterator[str]:
    total = progress.total
    width = max(6, len(number(total)))
    yield ""
    yield "Tasks overview"
    yield f"  Total:      {number(total):>{width}}"
    for status in ("completed", "running", "pending", "failed"):
        count = progress.counts[status]
        share = f"  ({100 * count / total:.1f}%)" if total and count else ""
        yield f"  {f'{status.capitalize()}:':<11} {number(count):>{width}}{share}"


def _tasks(progress: Progress, now: float, said: Mapping[str, Said], marks: Mapping[str, str]) -> Iterator[str]:
    if progress.recent:
        yield from ("", "Recently completed")
        for ended in reversed(progress.recent):
            took = "" if ended.run_s is None else f"  {duration(ended.run_s)}"
            yield f"  {marks['completed']} {clean(ended.task)}{took}"
    if progress.running:
        yield from ("", "Currently running")
        for task, attempt in progress.longest_running(SHOWN):
            word = said.get(task)
            text = "" if word is None else f"  {100 * word.fraction:.0f}% {clean(word.text)}"
            yield f"  {marks['running']} {clean(task)}  {duration(now - attempt.started_at)}{text}"
        yield from _more(len(progress.running) - SHOWN)
    failures = progress.last_failures(SHOWN)
    if failures:
        yield from ("", "Failed")
        for failure in failures:
            yield f"  {marks['failed']} {clean(failure.task)}: {failure_text(failure)}"
        yield from _more((progress.failed_count or progress.not_run_count) - SHOWN)


def _more(count: int) -> Iterator[str]:
    if count > 0:
        yield f"    and {number(count)} more"
