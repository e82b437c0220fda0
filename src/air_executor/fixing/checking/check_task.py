"""One check of one project, as a task: ask the tool its version, run it, read it, leave the result in a file.

python -m air_executor.fixing.checking.check_task SPEC.json
"""

from __future__ import annotations

import contextlib
import gc
import re
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from air_executor.fixing.check import Check, Command, CouldNotRun, Findings, Project, Tool, ToolRun
from air_executor.fixing.checking import sandbox
from air_executor.fixing.checking.execution import Ended, adopt_descendants, execute
from air_executor.fixing.issue import with_fingerprints
from air_executor.fixing.languages import language_named
from air_executor.fixing.outcome import CheckResult
from air_executor.fixing.sources import SourceLines
from air_executor.fixing.tools.output import first_words, last_words
from air_executor.store.files import write_atomically

__all__ = ["Spec", "decode_project", "encode", "run_spec"]

VERSION_TIMEOUT_S: Final = 60.0
KEPT: Final = frozenset({"out", "stdout", "stderr"})


class Spec(Struct, kw_only=True, frozen=True):
    """What the task is to do. Folders are absolute."""

    language: str
    check: str
    project: str
    """File with the project."""
    tool: Tool
    folder: str
    """Of this run: the tool's output, its home, `{out}`."""
    cache: str
    """`{cache}`."""
    reads: str | None
    """Folder of the run whose outputs are read."""
    result: str
    """Where the result goes."""
    sandboxed: bool
    timeout_s: float
    environment: tuple[str, ...] = ()
    rules: str | None = None


def encode(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=str)


def decode_project(data: bytes) -> Project:
    return msgspec.json.decode(data, type=Project, dec_hook=lambda kind, value: kind(value))


def check_of(language: str, name: str) -> Check:
    return next(check for check in language_named(language).checks if check.name == name)


