"""`docs/observing.md` names what there is: metrics, tables, what alerts hold, keys."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from air_executor.cli.live import HELP
from air_executor.observe.history import schema
from air_executor.observe.metrics import FAMILIES
from air_executor.observe.sinks.webhook import Alert

PAGE = (Path(__file__).parents[2] / "docs" / "observing.md").read_text("utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the tables of a section, without their heads."""
    section = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    assert section, heading
    lines = [line for line in section[1].split("\n") if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_metrics() -> None:
    assert rows("Prometheus") == [[f"`{name}`", kind, text] for name, (kind, text) in FAMILIES.items()]


def test_tables() -> None:
    found = {name.strip("`"): re.findall(r"`(\w+)`", columns) for name, _, columns in rows("History")}
    assert found == {table.name: [column.name for column in table.columns] for table in schema.metadata.sorted_tables}


def test_alerts() -> None:
    assert [name.strip("`") for name, _ in rows("Alerts")] == [field.name for field in msgspec.structs.fields(Alert)]


def test_keys() -> None:
    documented = {key for keys, _ in rows("In the terminal") for key in re.findall(r"`(.)`", keys)}
    assert documented == set(re.findall(r"^  (?:(\S) )", HELP, re.M)) | {"k"}
