"""Which issues are mended together, in which order, and what may be mended at the same time.

Planning is pure: the same issues in any order give the same batches with the same ids, now and in the next run.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec
from msgspec import Struct

from air_executor.fixing.configuration.config import FixingConfig
from air_executor.fixing.issue import Issue
from air_executor.fixing.planning.topics import OTHER, PHASES, Phase, Topic, phase_of, topic_of

__all__ = ["Batch", "BatchKind", "estimate", "plan", "priority_of"]

BatchKind = Literal["mega", "cleanup", "location", "single"]
KINDS: Final[tuple[BatchKind, ...]] = ("mega", "cleanup", "location", "single")
"""Those that mend most in one go first."""
LOCATION_FROM: Final = 3
"""Issues of one kind in one place that make a batch; fewer are mended one by one."""
PRIORITIES: Final[Mapping[str, int]] = {"error": 1, "warning": 5, "info": 8}
TEST_PRIORITY: Final = 3
LAST: Final = "formatting"
UNKNOWN_LENGTH: Final = 200
"""Lines of a file of which nobody has told how long it is."""
LONGEST_PLACE: Final = 50
LONGEST_RULE: Final = 60


class Batch(Struct, kw_only=True, frozen=True):
    """Issues that one session mends and one commit holds."""

    id: str
    """The same as long as the batch holds the same issues."""
    phase: Phase
    kind: BatchKind
    """`cleanup`: one rule across the project; `location`: one topic in one folder (failing tests: in one file);
    `single`: one issue; `mega`: all of the phase."""
    topic: str
    """As in `topics.TOPICS`, or `other`; `all` for a mega batch."""
    rules: tuple[str, ...]
    """As `ruff F401`, in order."""
    where: str
    """The folder or file all of it lies in, with `/` at a folder's end; `./` for the repository."""
    issues: tuple[Issue, ...]
    """In order of their places; no two with the same fingerprint."""
    files: tuple[str, ...]
    """Those the issues are in. Mending may need others: what a failing test calls, for example."""
    estimate: int
    """Lines its diff will have, added and taken away together, as far as rules and ranges tell."""
    subject: str
    """Of the commit."""
    priority: int
    """Lower is sooner: error 1, failing test 3, warning 5, info 8; a batch has its most urgent issue's."""
    group: int
    """Batches of one group share no file and are of one phase, so they may be mended at the same time; groups are
    worked on in order."""


class _Draft(Struct, frozen=True):
    """A batch without what depends on the others."""

    phase: Phase
    kind: BatchKind
    topic: Topic
    issues: tuple[Issue, ...]
    where: str
    part: tuple[int, int] = (1, 1)
    """Which of how many, where a limit made several."""


def plan(
    issues: Iterable[Issue],
    config: FixingConfig,
    phase: Phase | None = None,
    *,
    lengths: Mapping[str, int] | None = None,
) -> list[Batch]:
    """The batches in the order in which to mend them, of all phases or of one.

    Issues with the same fingerprint are one issue. `lengths`: lines of files, for the estimate of what changes a file
    as a whole. With a `phase` the batches are those of the whole plan, ids, subjects and groups too.
    """
    known: dict[object, Issue] = {}
    for issue in sorted(issues, key=_order):
        known.setdefault(issue.fingerprint or issue, issue)
    drafts: list[_Draft] = []
    for each in PHASES:
        mine = [issue for issue in known.values() if phase_of(issue) == each]
        if mine:
            drafts += _drafts(each, mine, config)
    alike = _alike(drafts)
    batches = [_batch(draft, alike, lengths or {}) for draft in drafts]
    batches.sort(key=_turn)
    return [batch for batch in _grouped(batches) if phase in (None, batch.phase)]


def priority_of(issue: Issue) -> int:
    return TEST_PRIORITY if phase_of(issue) == "test" else PRIORITIES[issue.severity]


