"""Autonomous fixing: what is wrong with a codebase by its own tools, and in which order to mend it."""
