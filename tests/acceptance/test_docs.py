"""The documents are true: their snippets run, their tables are those of the code, their links lead somewhere.

Fenced blocks marked `sh` and `python` are run, per document and in order, in one folder. A block after
`<!-- file: NAME -->` is written to that file instead; `yaml` blocks must be valid job files. What cannot run
is marked `text`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import msgspec
import pytest
import yaml

import air_executor
from air_executor import AirExecutorClient, errors, events, model, task
from air_executor.jobfile import FIELDS, load_job_file
from air_executor.lifecycle import Run, StopCause
from air_executor.model import EnvRef, Group, JobOptions, TaskSpec, parse_options, parse_task
from air_executor.settings import Settings
from air_executor.store.views import TaskView, state_view
from tests.acceptance.command_line import environment

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCE = Path(air_executor.__file__).parent
DOCUMENTS = [
    "README.md",
    "docs/protocol.md",
    "docs/job-file.md",
    "docs/python.md",
    "docs/operations.md",
    "docs/observing.md",
    "docs/http-api.md",
]
LINKED = [
    *sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *DOCS.glob("*.md"))),
    "examples/stdlib_report/README.md",
]
RUNS = {"sh", "python"}
KNOWN_FENCES = {*RUNS, "yaml", "text"}
SNIPPET_TIMEOUT_S = 40.0
IN_LATER_VERSIONS = {"python", "kwargs"}


class Block(NamedTuple):
    """A fenced block: its language, the file it is to be written to (or ''), its line in the document."""

    language: str
    file: str
    line: int
    text: str


def blocks(document: str) -> list[Block]:
    found = []
    lines = (ROOT / document).read_text("utf-8").split("\n")
    inside: list[str] | None = None
    language, file, start = "", "", 0
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            if inside is None:
                marked = re.fullmatch(r"<!-- file: (\S+) -->", lines[number - 2])
                language, file, start, inside = line[3:].strip(), marked[1] if marked else "", number, []
            else:
                found.append(Block(language, file, start, "\n".join(inside) + "\n"))
                inside = None
        elif inside is not None:
            inside.append(line)
    assert inside is None, f"{document}, line {start}: a block without end"
    return found


# ---- snippets ------------------------------------------------------------------------------------


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, str]:
    """An environment in which `air-executor` and `python3` are those of this test."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, arguments in (("air-executor", "-m air_executor"), ("python3", "")):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        program.chmod(0o755)
    return environment(PATH=f"{folder}:{os.environ['PATH']}", PYTHONPATH=str(SOURCE.parent))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_snippets_run(document: str, tmp_path: Path, programs: dict[str, str]) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    try:
        for block in blocks(document):
            assert block.language in KNOWN_FENCES, f"{document}, line {block.line}: fence {block.language!r}"
            if block.file:
                (folder / block.file).write_text(block.text)
            if block.language == "yaml":
                load_job_file(folder / (block.file or "example.yaml"))
            elif block.language in RUNS and not block.file:
                run(document, block, folder, programs)
    finally:
        subprocess.run(["air-executor", "stop", "--kill"], cwd=folder, env=programs, capture_output=True, check=False)
    assert not (folder / ".air-executor" / "manager.json").exists(), f"{document}: a manager is left behind"


