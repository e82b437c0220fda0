"""Measures of code and tests: how long, how branched, how nested, how often the same; and which of that is too much.

`measure` is a program of our own that runs as the task of the check `metrics` and only measures. What counts as too
much is decided afterwards (`findings`), so that other thresholds need no new measuring.
"""
