"""Whatever stands in files and arguments: no traceback reaches a user, and no manager stops."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from air_executor import AirExecutorClient
from air_executor import events as ev
from air_executor.cli import main
from air_executor.cli.app import COMMANDS
from air_executor.errors import AirExecutorError
from air_executor.jobfile import load_job_file
from air_executor.lifecycle import AttemptEnd, IllegalTransition
from air_executor.manager.job import ManagedJob
from air_executor.store.inbox import DROP_SUFFIX
from air_executor.store.journal import JournalFollower
from air_executor.store.layout import Base
from tests.faults.histories import journal_events
from tests.faults.hostile import REQUESTS, STATES, TASKS, VALUES, _spoilt, as_json, files, lines
from tests.faults.killing import Faulty
from tests.faults.workload import Workload
from tests.support import ended, read, wait_for
from tests.unit.world import T0, half

EXAMPLES = int(os.environ.get("FAULTS_EXAMPLES", "250"))
SAMPLE = ev.encode_events(journal_events(tasks=8))


@contextlib.contextmanager
def job_folder() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        base = Base(root / "base")
        base.create()
        folder = base.job("job")
        folder.create()
        yield folder.path
    finally:
        shutil.rmtree(root)


class World:
    """A manager's work on one job, without its loop, its launchers and its clock."""

    def __init__(self, folder: Path) -> None:
        self.after: list[Callable[[], None]] = []
        self.now = T0
        self.job = ManagedJob(Base(folder.parents[1]).job(folder.name), self.after.append)
        self.job.load(self.now)

    def turn(self, task_inbox: bytes = b"", result: bytes = b"") -> None:
        job = self.job
        self.now += 1.3
        job.state_touched = True
        job.inbox.touch()
        job.look(self.now)
        run = job.run
        if run is not None and not run.ended:
            run.check_deadline(self.now)
            task = run.peek(self.now)
            if task is not None:
                run.take(task)
                run.start(task, "launcher-1", self.now)
                job.folder.task_inbox(task.spec.id, task.attempt).write_bytes(task_inbox)
                job.folder.task_result(task.spec.id, task.attempt).write_bytes(result)
                job.look(self.now)
                end = AttemptEnd(self.now, 0 if task.order % 2 else 3, None, None if task.order % 2 else "exit")
                job.exited(task.spec.id, task.attempt, end, self.now, half)
            if run.idle and not job.unread:
                run.settle(self.now)
            run.stops.clear()
            run.check_invariants()
        job.flush()
        for _ in range(20):
            if job.run is None or job.views_due(self.now + 100) is None:
                break
            job.write_views(self.now + 100)
            job.look(self.now)
            job.flush()
        after, self.after[:] = list(self.after), []
        for action in after:
            action()

    def close(self) -> None:
        if self.job.journal is not None:
            self.job.journal.close()
        self.job.views.forget_last()
        self.job.views.tasks.abandon()
        self.job.views.state.abandon()


def work_through(folder: Path, turns: int, task_inbox: bytes = b"", result: bytes = b"") -> None:
    """Let a manager work on the folder; it may give the job up with one clear sentence, and nothing else."""
    try:
        world = World(folder)
    except (AirExecutorError, IllegalTransition):
        return  # a journal that cannot be read
    try:
        for _ in range(turns):
            world.turn(task_inbox, result)
    except AirExecutorError:
        return
    finally:
        world.close()
    if world.job.run is not None:
        assert isinstance(read(folder / "state.json"), dict)
        assert isinstance(read(folder / "tasks.json"), list)
        again = World(folder)
        assert again.job.run is not None
        again.close()