def estimate(issue: Issue, lengths: Mapping[str, int] | None = None) -> int:
    """Lines of the diff that mends one issue: what its topic usually takes, or all of its range twice."""
    topic = topic_of(issue)
    if not topic.span:
        return topic.lines
    if issue.line == 0:
        return max(topic.lines, 2 * (lengths or {}).get(issue.path, UNKNOWN_LENGTH))
    rows = max(0, (issue.end_line or issue.line) - issue.line) + 1
    return max(topic.lines, 2 * rows)


def _order(issue: Issue) -> tuple[object, ...]:
    place = (issue.path, issue.line, issue.column, issue.tool, issue.rule, issue.message, issue.fingerprint)
    # All the rest too: of two that differ in anything, the same one has to be first however they came.
    return (*place, repr(issue))


def _turn(batch: Batch) -> tuple[object, ...]:
    # What mends other things may leave code that has to be formatted; formatted before, it would have to be twice.
    kind = len(KINDS) if batch.topic == LAST else KINDS.index(batch.kind)
    rules = batch.rules if batch.kind == "cleanup" else ()
    first = _order(batch.issues[0])
    return PHASES.index(batch.phase), batch.priority, kind, batch.topic, batch.where, rules, first, batch.id


def _drafts(phase: Phase, issues: Sequence[Issue], config: FixingConfig) -> Iterator[_Draft]:
    grouping = config.issue_grouping
    size: int | None = getattr(config.batch_sizes, f"{phase}_fixes")
    if grouping.effective_mode == "mega":
        yield from _parts(phase, "mega", OTHER, issues, "./", size)
    elif grouping.effective_mode == "individual":
        yield from (_single(phase, issue) for issue in issues)
    else:
        yield from _smart(phase, issues, config, size)


def _smart(phase: Phase, issues: Sequence[Issue], config: FixingConfig, size: int | None) -> Iterator[_Draft]:
    grouping = config.issue_grouping
    by_rule: dict[tuple[str, str], list[Issue]] = {}
    by_place: dict[tuple[str, str], list[Issue]] = {}
    for issue in issues:
        topic = topic_of(issue)
        # What a tool can mend by itself is mended in the same way everywhere, though nobody told us what it is.
        if topic.scope == "cleanup" or (topic is OTHER and issue.safe_fix):
            by_rule.setdefault((issue.tool, issue.rule), []).append(issue)
        elif topic.scope == "location":
            where = issue.path if topic.by_file else _folder(issue.path)
            by_place.setdefault((topic.name, where), []).append(issue)
        else:
            yield _single(phase, issue)
    for found in by_rule.values():
        limit = _least(grouping.max_cleanup_batch_size, size)
        yield from _parts(phase, "cleanup", topic_of(found[0]), found, "./", limit)
    for (_, where), found in by_place.items():
        if len(found) < LOCATION_FROM:
            yield from (_single(phase, issue) for issue in found)
        else:
            limit = _least(grouping.max_location_batch_size, size)
            yield from _parts(phase, "location", topic_of(found[0]), found, where, limit)


def _least(limit: int, size: int | None) -> int:
    return limit if size is None else min(limit, size)


def _folder(path: str) -> str:
    return path.rpartition("/")[0] + "/" if "/" in path else "./"


def _single(phase: Phase, issue: Issue) -> _Draft:
    return _Draft(phase, "single", topic_of(issue), (issue,), issue.path)


def _parts(
    phase: Phase, kind: BatchKind, topic: Topic, issues: Sequence[Issue], where: str, limit: int | None
) -> Iterator[_Draft]:
    """Batches of at most `limit` issues, about equally large. A file is divided only where it has more of them by
    itself, so that the parts can be mended at the same time."""
    parts: list[list[Issue]] = [[]]
    enough = math.ceil(len(issues) / math.ceil(len(issues) / limit)) if limit is not None else len(issues)
    by_file: dict[str, list[Issue]] = {}
    for issue in issues:
        by_file.setdefault(issue.path, []).append(issue)
    for mine in by_file.values():
        full = len(parts[-1]) >= enough or (limit is not None and len(parts[-1]) + len(mine) > limit)
        if parts[-1] and full:
            parts.append([])
        for issue in mine:
            if len(parts[-1]) == limit:
                parts.append([])
            parts[-1].append(issue)
    for number, part in enumerate(parts, 1):
        yield _Draft(phase, kind, topic, tuple(part), where, (number, len(parts)))


