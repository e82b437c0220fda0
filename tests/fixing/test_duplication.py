"""Copied blocks, against a search that compares everything with everything."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from air_executor.fixing.metrics.duplication import LINES, TOKENS, CodeLine, code_lines, find_duplicates
from air_executor.fixing.metrics.measures import Duplicate
from air_executor.fixing.metrics.scanning import Family, tokens


def block(name: str, lines: int = 12) -> str:
    return "".join(f"    {name}_{number} = call(one, two, {number})\n" for number in range(lines))


def duplicates(files: dict[str, str], family: Family = "python") -> list[Duplicate]:
    return find_duplicates((path, code_lines(tokens(text, family))) for path, text in files.items())


def places(found: list[Duplicate]) -> list[tuple[str, int, int, str, int, int]]:
    return [(one.path, one.line, one.end_line, one.of_path, one.of_line, one.of_end_line) for one in found]


def test_a_block_in_two_files():
    first = "def f():\n" + block("a") + "    return 1\n"
    second = "import os\n\n\ndef g():\n" + block("a") + "    return 2\n"
    found = duplicates({"a.py": first, "b.py": second})
    assert places(found) == [("b.py", 5, 16, "a.py", 2, 13)]
    assert (found[0].code_lines, found[0].tokens) == (12, 12 * 10)


def test_comments_blank_lines_and_indentation_do_not_count():
    first = "def f():\n" + block("a")
    changed = "# a\n\n" + "\n# b\n".join(line.strip() + "  # c" for line in block("a").splitlines())
    (found,) = duplicates({"a.py": first, "b.py": changed})
    assert found.code_lines == 12
    assert (found.line, found.end_line) == (3, 25)


def test_one_other_word_is_another_line():
    other = block("a").replace("a_6 = call(one", "a_6 = call(three")
    found = duplicates({"a.py": block("a"), "b.py": other})
    assert places(found) == [("b.py", 1, 6, "a.py", 1, 6)]


def test_short_blocks_are_none():
    assert duplicates({"a.py": block("a", LINES - 1), "b.py": block("a", LINES - 1)}) == []
    imports = "".join(f"import module{number}\n" for number in range(TOKENS // 2 - 1))
    assert duplicates({"a.py": imports, "b.py": imports}) == []


def test_tables_are_none():
    rows = "rows = [\n" + "    (0, 0, 0, 0, 0, 0, 0, 0),\n" * 500 + "]\n"
    assert duplicates({"a.py": rows, "b.py": rows}) == []


def test_a_third_copy_counts_once_more():
    found = duplicates({"a.py": block("a"), "b.py": block("a"), "c.py": block("a")})
    assert places(found) == [("b.py", 1, 12, "a.py", 1, 12), ("c.py", 1, 12, "a.py", 1, 12)]


def test_within_one_file():
    found = duplicates({"a.py": block("a") + "x = 1\n" + block("a")})
    assert places(found) == [("a.py", 14, 25, "a.py", 1, 12)]


def test_the_longest_of_several():
    first = block("a", 7) + "x = 1\n"
    second = block("a", 12) + "y = 1\n"
    found = duplicates({"a.py": first, "b.py": second, "c.py": block("a", 12)})
    assert places(found)[-1] == ("c.py", 1, 12, "b.py", 1, 12)


def test_a_file_repeated_without_end_ends():
    text = "".join(block(f"n{number % 3}", 10) for number in range(2_000))
    found = duplicates({"a.py": text})
    assert sum(one.code_lines for one in found) == 2_000 * 10 - 30


def naive(files: list[list[int]]) -> set[tuple[int, int]]:
    """Where (file, line) windows begin that stand before too, by comparing each with every other."""
    windows = [
        (number, start)
        for number, lines in enumerate(files)
        for start in range(len(lines) - LINES + 1)
        if len(set(lines[start : start + LINES])) > LINES // 2
    ]
    return {
        (second, start)
        for (first, begin), (second, start) in itertools.combinations(windows, 2)
        if (first != second or start - begin >= LINES)
        and files[first][begin : begin + LINES] == files[second][start : start + LINES]
    }


@given(st.lists(st.lists(st.integers(0, 5), max_size=40), max_size=4))
@settings(max_examples=200, deadline=None)
def test_what_is_found_is_the_same_and_nothing_long_is_missed(files: list[list[int]]):
    each = TOKENS // LINES + 1
    content = [
        (str(name), [CodeLine(digest, line, line, each) for line, digest in enumerate(lines, 1)])
        for name, lines in enumerate(files)
    ]
    found = find_duplicates(content)
    covered: set[tuple[int, int]] = set()
    for one in found:
        copy, original = int(one.path), int(one.of_path)
        length = one.code_lines
        assert length >= LINES
        assert files[copy][one.line - 1 : one.end_line] == files[original][one.of_line - 1 : one.of_end_line]
        assert (original, one.of_end_line) < (copy, one.line), "the first place comes first and apart"
        lines = {(copy, line - 1) for line in range(one.line, one.end_line + 1)}
        assert not lines & covered, "no line twice"
        covered |= lines
    for number, start in naive(files):
        assert covered & {(number, start + step) for step in range(LINES)}
