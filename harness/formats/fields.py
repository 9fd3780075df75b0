"""Fields of a source's rows, checked: texts, ids, answers; and the passages and questions of them.

An InputError names the row's place, the field, and how to go on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any

from harness.data.jsonl import kind_of, whole
from harness.errors import InputError
from harness.formats.base import Asked, Dropped, Part
from harness.formats.rows import parquet_rows
from harness.formats.sources import first_bytes, json_rows
from harness.records import Passage, Question

NO_TEXT = "passages without a text"
NO_QUESTION = "questions without a text"
NO_ANSWER = "questions without an answer"
UNANSWERABLE = "questions that are marked as unanswerable"


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one object; ``where`` is its place, ``FILE:LINE``, and what is below it."""

    where: str
    values: dict[str, Any]

    def error(self, problem: str) -> InputError:
        """An error at this place; ``problem`` says what is wrong and how to fix it."""
        return InputError(f"{self.where}: {problem}")

    def get(self, *names: str) -> Any:
        """The value of the first of these fields that has one; None if none has."""
        return next((v for name in names if (v := self.values.get(name)) is not None), None)

    def require(self, *names: str) -> Any:
        """As ``get``. Raises InputError if none has a value."""
        value = self.get(*names)
        if value is None:
            wanted = " or ".join(f"'{name}'" for name in names)
            there = ", ".join(sorted(map(str, self.values))) or "nothing"
            raise self.error(f"has no {wanted} (it has: {there}); is it the format named?")
        return value

    def text(self, *names: str) -> str:
        """A string, maybe empty. Raises InputError for a field that is not there, or no string."""
        value = self.require(*names)
        if not isinstance(value, str):
            raise self.error(f"'{self._name(*names)}' is {kind_of(value)}; expected a string")
        return value

    def text_or_empty(self, name: str) -> str:
        """A string; empty if there is no such field or it is null. Raises InputError."""
        return self.text(name) if self.get(name) is not None else ""

    def identifier(self, *names: str) -> str:
        """An id that is not blank; a whole number becomes a string. Raises InputError."""
        value = self.require(*names)
        if (number := whole(value)) is not None:
            return number
        if not isinstance(value, str) or not value.strip():
            found = "blank" if isinstance(value, str) else kind_of(value)
            raise self.error(f"'{self._name(*names)}' is {found}; expected an id")
        return value

    def texts(self, *names: str) -> tuple[str, ...]:
        """The strings of a field that is one or a list of them: each once, none blank.

        Empty where there is none. Raises InputError for anything else.
        """
        value = self.get(*names)
        values = value if isinstance(value, list) else [] if value is None else [value]
        if wrong := [kind_of(each) for each in values if not isinstance(each, str)]:
            raise self.error(
                f"'{self._name(*names)}' holds {wrong[0]}; expected a string or a list of strings"
            )
        return tuple(dict.fromkeys(each for each in values if each.strip()))

    def objects(self, name: str) -> list[Fields]:
        """A list of objects, each with its place. Raises InputError."""
        values = self.require(name)
        if not isinstance(values, list) or not all(isinstance(each, dict) for each in values):
            raise self.error(f"'{name}' is no list of objects; restore the published file")
        return [Fields(f"{self.where}, {name}[{at}]", each) for at, each in enumerate(values)]

    def nested(self, name: str) -> Any:
        """A value, also where a table keeps it as JSON in a string; None if it has none."""
        value = self.get(name)
        if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise self.error(f"'{name}' is not valid JSON; restore the file") from None

    def _name(self, *names: str) -> str:
        return next(name for name in names if self.values.get(name) is not None)


def rows_of(path: Path) -> Iterator[Fields]:
    """Every row of JSON Lines, a JSON array or a Parquet file, by content, one at a time."""
    read = parquet_rows if first_bytes(path).startswith(b"PAR1") else json_rows
    yield from (Fields(where, values) for where, values in read(path))


def paragraph(source: str, title: str, text: str) -> Passage:
    """A passage that is named by what it holds, as those of the shipped samples are.

    White space is collapsed, so one paragraph of several questions is one passage.
    """
    title, text = " ".join(title.split()), " ".join(text.split())
    # JSON can spell unpaired surrogates, which the writer of the folder takes out and counts.
    contents = f"{title}\n{text}".encode("utf-8", "surrogatepass")
    digest = sha1(contents, usedforsecurity=False).hexdigest()
    return Passage(f"{source}-{digest[:12]}", title, text)


def passage_or_dropped(where: str, passage: Passage) -> Passage | Dropped:
    """The passage, unless neither its title nor its text has a visible character."""
    return passage if (passage.title + passage.text).strip() else Dropped(NO_TEXT, where)


def asked_or_dropped(where: str, question: Question, part: Part) -> Asked | Dropped:
    """The question, unless it asks nothing or nobody says what answers it."""
    if not question.text.strip():
        return Dropped(NO_QUESTION, where)
    return Asked(question, part) if question.golden_answers else Dropped(NO_ANSWER, where)
