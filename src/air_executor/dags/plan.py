"""What one release has to become the next, and what stands in its way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from air_executor.dags.deployment import Standing
from air_executor.dags.manifest import Entry, Manifest, Mode
from air_executor.dags.source import Kind, Snapshot

__all__ = ["Change", "Plan", "What", "make_plan"]

What = Literal["new", "changed", "unchanged", "restored", "overwritten", "kept", "removed", "left"]
"""`restored`: was missing in the DAGs folder; `overwritten`: was changed there by hand; `kept`: the folder has it no
longer, but nobody asks to clean up; `left`: somebody else's by now."""


class Change(NamedTuple):
    file: str
    kind: Kind
    what: What
    dags: tuple[str, ...]


class Plan(NamedTuple):
    """`rewrite` are files that are written anew though their content is that of the manifest."""

    files: dict[str, Entry]
    changes: list[Change]
    conflicts: list[str]
    rewrite: frozenset[str]


class InPlace(NamedTuple):
    """How the DAGs folder is asked: how a file stands there, and what its content is now."""

    folder: Path
    standing: Callable[[str, Entry | None], Standing]
    digest: Callable[[str], str | None]


class Wish(NamedTuple):
    source: Path
    mode: Mode = "copy"
    cleanup: bool = False
    force: bool = False


def make_plan(
    old: Manifest, snapshot: Snapshot, dags: Mapping[str, Iterable[str]], wish: Wish, there: InPlace
) -> Plan:
    """Compare what is deployed, what shall be, and what is really there."""
    plan = Plan({}, [], [], frozenset())
    rewrite: set[str] = set()
    for name, file in snapshot.files.items():
        link = str(wish.source / name) if wish.mode == "symlink" else ""
        ids = tuple(sorted(dags.get(name, ())))
        kind: Kind = "module" if file.kind == "dag" and not ids else file.kind
        entry = Entry(kind=kind, sha256=snapshot.sha256[name], dags=ids, link=link)
        what = _what(plan, name, entry, old.files.get(name), wish, there)
        if what in ("restored", "overwritten"):
            rewrite.add(name)
        plan.files[name] = entry
        plan.changes.append(Change(name, kind, what, ids))
    for name in old.files.keys() - snapshot.files.keys():
        _no_longer(plan, name, old.files[name], wish, there)
    fresh = {change.file for change in plan.changes if change.what not in ("unchanged", "kept", "left")}
    rewrite |= {name for name in plan.files if snapshot_needs(snapshot, name) & fresh}
    return plan._replace(changes=sorted(plan.changes), rewrite=frozenset(rewrite))


def snapshot_needs(snapshot: Snapshot, name: str) -> frozenset[str]:
    """A DAG file is read anew where a module of it has changed: Airflow looks at its own time only."""
    file = snapshot.files.get(name)
    return file.needs if file is not None and file.kind == "dag" else frozenset()


def _what(plan: Plan, name: str, entry: Entry, before: Entry | None, wish: Wish, there: InPlace) -> What:
    standing, place = there.standing(name, before), there.folder / name
    if before is None:
        if standing != "missing":
            plan.conflicts.append(
                f"{place} is there and was not deployed by `dags sync`: move it away, or leave {name} out (--exclude)"
            )
        return "new"
    if standing == "missing":
        return "restored"
    if standing == "ours":
        same = (before.sha256, before.link) == (entry.sha256, entry.link)
        return "unchanged" if same else "changed"
    if standing != "folder":
        if not entry.link and there.digest(name) == entry.sha256:
            return "changed"  # the same change was made in both places
        if wish.force:
            return "overwritten"
    plan.conflicts.append(
        f"{place} was changed by hand since it was deployed: take the change over into {wish.source / name}"
        + ("" if standing == "folder" else ", or overwrite it (--force)")
    )
    return "changed"


def _no_longer(plan: Plan, name: str, before: Entry, wish: Wish, there: InPlace) -> None:
    standing, what = there.standing(name, before), "removed"
    if standing in ("foreign", "folder"):
        what = "left"
    elif not wish.cleanup and standing != "missing":
        what = "kept"
        plan.files[name] = Entry(
            kind=before.kind, sha256=before.sha256, dags=before.dags, link=before.link, kept=True
        )
    elif standing == "changed" and not wish.force:
        plan.conflicts.append(
            f"{there.folder / name} was changed by hand since it was deployed: copy it to a safe place and remove it "
            f"(--force)"
        )
    plan.changes.append(Change(name, before.kind, what, before.dags))  # type: ignore[arg-type]
