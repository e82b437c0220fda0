"""cargo's tests. libtest writes JSON only where unstable options are allowed: they are for the test programs, not for
what compiles them, by a program that cargo is told to start them with."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Final

import msgspec
from msgspec import Struct, field

from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue, fingerprint
from air_executor.fixing.outcome import TestEnd, TestResult
from air_executor.fixing.tools.cargo import Line, Target, cargo_command, cargo_failed, configuration_files, find_cargo
from air_executor.fixing.tools.clippy import place_of
from air_executor.fixing.tools.output import decode_lines, in_one_line, not_understood, relative

__all__ = ["CargoTest"]

MEND: Final = "run `cargo test` by hand in the project's folder"
RUNNER: Final = """\
#!/bin/sh
# Starts a test program. The programs of documentation tests are started by rustdoc, which reports.
case $1 in "$CARGO_TARGET_DIR"/*) ;; *) exec "$@" ;; esac
printf '\\n{ "type": "executable", "path": "%s" }\\n' "$1" >>"$REPORT"
if [ -e "$NAMES" ]; then
    while IFS= read -r name; do set -- "$@" "$name"; done <"$NAMES"
    set -- "$@" --exact
fi
RUSTC_BOOTSTRAP=1 "$@" -Z unstable-options --format=json $SHUFFLE >>"$REPORT"
code=$?
printf '\\n{ "type": "exit", "code": %d }\\n' "$code" >>"$REPORT"
exit "$code"
"""
RUSTDOC: Final = """\
#!/bin/sh
# In the place of rustdoc: with the report of documentation tests.
case " $* " in *" --test "*) ;; *) exec rustdoc "$@" ;; esac
printf '\\n{ "type": "documentation" }\\n' >>"$REPORT"
RUSTC_BOOTSTRAP=1 rustdoc "$@" --test-args "-Z unstable-options --format=json" >>"$REPORT"
code=$?
printf '\\n{ "type": "exit", "code": %d }\\n' "$code" >>"$REPORT"
exit "$code"
"""
START: Final = """\
chmod +x "$RUSTDOC"
exec /bin/sh "$@"
"""
DOCUMENTED: Final = re.compile(r"(.+?) - (?:(.+) )?\(line (\d+)\)(?: - (.+))?")
DOCTEST: Final = "doctest"
PANIC: Final = re.compile(r"panicked at (?:'.*', )?([^\n:']+\.rs):(\d+):\d+", re.DOTALL)
ENDS: Final[dict[str, TestEnd]] = {"ok": "passed", "failed": "failed", "ignored": "skipped", "timeout": "failed"}
MESSAGE_LIMIT: Final = 4_000


class Event(Struct):
    """One line of the report: libtest's own, or one of the runner's."""

    type: str
    event: str = ""
    name: str = ""
    path: str = ""
    code: int = 0
    test_count: int = 0
    passed: int = 0
    failed: int = 0
    ignored: int = 0
    measured: int = 0
    stdout: str = ""
    message: str = ""
    exec_time: float = 0.0


class Section(Struct):
    """What one program has told."""

    executable: str | None
    """None: the documentation tests of a crate."""
    events: list[Event] = field(default_factory=list)
    exit: int | None = None


class CargoTest:
    """`cargo test --workspace`: unit tests, integration tests, and those in the documentation."""

    name: ClassVar[str] = "cargo-test"
    kind: ClassVar[Kind] = "tests"
    version_args: ClassVar[tuple[str, ...]] = ("--version",)
    reads: ClassVar[str | None] = None

    def applies(self, project: Project) -> bool:
        return True

    def loads_code(self, project: Project) -> bool:
        return True

    def find(self, project: Project) -> Tool:
        return find_cargo(project)

    def configuration(self, project: Project) -> list[Path]:
        return configuration_files(project)

    def command(self, project: Project, tool: Tool) -> Command:
        words = ["test", "--workspace", "--no-fail-fast", "--message-format=json"]
        words += ["--config", "target.'cfg(all())'.runner=['/bin/sh','{out}/runner.sh']"]
        inputs = {"runner.sh": RUNNER, "rustdoc.sh": RUSTDOC, "test.sh": START}
        selection = project.selection
        names = [] if selection is None or selection.tests is None else [*_names(project, selection.tests)]
        if selection is not None and selection.tests is not None:
            if not names:
                raise CouldNotRun("none of the tests that were asked for is there", "ask for them by ids of a run")
            inputs["names"] = "".join(f"{name}\n" for name in names)
            if not any(f"::{DOCTEST}::" in identity for identity in selection.tests):
                words.append("--tests")
        seed = selection.seed if selection is not None else None
        command = cargo_command(
            project,
            tool,
            words,
            env={
                "REPORT": "{out}/report.jsonl",
                "NAMES": "{out}/names",
                "RUSTDOC": "{out}/rustdoc.sh",
                "SHUFFLE": "--report-time" + (f" --shuffle-seed={seed}" if seed is not None else ""),
            },
            inputs=inputs,
            outputs={"report": "report.jsonl"},
        )
        return msgspec.structs.replace(command, argv=("/bin/sh", "{out}/test.sh", *command.argv[1:]))

    def parse(self, project: Project, run: ToolRun) -> Findings:
        if run.exit_code not in (0, 101) or (run.exit_code and not run.stdout.stat().st_size):
            raise cargo_failed(self.name, run, MEND)
        lines = decode_lines(self.name, run, Line)
        built = next((line for line in lines if line.reason == "build-finished"), None)
        if built is None:
            raise not_understood(self.name, run, "the build did not come to its end")
        if not built.success:
            return self._not_built(project, lines)
        sections = self._sections(run)
        programs = {
            line.executable: line.target
            for line in lines
            if line.executable and line.target is not None and line.profile is not None and line.profile.test
        }
        if unrun := programs.keys() - {section.executable for section in sections}:
            raise CouldNotRun(f"cargo did not run {Path(min(unrun)).name}", MEND)
        results, issues = self._results(project, run, sections, programs)
        bad = any(result.end in ("failed", "error") for result in results)
        if bad != (run.exit_code != 0) and project.selection is None:
            raise not_understood(self.name, run, "the exit code does not go with the tests")
        if not results:
            reason = "found no tests" if project.selection is None else "finds none of the tests that were asked for"
            raise CouldNotRun(f"cargo {reason}", "write some, or ask for tests by the ids of a run")
        return Findings(issues=issues, tests=results)

    def _sections(self, run: ToolRun) -> list[Section]:
        """What each program has told, without what tests print in between."""
        found: list[Section] = []
        report = run.outputs.get("report")
        for line in report.read_bytes().split(b"\n") if report is not None else ():
            if not line.startswith(b'{ "type": '):
                continue
            try:
                event = msgspec.json.decode(line, type=Event)
            except msgspec.DecodeError:
                continue  # torn by what a test prints; it will be missed in the count
            if event.type in ("executable", "documentation"):
                found.append(Section(event.path or None))
            elif found and event.type == "exit":
                found[-1].exit = event.code
            elif found:
                found[-1].events.append(event)
        return found

    def _results(
        self, project: Project, run: ToolRun, sections: list[Section], programs: Mapping[str, Target]
    ) -> tuple[list[TestResult], list[Issue]]:
        results, issues = [], []
        wanted = project.selection.tests if project.selection is not None else None
        seen: Counter[tuple[object, ...]] = Counter()
        for section in sections:
            target = programs.get(section.executable) if section.executable is not None else None
            place = relative(project, target.src_path) if target is not None else None
            for event in self._ended(run, section, target):
                file, suite, name, line = _identity(project, event.name, place or project.root)
                end = ENDS.get(event.event)
                if end is None:
                    raise not_understood(self.name, run, f"a test is {event.event!r}")
                result = TestResult(
                    framework=self.name,
                    file=file,
                    suite=suite,
                    name=name,
                    ordinal=seen[file, suite, name],
                    end=end,
                    message=_message(event, documented=suite == (DOCTEST,)),
                    duration_s=event.exec_time,
                )
                seen[file, suite, name] += 1
                if wanted is not None and result.id not in wanted:
                    continue
                results.append(result)
                if end == "failed":
                    issues.append(_issue(project, result, line))
        return results, issues

    def _ended(self, run: ToolRun, section: Section, target: Target | None) -> list[Event]:
        """The end of each of a program's tests. Raises where one is missing."""
        name = Path(section.executable).name if section.executable is not None else "the documentation tests"
        suites = [event for event in section.events if event.type == "suite"]
        tests = [event for event in section.events if event.type == "test"]
        if not suites and target is not None and section.exit is not None:
            # It has a harness of its own: what it tells is its exit code.
            return [Event(type="test", event="failed" if section.exit else "ok", name=target.name)]
        ended = [event for event in tests if event.event not in ("started", "timeout")]
        begun = [event.name for event in tests if event.event == "started"]
        count = sum(event.test_count for event in suites if event.event == "started")
        sums = [event for event in suites if event.event in ("ok", "failed")]
        told = sum(event.passed + event.failed + event.ignored + event.measured for event in sums)
        if count != told or len(ended) != count:
            running = [one for one in begun if one not in {event.name for event in ended}]
            during = f" during {', '.join(running[:3])}" if running else ""
            raise CouldNotRun(f"{name} ended{during} before it had told of all its {count} tests", MEND)
        return ended

    def _not_built(self, project: Project, lines: list[Line]) -> Findings:
        """A target that does not compile is an error of a test nobody can name."""
        results: dict[str, TestResult] = {}
        issues = []
        told = ""
        for line in lines:
            if line.message is None or line.target is None or not line.message.level.startswith("error"):
                continue
            told = told or line.message.message
            found = place_of(project, line.message)
            file = relative(project, line.target.src_path)
            if found is None or file is None or file in results:
                continue
            result = TestResult(
                framework=self.name, file=file, name="", end="error", message=line.message.message[:MESSAGE_LIMIT]
            )
            results[file] = result
            issues.append(
                Issue(
                    tool=self.name,
                    rule="collection-error",
                    severity="error",
                    message=line.message.message.partition("\n")[0],
                    path=found[0],
                    line=found[1].line_start,
                    column=found[1].column_start,
                    fingerprint=fingerprint(self.name, result.id),
                )
            )
        if not results:
            raise CouldNotRun(f"the tests cannot be built: {in_one_line(told) or 'cargo does not say why'}", MEND)
        return Findings(issues=issues, tests=[*results.values()], note="no test was run: not all of it compiles")


def _message(event: Event, *, documented: bool) -> str:
    """Of a documentation test the beginning, of another the end, where it panicked."""
    text = event.stdout or event.message
    return text[:MESSAGE_LIMIT] if documented else text[-MESSAGE_LIMIT:]


def _identity(project: Project, name: str, file: str) -> tuple[str, tuple[str, ...], str, int]:
    """File, suite, name and line. The line of a documentation test stands in its name, and moves."""
    if found := DOCUMENTED.fullmatch(name):
        return relative(project, found[1]) or found[1], (DOCTEST,), found[2] or "module", int(found[3])
    *suite, last = name.split("::")
    return file, tuple(suite), last, 0


def _names(project: Project, identities: tuple[str, ...]) -> Iterator[str]:
    """What libtest calls tests of these ids."""
    for identity in identities:
        fitting = [path for path in project.files if identity.startswith(f"{path}::")]
        if fitting:
            yield re.sub(r"#\d+$", "", identity[len(max(fitting, key=len)) + 2 :])


def _issue(project: Project, result: TestResult, line: int) -> Issue:
    """At the line where it panicked, if that is in the project's code."""
    path = result.file
    panic = PANIC.search(result.message) if result.suite != (DOCTEST,) else None
    if panic is not None and (place := relative(project, panic[1])) in project.files:
        path, line = str(place), int(panic[2])
    told = [text for part in result.message.split("\n") if (text := part.strip())]
    return Issue(
        tool=result.framework,
        rule="test-failed",
        severity="error",
        message=next((text for text in told if "panicked at" in text), told[0] if told else "the test failed"),
        path=path,
        line=line,
        fingerprint=fingerprint(result.framework, result.id),
    )
