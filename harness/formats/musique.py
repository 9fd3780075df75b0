"""MuSiQue's questions, each with its twenty paragraphs and its decomposition into hops.

Source: StonyBrookNLP/musique, raw_data_to_official_format.py and evaluate_v1.0.py: JSON Lines of
``id``, ``paragraphs`` [{idx, title, paragraph_text, is_supporting}], ``question``,
``question_decomposition`` [{id, question, answer, paragraph_support_idx}], ``answer``,
``answer_aliases``, ``answerable``. MuSiQue-Full has each question twice, once without its support:
those are left out. Test files have no answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from harness.formats.base import Dropped, Format, Item, Part
from harness.formats.fields import (
    UNANSWERABLE,
    Fields,
    asked_or_dropped,
    paragraph,
    passage_or_dropped,
    rows_of,
)
from harness.formats.parts import PartOptions, parts_of
from harness.records import Passage, Question

SUFFIXES = (".jsonl", ".json", ".parquet")


class MuSiQue(Format):
    """Questions over paragraphs of their own; the corpus is the paragraphs of all of them."""

    summary = "MuSiQue-Ans or MuSiQue-Full, as published"
    source = "a JSON Lines, JSON or Parquet file of questions, or a folder of them by split"
    hops = "multi"
    scoring: ClassVar[Mapping[str, Any]] = {"metrics": ["support_f1"]}

    Options = PartOptions
    options: PartOptions

    def files(self, source: Path) -> list[Path]:
        """The files of questions and of train."""
        return [path for _, path in parts_of(source, self.options, SUFFIXES)]

    def read(self, source: Path) -> Iterator[Item]:
        """The paragraphs of each question, and it."""
        for part, path in parts_of(source, self.options, SUFFIXES):
            for row in rows_of(path):
                yield from _row(row, part)


def _row(row: Fields, part: Part) -> Iterator[Item]:
    context: dict[int, str] = {}
    support = []
    for at, each in enumerate(row.objects("paragraphs")):
        passage = paragraph("musique", each.text("title"), each.text("paragraph_text"))
        yield (item := passage_or_dropped(each.where, passage))
        if isinstance(item, Passage):
            context[each.get("idx") if isinstance(each.get("idx"), int) else at] = passage.id
            support += [passage.id] if each.get("is_supporting") is True else []
    if row.get("answerable") is False:
        yield Dropped(UNANSWERABLE, row.where)
        return
    answers = tuple(dict.fromkeys([*row.texts("answer"), *row.texts("answer_aliases")]))
    hops = _hops(row, context) if answers else []
    by_hop = [hop["support_doc_id"] for hop in hops if "support_doc_id" in hop]
    question = Question(
        row.identifier("id"),
        row.text("question"),
        answers,
        tuple(dict.fromkeys([*by_hop, *support])),
        {
            "hops": len(hops) or len(set(support)),
            "question_decomposition": hops,
            "context_doc_ids": list(dict.fromkeys(context.values())),
        },
    )
    yield asked_or_dropped(row.where, question, part)


def _hops(row: Fields, context: Mapping[int, str]) -> list[dict[str, Any]]:
    """Question and answer of each hop and, where it is marked, the passage that has it."""
    if row.get("question_decomposition") is None:
        return []
    hops = []
    for each in row.objects("question_decomposition"):
        hop = {name: each.text(name) for name in ("question", "answer")}
        at = each.get("paragraph_support_idx")
        support = context.get(at) if isinstance(at, int) else None
        hops.append(hop | ({"support_doc_id": support} if support else {}))
    return hops
