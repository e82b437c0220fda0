"""`python -m bench [NAME…]`: run the benchmarks, print figures and goals; exit 1 when a goal is missed."""

from __future__ import annotations

import sys

from bench import latency, observers, startup, throughput, web

BENCHMARKS = {
    "startup": startup.run,
    "latency": latency.run,
    "throughput": throughput.run,
    "observers": observers.run,
    "web": web.run,
}


def main() -> int:
    names = sys.argv[1:] or list(BENCHMARKS)
    missed = []
    for name in names:
        print(name, flush=True)
        if not BENCHMARKS[name]():
            missed.append(name)
    if missed:
        print(f"goals missed: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
