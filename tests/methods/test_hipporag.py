"""HippoRAG: what is made of a model's lists, the graph of triples, a walk over them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.data.corpus import Corpus
from harness.files import folder_bytes, read_json
from harness.records import Passage, Query
from harness.testing.conformance import check_method
from harness.testing.models import RuleModel, ScriptedModel, WordRetriever, pick_words
from methods.hipporag.method import HippoRAG, HippoRAGShuffled, joined
from methods.hipporag.parse import parse_entities, parse_triples
from methods.hipporag.prompts import ENTITIES, FACTS
from methods.hipporag.synonyms import encode, nearest, synonyms
from tests.harness.programs import open_with, remember
from tests.harness.retrieval.helpers import HashEncoder

CORPUS = Corpus.from_passages(
    [
        Passage("d0", "Anna Berg", "She painted, and was born in the Kingdom of Norland."),
        Passage("d1", "Norland", "Norland lies at the Cold Sea."),
        Passage("d2", "Seas", "Which sea borders the country?"),
    ]
)
QUERY = Query("q", "Which sea borders the country where Anna Berg was born?")
SAID = {
    "where Anna Berg was born?\nEntities:": '["Anna  Berg!"]',
    "where Anna Berg was born?\nAnswer:": "the Cold Sea",
    'Norland.\nEntities: ["Anna Berg", "Norland"]\nFacts:': '[["Anna Berg", "born in", "Kingdom of '
    'Norland"], ["Anna Berg", "painted"]]',
    "Kingdom of Norland.\nEntities:": 'Sure: ["Anna Berg", "Norland"]',
    'Cold Sea.\nEntities: ["Norland", "Cold Sea"]\nFacts:': '[["Norland", "lies at", "Cold Sea"], '
    '["Norland", "lies at", "Cold Sea"], ["Nor',
    "Cold Sea.\nEntities:": '["Norland", "Cold Sea"',
    "country?\nEntities: []\nFacts:": "I see none.",
    "country?\nEntities:": "none",
}


@pytest.fixture(autouse=True)
def _hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HippoRAG, "open_encoder", lambda _: HashEncoder())


@pytest.mark.parametrize(
    ("reply", "entities"),
    [
        ('["A", "B", "A"]', ["A", "B"]),
        ('{"named_entities": ["A", " B "]} and more ["C"]', ["A", "B"]),
        ('["A", "B"', ["A", "B"]),
        ('["A", "cut of', ["A"]),
        ('["say \\"hi\\"", 1984, null, ["x"]]', ['say "hi"', "x"]),
        ("[]", []),
        ("A, B", None),
        ("", None),
    ],
)
def test_a_list_of_entities_is_used_as_far_as_it_is_whole(reply, entities) -> None:
    assert parse_entities(reply) == entities


@pytest.mark.parametrize(
    ("reply", "triples", "wrong"),
    [
        ('[["a", "is", "b"], ["c", "has", "d"]]', [("a", "is", "b"), ("c", "has", "d")], 0),
        ('{"triples": [["a", "in", 1867]]}', [("a", "in", "1867")], 0),
        ('[["a", "is", "b"], ["c", "ha', [("a", "is", "b")], 0),
        ('["a", "is", "b"]', [("a", "is", "b")], 0),
        ('[["a", "b"], ["a", "", "c"], ["a", "is", "b", "c"]]', [], 3),
        ("[]", [], 0),
        ("a is b", [], 1),
    ],
)
def test_lists_of_three_are_triples_and_others_are_counted(reply, triples, wrong) -> None:
    assert parse_triples(reply) == (triples, wrong)


def test_synonyms_are_pairs_above_the_threshold() -> None:
    phrases = ["norland", "kingdom of norland", "norland kingdom", "ab", "ab ab"]
    vectors = encode(HashEncoder(), phrases)
    cosines = vectors @ vectors.T
    found = {(a, b): cosine for a, b, cosine in synonyms(phrases, vectors, 0.4)}
    expected = {
        (phrases[i], phrases[j]): round(float(cosines[i, j]), 4)
        for i in range(3)
        for j in range(i + 1, 3)
        if cosines[i, j] >= 0.4
    }
    short = ("ab", "ab ab")  # of its two letters alone it would have none
    assert found == expected | {short: 1.0}
    assert len(expected) >= 2
    assert nearest(vectors, encode(HashEncoder(), ["norland"])) == [0]


def test_ends_count_for_each_triple_and_edges_for_each_in_either_direction() -> None:
    ends, edges = joined([[("a", "is", "b"), ("b", "has", "a"), ("a", "is", "a")], []])
    assert ends == [["a", "b", "b", "a", "a"], []]
    assert edges == {("a", "b"): 2.0, ("a", "a"): 1.0}


def made(folder: Path, cls=HippoRAG, **params) -> HippoRAG:
    method = cls(cls.Params(shots=0, k=2, synonyms=0.3, **params))
    open_with(method, ScriptedModel(SAID), WordRetriever(CORPUS), CORPUS)
    remember(method, CORPUS, folder=folder)
    return method


def test_a_walk_over_triples_and_a_synonym_finds_both_hops(tmp_path: Path) -> None:
    method = made(tmp_path)
    answers = []
    opened = open_with(method, ScriptedModel(SAID), WordRetriever(CORPUS), CORPUS)
    opened.run([QUERY], answers.append)
    found = answers[0].prediction
    assert (found.error, found.answer) == (None, "the Cold Sea")
    assert found.ranked_ids == ["d0", "d1"]
    assert found.usage.retrievals == 0
    (note,) = [step.data for step in found.steps if step.kind == "select"]
    assert note["phrases"] == ["anna berg"]
    weights = method._graph.edges[[method._graph.phrases["norland"]], :].toarray().ravel()
    near = HashEncoder().encode_passages(["norland", "kingdom of norland"])
    assert weights[method._graph.phrases["kingdom of norland"]] == pytest.approx(
        float(near[0] @ near[1]), abs=1e-4
    )


def test_the_control_walks_the_same_and_comes_to_other_passages(tmp_path: Path) -> None:
    folders = [tmp_path / "of", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    of, other = made(folders[0]), made(folders[1], HippoRAGShuffled)
    one, two = of._graph, other._graph
    assert list(one.phrases) == list(two.phrases)
    assert (one.edges != two.edges).nnz == 0
    rows = [graph.passages.toarray().tolist() for graph in (one, two)]
    assert rows[0] != rows[1] and sorted(rows[0]) == sorted(rows[1])
    found = {}
    for method in (of, other):
        opened = open_with(method, ScriptedModel(SAID), WordRetriever(CORPUS), CORPUS)
        opened.run([QUERY], lambda a, m=method: found.update({m: a.prediction.ranked_ids}))
    assert found[of] == ["d0", "d1"] != found[other]


def test_what_could_not_be_parsed_is_counted(tmp_path: Path) -> None:
    made(tmp_path)
    assert read_json(tmp_path / "read.json") == {
        "entities": 4,
        "entity lists not parsed": 1,
        "passages": 3,
        "passages without a triple": 1,
        "synonyms": 1,
        "triples": 2,
        "triples not parsed": 2,
    }


def test_storage_is_what_lies_on_disk(tmp_path: Path) -> None:
    method = made(tmp_path)
    parts, own = method.storage().parts, method.retriever.backend.storage()
    vectors = np.load(tmp_path / "vectors.npy", allow_pickle=False)
    assert parts["dense index"] == (tmp_path / "vectors.npy").stat().st_size > vectors.nbytes
    graph = parts["sparse index"] - own.get("sparse index", 0)
    assert graph + parts["dense index"] == folder_bytes(tmp_path)


def test_conformance_where_the_model_makes_lists() -> None:
    """Where it makes none, as most do in tests, all is searched (test_builtin)."""

    def reply(request) -> str:
        words = pick_words(request).split()
        if request.prompt.endswith(FACTS):
            return f'[["{words[0]}", "is", "{words[-1]}"], ["{words[-1]}", "has", "{words[0]} x"]]'
        return f'["{words[0]}"]' if request.prompt.endswith(ENTITIES) else words[0]

    model = RuleModel(reply)
    check_method(HippoRAG, model=model)
