"""Small datasets of invented content in the shapes in which real ones are published.

Towns lie on rivers. Each function writes one dataset into a folder and returns the SOURCE of its
import. ``Put`` writes a file plain or packed.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import zstandard

RIVERS = {
    "Arvel": "Osk", "Bintu": "Lemm", "Corvane": "Tiber Minor", "Dolmé": "Ishk",
    "Ezra Falls": "Quill", "Fenwick": "Yarrow", "Gath": "Ummer", "Holm & Sons": "Zell",
}  # fmt: skip
TOWNS = list(RIVERS)

Put = Callable[[Path, bytes], Path]


def plain(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def gz(path: Path, content: bytes) -> Path:
    return plain(path.with_name(path.name + ".gz"), gzip.compress(content))


def zst(path: Path, content: bytes) -> Path:
    return plain(path.with_name(path.name + ".zst"), zstandard.compress(content))


def array(rows: Any) -> bytes:
    return json.dumps(rows, ensure_ascii=False).encode()


def lines(rows: Sequence[Any]) -> bytes:
    return b"".join(array(row) + b"\n" for row in rows)


def tsv(rows: Sequence[Sequence[str]]) -> bytes:
    """As Python's csv writes tables with tabs: quoted where it has to be, quotes doubled."""
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def sentences(town: str) -> list[str]:
    return [f"{town} is a town.", f'It lies on the "{RIVERS[town]}" river.']


def text_of(town: str) -> str:
    return " ".join(sentences(town))


def asked(town: str) -> str:
    return f"On which river does {town} lie?"


# HotpotQA


def hotpot_row(at: int, space: str = " ") -> dict[str, Any]:
    """Two towns are asked about, four are in the context; sentences bring their spaces."""
    gold = [TOWNS[at], TOWNS[at + 1]]
    context = [[t, [sentences(t)[0], space + sentences(t)[1]]] for t in TOWNS[at : at + 4]]
    return {
        "_id": f"5a{at:03}",
        "answer": RIVERS[gold[1]],
        "question": f"Of {gold[0]} and {gold[1]}, on which river does the latter lie?",
        "supporting_facts": [[gold[1], 1], [gold[0], 0], [gold[1], 0]],
        "context": context[::-1],
        "type": "comparison",
        "level": "hard",
    }


def in_columns(row: dict[str, Any], sentences_are: str = "sentences") -> dict[str, Any]:
    """The hub's form of a row."""
    facts, context = row["supporting_facts"], row["context"]
    return {
        "id": row["_id"],
        "question": row["question"],
        "answer": row["answer"],
        "type": row["type"],
        "level": row["level"],
        "supporting_facts": {"title": [f[0] for f in facts], "sent_id": [f[1] for f in facts]},
        "context": {"title": [c[0] for c in context], sentences_are: [c[1] for c in context]},
    }


def hotpotqa(folder: Path, put: Put = plain) -> Path:
    put(folder / "hotpot_dev_distractor_v1.json", array([hotpot_row(0), hotpot_row(1)]))
    put(folder / "hotpot_train_v1.1.json", array([hotpot_row(3)]))
    unanswered = {k: hotpot_row(2)[k] for k in ("_id", "question", "context")}
    put(folder / "hotpot_test_fullwiki_v1.json", array([unanswered]))
    put(folder / "train_dev_ids.json", array(["of no one split"]))
    return folder


# 2WikiMultiHopQA


def wiki_row(at: int) -> dict[str, Any]:
    gold = [TOWNS[at], TOWNS[at + 1]]
    row = hotpot_row(at, space="") | {"entity_ids": f"Q{at}_Q{at + 1}", "answer_id": f"Q9{at + 1}"}
    del row["level"]
    evidences = [[town, "river", RIVERS[town]] for town in gold]
    return row | {"evidences": evidences, "evidences_id": [["Q1", "river", "Q2"]] * 2}


def two_wiki(folder: Path, put: Put = plain) -> Path:
    put(folder / "dev.json", array([wiki_row(0), wiki_row(1)]))
    put(folder / "train.json", array([wiki_row(3)]))
    aliases = [{"Q_id": "Q91", "aliases": ["River Lemm", "Lemm"], "demonyms": ["Lemmish"]}]
    put(
        folder / "id_aliases.json", lines([*aliases, {"Q_id": "Q7", "aliases": [], "demonyms": []}])
    )
    return folder


# MuSiQue


def musique_row(at: int, answerable: bool = True) -> dict[str, Any]:
    towns = TOWNS[at : at + 4]
    gold = [2, 0]
    hops = [
        {"id": n, "question": asked(towns[idx]), "answer": RIVERS[towns[idx]],
         "paragraph_support_idx": idx}
        for n, idx in enumerate(gold)
    ]  # fmt: skip
    return {
        "id": f"2hop__{at}",
        "paragraphs": [
            {"idx": idx, "title": town, "paragraph_text": text_of(town),
             "is_supporting": answerable and idx in gold}
            for idx, town in enumerate(towns)
        ],
        "question": f"What follows {towns[2]} in the list that begins with {towns[0]}?",
        "question_decomposition": hops,
        "answer": RIVERS[towns[0]],
        "answer_aliases": [f"the {RIVERS[towns[0]]}", RIVERS[towns[0]]],
        "answerable": answerable,
    }  # fmt: skip


