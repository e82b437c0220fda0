"""What the commands of `air-executor fix` print with `--json`. `docs/cli.md` shows it, tests compare it."""

from __future__ import annotations

from typing import Final

from air_executor.terminal import Shape

__all__ = ["DOCTOR", "FLAKY", "HEALTH", "ISSUES", "PLAN"]

_ISSUE: Final = (
    "{`tool`, `rule` (the tool's code), `severity` (`error`, `warning`, `info`), `message`, `path`, `line`, "
    "`column`, `end_line`, `end_column`, `safe_fix`, `url`, `fingerprint`}; what has its default is left out, so "
    "one without `line` is about the whole file"
)
_RESULT: Final = (
    "{`check`, `project`, `kind`, `outcome` (`ok`, `findings`, `could_not_run`), `reason` and `mend` (of what could "
    "not run), `note`, `tool`, `version`, `rules` (a digest of its configuration), `issues`, `tests`, `coverage`, "
    "`metrics`, `exit_code`, `duration_s`, `cached`}; what has its default is left out"
)
_SKIPPED: Final = "a list of checks that were left out: {`check`, `project`, `reason`}"

HEALTH: Final = Shape(
    "one object",
    {
        "repository": "the folder that was looked at",
        "at": "when",
        "commit": "what git has checked out, or null",
        "dirty": "whether files differ from that commit, or null",
        "mode": "how the project's code was let run: `static`, `sandbox`, `trusted`, `refused`",
        "duration_s": "how long it took",
        "projects": "a list of {`root`, `language`, `manifest`, `workspace`, `files`}",
        "results": f"a list of {_RESULT}",
        "skipped": _SKIPPED,
        "issues": f"all of them, in order of place: a list of {_ISSUE}",
        "static": "{`errors`, `errors_found`, `warnings_found`, `analysis`, `quality` ({`files`, `files_within`, "
        "`functions`, `functions_within`, `incomplete`, `score`}), `score`, `threshold`, `passed`, `unknown`}; "
        "scores are from 0 to 1, and null where they are not known",
        "dynamic": "null, or {`tests`, `passed`, `failed`, `skipped`, `unstable`, `pass_rate`, `covered`, `lines`, "
        "`coverage`, `score`, `untested`, `unknown`}",
        "dynamic_skipped": "why `dynamic` is null",
        "overall": "0 to 1, or null where a part of it is not known",
        "healthy": "true, false, or null where it cannot be told",
        "healthy_from": "the overall score from which on it is healthy",
        "unknown": "what is not known, and why",
        "suppressions": "{`entries`: a list of {`form`, `path`, `line`, `rules`, `where`, `in_config`}; "
        "`counts`: form -> number; `unread`}",
        "flaky": "ids of tests that are not judged",
        "formula": "how the scores came about, with the numbers, as lines",
        "tests": "null, or of all tests {`tests`, `passed`, `failed`, `skipped`, `unstable`, `uncollected`, "
        "`duration_s`, `pass_rate`, `kinds`: the same of each `kind` (`unit`, `integration`, `e2e`), `slowest`}",
        "notes": "what else is worth knowing, as sentences",
    },
)
ISSUES: Final = Shape(
    "one object",
    {
        "repository": "the folder that was looked at",
        "at": "when",
        "total": "how many issues there are, shown or not",
        "issues": f"those that were asked for: a list of {_ISSUE}",
        "could_not_run": "checks whose issues are not known: a list as `results` of `fix health`",
        "skipped": _SKIPPED,
    },
)
PLAN: Final = Shape(
    "one object",
    {
        "repository": "the folder that was looked at",
        "at": "when",
        "batches": "a list in the order in which to mend them: {`id` (the same as long as it holds the same issues), "
        "`phase` (`build`, `test`, `lint`, `coverage`), `kind` (`mega`, `cleanup`, `location`, `single`), `topic`, "
        "`rules`, `where`, `issues` (as in `fix issues`), `files`, `estimate` (changed lines), `subject` (of the "
        "commit), `priority` (lower is sooner), `group` (batches of one group share no file)}",
    },
)
FLAKY: Final = Shape(
    "one object",
    {
        "repository": "the folder that was looked at",
        "seed": "of the random order",
        "results": "of the first run: a list as `results` of `fix health`",
        "flaky": "tests that did not always end alike: a list of {`check`, `project`, `id`, `ends`}; `ends`: of the "
        "run in their own order, that in their own order again, that in a random order",
        "unstable": "ids of tests whose names are not always the same",
        "incomplete": "runs that could not be made: a list of {`check`, `project`, `run`, `reason`}",
    },
)
DOCTOR: Final = Shape(
    "one object",
    {
        "repository": "the folder that was looked at",
        "config": "the configuration that counts, or null for the defaults",
        "mode": "how the project's code would be let run: `static`, `sandbox`, `trusted`, `refused`",
        "sandbox": "null where a sandbox can be had, else why not",
        "trusted": "whether `--trust` was said for this folder",
        "extra": "whether the package that measures code (lizard) is installed",
        "left_out": "files that are not looked at: a list of {`path`, `reason`}",
        "projects": "a list of {`project`, `language`, `manifest`, `files`, `tools`}; `tools`: a list of {`check`, "
        "`kind`, `program`, `version`, `whose` (`project`, `user`, `built-in`), `loads_code`, `reason`, `mend`}; "
        "`reason` tells why it cannot be used",
        "languages": "names of all languages that are known",
        "complete": "whether nothing is missing",
    },
)
