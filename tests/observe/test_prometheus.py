"""The dashboard and the alert rules, against the real Prometheus, which scrapes a real observer."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from air_executor.observe.metrics import FAMILIES
from tests.observe.receivers import free_port
from tests.support import ManagerProcess, wait_end, wait_for, write_job

OPS = Path(__file__).parents[2] / "ops"
RULES = OPS / "prometheus" / "air-executor.rules.yml"
DASHBOARD = json.loads((OPS / "grafana" / "air-executor.json").read_text())
GIVEN = {"$__rate_interval": "5s", "$job_name": ".*", "$instance": ".*"}
"""What Grafana fills in."""


def expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is not installed: scripts/install-test-services.sh")
    return found


def filled(expression: str) -> str:
    for name, value in GIVEN.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def names_in(text: str) -> set[str]:
    """The metrics that are named, without what belongs to the parts of a histogram."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bair_executor_\w+", text)}


def test_dashboard_and_rules_name_only_metrics_that_exist() -> None:
    variables = [variable["query"]["query"] for variable in DASHBOARD["templating"]["list"][1:]]
    rules = [rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    for text in (*expressions(), *variables, *rules):
        assert names_in(text) <= set(FAMILIES), text
    used = set().union(*map(names_in, (*expressions(), *rules)))
    assert set(FAMILIES) - used == {"air_executor_pending_tasks"}  # what is left of the total


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_promtool_accepts_configuration_and_rules(tmp_path: Path) -> None:
    for name in ("prometheus.yml", "air-executor.rules.yml"):
        shutil.copy(OPS / "prometheus" / name, tmp_path)
    shutil.copy(Path(__file__).with_name("rules_test.yml"), tmp_path)
    promtool = program("promtool")
    for arguments in (
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "--lint=all", "--lint-fatal", "air-executor.rules.yml"],
        ["test", "rules", "rules_test.yml"],
    ):
        done = subprocess.run([promtool, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


class Prometheus:
    """A real one that scrapes one port every second."""

    def __init__(self, folder: Path, scraped: int) -> None:
        self.port = free_port()
        shutil.copy(RULES, folder)
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [RULES.name],
            "scrape_configs": [
                {"job_name": "air-executor", "static_configs": [{"targets": [f"127.0.0.1:{scraped}"]}]}
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.process = subprocess.Popen(
            [program("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data",
             f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(self.ready, "Prometheus")

    def ready(self) -> bool:
        assert self.process.poll() is None
        try:
            return bool(self.get("status/runtimeinfo"))
        except OSError:
            return False

    def get(self, what: str, **query: str) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/{what}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found = json.loads(answer.read())
        assert found["status"] == "success", found
        return found["data"]

    def query(self, expression: str) -> list[Any]:
        return self.get("query", query=expression)["result"]  # type: ignore[no-any-return]


@pytest.fixture
def base_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    (folder / "jobs").mkdir(parents=True)
    folder.chmod(0o700)
    return folder


@pytest.fixture
def watched(base_folder: Path, tmp_path: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the observer of a manager."""
    port = free_port()
    manager = ManagerProcess(
        base_folder, "--slots", "4", "--metrics-port", str(port), "--history", "sqlite", "--webhook",
        f"http://127.0.0.1:{free_port()}/",
    ).start()  # fmt: skip
    try:
        folder = tmp_path / "prometheus"
        folder.mkdir()
        prometheus = Prometheus(folder, port)
        try:
            yield prometheus
        finally:
            prometheus.process.terminate()
            prometheus.process.wait(30)
    finally:
        manager.stop()


def test_prometheus_reads_what_the_dashboard_asks_for(watched: Prometheus, base_folder: Path) -> None:
    wait_for(lambda: watched.query("air_executor_manager_up == 1"), "the first scrape")
    good = [{"id": f"t{n}", "command": "sleep", "args": ["0.05"]} for n in range(60)]
    bad = [{"id": f"bad{n}", "command": "/bin/false"} for n in range(20)]
    going_on = write_job(base_folder, "going on", [{"id": "long", "command": "sleep", "args": ["600"]}])
    folder = write_job(base_folder, "nightly", [*good, *bad])
    wait_end(folder)
    wait_for(lambda: watched.query('air_executor_failed_tasks{job_name="nightly"} == 20'), "the job's end")
    wait_for(lambda: watched.query("air_executor_sink_errors_total > 0"), "a webhook that nobody answers")
    left = [filled(expression) for expression in expressions()]

    def answered() -> bool:
        left[:] = [expression for expression in left if not watched.query(expression)]
        return not left

    try:
        wait_for(answered, "an answer to every question of the dashboard", 30)
    except AssertionError:
        pytest.fail("the dashboard gets no answer to:\n" + "\n".join(left))
    (value,) = watched.query('air_executor_progress_percent{job_name="nightly"}')
    assert value["value"][1] == "75"
    assert value["metric"]["job"] == "air-executor"  # Prometheus's own label, which ours leaves alone

    def alerts() -> set[str]:
        return {alert["labels"]["alertname"] for alert in watched.get("alerts")["alerts"]}

    wait_for(lambda: {"AirExecutorManyFailures", "AirExecutorSinkDown"} <= alerts(), "the alerts")
    assert not alerts() & {"AirExecutorManagerDown", "AirExecutorObserverDown", "AirExecutorJobStandsStill"}
    rules = [rule for group in watched.get("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == 10
    assert all(rule["health"] == "ok" for rule in rules), rules
    assert going_on.is_dir()