def musique(folder: Path, put: Put = plain) -> Path:
    full = [musique_row(0), musique_row(0, answerable=False), musique_row(1)]
    put(folder / "musique_full_v1.0_dev.jsonl", lines(full))
    put(folder / "musique_full_v1.0_train.jsonl", lines([musique_row(4)]))
    keys = ("id", "paragraphs", "question")
    put(folder / "musique_full_v1.0_test.jsonl", lines([{k: musique_row(2)[k] for k in keys}]))
    put(folder / "dev_test_singlehop_questions_v1.0.json", array({"natural_questions": []}))
    return folder


# SQuAD


def squad_article(towns: Sequence[str], two: bool = True) -> dict[str, Any]:
    return {"title": "Towns_of_Umbra", "paragraphs": [
        {"context": text_of(town), "qas": [
            {"id": f"56{town}", "question": asked(town), "answers": [
                {"text": RIVERS[town], "answer_start": text_of(town).index(RIVERS[town])}
            ] * 3, **({"is_impossible": False} if two else {})},
            *([{"id": f"57{town}", "question": f"Who is mayor of {town}?", "answers": [],
                "plausible_answers": [{"text": "a town", "answer_start": 9}],
                "is_impossible": True}] if two else []),
        ]}
        for town in towns
    ]}  # fmt: skip


def squad(folder: Path, put: Put = plain) -> Path:
    dev = [squad_article(TOWNS[:2]), squad_article(TOWNS[2:3])]
    put(folder / "dev-v2.0.json", array({"version": "v2.0", "data": dev}))
    train = {"data": [squad_article(TOWNS[4:6])], "version": "v2.0"}
    put(folder / "train-v2.0.json", array(train))
    return folder


# DPR


def dpr_pool(at: int, ids: bool = True) -> dict[str, Any]:
    def ctx(n: int, score: float) -> dict[str, Any]:
        named = {"passage_id": str(n + 1)} if ids else {}
        return {"title": TOWNS[n], "text": text_of(TOWNS[n]), "score": score, **named}

    return {
        "dataset": "nq_dev_psgs_w100",
        "question": asked(TOWNS[at]),
        "answers": [RIVERS[TOWNS[at]]],
        "positive_ctxs": [ctx(at, 1000)],
        "negative_ctxs": [ctx(at + 1, 0)],
        "hard_negative_ctxs": [ctx(at + 2, 12.5)],
    }


def dpr(folder: Path, put: Put = plain) -> Path:
    passages = [[str(n), text_of(town), town] for n, town in enumerate(TOWNS, 1)]
    put(folder / "psgs_w100.tsv", tsv([["id", "text", "title"], *passages]))
    tests = [[asked(t), repr([RIVERS[t], f'the "{RIVERS[t]}"'])] for t in TOWNS[:3]]
    put(folder / "nq-test.qa.csv", tsv(tests))
    put(folder / "nq-train.qa.csv", tsv(tests[:1]))
    put(folder / "biencoder-nq-dev.json", array([dpr_pool(0), dpr_pool(1)]))
    put(folder / "biencoder-nq-train.json", array([dpr_pool(4)]))
    return folder


# BEIR


def beir(folder: Path, put: Put = plain) -> Path:
    corpus = [
        {"_id": f"d{n}", "title": town, "text": text_of(town), "metadata": {"url": "x"}}
        for n, town in enumerate(TOWNS)
    ]
    put(folder / "corpus.jsonl", lines([*corpus, {"_id": "d9", "title": "", "text": " "}]))
    queries = [
        {"_id": f"{n}", "text": asked(town), "metadata": {"answer": RIVERS[town]}}
        for n, town in enumerate(TOWNS)
    ]
    put(folder / "queries.jsonl", lines(queries))
    header = ["query-id", "corpus-id", "score"]
    test = [
        ["0", "d0", "2"],
        ["0", "d5", "0"],
        ["0", "d4", "1"],
        ["1", "d1", "1"],
        ["zz", "d1", "1"],
    ]
    put(folder / "qrels/test.tsv", tsv([header, *test]))
    put(folder / "qrels/train.tsv", tsv([header, ["3", "d3", "1"]]))
    return folder


# HippoRAG


def hipporag(folder: Path, put: Put = plain) -> Path:
    """Your own dataset, as its README describes one."""
    corpus = [{"title": town, "text": text_of(town), "idx": n} for n, town in enumerate(TOWNS)]
    questions = [
        {"id": f"towns/{n}.json", "question": asked(town), "answer": [RIVERS[town]],
         "answerable": True, "paragraphs": [
            {"title": town, "text": text_of(town), "is_supporting": True, "idx": 0}]}
        for n, town in enumerate(TOWNS[:3])
    ]  # fmt: skip
    put(folder / "towns_corpus.json", array(corpus))
    put(folder / "towns.json", array(questions))
    return folder


SOURCES: dict[str, Callable[[Path, Put], Path]] = {
    "beir": beir,
    "dpr": dpr,
    "hotpotqa": hotpotqa,
    "musique": musique,
    "2wikimultihopqa": two_wiki,
    "squad": squad,
    "hipporag": hipporag,
}
