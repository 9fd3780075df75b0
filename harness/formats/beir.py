"""BEIR's datasets: a corpus, queries, and judgements of which documents are relevant.

Source: beir-cellar/beir, beir/datasets/data_loader.py: ``corpus.jsonl`` (``_id``, ``title``,
``text``), ``queries.jsonl`` (``_id``, ``text``, ``metadata``), ``qrels/SPLIT.tsv`` with the header
``query-id``, ``corpus-id``, ``score``. A document is gold if its score is above 0. Every relevant
document counts, as in BEIR's own Recall@K, unless they are told to be alternatives.

BEIR is about retrieval: most of its datasets say which documents are relevant and not what the
answer is (HotpotQA's queries do, in ``metadata.answer``). A question without an answer cannot be
asked here, so answers may be given in a file, by the query's id or, as NQ-open has them, by its
text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from harness.data.leaks import normal_text
from harness.errors import InputError
from harness.formats.base import Asked, Dropped, Format, Item, Part
from harness.formats.fields import NO_ANSWER, Fields, asked_or_dropped, passage_or_dropped, rows_of
from harness.formats.sources import find, table_rows
from harness.records import Passage, Question

UNKNOWN_QUERY = "judgements of queries that are not in queries.jsonl"

_ANSWER = ("answers", "golden_answers", "answer")

Judgements = dict[str, list[str]]


class BeirOptions(Format.Options):
    """Options of BEIR."""

    split: str = Field("test", description="the judgements in qrels that questions are asked for")
    gold: Literal["all", "any"] = Field(
        "all", description="all relevant documents count, or any of them gives the answer"
    )
    answers: Path | None = Field(
        None,
        description="answers by query: JSON Lines or an array with id (or question) and answers",
    )


class Beir(Format):
    """Queries with relevant documents; those of ``qrels/train.tsv`` are train questions."""

    summary = "BEIR's corpus, queries and qrels; queries need answers, most sets have none"
    source = "a folder with corpus.jsonl, queries.jsonl and qrels/"

    Options = BeirOptions
    options: BeirOptions

    def __init__(self, options: BeirOptions) -> None:
        super().__init__(options)
        self.gold = options.gold

    def files(self, source: Path) -> list[Path]:
        """The corpus, the queries, the judgements of the split and those of train, and answers."""
        qrels = source / "qrels"
        asked = _file(qrels, f"{self.options.split}.tsv")
        own = _file(source, "corpus.jsonl"), _file(source, "queries.jsonl"), asked
        return [path for path in (*own, self._train(qrels), self.options.answers) if path]

    def _train(self, qrels: Path) -> Path | None:
        """The judgements of train questions, unless these are what is asked."""
        return find(qrels, "train.tsv") if self.options.split != "train" else None

    def read(self, source: Path) -> Iterator[Item]:
        """The corpus, then the queries that are judged; judgements are held in memory."""
        corpus, queries, judged, *_ = self.files(source)
        train = self._train(source / "qrels")
        asked, shown = _judgements(judged), _judgements(train) if train else {}
        answers = _answers_of(self.options.answers) if self.options.answers else {}
        for row in rows_of(corpus):
            title = row.text_or_empty("title")
            text = row.text_or_empty("text")
            passage = Passage(row.identifier("_id"), " ".join(title.split()), text)
            yield passage_or_dropped(row.where, passage)
        parts: tuple[tuple[Part, Judgements], ...] = ("questions", asked), ("train", shown)
        yield from self._asked(queries, parts, answers)

    def _asked(
        self,
        queries: Path,
        parts: tuple[tuple[Part, Judgements], ...],
        answers: Mapping[str, tuple[str, ...]],
    ) -> Iterator[Item]:
        seen: set[str] = set()
        held = unanswered = 0
        for row in rows_of(queries):
            id_ = row.identifier("_id")
            part, judged = next(((p, j) for p, j in parts if id_ in j), (None, {}))
            if part is None:
                continue
            seen.add(id_)
            text = row.text("text")
            known = answers.get(id_) or answers.get(normal_text(text)) or _own_answers(row)
            item = asked_or_dropped(row.where, Question(id_, text, known, tuple(judged[id_])), part)
            held += isinstance(item, Asked)
            unanswered += item == Dropped(NO_ANSWER, row.where)
            yield item
        if unanswered and not held:
            raise InputError(
                f"{queries}: none of {unanswered:,} judged queries has an answer, which most BEIR "
                "datasets do not hold; give answers by query id or text: -o answers=FILE"
            )
        for _, judged in parts:
            yield from (
                Dropped(UNKNOWN_QUERY, f"query {id_!r}") for id_ in judged if id_ not in seen
            )


def _file(folder: Path, name: str) -> Path:
    path = find(folder, name)
    if path is None:
        there = sorted(each.name for each in folder.iterdir())[:9] if folder.is_dir() else []
        raise InputError(
            f"{folder / name}: not there ({', '.join(there) or 'nothing is'}); SOURCE is the "
            "unpacked folder with corpus.jsonl, queries.jsonl and qrels/, -o split=NAME is its .tsv"
        )
    return path


def _judgements(path: Path) -> Judgements:
    """Relevant documents by query, each once; a query without any has none."""
    judged: Judgements = {}
    for where, values in table_rows(path):
        row = Fields(where, dict(values))
        query, document = row.identifier("query-id"), row.identifier("corpus-id")
        gold = judged.setdefault(query, [])
        if _score(row) > 0:
            gold.append(document)
    return {query: list(dict.fromkeys(gold)) for query, gold in judged.items()}


def _score(row: Fields) -> float:
    text = row.text("score")
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise row.error(f"'score' is {text!r}; expected a number")
    return score


def _own_answers(row: Fields) -> tuple[str, ...]:
    metadata = row.get("metadata")
    own = Fields(f"{row.where}, metadata", metadata if isinstance(metadata, dict) else {})
    return own.texts(*_ANSWER) or row.texts(*_ANSWER)


def _answers_of(path: Path) -> dict[str, tuple[str, ...]]:
    """Answers by a query's id or, where a row has none, by its normalised text."""
    answers = {}
    for row in rows_of(path):
        if row.get("_id", "id") is not None:
            key = row.identifier("_id", "id")
        else:
            key = normal_text(row.text("question", "text"))
        row.require(*_ANSWER)
        answers[key] = row.texts(*_ANSWER)
    return answers
