"""A sub-pool holds every question's gold, is a fixed sample, and is a corpus like any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.boards.config import parse_board
from harness.boards.run import plan_runs
from harness.boards.task_entry import TaskFiles, load_task_data
from harness.data.card import custom_task
from harness.data.corpus import Corpus
from harness.data.demonstrations import qa_prompts
from harness.data.subpool import sub_pool
from harness.data.task import load_task
from harness.errors import ConfigError, InputError
from harness.records import Passage, Question
from harness.registry import register_method
from harness.retrieval.bm25 import BM25Retriever
from harness.retrieval.embeddings import EmbeddingStore, embed_corpus, write_beside
from tests.harness.lab import Ask, write_task
from tests.harness.retrieval.helpers import HashEncoder

PASSAGES = [Passage(f"p{i}", f"Title {i}", f"word{i} shared") for i in range(40)]
CORPUS = Corpus.from_passages(PASSAGES)
GOLD = st.lists(st.integers(0, 39), max_size=6)


def asking(*gold: int) -> list[Question]:
    return [Question(f"q{n}", "?", ("x",), (f"p{place}",)) for n, place in enumerate(gold)]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """24 questions with a gold passage each, 30 passages, 6 train questions on the last six."""
    return write_task(tmp_path / "files")


@pytest.fixture
def load(files: Path) -> Callable[..., Any]:
    paths = {kind: files / f"{kind}.jsonl" for kind in ("questions", "corpus", "train")}
    return lambda **options: load_task(custom_task("toy"), **paths, **options)


@given(GOLD, st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=15, deadline=None)
def test_pools_are_nested_hold_the_gold_and_keep_the_order(
    gold: list[int], one: int, other: int
) -> None:
    questions = asking(*gold)
    small, large = sorted(max(size, len(set(gold)), 1) for size in (one, other))
    pools = [sub_pool(CORPUS, questions, size) for size in (small, large)]
    assert [len(pool) for pool in pools] == [small, large]
    assert set(pools[0].ids) <= set(pools[1].ids)
    for pool in pools:
        assert {f"p{place}" for place in gold} <= set(pool.ids)
        assert list(pool) == [passage for passage in PASSAGES if passage.id in pool]


def test_the_others_are_those_with_the_smallest_hashes() -> None:
    by_hash = sorted((p.id for p in PASSAGES), key=lambda id_: sha256(id_.encode()).hexdigest())
    last = by_hash[-1]
    pool = sub_pool(CORPUS, asking(int(last[1:])), 4)
    assert set(pool.ids) == {last, *by_hash[:3]}


@given(st.sets(st.integers(0, 39), min_size=1))
@settings(max_examples=15, deadline=None)
def test_a_part_is_the_corpus_of_just_its_passages(places: set[int]) -> None:
    part = CORPUS.part(places)
    alone = Corpus.from_passages(PASSAGES[place] for place in sorted(places))
    assert list(part) == list(alone) == [part[i] for i in range(len(part))]
    assert (part.fingerprint, part.text_bytes) == (alone.fingerprint, alone.text_bytes)
    assert list(part.ids) == list(alone.ids)
    for position, passage in enumerate(alone):
        assert part.position(passage.id) == position
        assert part.get(passage.id) == passage
    assert all((p.id in part) == (place in places) for place, p in enumerate(PASSAGES))


def test_no_passages_at_all_are_refused() -> None:
    with pytest.raises(InputError, match="no passage is left"):
        CORPUS.part([])


def test_the_whole_corpus_is_the_corpus_itself() -> None:
    assert sub_pool(CORPUS, asking(1), 40) is CORPUS


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        (41, "documents is 41, but the corpus holds 40 passages; ask for at most 40"),
        (2, "documents is 2, but the 3 questions have 3 gold documents; ask for 3 or more"),
        (0, "ask for 3 or more, or limit the questions"),
    ],
)
def test_what_does_not_fit_is_said_with_the_fix(documents: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        sub_pool(CORPUS, asking(1, 2, 3), documents)


def test_a_task_keeps_the_gold_of_the_limited_questions_alone(load) -> None:
    data = load(limit=3, documents=5)
    assert len(data.corpus) == 5
    assert {gold for q in data.questions for gold in q.gold_doc_ids} <= set(data.corpus.ids)
    again = Corpus.from_passages(list(data.corpus))
    assert data.corpus_fingerprint == again.fingerprint != load(limit=3).corpus_fingerprint
    with pytest.raises(InputError, match="24 questions have 24 gold documents"):
        load(documents=5)


def test_demonstrations_do_not_depend_on_the_pool(load) -> None:
    small, whole = load(limit=3, documents=3), load(limit=3)
    assert qa_prompts(small, 6, 0) == qa_prompts(whole, 6, 0)
    assert all(len(e.passages) == 1 for e in qa_prompts(small, 6, 0).examples)


def test_vectors_and_words_are_of_the_pool_in_its_order(files: Path, load, monkeypatch) -> None:
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(files / "cache"))
    encoder, store = HashEncoder(), EmbeddingStore(files / "store")
    (files / "store").mkdir()
    whole = Corpus.open(files / "corpus.jsonl")
    write_beside(whole, encoder, store)
    encoder.encoded.clear()
    pool = load(limit=3, documents=8).corpus
    (files / "empty").mkdir()
    vectors = embed_corpus(pool, encoder, EmbeddingStore(files / "empty"))
    assert encoder.encoded == [], "the vectors beside the corpus serve its sub-pools"
    expected = HashEncoder().encode_passages([p.contents for p in pool]).astype(np.float16)
    assert (vectors == expected).all()
    retriever = BM25Retriever(pool)
    for passage in pool:
        number = passage.id.removeprefix("d")
        assert retriever.search([f"name{number}"], 2)[0] == [passage]
    left_out = next(id_ for id_ in whole.ids if id_ not in pool).removeprefix("d")
    assert retriever.search([f"name{left_out}"], 2) == [[]]


def test_a_board_may_list_a_task_in_several_sizes(files: Path, monkeypatch) -> None:
    register_method("ask", Ask)
    paths = {kind: str(files / f"{kind}.jsonl") for kind in ("questions", "corpus", "train")}
    tasks = [{"name": "toy", "files": paths, "limit": 3, "documents": n} for n in (4, 9)]
    tasks.append({"name": "toy", "files": paths, "limit": 3})
    board = parse_board({"name": "b", "methods": ["ask"], "tasks": tasks}, "b.yaml")
    plans = list(plan_runs(board, "cpu"))
    assert [plan.config.task.passages for plan in plans] == [4, 9, 30]
    assert [len(plan.data.corpus) for plan in plans] == [4, 9, 30]
    assert len({plan.config.run_id for plan in plans}) == 3
    assert len({plan.config.task.questions_fingerprint for plan in plans}) == 1
    files_of = TaskFiles.model_validate(paths)
    assert load_task_data("toy", "sample", 3, files_of, 4).corpus_fingerprint == (
        plans[0].config.task.corpus_fingerprint
    )
    with pytest.raises(ConfigError, match=r"'tasks.0.documents' = 0: .*greater than or equal to 1"):
        parse_board({"name": "b", "methods": ["ask"], "tasks": [{**tasks[0], "documents": 0}]}, "b")


def test_the_command_line_cuts_the_corpus(cli, files: Path, tmp_path: Path) -> None:
    options = [f"--{kind}={files / f'{kind}.jsonl'}" for kind in ("questions", "corpus", "train")]
    run = ["run", "--method", "no-retrieval", "--task", "toy", *options, "--limit", 4]
    done = cli(*run, "--documents", 7, "--latency-queries", 0, "--out", tmp_path / "runs")
    assert done.code == 0, done.err
    (manifest,) = (tmp_path / "runs").glob("*/*/*/manifest.json")
    task = json.loads(manifest.read_text())["config"]["task"]
    assert (task["passages"], task["questions"]) == (7, 4)
    assert "ask for 4 or more" in cli.refuses(*run, "--documents", 2, "--out", tmp_path / "no")


def test_the_command_line_cuts_every_task_of_a_board(cli, files: Path, tmp_path: Path) -> None:
    paths = {kind: str(files / f"{kind}.jsonl") for kind in ("questions", "corpus", "train")}
    tasks = [{"name": name, "files": paths, "limit": 2} for name in ("one", "two")]
    board = tmp_path / "board.yaml"
    board.write_text(json.dumps({"name": "b", "methods": ["no-retrieval"], "tasks": tasks}))
    options = ["--documents", 6, "--latency-queries", 0, "--out", tmp_path / "runs"]
    assert cli("run", board, *options).code == 0
    manifests = [json.loads(p.read_text()) for p in (tmp_path / "runs").glob("*/*/*/manifest.json")]
    assert [m["config"]["task"]["passages"] for m in manifests] == [6, 6]