def _alike(drafts: Sequence[_Draft]) -> dict[str, int]:
    """How many rules each topic's cleanup batches are for."""
    rules = {(draft.topic.name, _rule(draft.issues[0])) for draft in drafts if draft.kind == "cleanup"}
    return {name: sum(1 for other, _ in rules if other == name) for name, _ in rules}


def _batch(draft: _Draft, alike: Mapping[str, int], lengths: Mapping[str, int]) -> Batch:
    issues = draft.issues
    topic = "all" if draft.kind == "mega" else draft.topic.name
    marks = sorted(issue.fingerprint or repr(_order(issue)) for issue in issues)
    digest = hashlib.sha256("\0".join(marks).encode(errors="surrogatepass")).hexdigest()[:10]
    return Batch(
        id=f"fix_{draft.phase}_{draft.kind}_{topic}_{digest}",
        phase=draft.phase,
        kind=draft.kind,
        topic=topic,
        rules=tuple(sorted({_rule(issue) for issue in issues})),
        where=draft.where,
        issues=issues,
        files=tuple(sorted({issue.path for issue in issues})),
        estimate=sum(estimate(issue, lengths) for issue in issues),
        subject=_subject(draft, alike),
        priority=min(priority_of(issue) for issue in issues),
        group=0,
    )


def _grouped(batches: Sequence[Batch]) -> Iterator[Batch]:
    """Each batch in the first group after those of its files, so that in a file nothing is overtaken."""
    last: dict[str, int] = {}
    begin = highest = 0
    phase = None
    for batch in batches:
        if batch.phase != phase:
            phase, begin = batch.phase, highest
        group = 1 + max((last.get(file, begin) for file in batch.files), default=begin)
        group = max(group, begin + 1)
        last.update(dict.fromkeys(batch.files, group))
        highest = max(highest, group)
        yield msgspec.structs.replace(batch, group=group)


def _rule(issue: Issue) -> str:
    return _in_line(f"{issue.tool} {issue.rule}")[:LONGEST_RULE]


def _in_line(text: str) -> str:
    """What of it can stand in the first line of a commit: names of files, and what other tools call themselves, may
    hold anything."""
    return "".join(character for character in text if character.isprintable())


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _place(where: str) -> str:
    """The end of a long path, from a `/` on where there is one."""
    where = _in_line(where)
    if len(where) <= LONGEST_PLACE:
        return where
    end = where[-LONGEST_PLACE + 1 :]
    return "…" + end[end.find("/") if "/" in end[:-1] else 0 :]


def _subject(draft: _Draft, alike: Mapping[str, int]) -> str:
    topic, issues = draft.topic, draft.issues
    number, parts = draft.part
    part = f"part {number} of {parts}" if parts > 1 else ""
    files = _count(len({issue.path for issue in issues}), "file")
    rule = _rule(issues[0])
    if draft.kind == "mega":
        return f"fix: comprehensive cleanup of {_count(len(issues), 'issue')}{f' ({part})' if part else ''}"
    if draft.kind == "single":
        place = _place(draft.where)
        words = topic.words.replace("all ", "", 1) if topic.scope == "cleanup" else topic.words
        return f"{topic.type}: {words} in {place} ({rule})" if words else f"{topic.type}: {rule} in {place}"
    if draft.kind == "location":
        facts = ", ".join(filter(None, (_count(len(issues), "issue"), files, part)))
        return f"{topic.type}: {topic.words} in {_place(draft.where)} ({facts})"
    if topic is OTHER:
        return f"fix: {'' if part else 'all '}findings of {rule} ({', '.join(filter(None, (files, part)))})"
    whole = not part and alike[topic.name] == 1
    facts = ", ".join(filter(None, ("" if alike[topic.name] == 1 else rule, files, part)))
    return f"{topic.type}: {topic.words if whole else topic.words.replace('all ', '', 1)} ({facts})"
