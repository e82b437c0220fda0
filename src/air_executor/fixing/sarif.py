"""SARIF 2.1.0: what other tools found, read as one check; and our issues, written for others."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import msgspec
from msgspec import Struct

from air_executor.fixing.check import CouldNotRun, Project
from air_executor.fixing.checking.execution import OUTPUT_LIMIT_MB
from air_executor.fixing.issue import Issue, Severity, with_fingerprints
from air_executor.fixing.outcome import CheckResult
from air_executor.fixing.sources import SourceLines
from air_executor.fixing.tools.output import relative

__all__ = ["read_sarif", "write_sarif"]

VERSION: Final = "2.1.0"
PRINT: Final = "airExecutor/v1"
"""Under this name a fingerprint of ours stands among those of other programs."""
SEVERITIES: Final[dict[str, Severity]] = {"error": "error", "warning": "warning", "note": "info", "none": "info"}
LEVELS: Final = {"error": "error", "warning": "warning", "info": "note"}
ROOT: Final = "SRCROOT"
DEPTH: Final = 10
"""So many bases may stand on each other; one may not stand on itself."""
MEND: Final = "have the tool write SARIF 2.1.0 anew, to a file of its own"


class _Form(Struct, rename="camel"):
    """Names as SARIF writes them."""


class Message(_Form):
    text: str | None = None
    id: str | None = None
    arguments: list[str] = []


class Place(_Form):
    uri: str | None = None
    uri_base_id: str | None = None
    index: int = -1


class Region(_Form):
    start_line: int | None = None
    start_column: int | None = None
    end_line: int | None = None
    end_column: int | None = None


class Physical(_Form):
    artifact_location: Place | None = None
    region: Region | None = None


class Location(_Form):
    physical_location: Physical | None = None


class RuleSettings(_Form):
    level: str | None = None


class Rule(_Form):
    id: str
    help_uri: str | None = None
    default_configuration: RuleSettings | None = None
    message_strings: dict[str, Message] = {}


class Component(_Form):
    name: str
    version: str | None = None
    semantic_version: str | None = None
    rules: list[Rule] = []


class ToolOfRun(_Form):
    driver: Component
    extensions: list[Component] = []


class ComponentReference(_Form):
    index: int = -1


class RuleReference(_Form):
    id: str | None = None
    index: int = -1
    tool_component: ComponentReference | None = None


class Suppressed(_Form):
    status: str | None = None


class Result(_Form):
    message: Message
    rule_id: str | None = None
    rule_index: int = -1
    rule: RuleReference | None = None
    kind: str = "fail"
    level: str | None = None
    locations: list[Location] = []
    suppressions: list[Suppressed] | None = None
    baseline_state: str | None = None
    partial_fingerprints: dict[str, str] = {}
    properties: dict[str, Any] = {}


class Notification(_Form):
    message: Message
    level: str = "warning"


class Invocation(_Form):
    execution_successful: bool
    tool_execution_notifications: list[Notification] = []


class Artifact(_Form):
    location: Place | None = None


class Run(_Form):
    tool: ToolOfRun
    results: list[Result] | None = None
    invocations: list[Invocation] = []
    artifacts: list[Artifact] = []
    original_uri_base_ids: dict[str, Place] = {}


class Log(_Form):
    version: str
    runs: list[Run] | None = None


def read_sarif(path: Path, repository: Path) -> CheckResult:
    """What a file tells, as the result of a check. Outcomes as of any: a file that cannot be read, and a tool that
    says it failed, is no clean result. Results that were suppressed, that passed, or that are gone do not count."""
    facts: dict[str, Any] = {"check": f"sarif/{path.name}", "project": ".", "kind": "lint"}
    try:
        runs = _runs(path)
        names = dict.fromkeys(run.tool.driver.name for run in runs)
        versions = dict.fromkeys(_version(run) for run in runs)
        facts["tool"] = ", ".join(names)
        facts["version"] = ", ".join(version for version in versions if version) or None
        left_out: Counter[str] = Counter()
        issues = [issue for run in runs for issue in _Reading(run, repository.resolve(), left_out).issues()]
    except CouldNotRun as error:
        return CheckResult(**facts, outcome="could_not_run", reason=error.reason, mend=error.mend)
    return CheckResult(
        **facts,
        outcome="findings" if issues else "ok",
        issues=with_fingerprints(issues, SourceLines(repository)),
        note=f"left out: {', '.join(f'{n} {what}' for what, n in sorted(left_out.items()))}" if left_out else None,
    )


def _runs(path: Path) -> list[Run]:
    try:
        if path.stat().st_size > OUTPUT_LIMIT_MB * 1_000_000:
            raise CouldNotRun(f"{path} is larger than {OUTPUT_LIMIT_MB} MB", "have the tool look at less")
        log = msgspec.json.decode(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), type=Log)
    except OSError as error:
        raise CouldNotRun(f"{path} cannot be read: {error.strerror}", MEND) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CouldNotRun(f"{path} is not SARIF: {error}", MEND) from None
    if log.version != VERSION:
        raise CouldNotRun(f"{path} is SARIF {log.version}, not {VERSION}", MEND)
    if not log.runs:
        raise CouldNotRun(f"{path} tells of no run of a tool", MEND)
    for run in log.runs:
        _complete(path, run)
    return log.runs


def _complete(path: Path, run: Run) -> None:
    """Whether the tool says it did its work."""
    name = run.tool.driver.name
    for invocation in run.invocations:
        if not invocation.execution_successful:
            told = [one.message.text or "" for one in invocation.tool_execution_notifications if one.level == "error"]
            raise CouldNotRun(f"{path}: {name} did not succeed: {' '.join(' '.join(told).split())[:300]}", MEND)
    if run.results is None:
        raise CouldNotRun(f"{path}: {name} has no results, which is not the same as none", MEND)


def _version(run: Run) -> str | None:
    return run.tool.driver.semantic_version or run.tool.driver.version


class _Reading:
    """One run of one tool."""

    def __init__(self, run: Run, repository: Path, left_out: Counter[str]) -> None:
        self._run = run
        self._left_out = left_out
        self._project = Project(repository=repository, root=".", language="", manifest=None, files=())

    def issues(self) -> list[Issue]:
        found = []
        for result in self._run.results or ():
            why = _passed_over(result)
            if why is not None:
                self._left_out[why] += 1
                continue
            issue = self._issue(result)
            if issue is not None:
                found.append(issue)
        return found

    def _issue(self, result: Result) -> Issue | None:
        physical = result.locations[0].physical_location if result.locations else None
        place = physical.artifact_location if physical is not None else None
        path = self._path(place) if place is not None else None
        if path is None:
            self._left_out["in no file of the repository"] += 1
            return None
        rule, settings = self._rule(result)
        region = physical.region if physical is not None and physical.region is not None else Region()
        level = result.level or (settings and settings.default_configuration and settings.default_configuration.level)
        line = region.start_line or 0
        return Issue(
            tool=self._run.tool.driver.name,
            rule=rule,
            severity=SEVERITIES.get(level or "warning", "warning"),
            message=_text(result.message, settings),
            path=path,
            line=line,
            column=(region.start_column or 0) if line else 0,
            end_line=region.end_line,
            end_column=region.end_column,
            safe_fix=result.properties.get("safeFix") is True,
            url=settings.help_uri if settings is not None else None,
            fingerprint=result.partial_fingerprints.get(PRINT, ""),
        )

    def _rule(self, result: Result) -> tuple[str, Rule | None]:
        """Its code, and what the tool says of it."""
        reference = result.rule or RuleReference()
        component = self._run.tool.driver
        if reference.tool_component is not None and reference.tool_component.index >= 0:
            extensions = self._run.tool.extensions
            component = _at(extensions, reference.tool_component.index) or component
        code = result.rule_id or reference.id
        index = result.rule_index if result.rule_index >= 0 else reference.index
        rule = _at(component.rules, index)
        if rule is None and code is not None:
            known = [rule for part in (component, *self._run.tool.extensions) for rule in part.rules]
            # `CA1000/1` is a sub-rule of `CA1000`.
            rule = next((one for one in known if code == one.id or code.startswith(one.id + "/")), None)
        return code or (rule.id if rule is not None else "unnamed"), rule

    def _path(self, place: Place) -> str | None:
        if place.uri is None:
            artifact = _at(self._run.artifacts, place.index)
            place = artifact.location if artifact is not None and artifact.location is not None else place
        if place.uri is None or urlsplit(place.uri).scheme not in ("", "file"):
            return None
        return relative(self._project, self._absolute(place, 0))

    def _absolute(self, place: Place, depth: int) -> str:
        """As a path of this machine; what is relative to a base that is not told is relative to the repository."""
        name = unquote(urlsplit(place.uri or "").path)
        base = self._run.original_uri_base_ids.get(place.uri_base_id or "")
        if name.startswith("/") or base is None or depth > DEPTH:
            return name
        above = self._absolute(base, depth + 1)
        return f"{above.rstrip('/')}/{name}" if above else name


def _passed_over(result: Result) -> str | None:
    if result.kind != "fail":
        return "that failed nothing"
    if result.baseline_state == "absent":
        return "gone since the baseline"
    if any(one.status in (None, "accepted") for one in result.suppressions or ()):
        return "suppressed"
    return None


def _text(message: Message, rule: Rule | None) -> str:
    text = message.text
    if text is None and rule is not None and message.id in rule.message_strings:
        text = rule.message_strings[message.id].text
    if text is None:
        return message.id or "no message"
    given = message.arguments
    text = re.sub(
        r"\{(\d+)\}", lambda found: given[int(found[1])] if int(found[1]) < len(given) else found[0], text
    ) if given else text  # fmt: skip
    return " ".join(text.split())


def _at(sequence: list[Any], index: int) -> Any:
    return sequence[index] if 0 <= index < len(sequence) else None


def write_sarif(issues: Iterable[Issue], versions: Mapping[str, str | None] | None = None) -> bytes:
    """All issues, a run a tool. `versions`: those of the tools, where known."""
    by_tool: dict[str, list[Issue]] = {}
    for issue in issues:
        by_tool.setdefault(issue.tool, []).append(issue)
    runs = [_run(tool, found, (versions or {}).get(tool)) for tool, found in sorted(by_tool.items())]
    log = {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": VERSION,
        "runs": runs or [_run("air-executor", [], None)],
    }
    return msgspec.json.format(msgspec.json.encode(log), indent=1) + b"\n"


def _run(tool: str, issues: list[Issue], version: str | None) -> dict[str, Any]:
    codes = {code: index for index, code in enumerate(sorted({issue.rule for issue in issues}))}
    urls = {issue.rule: issue.url for issue in issues if issue.url}
    return {
        "tool": {
            "driver": {
                "name": tool,
                **({"version": version} if version else {}),
                "rules": [{"id": code, **({"helpUri": urls[code]} if code in urls else {})} for code in codes],
            }
        },
        "originalUriBaseIds": {ROOT: {"description": {"text": "The root of the repository."}}},
        "results": [_result(issue, codes[issue.rule]) for issue in issues],
    }


def _result(issue: Issue, index: int) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": {"uri": quote(issue.path), "uriBaseId": ROOT}}
    region = {
        "startLine": issue.line,
        "startColumn": issue.column,
        "endLine": issue.end_line,
        "endColumn": issue.end_column,
    }
    if issue.line:
        physical["region"] = {name: value for name, value in region.items() if value}
    return {
        "ruleId": issue.rule,
        "ruleIndex": index,
        "level": LEVELS[issue.severity],
        "message": {"text": issue.message or issue.rule},
        "locations": [{"physicalLocation": physical}],
        **({"partialFingerprints": {PRINT: issue.fingerprint}} if issue.fingerprint else {}),
        **({"properties": {"safeFix": True}} if issue.safe_fix else {}),
    }