class Run:
    """One check at work."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.project = decode_project(Path(spec.project).read_bytes())
        self.check = check_of(spec.language, spec.check)
        self.folder = Path(spec.folder)
        self.out = self.folder / "out"
        self.home = self.folder / "home"
        self.cache = Path(spec.cache)
        self.copy: Path | None = None
        # What code in the sandbox has written there is not used outside it, when the repository is trusted later.
        self.shared = self.cache.with_name("shared-sandbox" if spec.sandboxed else "shared")
        for folder in (self.out, self.home / "tmp", self.cache):
            folder.mkdir(parents=True, exist_ok=True)

    def result(self) -> CheckResult:
        """What came of it, whatever came of it."""
        began = time.monotonic()
        tool = self.spec.tool
        run: ToolRun | None = None
        try:
            if self.spec.sandboxed and self.check.loads_code(self.project):
                self.copy = self.folder / "tree"
                try:
                    sandbox.copy_tree(self.project.repository, self.copy)
                except OSError as error:
                    raise CouldNotRun(
                        f"the repository cannot be copied for the sandbox: {error.strerror}: {error.filename}",
                        "mend what cannot be read, make room, or trust the repository (`--trust`)",
                    ) from error
            tool = msgspec.structs.replace(tool, version=self.version(tool))
            run = self._run(tool)
            findings = self.check.parse(self.project, run)
        except CouldNotRun as error:
            return self._could_not(error, tool, run, began)
        except Exception as error:
            ours = CouldNotRun(
                f"a bug of Air-Executor's check {self.check.name}: {_named(error)}",
                f"report it with the files in {self.folder}",
            )
            return self._could_not(ours, tool, run, began)
        return self._good(findings, tool, run, began)

    def _good(self, findings: Findings, tool: Tool, run: ToolRun, began: float) -> CheckResult:
        issues = with_fingerprints(findings.issues, SourceLines(self.project.repository))
        return CheckResult(
            **self._facts(tool, run, began),
            outcome="findings" if issues else "ok",
            note=findings.note,
            issues=issues,
            tests=findings.tests,
            coverage=findings.coverage,
            metrics=findings.metrics,
        )

    def _could_not(self, error: CouldNotRun, tool: Tool, run: ToolRun | None, began: float) -> CheckResult:
        return CheckResult(
            **self._facts(tool, run, began), outcome="could_not_run", reason=error.reason, mend=error.mend
        )

    def _facts(self, tool: Tool, run: ToolRun | None, began: float) -> dict[str, Any]:
        return {
            "check": f"{self.spec.language}/{self.check.name}",
            "project": self.project.root,
            "kind": self.check.kind,
            "tool": " ".join(tool.argv),
            "version": tool.version,
            "rules": self.spec.rules,
            "exit_code": run.exit_code if run is not None else None,
            "duration_s": round(time.monotonic() - began, 3),
        }

    def version(self, tool: Tool) -> str | None:
        """The first number with a dot that the program prints when asked. One that fails to is no program."""
        if tool.version is not None or not self.check.version_args:
            return tool.version
        name = self.check.name
        out, err = self.folder / "version", self.folder / "version.stderr"
        ended = self._execute(
            (*tool.argv, *self.check.version_args), self.project.path, self._env(tool), out, err, VERSION_TIMEOUT_S
        )
        said = first_words(out, 2_000) + " " + first_words(err, 2_000)
        if ended.exit_code != 0:
            how = f"ended by {ended.signal}" if ended.signal else f"failed with exit code {ended.exit_code}"
            raise CouldNotRun(
                f"{name} does not work: asked for its version it {how}: {last_words(err) or last_words(out)}",
                f"mend what it complains of, or install {name} anew; it is {tool.argv[0]}",
            )
        found = re.search(r"\d+\.\d+[\w.+-]*", said)
        if found is None:
            raise CouldNotRun(
                f"{tool.argv[0]} does not tell a version: {said.strip()[:100]!r}",
                f"see whether this is really {name}",
            )
        return found[0].rstrip(".")

    def _run(self, tool: Tool) -> ToolRun:
        command = self.check.command(self.project, tool)
        out, err = self.folder / "stdout", self.folder / "stderr"
        read = self._outputs_read()
        if command is None:
            out.touch()
            err.touch()
            return ToolRun(
                exit_code=0, signal=None, stdout=out, stderr=err, outputs=read, duration_s=0.0,
                version=tool.version,
            )  # fmt: skip
        ended, outputs = self._command(command, out, err)
        if command.then is not None:
            with contextlib.suppress(CouldNotRun):
                _, more = self._command(command.then, self.folder / "then.stdout", self.folder / "then.stderr")
                outputs |= more
        (self.folder / "outputs.json").write_bytes(msgspec.json.encode(command.outputs))
        return ToolRun(
            exit_code=ended.exit_code,
            signal=ended.signal,
            stdout=out,
            stderr=err,
            outputs=read | {name: path for name, path in outputs.items() if path.exists()},
            duration_s=ended.duration_s,
            version=tool.version,
        )

    def _command(self, command: Command, out: Path, err: Path) -> tuple[Ended, dict[str, Path]]:
        """How it ended, and where its outputs would be."""
        for name, text in command.inputs.items():
            path = self.out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("utf-8"))
        outputs = {name: self.out / place for name, place in command.outputs.items()}
        ended = self._execute(
            tuple(self._filled(word) for word in command.argv),
            command.cwd,
            self._env(self.spec.tool) | {name: self._filled(value) for name, value in command.env.items()},
            out,
            err,
            command.timeout_s or self.spec.timeout_s,
            tuple(outputs.values()),
            command.parts,
        )
        return ended, outputs

    def _outputs_read(self) -> dict[str, Path]:
        """What the check this one reads has left."""
        if self.spec.reads is None:
            return {}
        folder = Path(self.spec.reads)
        try:
            names = msgspec.json.decode((folder / "outputs.json").read_bytes(), type=dict[str, str])
        except (OSError, msgspec.DecodeError):
            return {}
        found = {name: folder / "out" / place for name, place in names.items()} | {"stdout": folder / "stdout"}
        return {name: path for name, path in found.items() if path.exists()}

    def _env(self, tool: Tool) -> dict[str, str]:
        return {name: self._filled(value) for name, value in tool.env.items()}

    def _filled(self, text: str) -> str:
        text = text.replace("{out}", str(self.out)).replace("{cache}", str(self.cache))
        if "{shared}" in text:
            self.shared.mkdir(exist_ok=True)
            text = text.replace("{shared}", str(self.shared))
        return text.replace("{reads}", str(Path(self.spec.reads, "out"))) if self.spec.reads is not None else text

    def _execute(
        self,
        argv: tuple[str, ...],
        cwd: Path,
        env: dict[str, str],
        out: Path,
        err: Path,
        timeout_s: float,
        watched: tuple[Path, ...] = (),
        parts: tuple[Path, ...] = (),
    ) -> Ended:
        environment = sandbox.tool_environment(self.home, self.spec.environment) | env
        if self.spec.sandboxed:
            writable = [self.out, self.home, self.cache]
            if self.shared.exists():
                writable.append(self.shared)
            if self.spec.reads is not None:
                writable.append(Path(self.spec.reads, "out"))
            argv = tuple(
                sandbox.wrapped(
                    argv,
                    cwd=cwd,
                    repository=self.project.repository,
                    copy=self.copy,
                    writable=writable,
                    programs=[Path(argv[0]), Path(self.spec.tool.argv[0]), *parts],
                )
            )
        return execute(argv, cwd=cwd, env=environment, stdout=out, stderr=err, timeout_s=timeout_s, watched=watched)

    def clean(self) -> None:
        """Remove the tool's home and the copy of the tree; outputs stay for whoever reads them."""
        for name in ("home", "tree"):
            shutil.rmtree(self.folder / name, ignore_errors=True)


def _named(error: BaseException) -> str:
    """An exception and the line it was raised in."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}: {error}"


def run_spec(path: Path) -> CheckResult:
    """Run what a spec file says and leave the result where it says."""
    spec = msgspec.json.decode(path.read_bytes(), type=Spec)
    run = Run(spec)
    try:
        result = run.result()
    finally:
        run.clean()
    write_atomically(Path(spec.result), msgspec.json.encode(result))
    return result


def main() -> int:
    gc.disable()  # nothing of a process that reads one output and ends is worth collecting
    adopt_descendants()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of `finally`: what was started is ended
    result = run_spec(Path(sys.argv[1]))
    told = f": {result.reason}" if result.reason else f", {len(result.issues)} issues" if result.issues else ""
    print(f"{result.check} {result.project}: {result.outcome}{told}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
