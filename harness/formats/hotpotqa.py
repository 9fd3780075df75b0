"""HotpotQA's questions, each with its paragraphs, and what is shaped like them.

Source: hotpotqa/hotpot, README.md, "JSON Format": an array of ``_id``, ``question``, ``answer``,
``supporting_facts`` [[title, sentence]], ``context`` [[title, [sentences]]], ``type``, ``level``;
test files have neither answer nor supporting facts. The hub's ``hotpotqa/hotpot_qa`` has the same
in columns: ``id``, ``context`` {title: [], sentences: [[]]}, ``supporting_facts`` {title: [],
sent_id: []}. Sentences bring their own spaces, so they are joined without any (prepro.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from harness.formats.base import Dropped, Format, Item, Part
from harness.formats.fields import (
    Fields,
    asked_or_dropped,
    paragraph,
    passage_or_dropped,
    rows_of,
)
from harness.formats.parts import PartOptions, parts_of
from harness.records import Passage, Question

NO_SUPPORT = "gold of questions whose supporting paragraphs are not all in their context"

Fact = tuple[str, Any]


class HotpotQA(Format):
    """Questions over paragraphs of their own; the corpus is the paragraphs of all of them."""

    summary = "HotpotQA, distractor or fullwiki, as published or in the hub's columns"
    source = "a JSON, JSON Lines or Parquet file of questions, or a folder of them by split"
    hops = "multi"
    scoring: ClassVar[Mapping[str, Any]] = {
        "closed_answers": True,
        "metrics": ["support_em", "support_f1", "joint_em", "joint_f1"],
    }
    ids: ClassVar[str] = "hotpot"
    between: ClassVar[str] = ""
    """What stands between two sentences."""
    kept: ClassVar[Sequence[str]] = ("type", "level")
    """Fields that go into the metadata."""

    Options = PartOptions
    options: PartOptions

    def files(self, source: Path) -> list[Path]:
        """The files of questions and of train."""
        return [path for _, path in parts_of(source, self.options)]

    def read(self, source: Path) -> Iterator[Item]:
        """The paragraphs of each question, and it."""
        for part, path in parts_of(source, self.options):
            for row in rows_of(path):
                yield from self._row(row, part)

    def answers(self, row: Fields) -> tuple[str, ...]:
        """What answers a question."""
        return row.texts("answer")

    def _row(self, row: Fields, part: Part) -> Iterator[Item]:
        context = []
        for title, sentences in context_of(row):
            passage = paragraph(self.ids, title, self.between.join(sentences))
            yield (item := passage_or_dropped(row.where, passage))
            if item is passage:
                context.append(passage)
        facts = facts_of(row)
        gold = supporting(facts, context)
        if facts and not gold:
            yield Dropped(NO_SUPPORT, row.where)
        question = Question(
            row.identifier("_id", "id"),
            row.text("question"),
            self.answers(row),
            tuple(gold),
            self._metadata(row, facts, context),
        )
        yield asked_or_dropped(row.where, question, part)

    def _metadata(
        self, row: Fields, facts: Sequence[Fact], context: Sequence[Passage]
    ) -> dict[str, Any]:
        metadata = {name: row.nested(name) for name in self.kept if row.get(name) is not None}
        if facts:
            titles, sentences = [title for title, _ in facts], [at for _, at in facts]
            metadata["supporting_facts"] = {"title": titles, "sent_id": sentences}
            metadata["hops"] = len(set(titles))
        metadata["context_doc_ids"] = list(dict.fromkeys(passage.id for passage in context))
        return metadata


def supporting(facts: Sequence[Fact], context: Sequence[Passage]) -> list[str]:
    """Ids of the paragraphs with a supporting title, in the order of the facts, each once.

    None if one of the titles is missing: what is left would be easier to find.
    """
    titles = dict.fromkeys(" ".join(title.split()) for title, _ in facts)
    found = {title: [p.id for p in context if p.title == title] for title in titles}
    whole = all(found.values())
    return list(dict.fromkeys(id_ for ids in found.values() for id_ in ids)) if whole else []


def context_of(row: Fields) -> Iterator[tuple[str, Sequence[str]]]:
    """Title and sentences of each paragraph. Raises InputError."""
    row.require("context")
    context = row.nested("context")
    if isinstance(context, dict):
        sentences = context.get("sentences", context.get("content"))
        context = _columns(row, "context", context.get("title"), sentences)
    for at, pair in enumerate(_pairs(row, "context", context)):
        title, found = pair
        texts = [found] if isinstance(found, str) else found
        if not (
            isinstance(title, str)
            and isinstance(texts, list)
            and all(isinstance(text, str) for text in texts)
        ):
            raise row.error(f"'context'[{at}] is not [title, [sentences]]; restore it")
        yield title, texts


def facts_of(row: Fields) -> list[Fact]:
    """Title and sentence of each supporting fact; none in a test file. Raises InputError."""
    facts = row.nested("supporting_facts")
    if facts is None:
        return []
    if isinstance(facts, dict):
        facts = _columns(row, "supporting_facts", facts.get("title"), facts.get("sent_id"))
    pairs = [(title, at) for title, at in _pairs(row, "supporting_facts", facts)]
    if not all(isinstance(title, str) for title, _ in pairs):
        raise row.error("'supporting_facts' is not [[title, sentence]]; restore it")
    return pairs


def _columns(row: Fields, name: str, titles: Any, others: Any) -> list[list[Any]]:
    if isinstance(titles, list) and isinstance(others, list) and len(titles) == len(others):
        return [list(pair) for pair in zip(titles, others, strict=True)]
    raise row.error(f"'{name}' does not have two columns of one length; restore it")


def _pairs(row: Fields, name: str, values: Any) -> list[Any]:
    if isinstance(values, list) and all(isinstance(v, list) and len(v) == 2 for v in values):
        return values
    raise row.error(f"'{name}' is not a list of pairs [title, …]; restore it")
