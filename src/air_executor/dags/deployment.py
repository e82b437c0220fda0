"""Releases in a DAGs folder, and the one step from the old to the new.

    DAGS FOLDER/pipeline.py           -> .air-executor-dags/default/current/dags/pipeline.py
    DAGS FOLDER/.air-executor-dags/
      .airflowignore                  so that Airflow does not look in here
      default/                        a *set*: what one `dags sync` deploys; `--set` names others
        current                       -> releases/000007
        releases/000007/manifest.json, dags/…
        lock

Airflow sees links. All of them lead through `current`, so renaming that one link changes all files at once: no
reader, and no crash, finds some old and some new. Links of files that the next release adds are made before and
lead nowhere until then; links of files that it drops lead nowhere from then on and are removed after. Airflow
takes neither for files. `mend` removes what a crash has left, by what each release's manifest says.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal

from air_executor.dags import manifest as manifests
from air_executor.dags.manifest import Entry, Manifest
from air_executor.dags.source import sha256_of
from air_executor.errors import BaseUnusable, Refused
from air_executor.store.files import sync_folder, write_atomically

__all__ = ["HIDDEN", "DagsFolder", "Standing"]

HIDDEN: Final = ".air-executor-dags"
IGNORE_ALL: Final = b"[^!]*\n"
"""Matches every name, whether Airflow reads it as a glob or as a regular expression."""

FORMER_KEPT: Final = 5

Standing = Literal["ours", "changed", "missing", "foreign", "folder"]


class DagsFolder:
    """One set of files in the DAGs folder of an Airflow."""

    def __init__(self, path: Path, set_name: str = "default") -> None:
        self.path = path
        self.hidden = path / HIDDEN
        self.home = self.hidden / set_name
        self.releases = self.home / "releases"
        self.current = self.home / "current"

    # ---- what is there -----------------------------------------------------------------------

    def current_release(self) -> Path | None:
        try:
            return self.home / os.readlink(self.current)
        except OSError:
            return None

    def manifest(self) -> Manifest:
        """What is deployed; an empty one where nothing is."""
        release = self.current_release()
        try:
            return Manifest() if release is None else manifests.read(release)
        except FileNotFoundError:
            raise BaseUnusable(
                f"{self.current} leads to nothing, so what was deployed is not known; remove {self.home} and what "
                f"leads into it, then sync again"
            ) from None

    def link_text(self, name: str) -> str:
        """Where the link of a file leads, from the folder it stands in."""
        inside = os.path.join(HIDDEN, self.home.name, "current", "dags", name)
        return os.path.join(*[".."] * name.count(os.sep), inside)

    def standing(self, name: str, entry: Entry | None) -> Standing:
        """How a name is found in the DAGs folder; `entry` is what the manifest has of it."""
        place = self.path / name
        if any((self.path / parent).is_symlink() for parent in _parents(name)):
            return "foreign"
        try:
            text = os.readlink(place)
        except (FileNotFoundError, NotADirectoryError):
            return "foreign" if self._file_above(name) else "missing"
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return "folder" if place.is_dir() else "foreign"
        if text != self.link_text(name):
            return "foreign"
        return "missing" if entry is None else self._content(name, entry)

    def _file_above(self, name: str) -> bool:
        return any((self.path / parent).exists() and not (self.path / parent).is_dir() for parent in _parents(name))

    def _content(self, name: str, entry: Entry) -> Standing:
        file = self.current / "dags" / name
        if entry.link:
            return "ours" if file.is_symlink() and os.readlink(file) == entry.link else "changed"
        if not os.path.lexists(file):
            return "missing"
        return "ours" if not file.is_symlink() and sha256_of(file) == entry.sha256 else "changed"

    def missing_folders(self, names: Iterable[str]) -> set[str]:
        """Folders that have to be made for these files."""
        return {parent for name in names for parent in _parents(name) if not (self.path / parent).is_dir()}

    # ---- changing it -------------------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes this set meanwhile. Makes the folders."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for folder in (self.hidden, self.home, self.releases):
                _make(folder)
            ignore = self.hidden / ".airflowignore"
            if not ignore.is_file() or ignore.read_bytes() != IGNORE_ALL:
                write_atomically(ignore, IGNORE_ALL, mode=0o644)
            lock = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise BaseUnusable(
                f"cannot write to the DAGs folder {self.path}: {error.strerror or error}; run as the user who owns it"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise Refused(f"another sync is at work on {self.home}; try again when it is done") from None
        try:
            yield
        finally:
            os.close(lock)

    def mend(self) -> None:
        """Remove everything that belongs to no current file, and what was interrupted.

        A few releases stay, for tasks and jobs that still read their own files where those really are.
        """
        with contextlib.suppress(FileNotFoundError):
            (self.home / "next").unlink()
        now, current = self.manifest(), self.current_release()
        last = 0 if current is None else _number(current)
        former = sorted(release for release in self.releases.iterdir() if _number(release) != last or not last)
        for release in former:
            self._sweep(release, now)
        kept = [release for release in former if _number(release) < last][-FORMER_KEPT:]
        for release in former:
            if release not in kept:
                shutil.rmtree(release)

    def _sweep(self, release: Path, now: Manifest) -> None:
        """Remove the links and folders that only `release` needed."""
        try:
            was = manifests.read(release)
        except (FileNotFoundError, BaseUnusable):
            return  # it has come to no links, or all are removed already
        for name in was.files.keys() - now.files.keys():
            self._remove_link(name)
        for folder in sorted(set(was.folders) - set(now.folders), reverse=True):
            with contextlib.suppress(OSError):  # somebody else has put something there
                (self.path / folder).rmdir()

    def _remove_link(self, name: str) -> None:
        place = self.path / name
        if self.standing(name, None) != "missing" or not place.is_symlink():
            return
        place.unlink()
        cache = place.parent / "__pycache__"
        with contextlib.suppress(OSError):
            for compiled in cache.glob(f"{place.stem}.*.pyc") if place.suffix == ".py" else ():
                compiled.unlink()
            cache.rmdir()

    def stage(self, manifest: Manifest, root: Path, touched: Iterable[str] = ()) -> Path:
        """Make a release of the files below `root`, and of those that are kept. Nobody sees it yet.

        What has not changed is the same file as before, so that Airflow does not read it anew, unless it is
        `touched`. What has, gets a later time than before, in whole seconds, which is what compiled files look at.
        """
        old, old_manifest = self.current_release(), self.manifest()
        release = self.releases / f"{1 + max(map(_number, self.releases.iterdir()), default=0):06d}"
        _make(release)
        touched = set(touched)
        for name, entry in manifest.files.items():
            target, before = release / "dags" / name, None if old is None else old / "dags" / name
            _make_below(release, target.parent)
            if entry.link:
                os.symlink(entry.link, target)
            elif before is not None and (entry.kept or entry == old_manifest.files.get(name)) and name not in touched:
                _same(before, target, root / name, entry)
            else:
                _copy(root / name, target, before)
        for folder in (release, *(folder for folder in release.rglob("*") if folder.is_dir())):
            sync_folder(folder)
        manifests.write(release, manifest)
        sync_folder(self.releases)
        return release

    def put_in_place(self, release: Path) -> None:
        """Make `release` the current one, and remove what it no longer has. Those before stay for a while."""
        new, old, old_release = manifests.read(release), self.manifest(), self.current_release()
        for folder in sorted(new.folders):
            _make(self.path / folder)
        for name in new.files:
            self._link(name, replace=name in old.files)
        following = self.home / "next"
        following.symlink_to(os.path.join("releases", release.name))
        os.rename(following, self.current)
        sync_folder(self.home)
        if old_release is not None:
            self._sweep(old_release, new)

    def _link(self, name: str, *, replace: bool) -> None:
        place, text = self.path / name, self.link_text(name)
        if place.is_symlink() and os.readlink(place) == text:
            return
        try:
            if replace and os.path.lexists(place):
                following = self.home / "next"
                following.symlink_to(text)
                os.rename(following, place)
            else:
                place.symlink_to(text)
        except FileExistsError:
            raise Refused(f"{place} has just been put there by somebody else; nothing was deployed") from None
        except OSError as error:
            raise BaseUnusable(f"cannot link {place}: {error.strerror or error}; nothing was deployed") from None


def _parents(name: str) -> list[str]:
    parts = name.split(os.sep)[:-1]
    return [os.path.join(*parts[: i + 1]) for i in range(len(parts))]


def _make(folder: Path) -> None:
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o755)


def _make_below(release: Path, folder: Path) -> None:
    if folder != release:
        _make_below(release, folder.parent)
        _make(folder)


def _number(release: Path) -> int:
    return int(release.name) if release.name.isdecimal() else 0


def _same(before: Path, target: Path, fresh: Path, entry: Entry) -> None:
    try:
        os.link(before, target)
    except OSError:  # no hard links there, or somebody has removed it by hand
        _copy(before if before.exists() or entry.kept else fresh, target, before)


def _copy(source: Path, target: Path, before: Path | None) -> None:
    with open(source, "rb") as reading, open(target, "xb") as writing:
        shutil.copyfileobj(reading, writing)
        writing.flush()
        os.fchmod(writing.fileno(), source.stat().st_mode & 0o777)
        os.fsync(writing.fileno())
    at = time.time()
    if before is not None and before.exists():
        at = max(at, int(before.stat().st_mtime) + 1.0)
    os.utime(target, (at, at))
