"""What a crashing manager starts as its launcher: the real one, with a crash in it (see `crashing.py`)."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import crashing  # noqa: E402

crashing.run_launcher(HERE.parents[1] / "src" / "air_executor" / "runners" / "launcher.py")
