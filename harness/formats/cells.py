"""Cells of a row as texts, ids and answers: numbers, lists, lists written out, true and false."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from datetime import date, time
from typing import Any

from harness.errors import InputError
from harness.formats.base import Changed


class Cells:
    """The cells of one row by what they hold; ``columns`` says where.

    ``changes`` collects what was read otherwise than it stands there. What has no column, and null,
    is empty. Every method raises InputError for a cell that holds something else.
    """

    def __init__(self, where: str, row: Mapping[str, Any], columns: Mapping[str, str]) -> None:
        self.where, self.row = where, row
        self.changes: list[Changed] = []
        self._columns = columns

    def text(self, what: str) -> str:
        """A text; a number as its digits, true and false as yes and no."""
        return self._text(self._value(what), what)

    def id(self, what: str) -> str:
        """An id; a whole number as its digits."""
        return self._id(self._value(what), what)

    def texts(self, what: str, separator: str | None = None) -> list[str]:
        """Every text of a cell: one, a list, a list written out, or several with a separator.

        An object may hold them under ``text``, or one under ``value`` and more under ``aliases``,
        as published question sets do.
        """
        found = [self._text(value, what) for value in self._listed(what, separator)]
        return [text for text in found if text.strip()]

    def ids(self, what: str, separator: str | None = None) -> list[str]:
        """Every id of a cell, in the same ways."""
        found = [self._id(value, what) for value in self._listed(what, separator)]
        return [id_ for id_ in found if id_]

    def _value(self, what: str) -> Any:
        return self.row.get(self._columns[what]) if what in self._columns else None

    def _changed(self, why: str) -> None:
        self.changes.append(Changed(why, self.where))

    def _error(self, what: str, problem: str) -> InputError:
        return InputError(f"{self.where}: '{self._columns[what]}' {problem}")

    def _text(self, value: Any, what: str) -> str:
        if isinstance(value, str):
            return value
        if value is None or value != value:  # NaN is how tables of numbers spell nothing
            return ""
        if isinstance(value, bool):
            self._changed("true or false, read as yes or no")
            return "yes" if value else "no"
        if isinstance(value, int | float):
            return str(value)
        if isinstance(value, date | time):
            return value.isoformat()
        known = {"list": "a list", "dict": "an object"}
        kind = known.get(type(value).__name__, type(value).__name__)
        raise self._error(what, f"holds {kind}; expected a text")

    def _id(self, value: Any, what: str) -> str:
        if isinstance(value, float) and value.is_integer():
            self._changed("ids such as 7.0, read as 7")
            return str(int(value))
        return self._text(value, what).strip()

    def _listed(self, what: str, separator: str | None) -> list[Any]:
        value = self._value(what)
        if isinstance(value, dict):
            value = self._of_object(value, what)
        if isinstance(value, str):
            value = self._written_out(value) if separator is None else value.split(separator)
            if separator is not None:
                value = [part.strip() for part in value]
        return value if isinstance(value, list) else [value]

    def _of_object(self, value: dict[str, Any], what: str) -> Any:
        if "text" in value:
            return value["text"]
        if "value" in value:
            return [value["value"], *(value.get("aliases") or ())]
        there = ", ".join(value) or "nothing"
        raise self._error(what, f"holds an object of {there}; expected a text or a list of texts")

    def _written_out(self, text: str) -> Any:
        """The list that a text is, as JSON or Python write it; else the text."""
        if not (text.lstrip().startswith("[") and text.rstrip().endswith("]")):
            return text
        for parse in (json.loads, ast.literal_eval):
            try:
                found = parse(text.strip())
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            if isinstance(found, list) and all(isinstance(one, str | int | float) for one in found):
                self._changed("lists written out as text, read as lists")
                return found
        return text
