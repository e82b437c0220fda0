"""First task: start the process that has scikit-learn, and queue the first round.

Usage: python serve.py SKLEARN_PYTHON

That process is no task: it would hold a slot until all others have ended. It is left running, and ended with the job.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile

from air_executor import AirExecutorClient, errors, task

HERE = os.path.dirname(os.path.abspath(__file__))


def stay(python: str) -> None:
    """Have models.py run until the job has ended, or its folder is gone."""
    with (
        tempfile.TemporaryDirectory(prefix="models-") as folder,
        subprocess.Popen([python, os.path.join(HERE, "models.py"), os.path.join(folder, "socket")]) as models,
    ):
        os.dup2(2, 1)  # if models.py ends, nobody else holds the pipe that `main` reads
        with contextlib.suppress(errors.NotFound):
            AirExecutorClient(task.base()).wait(task.job(), job_id=os.environ["AIR_EXECUTOR_RUN"])
        models.terminate()


def main() -> None:
    command = [sys.executable, __file__, sys.argv[1], "stay"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        sys.exit(f"{sys.argv[1]} does not serve models; what it said stands above (is scikit-learn installed there?)")
    served = json.loads(line)
    task.result(served)
    first = {"id": "round 1", "command": sys.executable, "args": [os.path.join(HERE, "round.py"), "1"]}
    task.queue([{**first, "dependencies": [task.id()]}])  # it needs our result
    print(f"{len(served['candidates'])} models")


if __name__ == "__main__":
    stay(sys.argv[1]) if sys.argv[2:] else main()
