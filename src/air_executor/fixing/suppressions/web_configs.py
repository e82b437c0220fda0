"""What configurations of tools for JavaScript and TypeScript suppress.

Those that are programs (`eslint.config.mjs`) are read as text, comments left out: what is written there literally is
found, what is computed is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from air_executor.fixing.suppressions.configuration import Configuration, items, table, tables
from air_executor.fixing.suppressions.lexing import lex
from air_executor.fixing.suppressions.suppression import Suppression

__all__ = ["READERS"]

Found = Iterator[Suppression]

TSC_STRICT: Final = (
    "strict", "alwaysStrict", "noImplicitAny", "noImplicitThis", "strictBindCallApply", "strictBuiltinIteratorReturn",
    "strictFunctionTypes", "strictNullChecks", "strictPropertyInitialization", "useUnknownInCatchVariables",
    "noUnusedLocals", "noUnusedParameters", "noImplicitReturns", "noFallthroughCasesInSwitch",
    "noUncheckedIndexedAccess", "checkJs",
)  # fmt: skip
IGNORED: Final = ("testPathIgnorePatterns", "coveragePathIgnorePatterns", "modulePathIgnorePatterns")
OFF: Final = ("off", "allow", 0, False)


def _each(file: Configuration, form: str, given: Any, where: str = "") -> Found:
    for item in [given] if isinstance(given, str) else items(given):
        yield file.entry(form, item, where=where)


def _is_off(level: Any) -> bool:
    if isinstance(level, list) and level:
        level = level[0]
    if isinstance(level, dict):
        level = level.get("level")
    return level in OFF and level is not None


def eslint(file: Configuration, content: dict[str, Any], tool: str = "eslint", where: str = "") -> Found:
    """`.eslintrc` and `.oxlintrc.json`."""
    for rule, level in table(content, "rules").items():
        if _is_off(level):
            yield file.entry(f"{tool} off", rule, where=where)
    for category, level in table(content, "categories").items():
        if _is_off(level):
            yield file.entry(f"{tool} category off", category)
    yield from _each(file, f"{tool} ignorePatterns", content.get("ignorePatterns"))
    for override in tables(content.get("overrides")):
        files = override.get("files")
        yield from eslint(file, override, tool, ", ".join([files] if isinstance(files, str) else items(files)))


def eslintrc(file: Configuration) -> Found:
    return eslint(file, file.yaml())  # JSON is YAML, but for its comments


def eslintrc_json(file: Configuration) -> Found:
    return eslint(file, file.json())


def oxlintrc(file: Configuration) -> Found:
    return eslint(file, file.json(), "oxlint")


RULE_OFF: Final = re.compile(
    r"""(?:(?P<q>['"])(?P<quoted>[\w@/.-]+)(?P=q)|(?<![\w$.'"-])(?P<plain>[a-z][a-z-]*))\s*:\s*\[?\s*
    (?:(?P<o>['"])(?:off|allow)(?P=o)|0(?=\s*[,}\]]))""",
    re.VERBOSE,
)
LIST: Final = re.compile(
    r"\b(?P<key>ignores|ignorePatterns|exclude|testPathIgnorePatterns|coveragePathIgnorePatterns|modulePathIgnorePatterns"
    r"|globalIgnores)\s*(?::|\()\s*\[(?P<items>[^\]]*)\]"
)
TEXT: Final = re.compile(r"""(['"`])((?:(?!\1)[^\\\n]|\\.)*)\1""")


def program(file: Configuration) -> Found:
    """A configuration in JavaScript or TypeScript."""
    lexed = lex(file.text, ".ts")
    assert lexed is not None
    text = lexed.uncommented
    tool = file.name.removeprefix(".").partition(".")[0].removesuffix("rc")
    for match in RULE_OFF.finditer(text) if tool == "eslint" else ():
        yield Suppression(
            form="eslint off",
            path=file.path,
            line=lexed.line_of(match.start()),
            rules=(match["quoted"] or match["plain"],),
            in_config=True,
        )
    for match in LIST.finditer(text):
        for item in TEXT.finditer(match["items"]):
            place = match.start("items") + item.start()
            yield Suppression(
                form=f"{tool} {match['key']}",
                path=file.path,
                line=lexed.line_of(place),
                rules=(item[2],),
                in_config=True,
            )


def tsconfig(file: Configuration) -> Found:
    content = file.json()
    options = table(content, "compilerOptions")
    for name in TSC_STRICT:
        if options.get(name) is False:
            yield file.entry(f"tsconfig {name} = false")
    yield from _each(file, "tsconfig exclude", content.get("exclude"))


def biome(file: Configuration) -> Found:
    yield from _biome(file, file.json())


def _biome(file: Configuration, content: dict[str, Any], where: str = "") -> Found:
    for part in ("linter", "formatter", "assist"):
        if table(content, part).get("enabled") is False:
            yield file.entry(f"biome {part}.enabled = false", where=where)
    for group, rules in table(content, "linter", "rules").items():
        if _is_off(rules):
            yield file.entry("biome off", group, where=where)
        for rule, level in rules.items() if isinstance(rules, dict) else ():
            if _is_off(level):
                yield file.entry("biome off", f"{group}/{rule}" if rule != "level" else group, where=where)
    for part in ("files", "linter", "formatter"):
        options = table(content, part)
        yield from _each(file, f"biome {part}.ignore", options.get("ignore"))
        for pattern in items(options.get("includes")):
            if pattern.startswith("!"):
                yield file.entry(f"biome {part}.includes", pattern)
    for override in tables(content.get("overrides")):
        named = items(override.get("includes")) or items(override.get("include"))
        yield from _biome(file, override, ", ".join(named))


def package(file: Configuration) -> Found:
    """What tools read of `package.json`."""
    content = file.json()
    yield from eslint(file, table(content, "eslintConfig"))
    yield from _each(file, "eslint eslintIgnore", content.get("eslintIgnore"))
    for key in IGNORED:
        yield from _each(file, f"jest {key}", table(content, "jest").get(key))
    for tool in ("nyc", "c8"):
        yield from _each(file, f"{tool} exclude", table(content, tool).get("exclude"))


def jest_json(file: Configuration) -> Found:
    content = file.json()
    for key in IGNORED:
        yield from _each(file, f"jest {key}", content.get(key))


def coverage_json(file: Configuration) -> Found:
    content = file.yaml() if file.name.endswith((".yml", ".yaml")) else file.json()
    yield from _each(file, f"{file.name.lstrip('.').partition('rc')[0]} exclude", content.get("exclude"))


def lines(file: Configuration) -> Found:
    """A list of patterns, one a line, as `.eslintignore` is."""
    for number, line in enumerate(file.text.split("\n"), 1):
        pattern = line.strip()
        if pattern and not pattern.startswith("#"):
            yield Suppression(
                form=file.name.lstrip("."), path=file.path, line=number, rules=(pattern,), in_config=True
            )


SCRIPTS: Final = ("js", "mjs", "cjs", "ts", "mts", "cts")
READERS: Final[dict[str, Callable[[Configuration], Found]]] = {
    ".eslintrc": eslintrc,
    ".eslintrc.yml": eslintrc,
    ".eslintrc.yaml": eslintrc,
    ".eslintrc.json": eslintrc_json,
    ".oxlintrc.json": oxlintrc,
    "oxlintrc.json": oxlintrc,
    "package.json": package,
    "jest.config.json": jest_json,
    **dict.fromkeys(("biome.json", "biome.jsonc", ".biome.json", ".biome.jsonc"), biome),
    **dict.fromkeys((".nycrc", ".nycrc.json", ".nycrc.yml", ".nycrc.yaml", ".c8rc", ".c8rc.json"), coverage_json),
    **dict.fromkeys((".eslintignore", ".prettierignore", ".oxlintignore", ".dprintignore"), lines),
    **{f"{tool}.config.{suffix}": program for tool in ("eslint", "jest", "vitest", "vite") for suffix in SCRIPTS},
    **{f".eslintrc.{suffix}": program for suffix in ("js", "cjs")},
    "vitest.*.ts": program,
    "tsconfig*.json": tsconfig,
    "jsconfig.json": tsconfig,
}
