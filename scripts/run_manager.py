#!/usr/bin/env python3
"""Run a manager in the foreground: `air-executor manager`, with the same options."""

import sys

from air_executor.cli import main

if __name__ == "__main__":
    sys.exit(main(["manager", *sys.argv[1:]]))
