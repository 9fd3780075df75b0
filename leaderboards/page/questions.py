"""The questions of a page: gold, and each method's answer with its scores, passages and trace.

A page holds an index of each table, which is filtered and searched, and blocks of questions with
everything else, unpacked when one is opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path
from typing import Any

from harness.escape import utf8
from harness.fingerprint import sample_by_hash
from harness.runs.gold import gold_of, read_gold
from harness.runs.manifest import Manifest, read_manifest
from harness.runs.predictions import read_ids, read_predictions
from harness.runs.stamp import PREDICTIONS, read_stamp
from leaderboards.board import Table
from leaderboards.page.pack import LENGTHS, Lengths, noted, packed, shortened
from leaderboards.page.passages import Texts, open_texts
from leaderboards.rows import Row
from leaderboards.scores import read_scores

MOST_QUESTIONS = 500
"""Questions of one table in a page: a fixed random sample by the hash of their ids."""
MOST_BYTES = 11_000_000
"""Size of the questions of all tables together, as they stand in a page."""
BLOCK = 25
"""Questions that are unpacked together."""
MOST_PASSAGES = 20
"""Passages of one answer whose texts a page holds."""
_SEARCHED = 300
"""Letters of an answer that are searched."""


@dataclass(frozen=True, slots=True)
class Answers:
    """One method's answers in one table: a run, or the first of several seeds."""

    label: str
    run: str
    seed: int
    seeds: int
    rows: Mapping[str, Mapping[str, Any]]
    """Stored predictions by question id."""
    scores: Mapping[str, Mapping[str, float]]
    """By metric and question id; NaN where a question has no such score."""


@dataclass(frozen=True, slots=True)
class Browser:
    """The questions of one table as a page holds them; ``head`` says what they are of."""

    head: Mapping[str, Any]
    index: str
    blocks: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes in the page."""
        return len(self.index) + sum(map(len, self.blocks))


def read_browsers(
    tables: Sequence[tuple[str, Table]], most_bytes: int = MOST_BYTES
) -> Iterator[Browser]:
    """The questions of each table of one task whose gold is there, by the table's name.

    ``most_bytes`` is for all of them. Raises InputError for files that are broken.
    """
    for place, (name, table) in enumerate(tables):
        found = [row.first_seed for row in table.rows]
        parts = [(f, read_manifest(f, any_schema=True)) for f in found[0]]
        if all(gold_of(folder, part.config.task).exists() for folder, part in parts):
            # What one table leaves is there for the next.
            browser = _browser(name, table, parts, found, most_bytes // (len(tables) - place))
            most_bytes -= browser.size
            yield browser


def _browser(
    name: str,
    table: Table,
    parts: Sequence[tuple[Path, Manifest]],
    folders: Sequence[Sequence[Path]],
    most_bytes: int,
) -> Browser:
    gold: dict[str, dict[str, Any]] = {}
    for folder, manifest in parts:
        gold |= read_gold(folder, manifest.config.task)
    sample = sample_by_hash(gold, MOST_QUESTIONS, utf8)
    answers = [
        _answers(row, table.k, mine, frozenset(sample))
        for row, mine in zip(table.rows, folders, strict=True)
    ]
    asked = [id_ for id_ in sample if any(id_ in each.rows for each in answers)]
    details = _Details(gold, answers, open_texts(parts[0][1], gold))
    lengths, blocks = _fitting(details, asked, most_bytes)
    kept = asked[: BLOCK * len(blocks)]
    head = {
        "table": name,
        "title": table.title,
        "questions": len(kept),
        "of": len(gold),
        "block": BLOCK,
        "lengths": asdict(lengths),
        "lacking": details.texts.lacking,
    }
    return Browser(head, packed(_index(kept, gold, answers)), tuple(blocks))


def _answers(row: Row, k: int, folders: Sequence[Path], sample: frozenset[str]) -> Answers:
    """The stored answers of a row's first seed; ``k`` is the cut-off of its recall."""
    rows: dict[str, Mapping[str, Any]] = {}
    scores: dict[str, dict[str, float]] = {}
    for folder in folders:
        manifest = read_manifest(folder, any_schema=True)
        found = read_predictions(folder / PREDICTIONS)
        rows |= {each["question_id"]: each for _, each in found if each["question_id"] in sample}
        # As the tables have them: those of earlier releases are made anew.
        read = read_scores(folder, manifest, read_stamp(folder, manifest), has_gold=True)
        places = {id_: place for place, id_ in enumerate(read.ids) if id_ in sample}
        for name in ("em", "f1", "contains", f"recall@{k}", "recall_read"):
            if (values := read.columns.get(name)) is not None:
                known = {id_: float(values[place]) for id_, place in places.items()}
                scores.setdefault(name, {}).update(known)
    return Answers(row.label, row.run_ids[0], row.seeds[0], len(row.seeds), rows, scores)


