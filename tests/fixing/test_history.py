"""The history holds one line an examination, whoever writes at the same time, whatever a full disk has left."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from air_executor.errors import BaseUnusable
from air_executor.fixing.health import history
from air_executor.fixing.health.history import history_file, read_history, record, record_of
from tests.fixing.healths import health


def test_what_is_recorded_is_read_again(tmp_path: Path):
    first = health(repository=str(tmp_path), at="2026-01-01T00:00:00Z")
    second = health(repository=str(tmp_path), at="2026-01-02T00:00:00Z", overall=0.5, healthy=False, dynamic=None)
    assert read_history(tmp_path) == []
    record(first)
    record(second)
    assert read_history(tmp_path) == [record_of(first), record_of(second)]
    assert read_history(tmp_path, limit=1) == [record_of(second)]
    assert stat.S_IMODE(history_file(tmp_path).stat().st_mode) == 0o600


def test_numbers_are_those_of_the_examination(tmp_path: Path):
    numbers = record_of(health(repository=str(tmp_path)))
    assert numbers.overall is None
    assert numbers.errors is None
    assert numbers.quality == 0.85
    assert (numbers.tests, numbers.failed, numbers.coverage) == (4, 1, 0.712)
    assert numbers.by_severity == {"error": 4, "warning": 1}
    assert (numbers.issues, numbers.could_not_run, numbers.suppressions) == (5, 1, 2)


def test_repositories_of_one_name_have_their_own(tmp_path: Path):
    places = [tmp_path / "a" / "thing", tmp_path / "b" / "thing"]
    for place in places:
        place.mkdir(parents=True)
        record(health(repository=str(place), commit=str(place)))
    assert [read_history(place)[0].commit for place in places] == [str(place) for place in places]
    (tmp_path / "link").symlink_to(places[0])
    assert len(read_history(tmp_path / "link")) == 1


def test_half_a_line_spoils_no_other(tmp_path: Path):
    record(health(repository=str(tmp_path), commit="one"))
    with history_file(tmp_path).open("ab") as file:
        file.write(b'{"at":"2026')
    record(health(repository=str(tmp_path), commit="two"))
    assert [one.commit for one in read_history(tmp_path)] == ["one", "two"]


def test_later_versions_may_add_fields(tmp_path: Path):
    record(health(repository=str(tmp_path)))
    with history_file(tmp_path).open("ab") as file:
        file.write(b'{"at":"2027-01-01T00:00:00Z","more":1}\n\xff\n[]\n')
    assert [one.at for one in read_history(tmp_path)] == ["2026-01-02T03:04:05Z", "2027-01-01T00:00:00Z"]


def test_many_at_once(tmp_path: Path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: record(health(repository=str(tmp_path), commit=str(n))), range(64)))
    assert sorted(int(one.commit or "") for one in read_history(tmp_path)) == list(range(64))


def test_the_oldest_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(history, "KEPT", 3)
    for number in range(7):
        record(health(repository=str(tmp_path), commit=str(number)))
    lines = history_file(tmp_path).read_bytes().splitlines()
    assert [msgspec.json.decode(line)["commit"] for line in lines] == ["4", "5", "6"]


def test_a_folder_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(BaseUnusable, match="XDG_STATE_HOME"):
        record(health(repository=str(tmp_path)))