@given(tasks=files(st.lists(TASKS, max_size=4) | VALUES), state=files(STATES | VALUES))
@settings(max_examples=EXAMPLES)
@example(tasks=b'[{"command":"true","id":["t0"]}]', state=b"{}")
@example(tasks=b'[{"command":"true","x":"\\ud800"}]', state=b'{"id":"\\ud800"}')
@example(tasks=b'[{"command":"true","priority":9223372036854775807}]', state=b'{"progress":1e999}')
@example(tasks=b"[" * 100_000, state=b"{}")
def test_hand_written_jobs(tasks: bytes, state: bytes) -> None:
    with job_folder() as folder:
        (folder / "tasks.json").write_bytes(tasks)
        (folder / "state.json").write_bytes(state)
        work_through(folder, 5)


@given(
    tasks=files(st.lists(TASKS, max_size=3) | VALUES),
    state=files(STATES | VALUES),
    drops=st.lists(lines(TASKS | REQUESTS | VALUES), max_size=3),
    inbox=lines(TASKS | REQUESTS | VALUES),
    result=files(VALUES),
)
@settings(max_examples=EXAMPLES)
def test_views_and_inbox_of_a_running_job(
    tasks: bytes, state: bytes, drops: list[bytes], inbox: bytes, result: bytes
) -> None:
    with job_folder() as folder:
        good = [{"id": f"t{n}", "command": "true", "retries": n} for n in range(3)]
        (folder / "tasks.json").write_bytes(as_json(good))
        (folder / "state.json").write_bytes(b'{"id":"r0","open":true}')
        world = World(folder)
        try:
            world.turn(inbox, result)
            for name, content in (("tasks.json", tasks), ("state.json", state)):
                (folder / f"{name}.new").write_bytes(content)
                (folder / f"{name}.new").rename(folder / name)
            for n, content in enumerate(drops):
                (folder / "inbox" / f"{n:020d}-x{DROP_SUFFIX}").write_bytes(content)
            for _ in range(4):
                world.turn(inbox, result)
        finally:
            world.close()


@given(how=st.lists(st.tuples(st.integers(0, 60), files(VALUES) | lines(TASKS)), max_size=3), spoil=st.data())
@settings(max_examples=EXAMPLES)
def test_journals(how: list[tuple[int, bytes]], spoil: st.DataObject) -> None:
    from tests.faults.hostile import SPOILING

    all_lines = SAMPLE.splitlines(keepends=True)
    for place, line in how:
        all_lines.insert(place, line + b"\n")
    data = _spoilt(b"".join(all_lines), spoil.draw(SPOILING))
    with job_folder() as folder:
        (folder / "journal.jsonl").write_bytes(data)
        follower = JournalFollower(folder / "journal.jsonl")
        list(follower.read())
        follower.close()
        work_through(folder, 2)


FIELDS = st.sampled_from(["at", "task", "attempt", "version", "id", "options", "retry_at", "exit_code", "reason"])


@given(lines_changed=st.lists(st.tuples(st.integers(0, 40), FIELDS, VALUES), min_size=1, max_size=3))
@settings(max_examples=EXAMPLES)
def test_journals_of_strange_events(lines_changed: list[tuple[int, str, Any]]) -> None:
    records = [json.loads(line) for line in SAMPLE.splitlines()]
    for place, field, value in lines_changed:
        record = records[place % len(records)]
        if field in record or field in ("retry_at", "reason"):
            record[field] = value
    with job_folder() as folder:
        (folder / "journal.jsonl").write_bytes(b"".join(as_json(record) + b"\n" for record in records))
        work_through(folder, 2)


@pytest.mark.parametrize("name", [".next-state.json", ".next-tasks.json", ".tasks.json.swap", ".state.json.swap"])
@given(content=files(VALUES))
@settings(max_examples=40)
def test_left_overs(name: str, content: bytes) -> None:
    with job_folder() as folder:
        (folder / "journal.jsonl").write_bytes(SAMPLE)
        (folder / name).write_bytes(content)
        if name == ".next-tasks.json":
            (folder / ".next-state.json").write_bytes(b'{"id":"next"}')
        world = World(folder)
        try:
            for _ in range(3):
                world.turn()
        finally:
            world.close()