def _index(
    asked: Sequence[str], gold: Mapping[str, Mapping[str, Any]], answers: Sequence[Answers]
) -> dict[str, Any]:
    """What the list of questions needs; scores and answers stand in the order of the questions."""
    return {
        "ids": asked,
        "questions": [shortened(gold[id_]["question"], _SEARCHED) for id_ in asked],
        "gold": [noted(gold[id_]["golden_answers"], LENGTHS[-1]) for id_ in asked],
        "methods": [
            {
                "label": each.label,
                "run": each.run,
                "seed": each.seed,
                "seeds": each.seeds,
                "answers": [_searched(each.rows.get(id_)) for id_ in asked],
                "scores": _columns(each, asked),
            }
            for each in answers
        ],
    }


def _searched(row: Mapping[str, Any] | None) -> str | None:
    return None if row is None else row["answer"][:_SEARCHED]


def _columns(answers: Answers, asked: Sequence[str]) -> dict[str, list[float | None]]:
    """The scores that there are, each of all questions."""
    found = {
        name: [_known(answers.scores[name].get(id_)) for id_ in asked] for name in answers.scores
    }
    return {name: values for name, values in found.items() if values != [None] * len(asked)}


def _known(value: float | None) -> float | None:
    return None if value is None or isnan(value) else round(value, 4)


@dataclass(frozen=True, slots=True)
class _Details:
    """All that is told of a question when it is opened."""

    gold: Mapping[str, Mapping[str, Any]]
    answers: Sequence[Answers]
    texts: Texts

    def block(self, asked: Sequence[str], lengths: Lengths) -> dict[str, Any]:
        """Questions, and once each the passages that they name."""
        questions = [self._question(id_, lengths) for id_ in asked]
        named = [id_ for question in questions for id_ in question["gold"]]
        for question in questions:
            for answer in filter(None, question["answers"]):
                named += [*answer["ranked"][:MOST_PASSAGES], *answer["read"][:MOST_PASSAGES]]
        passages = {id_: self._passage(id_, lengths) for id_ in dict.fromkeys(named)}
        return {
            "questions": questions,
            "passages": {id_: text for id_, text in passages.items() if text is not None},
        }

    def _question(self, id_: str, lengths: Lengths) -> dict[str, Any]:
        gold = self.gold[id_]
        return {
            "question": shortened(gold["question"], lengths.text),
            "golden": noted(gold["golden_answers"], lengths),
            "gold": list(gold.get("gold_doc_ids") or ()),
            "answers": [_answer(each.rows.get(id_), lengths) for each in self.answers],
        }

    def _passage(self, id_: str, lengths: Lengths) -> list[Any] | None:
        passage = self.texts.get(id_)
        if passage is None:
            return None
        return [shortened(passage.title, 200), shortened(passage.text, lengths.passage)]


def _answer(row: Mapping[str, Any] | None, lengths: Lengths) -> dict[str, Any] | None:
    """A stored prediction as a page holds it; None where a question was not answered."""
    if row is None:
        return None
    return {
        "answer": shortened(row["answer"], lengths.text),
        "raw": shortened(row.get("raw") or "", lengths.text),
        "error": noted(row.get("error"), lengths),
        "ranked": list(row["retrieved_ids"]),
        "read": read_ids(row),
        "support": list(row.get("support_ids") or ()),
        "usage": row["usage"],
        "steps": noted(list(row.get("steps") or ()), lengths),
    }


def _fitting(details: _Details, asked: Sequence[str], most_bytes: int) -> tuple[Lengths, list[str]]:
    """The longest texts that fit, judged by the first block, and as many blocks as there is room.

    Questions are in the order of their hashes, so those that fit are a random sample, too.
    """
    parts = [asked[i : i + BLOCK] for i in range(0, len(asked), BLOCK)]
    lengths = next(
        (
            each
            for each in LENGTHS
            if len(packed(details.block(parts[0], each))) * len(parts) <= most_bytes
        ),
        LENGTHS[-1],
    )
    blocks: list[str] = []
    left = most_bytes
    for part in parts:
        block = packed(details.block(part, lengths))
        left -= len(block)
        if left < 0 and blocks:
            break
        blocks.append(block)
    return lengths, blocks
