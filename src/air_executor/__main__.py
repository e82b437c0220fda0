"""`python -m air_executor` is the command line."""

import sys

from air_executor.cli import main

if __name__ == "__main__":
    sys.exit(main())
