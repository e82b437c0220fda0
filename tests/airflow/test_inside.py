"""The tests of inside/, run in each version's own environment."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.airflow import versions
from tests.airflow.configuration import PREPARE, plain_environment
from tests.airflow.supervisor import kill_marked

HERE = Path(__file__).parent
LIMIT_S = 900


@pytest.mark.timeout(LIMIT_S + 60)
@pytest.mark.airflow(pre=True)
def test_inside(version: versions.Version, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    home = tmp_path / "home"
    (home / "dags").mkdir(parents=True)
    env = plain_environment(version, home)
    prepared = version.run("python", "-c", PREPARE, "{}", env=env)
    assert prepared.returncode == 0, prepared.stdout + prepared.stderr
    env["AIR_EXECUTOR_TEST_SERVER_PYTHON"] = sys.executable  # Airflow 2.10 has nothing to serve with
    options = shlex.split(request.config.getoption("--inside"))
    command = [version.python, "-m", "pytest", "-p", "no:cacheprovider", "--durations=5", "inside", *options]
    log = tmp_path / "inside.log"
    try:
        with open(log, "wb") as output:
            done = subprocess.run(
                [*command, f"--basetemp={tmp_path / 'inside'}"],
                cwd=HERE,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=LIMIT_S,
                check=False,
            )
    finally:
        kill_marked(f"AIRFLOW_HOME={home}")
        print(log.read_text(errors="replace"))
    assert done.returncode == 0, f"pytest inside Airflow {version.version} exits with {done.returncode}, see above"
    passed = re.search(r"(\d+) passed", log.read_text(errors="replace").splitlines()[-1])
    assert passed, "no test ran inside"
    print(f"{passed[1]} tests passed inside Airflow {version.version}")
