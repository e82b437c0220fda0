"""The commented configuration that `fix init` writes. Every value in it is the default."""

from __future__ import annotations

from typing import Final

__all__ = ["TEMPLATE"]

TEMPLATE: Final = """\
# What `air-executor fix` looks at, how it counts, and how it groups what it finds.
# Every value here is the default, so any line may go. Unknown keys are refused.

target_project:
  path: null   # the repository, for a file that lies outside of it; relative to its folder or the one around config/
  type: null   # the one language to look at, such as python; null: see languages

languages:
  enabled: null       # such as [python, go]; null: all that are known
  auto_detect: true   # false: exactly the enabled, and one without files is an error
  # python:                     # what holds for one language only
  #   checks: [ruff, pytest]    # null: all that apply
  #   complexity_threshold: 10  # or another threshold of issues, as below

health_check:
  # Issues: more than this is one.
  file_size_threshold: 300         # lines of a file
  function_length_threshold: 60    # lines of a function
  complexity_threshold: 15         # cyclomatic complexity of a function
  nesting_threshold: 4             # blocks within blocks in a function
  duplication_threshold: 15        # lines of a block that stands in two places (this many already are one)
  coverage_threshold: 80           # percent of a file's lines that tests run through (less is one)
  # Health.
  static_pass_threshold: 0.6       # static health from which on tests are run
  healthy_threshold: 0.8           # overall health from which on a project is healthy
  few_errors: 100                  # fewer errors than this still give analysis_few_errors
  test_timeout: 180                # seconds of a project's tests
  static_timeout: 600              # seconds of any other check
  weights:
    # static = analysis (without errors; analysis_few_errors with few) + quality x code quality
    analysis: 0.6
    analysis_few_errors: 0.3
    quality: 0.4
    # dynamic = pass_rate x passed tests + coverage x covered lines
    pass_rate: 0.7
    coverage: 0.3
    # overall = static x static + dynamic x dynamic, or static_alone x static where no tests were run
    static: 0.4
    dynamic: 0.6
    static_alone: 0.7

issue_grouping:
  mode: smart                   # mega: one batch for a phase; individual: one issue a batch
  mega_batch_mode: false        # true: the same as mode: mega
  max_cleanup_batch_size: 50    # issues of one rule across the project
  max_location_batch_size: 20   # issues of one kind in one folder

batch_sizes:             # the most issues of a batch of each phase, in every mode; null: only the above limits them
  build_fixes: null
  test_fixes: null
  lint_fixes: null
  coverage_fixes: null

air_executor:
  timeout: 900   # seconds an agent's session may take
  slots: null    # checks at once; null: one a CPU

completion_criteria:        # `fix run` is done
  build_passes: true        # when compilers and type checkers find no error,
  min_test_pass_rate: 0.95  # so many tests pass,
  max_lint_errors: 0        # and linters and formatters find no more errors than this,
  stability_runs: 3         # so many iterations in a row

circuit_breaker:               # `fix run` gives up
  max_consecutive_failures: 5  # after so many batches in a row without a verified fix,
  max_total_runs: 20           # so many agent sessions,
  max_duration_hours: 4        # or so many hours

# redis:              # where `fix run` keeps its state instead of in a file of the user's
#   host: 127.0.0.1
#   port: 6379
#   db: 0
"""
