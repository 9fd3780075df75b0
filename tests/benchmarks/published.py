"""How much memory an import of published shapes takes, and how long: one million passages each.

Run as ``python -m tests.benchmarks.published [--rows N] [--small N] [FORMAT ...]``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.importing import Made, Make, main, texts

PARAGRAPHS = 10
"""Of each question that brings its own."""
ARTICLE = 40
"""Paragraphs of an article."""


def _array(path: Path, rows: Iterable[Any], before: str = "", after: str = "") -> Path:
    with path.open("w") as file:
        file.write(before)
        for number, row in enumerate(rows):
            file.write(f"{', ' if number else '['}{json.dumps(row)}")
        file.write(f"]{after}")
    return path


def _lines(path: Path, rows: Iterable[Any]) -> Path:
    with path.open("w") as file:
        file.writelines(f"{json.dumps(row)}\n" for row in rows)
    return path


def _groups(rows: int, size: int) -> Iterator[tuple[int, list[str]]]:
    every = texts(rows)
    for number in range(0, rows, size):
        yield number // size, [next(every) for _ in range(min(size, rows - number))]


def beir(folder: Path, rows: int) -> Made:
    """As many judged queries as documents."""
    _lines(
        folder / "corpus.jsonl",
        ({"_id": f"d{n}", "title": f"title {n}", "text": t} for n, t in enumerate(texts(rows))),
    )
    queries = ({"_id": f"q{n}", "text": f"what is {n}?", "answers": [f"{n}"]} for n in range(rows))
    _lines(folder / "queries.jsonl", queries)
    (folder / "qrels").mkdir()
    with (folder / "qrels/test.tsv").open("w") as file:
        file.write("query-id\tcorpus-id\tscore\n")
        file.writelines(f"q{n}\td{n}\t1\n" for n in range(rows))
    return Made("beir", folder)


def dpr(folder: Path, rows: int) -> Made:
    """Passages as a table, and a table of questions."""
    with (folder / "psgs_w100.tsv").open("w") as file:
        file.write("id\ttext\ttitle\n")
        file.writelines(f'{n}\t"{t} ""so"""\ttitle {n}\n' for n, t in enumerate(texts(rows), 1))
    with (folder / "nq-test.qa.csv").open("w") as file:
        file.writelines(f"what is {n}?\t['{n}']\n" for n in range(rows))
    return Made("dpr", folder)


def _hotpot(folder: Path, rows: int) -> Path:
    return _array(
        folder / "dev.json",
        (
            {
                "_id": f"q{n}",
                "question": f"what is {n}?",
                "answer": f"{n}",
                "supporting_facts": [[f"title {n} 0", 0]],
                "context": [[f"title {n} {at}", [text]] for at, text in enumerate(found)],
            }
            for n, found in _groups(rows, PARAGRAPHS)
        ),
    )


def hotpotqa(folder: Path, rows: int) -> Made:
    """Ten paragraphs a question."""
    return Made("hotpotqa", _hotpot(folder, rows))


def two_wiki(folder: Path, rows: int) -> Made:
    """Ten paragraphs a question."""
    return Made("2wikimultihopqa", _hotpot(folder, rows))


def musique(folder: Path, rows: int) -> Made:
    """Ten paragraphs a question."""
    questions = (
        {
            "id": f"2hop__{n}",
            "question": f"what is {n}?",
            "answer": f"{n}",
            "answer_aliases": [],
            "answerable": True,
            "question_decomposition": [],
            "paragraphs": [
                {"idx": at, "title": f"{n}", "paragraph_text": text, "is_supporting": at < 2}
                for at, text in enumerate(found)
            ],
        }
        for n, found in _groups(rows, PARAGRAPHS)
    )
    return Made("musique", _lines(folder / "dev.jsonl", questions))


def squad(folder: Path, rows: int) -> Made:
    """Forty paragraphs an article, a question each."""
    articles = (
        {
            "title": f"Title_{n}",
            "paragraphs": [
                {
                    "context": text,
                    "qas": [
                        {
                            "id": f"{n}-{at}",
                            "question": f"what is {at} of {n}?",
                            "answers": [{"text": f"{at}", "answer_start": 0}],
                        }
                    ],
                }
                for at, text in enumerate(found)
            ],
        }
        for n, found in _groups(rows, ARTICLE)
    )
    return Made("squad", _array(folder / "dev.json", articles, '{"data": ', "}"))


def hipporag(folder: Path, rows: int) -> Made:
    """As many questions as documents."""
    corpus = ({"title": f"title {n}", "text": text} for n, text in enumerate(texts(rows)))
    _array(folder / "own_corpus.json", corpus)
    questions = (
        {
            "id": n,
            "question": f"what is {n}?",
            "answer": [f"{n}"],
            "paragraphs": [{"title": f"title {n}", "text": text}],
        }
        for n, text in enumerate(texts(rows))
    )
    _array(folder / "own.json", questions)
    return Made("hipporag", folder)


PUBLISHED: dict[str, Make] = {
    "beir": beir,
    "dpr": dpr,
    "hotpotqa": hotpotqa,
    "musique": musique,
    "2wikimultihopqa": two_wiki,
    "squad": squad,
    "hipporag": hipporag,
}

if __name__ == "__main__":
    main(PUBLISHED)
