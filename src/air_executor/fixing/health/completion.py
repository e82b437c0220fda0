"""What keeps a project from being done, by the configuration's `completion_criteria`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from air_executor.fixing.configuration.sections import CompletionCriteria
from air_executor.fixing.health.health import Health
from air_executor.fixing.health.score import percent
from air_executor.fixing.planning.topics import PHASE_OF_KIND, Phase, phase_of

__all__ = ["unmet"]

STATIC: Final[tuple[Phase, ...]] = ("build", "lint")


def unmet(health: Health, criteria: CompletionCriteria) -> list[str]:
    """The criteria that this examination does not meet, a clause each; none left: it is done.

    What could not run meets nothing: it is not known.
    """
    errors = dict.fromkeys(STATIC, 0)
    for issue in health.issues:
        if issue.severity == "error" and (phase := phase_of(issue)) in errors:
            errors[phase] += 1
    found = [*_tests(health, criteria)]
    if errors["lint"] > criteria.max_lint_errors:
        found.insert(0, f"linters find {_errors(errors['lint'])}, at most {criteria.max_lint_errors:,} may be left")
    if errors["build"] and criteria.build_passes:
        found.insert(0, f"compilers and type checkers find {_errors(errors['build'])}")
    for result in health.results:
        of = PHASE_OF_KIND.get(result.kind)
        counts = of == "lint" or (of == "build" and criteria.build_passes)
        if counts and result.outcome == "could_not_run" and result.kind != "metrics":
            found.append(f"{result.check} could not run: {result.reason}")
    return found


def _errors(count: int) -> str:
    return f"{count:,} error" if count == 1 else f"{count:,} errors"


def _tests(health: Health, criteria: CompletionCriteria) -> Iterator[str]:
    least = criteria.min_test_pass_rate
    if not least:
        return
    if health.dynamic is None:
        yield f"tests were not run: {health.dynamic_skipped}"
    elif health.dynamic.pass_rate is None:
        yield "how many tests pass is not known"
    elif health.dynamic.pass_rate < least:
        yield f"{percent(health.dynamic.pass_rate)} of the tests pass, {least * 100:g}% have to"
