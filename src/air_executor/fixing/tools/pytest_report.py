"""A plugin that pytest loads in the project's own interpreter: what becomes of each test, a JSON line each.

Standard library only, nothing of this package, and a Python of 2018 must be able to read it: this file is copied into
the run's folder and loaded from there with `-p`. JUnit's form loses files, phases and why a run was broken off.
"""

import json
import os
import random
from typing import Any

import pytest

PATH = os.environ["AIR_EXECUTOR_PYTEST_REPORT"]
COLLECT = os.environ.get("AIR_EXECUTOR_PYTEST_COLLECT")
LIMIT = 4000


class Report:
    """Lines go out at once: a test that ends the whole process is known by having begun and not ended."""

    def __init__(self) -> None:
        self.fd = os.open(PATH, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, **record: Any) -> None:
        os.write(self.fd, (json.dumps(record) + "\n").encode("utf-8", "backslashreplace"))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self.write(event="begin", id=nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        facts = getattr(report, "air_executor", None) or {}
        text = ""
        if report.outcome != "passed":
            text = message_of(report)
        self.write(
            event="phase",
            id=report.nodeid,
            when=report.when,
            outcome=report.outcome,
            duration=report.duration,
            xfail=hasattr(report, "wasxfail"),
            message=text,
            **facts,
        )

    def pytest_collectreport(self, report: Any) -> None:
        if report.outcome != "failed":
            return
        path = getattr(report, "fspath", None) or report.nodeid.split("::")[0]
        self.write(event="uncollected", id=report.nodeid, file=str(path), message=message_of(report))

    def pytest_collection_finish(self, session: Any) -> None:
        for item in session.items if COLLECT else ():
            self.write(event="collected", id=item.nodeid, **facts_of(item))

    def pytest_sessionfinish(self, session: Any, exitstatus: int) -> None:
        self.write(
            event="end",
            exit=int(exitstatus),
            collected=session.testscollected,
            deselected=self.deselected,
            root=str(session.config.rootdir),
        )

    deselected = 0

    def pytest_deselected(self, items: Any) -> None:
        self.deselected += len(items)


def message_of(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        text = str(crash.message)
    elif isinstance(report.longrepr, tuple):
        text = str(report.longrepr[2])
    else:
        text = str(report.longrepr or "")
    reason = getattr(report, "wasxfail", "")
    text = text or str(reason)
    return text[:LIMIT] if crash is not None else text[-LIMIT:]


class Facts:
    """What only the process that runs a test knows of it; with xdist that is another one than writes the report."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: Any) -> None:
        """Leave the tests that are wanted, in the order that is."""
        path = os.environ.get("AIR_EXECUTOR_PYTEST_SELECTION")
        if not path:
            return
        with open(path, encoding="utf-8") as file:
            wanted = json.load(file)
        if wanted["tests"] is not None:
            ids = set(wanted["tests"])
            seen: Any = {}
            kept = []
            for item in items:
                name = id_of(item, wanted["repository"])
                number = seen[name] = seen.get(name, -1) + 1
                if (name + "#" + str(number) if number else name) in ids:
                    kept.append(item)
            items[:] = kept
        if wanted["seed"] is not None:
            random.Random(wanted["seed"]).shuffle(items)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Any:
        outcome = yield
        if call.when == "setup":  # the first of a test's reports, with which the others are put
            outcome.get_result().air_executor = facts_of(item)


def facts_of(item: Any) -> Any:
    spec = getattr(item, "callspec", None)
    suite: Any = []
    node = item.parent
    while node is not None:
        if isinstance(node, pytest.Class):
            suite.insert(0, node.name)
        node = node.parent
    return {
        "file": str(getattr(item, "path", None) or item.fspath),
        "line": (item.location[1] or 0) + 1,
        "suite": suite,
        "name": getattr(item, "originalname", None) or item.name,
        "parameters": spec.id if spec is not None else "",
    }


def id_of(item: Any, repository: str) -> str:
    """As `TestResult.id` gives it."""
    facts = facts_of(item)
    name = "::".join([os.path.relpath(facts["file"], repository)] + facts["suite"] + [facts["name"]])
    return name + "[" + facts["parameters"] + "]" if facts["parameters"] else name


def pytest_configure(config: Any) -> None:
    config.pluginmanager.register(Facts(), "air-executor-facts")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Report(), "air-executor-report")
