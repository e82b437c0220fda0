"""What jobs and tasks may be called, and the file names made from that."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from air_executor.errors import InvalidName
from air_executor.names import automatic_id, check_job_name, check_task_id, file_stem, new_job_id
from air_executor.times import from_iso, to_iso

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=120)


@pytest.mark.parametrize(
    "name",
    [
        "manual__2025-10-02T07:30:00+00:00",
        "nightly run (2)",
        "日本語 ✓ 🚀",
        "a" * 255,
        "é" * 127,
        "-rf",
        "con.nul",
        "a..b",
        "%2F",
    ],
)
def test_good_job_names(name):
    assert check_job_name(name) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "job name: expected at least one character"),
        ("a/b", "job name 'a/b': '/' is not allowed, the name is used as a folder name"),
        ("/", "job name '/': '/' is not allowed, the name is used as a folder name"),
        (".hidden", "job name '.hidden': a leading '.' is not allowed"),
        (".", "job name '.': a leading '.' is not allowed"),
        ("..", "job name '..': a leading '.' is not allowed"),
        ("a\0b", "job name 'a\\x00b': only printable characters are allowed"),
        ("a\nb", "job name 'a\\nb': only printable characters are allowed"),
        ("a\x1b[0m", "job name 'a\\x1b[0m': only printable characters are allowed"),
        ("a\u202eb", "job name 'a\\u202eb': only printable characters are allowed"),
        ("a" * 256, f"job name '{'a' * 40}'…: 256 bytes are over the limit of 255"),
        ("é" * 128, f"job name '{'é' * 40}'…: 256 bytes are over the limit of 255"),
        ("\udcff", "job name '\\udcff': holds bytes that are not valid Unicode"),
        (None, "job name: expected a string, got NoneType"),
        (7, "job name: expected a string, got int"),
    ],
)
def test_bad_job_names(name, message):
    with pytest.raises(InvalidName) as caught:
        check_job_name(name)
    assert str(caught.value) == message


@pytest.mark.parametrize("task_id", ["a", "a/b.csv", "../x", ".", "a b", "ü", "x" * 1_000, "€" * 333])
def test_good_task_ids(task_id):
    assert check_task_id(task_id) == task_id


@pytest.mark.parametrize(
    ("task_id", "message"),
    [
        ("", "task id: expected at least one character"),
        ("x" * 1_001, f"task id '{'x' * 40}'…: 1001 bytes are over the limit of 1000"),
        ("€" * 334, f"task id '{'€' * 40}'…: 1002 bytes are over the limit of 1000"),
        ("a\tb", "task id 'a\\tb': only printable characters are allowed"),
        ("a\u2028b", "task id 'a\\u2028b': only printable characters are allowed"),
        ("\ud800", "task id '\\ud800': holds bytes that are not valid Unicode"),
        (1, "task id: expected a string, got int"),
        (True, "task id: expected a string, got bool"),
    ],
)
def test_bad_task_ids(task_id, message):
    with pytest.raises(InvalidName) as caught:
        check_task_id(task_id)
    assert str(caught.value) == message


# ---- file names ----------------------------------------------------------------------------------


@given(texts)
@example(".")
@example("..")
@example("a/b")
@example("é" * 100)
def test_a_stem_is_a_safe_file_name(text):
    stem = file_stem(text)
    assert 0 < len(stem.encode()) <= 200
    assert stem.isascii()
    assert stem not in (".", "..")
    assert not set(stem) & set("/\0")


@given(texts)
@example("../..")
def test_a_short_stem_is_the_percent_encoded_name(text):
    encoded = quote(text, safe="")
    if len(encoded) <= 200 and text not in (".", ".."):
        assert file_stem(text) == encoded


@given(st.lists(texts, min_size=2, max_size=20, unique=True))
@example([".", "%2E"])
@example(["..", "%2E%2E"])
@example(["x" * 201, "x" * 202])
@example(["a@1", "a%401"])
def test_different_names_have_different_stems(names):
    assert len({file_stem(name) for name in names}) == len(names)


def test_a_long_stem_is_a_prefix_and_a_hash_that_no_short_name_can_have():
    assert file_stem("x" * 200) == "x" * 200
    long = file_stem("x" * 201)
    assert long.startswith("x" * 160 + "@")
    assert file_stem(long) != long
    assert file_stem("a@2") == "a%402", "so `<stem>@<attempt>` is never another task's name"


# ---- ids nobody chose ----------------------------------------------------------------------------


def test_automatic_ids_tell_the_command_and_depend_on_the_place():
    one = automatic_id("/usr/bin/gzip", "inbox", 12)
    assert one.startswith("gzip-")
    assert one == automatic_id("/usr/bin/gzip", "inbox", 12)
    assert len({automatic_id("gzip", "inbox", n) for n in range(2_000)}) == 2_000
    assert automatic_id("a", "b", "c") != automatic_id("a", "bc"), "parts do not run together"


@given(st.text(st.characters(codec="utf-8"), max_size=300), st.integers())
def test_automatic_ids_may_be_task_ids(label, place):
    task_id = automatic_id(label, place)
    assert check_task_id(task_id) == task_id


def test_new_job_ids_sort_by_time():
    first, second = new_job_id("2025-10-02T07:30:00.5Z"), new_job_id("2025-10-02T07:30:01Z")
    assert first.startswith("20251002T073000-")
    assert first < second
    assert new_job_id("2025-10-02T07:30:00.5Z") != first


# ---- times ---------------------------------------------------------------------------------------


def test_times_are_written_in_utc_with_microseconds():
    assert to_iso(1_759_390_200.5) == "2025-10-02T07:30:00.500000Z"
    assert to_iso(1_759_390_200.9999999) == "2025-10-02T07:30:01.000000Z"
    assert to_iso(0) == "1970-01-01T00:00:00.000000Z"


@given(st.integers(0, 4_000_000_000_000_000))
def test_times_are_read_back_as_written(micros):
    assert round(from_iso(to_iso(micros / 1e6)) * 1e6) == pytest.approx(micros, abs=1)


@pytest.mark.parametrize(
    "text", ["2025-10-02T09:30:00.5+02:00", "2025-10-02T07:30:00.500000Z", "2025-10-02 07:30:00.5Z"]
)
def test_times_with_any_zone_are_read(text):
    assert from_iso(text) == 1_759_390_200.5