JOB_KEYS = st.sampled_from(["tasks", "name", "params", "defaults", "groups"])
YAML = st.one_of(
    st.text(alphabet=st.sampled_from(list("ab:-[]{}&*!|>'\"#%@`\n\t ,?~0")), max_size=60),
    st.dictionaries(JOB_KEYS, VALUES | st.lists(TASKS, max_size=3), max_size=4).map(
        lambda value: json.dumps(value, indent=1)
    ),
)


@given(
    text=YAML | files(STATES | st.lists(TASKS)).map(lambda data: data.decode("latin-1")),
    suffix=st.sampled_from([".yaml", ".json"]),
)
@settings(max_examples=EXAMPLES)
@example(text="a: &a [*a]", suffix=".yaml")
@example(text="tasks: &t [*t]", suffix=".yaml")
@example(text="tasks:\n- &t {command: a, <<: *t}", suffix=".yaml")
@example(text="- command: !!python/object/apply:os.system [true]", suffix=".yaml")
@example(text="[" * 10_000, suffix=".yaml")
@example(text='{"tasks":' * 10_000, suffix=".json")
@example(text="- {command: 0x_}", suffix=".yaml")
@example(text="- {? [a] : b}", suffix=".yaml")
@example(text="a: 1:99:99:99999999999999999999\nb: .inf", suffix=".yaml")
def test_job_files(text: str, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"job{suffix}"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        with contextlib.suppress(AirExecutorError):
            load_job_file(path)
            AirExecutorClient(Path(folder) / "base").submit_file(path)
            state = read(next((Path(folder) / "base" / "jobs").glob("*/state.json")))
            assert isinstance(state, dict)


FOREGROUND = {"manager", "start", "run", "demo", "watch", "doctor", "serve"}
ARGUMENTS = st.one_of(
    st.sampled_from(
        [
            "job",
            "t0",
            "--json",
            "--status",
            "failed",
            "-h",
            "--base",
            "--failed",
            "--each",
            "--",
            "-n",
            "--all",
            "--job",
            "--attempt",
            "1",
            "-1",
            "--help",
            "--limit",
            "--param",
            "x=y",
            "--file",
            "-",
            "/dev/null",
            "--keep",
            "--days",
        ]
    ),
    st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6),
)


@given(command=st.sampled_from(sorted(COMMANDS.keys() - FOREGROUND)), arguments=st.lists(ARGUMENTS, max_size=5))
@settings(max_examples=EXAMPLES)
def test_arguments(command: str, arguments: list[str]) -> None:
    followed = {"-f", "--follow", "--wait", "-w"}
    arguments = [a for a in arguments if a not in followed and not a.startswith(("-f", "--fo", "--wa", "-w"))]
    with job_folder() as folder:
        (folder / "tasks.json").write_bytes(b'[{"id":"t0","command":"true"},{"id":7},[],null]')
        (folder / "state.json").write_bytes(b'{"id":[],"state":"completed","progress":7,"warnings":3}')
        base = str(folder.parents[1])
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
        before, here = sys.stdin, os.getcwd()
        sys.stdin = io.TextIOWrapper(io.BytesIO(b"one\ntwo\n"), "utf-8")
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    code = main(["--base", base, command, *arguments])
                except SystemExit as end:
                    code = end.code  # type: ignore[assignment]
        finally:
            sys.stdin = before
            os.chdir(here)
        err.flush()
        said = err.buffer.getvalue().decode()  # type: ignore[attr-defined]
        assert code != 70, said
        assert "Traceback" not in said
        if code:
            assert said.strip(), f"exit code {code} and not a word"


