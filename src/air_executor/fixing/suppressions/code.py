"""What tells a tool to be silent, or a test not to run, in code itself: attributes, decorators, calls.

Looked for where comments and strings are blanked out already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from air_executor.fixing.suppressions.lexing import Lexed
from air_executor.fixing.suppressions.suppression import Suppression

__all__ = ["WORDS", "in_code"]


class Form(NamedTuple):
    expression: re.Pattern[str]
    """Its group `form` is the name, `rules` what is suppressed."""
    tests_only: bool = False
    """Whether the words mean this only in files of tests."""
    needs: re.Pattern[str] | None = None
    """What has to stand in the same file for the words to mean this."""


PYTHON: Final = (
    Form(re.compile(r"(?P<form>(?<![\w.])(?:\w+\s*\.\s*)?mark\s*\.\s*(?:skipif|skip|xfail))\b")),
    Form(re.compile(r"(?P<form>(?<![\w.])pytest\s*\.\s*(?:skip|xfail|importorskip))\s*\(")),
    Form(re.compile(r"(?<![\w.])(?P<form>importorskip)\s*\(")),
    Form(re.compile(r"(?P<form>(?<![\w.])unittest\s*\.\s*(?:skipIf|skipUnless|skip|expectedFailure))\b")),
    Form(
        re.compile(
            r"@\s*(?P<form>(?!unittest\b)(?:(?!mark\b)\w+\s*\.\s*)*(?:skipIf|skipUnless|skip|expectedFailure))\b"
        )
    ),
    Form(re.compile(r"\bdef\s+(?P<form>pytest_ignore_collect)\b")),
    Form(
        re.compile(r"(?<![\w.@])(?P<form>skip|xfail)\s*\("),
        needs=re.compile(r"^\s*from\s+pytest\s+import\b[^)\n]*(?:\([^)]*)?\b(?:skip|xfail)\b", re.MULTILINE),
    ),
    Form(re.compile(r"(?<=\.)(?P<form>skipTest)\s*\(")),
    Form(re.compile(r"\braise\s+(?:\w+\s*\.\s*)*(?P<form>SkipTest)\b")),
    Form(re.compile(r"(?P<form>\b__test__\s*=\s*False)\b")),
    Form(re.compile(r"^(?P<form>collect_ignore(?:_glob)?)\s*\+?=", re.MULTILINE)),
    Form(re.compile(r"@\s*(?:typing\s*\.\s*)?(?P<form>no_type_check)\b")),
)
RUNNERS: Final = r"(?<![\w$.])(?:it|test|describe|suite|context|specify|bench)"
MODIFIERS: Final = r"(?:concurrent|sequential|serial|parallel|describe|extend|shuffle|only|skip)"
JAVASCRIPT: Final = (
    Form(
        re.compile(
            rf"(?P<form>{RUNNERS}(?:\s*\.\s*{MODIFIERS})*?\s*\.\s*(?:skipIf|runIf|skip|only|todo|fails|failing|fixme))\b"
            r"(?!\s*=[^=>])"
        )
    ),
    Form(re.compile(r"(?<![\w$.])(?P<form>xit|xtest|xdescribe|xcontext|fit|fdescribe)\s*[(.`]"), tests_only=True),
    Form(re.compile(r"(?<![\w$.])(?P<form>(?:this|t|ctx|context)\s*\.\s*(?:skip|todo))\s*\("), tests_only=True),
    Form(re.compile(r"(?<![\w$.?])(?P<form>skip|only|todo)\s*:\s*(?:true\b|['\"`])"), tests_only=True),
)
GO: Final = (Form(re.compile(r"(?P<form>\b[A-Za-z_]\w*\.(?:SkipNow|Skipf|Skip))\s*\("), tests_only=True),)
DART: Final = (
    Form(re.compile(r"(?P<form>@Skip)\s*\(")),
    Form(re.compile(r"(?<![\w.])(?P<form>markTestSkipped)\s*\(")),
    Form(re.compile(r"(?<![\w.])(?P<form>skip|solo)\s*:\s*(?:true\b|r?['\"])"), tests_only=True),
)
RUST: Final = (
    Form(re.compile(r"(?P<form>#!?\s*\[\s*(?:allow|expect))\s*\(\s*(?P<rules>[^()\]]*)\)\s*\]")),
    Form(re.compile(r"(?P<form>#!?\s*\[\s*cfg_attr)\s*\([^\]]*?\b(?:allow|expect)\s*\(\s*(?P<rules>[^()\]]*)\)")),
    Form(re.compile(r"(?P<form>#\s*\[\s*(?:ignore))\b[^\]]*\]")),
    Form(re.compile(r"(?P<form>#\s*\[\s*cfg_attr)\s*\([^\]]*?,\s*(?P<rules>ignore)\b")),
    Form(re.compile(r"(?P<form>#!?\s*\[\s*(?:rustfmt\s*::\s*skip|coverage\s*\(\s*off\s*\)))")),
)
FORMS: Final = {
    **dict.fromkeys((".py", ".pyi", ".pyw"), PYTHON),
    **dict.fromkeys((".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts", ".vue", ".svelte"), JAVASCRIPT),
    ".go": GO,
    ".dart": DART,
    ".rs": RUST,
}
_PYTHON: Final = re.compile(
    r"\b(?:skip(?:if|If|Unless|Test)?|xfail|importorskip|SkipTest|expectedFailure|__test__|collect_ignore(?:_glob)?"
    r"|no_type_check|pytest_ignore_collect)\b"
)
_JAVASCRIPT: Final = re.compile(
    r"\.\s*(?:skip|only|todo|fails|failing|fixme|runIf)|\b(?:xit|xtest|xdescribe|xcontext|fit|fdescribe)\b"
    r"|\b(?:skip|only|todo)\s*:"
)
WORDS: Final = {
    **dict.fromkeys((".py", ".pyi", ".pyw"), _PYTHON),
    **dict.fromkeys((".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts", ".vue", ".svelte"), _JAVASCRIPT),
    ".go": re.compile(r"\.Skip"),
    ".dart": re.compile(r"[sS]kip|solo"),
    ".rs": re.compile(r"allow|expect|ignore|skip|coverage"),
}
"""Files without any of these need no second look."""
TEST_FILE: Final = re.compile(
    r"(?:^|/)(?:tests?|__tests__|specs?|e2e|cypress)/|(?:^|[._/-])(?:test|spec)s?[._-]|_test\."
)


def in_code(path: str, suffix: str, lexed: Lexed) -> Iterator[Suppression]:
    """The suppressions in the code of one file, form by form."""
    code = lexed.code
    of_tests = TEST_FILE.search(path) is not None
    for form in FORMS.get(suffix, ()):
        if form.tests_only and not of_tests:
            continue
        if form.needs is not None and form.needs.search(code) is None:
            continue
        for match in form.expression.finditer(code):
            given = match.groupdict().get("rules") or ""
            rules = [rule.strip() for rule in given.split(",")]
            yield Suppression(
                form=_name(match["form"]),
                path=path,
                line=lexed.line_of(match.start("form")),
                rules=tuple(rule for rule in rules if rule and not rule.startswith("reason")),
            )


def _name(text: str) -> str:
    """As people write it: `#[allow]`, `pytest.mark.skip`, `it.skip`."""
    if text.startswith("#"):
        return "".join(text.split()) + "]"
    return re.sub(r"\s*\.\s*", ".", " ".join(text.split()))
