"""Passages in their one normal form, whatever the spelling of the rows that they come from."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, TypeGuard

from harness.data.jsonl import Row
from harness.records import Passage

# DPR's passages, and FlashRAG's Wikipedia made of them, keep titles as a CSV file quotes them.
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


def passage_of(row: Row) -> Passage:
    """The passage of a row ``{"id", "contents": "Title\\nText"}`` or ``{"id", "title", "text"}``.

    Raises InputError naming file, line, field and fix; among others for one without any text.
    """
    passage_id, contents = row.values.get("id"), row.values.get("contents")
    if _is_text(passage_id) and _is_text(contents):
        # Nearly every row: told from one with a mistake in a tenth of the time.
        title, _, text = contents.partition("\n")
        return normal_passage(Passage(passage_id, title, text))
    passage_id = row.identifier("id")
    if row.values.get("contents") is None and "text" in row.values:
        title, text = row.text_or_none("title"), row.text_or_none("text")
        if not (title or text):
            raise row.error("'title' and 'text' are empty; expected at least one visible character")
        if "\n" in title:
            raise row.error("'title' has a line break; write it on one line")
    else:
        contents = row.text("contents", "\"Title\\nText\" (or the fields 'title' and 'text')")
        title, _, text = contents.partition("\n")
    return normal_passage(Passage(passage_id, title, text))


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value) and not value.isspace()


def normal_passage(passage: Passage) -> Passage:
    """The passage as every spelling of it is read.

    A title loses the quotes of a CSV file and the carriage return of a line end. A passage of one
    part alone is a text without a title.
    """
    title, text = passage.title.removesuffix("\r"), passage.text
    quoted = _QUOTED.fullmatch(title)
    if quoted and (quoted[1].strip() or text.strip()):
        title = quoted[1].replace('""', '"')
    if not text.strip():
        title, text = "", title
    if not title.strip():
        title = ""
    same = (title, text) == (passage.title, passage.text)
    return passage if same else replace(passage, title=title, text=text)
