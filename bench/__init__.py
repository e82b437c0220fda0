"""Benchmarks: `make bench`. Ratios within one run count; absolute rates are the machine's."""