def run(document: str, block: Block, folder: Path, env: dict[str, str]) -> None:
    command = ["python3", "-c"] if block.language == "python" else ["sh", "-euc"]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as output,
        subprocess.Popen(
            [*command, block.text],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            process.wait(SNIPPET_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the programs it waits for
        output.seek(0)
        text = output.read()
    assert process.returncode == 0, f"{document}, line {block.line}: exit {process.returncode}\n{text[-4000:]}"


# ---- tables --------------------------------------------------------------------------------------


def tables(document: str, heading: str) -> Iterator[list[list[str]]]:
    """The tables of one section, as rows of cells without the two rows of the head."""
    text = (ROOT / document).read_text("utf-8")
    section = re.search(rf"^(#+) {re.escape(heading)}$(.*?)(?=^#+ |\Z)", text, re.M | re.S)
    assert section, f"{document}: no section {heading!r}"
    rows: list[list[str]] = []
    for line in [*section[2].split("\n"), ""]:
        if line.startswith("|"):
            rows.append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows:
            yield rows[2:]
            rows = []


def table(document: str, heading: str, number: int = 0) -> dict[str, list[str]]:
    """A table's rows by the name in their first cell."""
    rows = list(tables(document, heading))[number]
    found = {row[0].strip("`"): row[1:] for row in rows}
    assert len(found) == len(rows), f"{document}, {heading}: a name stands twice"
    return found


FIELD_TABLES: dict[str, tuple[type[msgspec.Struct], int, set[str], set[str]]] = {
    # heading: type, number of the table in its section, fields without a row, rows that are no field
    "Keys of a task": (TaskSpec, 0, {"extra"}, set()),
    "Keys of a job": (JobOptions, 0, set(), {"name", "tasks"}),
    "Groups": (Group, 0, set(), set()),
    "Where a task runs, and with what": (EnvRef, 1, set(), set()),
    "Settings of the manager": (Settings, 0, set(), set()),
}


@pytest.mark.parametrize("heading", FIELD_TABLES)
def test_every_key_of_a_job_file_is_documented_with_its_default(heading: str) -> None:
    kind, number, without, more = FIELD_TABLES[heading]
    rows = table("docs/job-file.md", heading, number)
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    assert rows.keys() == (fields.keys() - without) | more
    for name, row in rows.items():
        field = fields.get(name)
        if field is None or (kind is Settings and field.default is msgspec.NODEFAULT):
            continue
        plain = field.default in (None, "", msgspec.NODEFAULT)
        text = field.default if isinstance(field.default, str) else json.dumps(None if plain else field.default)
        assert row[1] == ("–" if plain else f"`{text}`"), f"default of {name}"


def test_a_job_file_has_no_other_keys() -> None:
    assert table("docs/job-file.md", "Keys of a job").keys() == FIELDS


def test_examples_of_keys_are_valid() -> None:
    for name, row in table("docs/job-file.md", "Keys of a task").items():
        example = example_of(name, row)
        if name not in IN_LATER_VERSIONS:
            assert getattr(parse_task({"command": "true", **example}), name) is not None
    for name, row in table("docs/job-file.md", "Keys of a job").items():
        example = example_of(name, row)
        parse_options(example)
        for item in example.get("tasks", []):
            parse_task(item)
    for name, row in table("docs/job-file.md", "Groups").items():
        msgspec.convert(example_of(name, row), Group)
    for name, row in table("docs/job-file.md", "Where a task runs, and with what", 1).items():
        msgspec.convert(example_of(name, row), EnvRef)
    for name, row in table("docs/job-file.md", "Settings of the manager").items():
        import tomllib

        value = tomllib.loads(row[3].strip("`"))
        assert value.keys() == {name}
        msgspec.convert(value, Settings)


def example_of(name: str, row: list[str]) -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load(row[3].strip("`"))
    assert value.keys() == {name}, row[3]
    return value


def test_environment_of_tasks_is_documented() -> None:
    launcher, job = ((SOURCE / name).read_text() for name in ("runners/launcher.py", "manager/job.py"))
    set_by_code = set(re.findall(r'"(AIR_EXECUTOR_[A-Z]+)"\] =', launcher + job))
    assert table("docs/job-file.md", "Where a task runs, and with what").keys() == set_by_code


def test_keys_of_the_views_are_documented() -> None:
    shown = table("docs/protocol.md", "`tasks.json`").keys()
    handed_in = table("docs/job-file.md", "Keys of a task").keys()
    assert shown >= model.STATE_FIELDS
    assert shown | handed_in == {*TaskView.__struct_fields__, *IN_LATER_VERSIONS}
    assert list(shown)[:10] == [f.name for f in msgspec.structs.fields(TaskView) if f.required]
    more = {"stopping", "paused", "cwd", "environment"}
    assert table("docs/protocol.md", "`state.json`").keys() == state_view(Run()).keys() | more


def test_words_of_states_and_reasons_are_documented() -> None:
    text = (DOCS / "protocol.md").read_text("utf-8")
    assert all(f"`{word}`" in text for word in (*model.STATES, *model.STATUSES))
    assert table("docs/protocol.md", "Why a task failed").keys() == set(get_args(model.Reason))
    code = "".join((SOURCE / name).read_text() for name in ("lifecycle.py", "manager/job.py", "manager/inbox.py"))
    defects = set(re.findall(r'(?:DefectFound\(at=at, reason=|find_defect\()"(\w+)"', code))
    assert table("docs/protocol.md", "Why a job failed").keys() == {"failures", *get_args(StopCause), *defects}


def test_requests_are_documented() -> None:
    code = (SOURCE / "manager" / "inbox.py").read_text()
    known = set(re.findall(r'request (?:==|!=) "(\w+)"', code)) | {"submit"}
    rows = table("docs/protocol.md", "The inbox")
    assert set(re.findall(r'"request": "(\w+)"', " ".join(rows))) == known


def test_files_set_aside_are_documented() -> None:
    stems = {
        stem
        for path in SOURCE.glob("manager/*.py")
        for stem in re.findall(r'aside\.(?:keep|keep_file|move)\([^"\n]*"([\w.{}-]+)"', path.read_text())
    }
    names = {name for stem in stems for name in ([stem] if "{" not in stem else ["tasks.json.bad", "state.json.bad"])}
    documented = " ".join(table("docs/protocol.md", "What is set aside"))
    assert {name.removesuffix("-0") for name in re.findall(r"[\w.-]+-0", documented)} == names


def events_table() -> str:
    """The table of events for `docs/protocol.md`."""
    lines = ["| Type | What happened | Keys |", "| --- | --- | --- |"]
    for kind in get_args(events.AnyEvent):
        fields = [field for field in msgspec.structs.fields(kind) if field.name != "at"]
        keys = ", ".join(f"`{field.name}`" + ("" if field.required else "?") for field in fields)
        lines.append(f"| `{kind.__name__}` | {' '.join((kind.__doc__ or '').split())} | {keys or '–'} |")
    return "\n".join(lines) + "\n"


def test_events_are_documented() -> None:
    text = (DOCS / "protocol.md").read_text("utf-8")
    assert events_table() in text, f"the table of events has to read:\n\n{events_table()}"
    assert f"format, {events.SCHEMA_VERSION}." in text


def test_the_client_is_documented() -> None:
    rows = table("docs/python.md", "The client")
    names = {name.partition("(")[0] for name in rows}
    assert names == {name for name in vars(AirExecutorClient) if not name.startswith("_")}
    import inspect

    for name in rows:
        if "(" in name:
            signature = inspect.signature(getattr(AirExecutorClient, name.partition("(")[0]))
            given = [f"**{p}" if k.kind is k.VAR_KEYWORD else p for p, k in signature.parameters.items()]
            assert re.findall(r"(?:[(,] )?(\*\*\w+|\w+)(?:=[^,)]+(?:\(\))?)?[,)]", name) == given[1:], name


def test_what_code_inside_a_task_may_use_is_documented() -> None:
    rows = table("docs/python.md", "Inside a task")
    assert {name.partition("(")[0].removeprefix("task.") for name in rows} == set(task.__all__)


def test_errors_are_documented_with_their_exit_codes() -> None:
    rows = {name: int(row[0]) for name, row in table("docs/python.md", "Errors").items()}
    assert rows == {name: getattr(errors, name).exit_code for name in errors.__all__}


# ---- the documents as such -----------------------------------------------------------------------


def anchors(document: Path) -> set[str]:
    """What can stand behind `#` in a link to this document, as GitHub makes it from headings."""
    text = re.sub(r"^```.*?^```", "", document.read_text("utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("document", LINKED)
def test_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", path.read_text("utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_the_readme_is_short_and_names_all_documents() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert text.count("\n") <= 195
    for path in DOCS.glob("*.md"):
        assert f"](docs/{path.name})" in text, path.name
    assert all(f"\nmake {target} " in text for target in ("demo", "test"))


def test_the_changelog_knows_this_version() -> None:
    assert f"\n## {air_executor.__version__} (" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_trigger_rules_and_sync_modes_are_named() -> None:
    rows = table("docs/job-file.md", "Keys of a task")
    assert rows["trigger_rule"][0] == " or ".join(f"`{rule}`" for rule in get_args(model.TriggerRule))
    modes = get_args(Settings.__annotations__["sync"]) or get_args(Literal["each", "group", "off"])
    row = table("docs/job-file.md", "Settings of the manager")["sync"]
    assert all(f"`{mode}`" in row[0] for mode in modes)
