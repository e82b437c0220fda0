"""A file that configures tools, read as data and never run, and the entries of the ledger that come of it."""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from typing import Any

from air_executor.fixing.suppressions.lexing import lex
from air_executor.fixing.suppressions.suppression import Suppression

__all__ = ["Configuration", "items", "table", "tables"]


class Configuration:
    """One file, and what it says."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.name = path.rpartition("/")[2]
        self.text = text.replace("\r\n", "\n").replace("\r", "\n")
        self._lines = self.text.split("\n")

    def toml(self) -> dict[str, Any]:
        return tomllib.loads(self.text)

    def json(self) -> dict[str, Any]:
        """JSON, with comments and commas too many as its tools allow them."""
        lexed = lex(self.text, ".json")
        assert lexed is not None
        text = lexed.uncommented
        commas = [match.start() for match in re.finditer(r",(?=\s*[}\]])", lexed.code)]
        for place in commas:
            text = f"{text[:place]} {text[place + 1 :]}"
        content = json.loads(text) if text.strip() else {}
        if not isinstance(content, dict):
            raise ValueError("not an object")
        return content

    def yaml(self) -> dict[str, Any]:
        import yaml

        try:
            content = yaml.safe_load(self.text)
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error
        return content if isinstance(content, dict) else {}

    def ini(self) -> dict[str, dict[str, str]]:
        parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
        try:
            parser.read_string(self.text)
        except configparser.Error as error:
            raise ValueError(str(error)) from error
        return {name: {key: value or "" for key, value in parser.items(name)} for name in parser.sections()}

    def entry(self, form: str, *rules: str, where: str = "") -> Suppression:
        line = self._line(rules[0] if rules else form.rpartition(" ")[2].rpartition(".")[2], where)
        return Suppression(form=form, path=self.path, line=line, rules=rules, where=where, in_config=True)

    def _line(self, *words: str) -> int:
        """The one line that holds these words, or the first of them alone; 0 if several do."""
        for wanted in (words, words[:1]):
            expressions = [re.compile(rf"(?<![\w-]){re.escape(word)}(?![\w-])") for word in wanted if word]
            fitting = [
                number
                for number, line in enumerate(self._lines, 1)
                if all(expression.search(line) for expression in expressions)
            ]
            if len(fitting) == 1:
                return fitting[0]
        return 0


def table(content: Any, *names: str) -> dict[str, Any]:
    """The table at the end of these names; empty where there is none. What is none its tool will complain of."""
    for name in names:
        content = content.get(name) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def tables(content: Any) -> list[dict[str, Any]]:
    """Those of a list."""
    return [one for one in content if isinstance(one, dict)] if isinstance(content, list) else []


def items(given: Any, separator: str = r"[\s,]+") -> list[str]:
    """The texts of a list, or of one text that holds several."""
    if isinstance(given, str):
        return [word.strip() for word in re.split(separator, given) if word.strip()]
    return [str(one) for one in given if isinstance(one, str | int)] if isinstance(given, list) else []