def hostile_folders(jobs: Path, count: int, seed: int) -> None:
    """Many folders of all kinds, among them links, pipes, names and sizes."""
    chance = random.Random(seed)
    contents = [
        b"", b"{", b"[]", b"{}", b"null", b"[" * 50_000, b"\xff\xfe", b"\0" * 100, b'[{"command":"true"}]', b"[[]]",
        b'[{"id":["a"],"command":"true"}]', b'[{"id":"\\ud800","command":"true"}]', b"[NaN]", b'{"id":{}}',
        b'[{"command":"true","env":{"A=B":"x"}}]', b'{"id":"x","deadline_s":-1}', b'{"id":"x","state":"completed"}',
        b'{"id":"x","defaults":{"command":7}}', b'[{"command":"true","args":["\\u0000"]}]', b"[1e999]",
        b'[{"command":"/nowhere","retries":1e9}]', b'[{"command":"true","timeout_s":1e-9,"cpus":1e14}]',
        b'{"id":"../../x"}', b'{"id":"a/b","name":"' + b"n" * 5_000 + b'"}', SAMPLE, SAMPLE[:-20], SAMPLE[40:],
        b'{"type":"RunCreated","version":77}', b'[{"command":"true","result":' + b"[" * 400 + b"]" * 400 + b"}]",
    ]  # fmt: skip
    names = [
        "tasks.json",
        "state.json",
        "journal.jsonl",
        ".next-state.json",
        ".tasks.json.swap",
        "inbox/a.drop.jsonl",
    ]
    for number in range(count):
        name = chance.choice(["h{}", "h {} ünï", "h{}-\udcff", "h{}\n", "--h{}", "h{}" + "x" * 200]).format(number)
        folder = jobs / name
        folder.mkdir()
        for file in chance.sample(names, chance.randint(1, 4)):
            if "/" in file:
                (folder / "inbox").mkdir()
            kind = chance.random()
            if kind < 0.85:
                (folder / file).write_bytes(chance.choice(contents))
            elif kind < 0.90:
                os.mkfifo(folder / file)
            elif kind < 0.95:
                (folder / file).symlink_to(
                    chance.choice(["/etc/passwd", "/dev/zero", "nowhere", file.split("/")[-1]])
                )
            else:
                (folder / file).mkdir()
    (jobs / "a-file").write_bytes(b"not a folder")
    (jobs / "a-link").symlink_to("/tmp")


def test_a_manager_among_hostile_folders(faulty: Faulty, tmp_path: Path) -> None:
    jobs = faulty.base / "jobs"
    hostile_folders(jobs, 200, seed=1)
    manager = faulty.start(settings={"poll_interval_s": 0.2})
    good = Workload(tmp_path, "good")
    for n in range(20):
        good.add(f"t{n}", "ok")
    job_id = good.submit(faulty.base)
    state = faulty.wait_end(manager, jobs / "good", job_id)
    assert state["state"] == "completed"
    for path in sorted(jobs.glob("h*"))[:60]:  # and while it runs
        shutil.rmtree(path, ignore_errors=True)  # the manager may write there at this moment
    late = tmp_path / "late"
    late.mkdir()
    hostile_folders(late, 100, seed=2)
    for path in late.glob("*h*"):
        path.rename(jobs / f"late-{path.name}")
    time.sleep(2.5)  # until what cannot be read counts as bad
    again = Workload(tmp_path, "again")
    again.add("last", "ok")
    job_id = again.submit(faulty.base)
    assert faulty.wait_end(manager, jobs / "again", job_id)["state"] == "completed"
    # It starts again among what it made of them.
    faulty.kill(manager)
    manager = faulty.start()
    final = Workload(tmp_path, "final")
    final.add("very-last", "ok")
    job_id = final.submit(faulty.base)
    assert faulty.wait_end(manager, jobs / "final", job_id)["state"] == "completed"
    wait_for(lambda: faulty.runs(manager) and ended(jobs / "final"), "a manager that lives")
    faulty.stop(manager)
    assert not faulty.complaints(), faulty.complaints()
