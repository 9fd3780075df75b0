"""Graph PPR: phrases by rule, the walk against linear algebra, a bridge that BM25 cannot cross."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.data.corpus import Corpus
from harness.errors import InputError
from harness.files import folder_bytes
from harness.records import Passage, Query
from harness.retrieval.open import open_retriever
from harness.testing.models import RuleModel
from methods.graph_ppr.graph import Graph
from methods.graph_ppr.method import GraphPPR, GraphPPRShuffled
from methods.graph_ppr.phrases import known_phrases, names_in, normal, phrases_of
from tests.harness.programs import open_with, remember

CORPUS = Corpus.from_passages(
    Passage(f"d{n}", title, text)
    for n, (title, text) in enumerate(
        [
            ("Anna Berg (painter)", "Anna Berg painted birds. She was born in Norland in 1871."),
            ("Norland", "Norland lies at the Cold Sea, and trades in herring."),
            ("Seas", "Which sea borders which country where people are born? The Warm Sea does."),
            ("Birth", "The country where a person was born borders the sea of that country."),
            ("Herring", "Herring is a fish that is eaten raw, fried or smoked."),
        ]
    )
)
BRIDGE = Query("q", "Which sea borders the country where Anna Berg was born?")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("The Bank of the West opened in Paris.", ["Bank of the West", "Paris"]),
        ("He met Ludwig van Beethoven, and later Goethe.", ["Ludwig van Beethoven", "Goethe"]),
        ("On 3 July 2001 it closed.", ["3 July 2001"]),
        ("J. K. Rowling wrote it. In Rome it sold well.", ["J K Rowling", "Rome"]),
        ("Spain's king saw Spider-Man", ["Spain", "Spider-Man"]),
        ("nothing here; The End", ["End"]),
        ("A B C D E F G H I J are letters", []),
    ],
)
def test_names_of_a_text(text: str, names: list[str]) -> None:
    assert list(names_in(text)) == names


def test_phrases_are_equal_in_any_spelling_and_the_title_is_one() -> None:
    assert normal("Saint-Étienne  (1981 film)") == "saint etienne 1981 film"
    assert phrases_of("Anna Berg (painter)", "Anna Berg saw Oslo; anna saw OSLO.") == [
        "anna berg painter", "anna berg", "oslo",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("When did Anna Berg of New York City die in May?", ["anna berg", "new york city", "may"]),
        ("When was the last time that Berg ate?", ["berg"]),
        ("when was the last time that anna berg ate in may", ["last time", "anna berg"]),
        ("Who was it?", []),
    ],
)
def test_phrases_of_a_question_are_the_longest_that_are_known(question, found) -> None:
    known = ["anna berg", "berg", "new york", "new york city", "may", "last time", "who", "it"]
    assert known_phrases(question, dict.fromkeys(known, 0)) == found


def solved(graph: Graph, start: np.ndarray, damping: float) -> np.ndarray:
    """Personalised PageRank as the solution of its linear equations, all matrices dense."""
    if graph.edges is None:
        has = (graph.passages.toarray() > 0).astype(float)
        moves = (has / has.sum(axis=0)).T @ (has / has.sum(axis=1, keepdims=True))
    else:
        weights = graph.edges.toarray().astype(float)
        degrees = weights.sum(axis=1, keepdims=True)
        # From where no edge leads on, a walk begins again.
        moves = np.where(degrees > 0, weights / np.where(degrees > 0, degrees, 1), start)
    size = len(graph.phrases)
    return np.linalg.solve(np.eye(size) - damping * moves.T, (1 - damping) * start)


@pytest.mark.parametrize("damping", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("edges", [None, {("a", "b"): 2.0, ("b", "c"): 0.8, ("c", "d"): 1.0}])
def test_the_walk_is_the_solution_of_its_equations(edges, damping: float) -> None:
    graph = Graph.of([["a", "b"], ["b", "c", "c"], ["d"], ["c", "a", "d"], ["e"]], edges)
    start = graph.specific(["b", "e", "unknown"])
    assert start.tolist() == pytest.approx([0, 1 / 3, 0, 0, 2 / 3])  # b is in two, e in one
    found = graph.walk(start, damping)
    np.testing.assert_allclose(found, solved(graph, start, damping), atol=1e-8)
    assert found.sum() == pytest.approx(1)
    b, c, e = (found[graph.phrases[phrase]] for phrase in "bce")
    scores = graph.scores(start, damping)
    assert scores[1] == pytest.approx(b + 2 * c)
    assert scores[4] == pytest.approx(e)
    frequency = graph.frequencies[graph.phrases["c"]]
    assert frequency == 2
    assert graph.scores(start, damping, specific=True)[1] == pytest.approx(
        b / 2 + 2 * c / frequency
    )


def made(cls=GraphPPR, folder: Path | None = None, **params) -> GraphPPR:
    """A method over the five passages, with BM25 itself."""
    method = cls(cls.Params(shots=0, **params))
    settings = {"k1": 1.2, "b": 0.75}
    retriever = open_retriever("bm25", CORPUS, settings=settings, progress=lambda *_: None)
    open_with(method, RuleModel(), retriever, CORPUS)
    remember(method, CORPUS, folder=folder)
    return method


def found_by(method: GraphPPR, query: Query) -> list[str]:
    answers = []
    opened = open_with(method, RuleModel(), method.retriever.backend, CORPUS)
    opened.run([query], answers.append)
    assert answers[0].prediction.error is None
    return answers[0].prediction.ranked_ids


def test_a_bridge_that_bm25_cannot_cross() -> None:
    method = made(k=2)
    best = [p.id for p in method.retriever.backend.search([BRIDGE.text], 2)[0]]
    assert "d1" not in best
    assert found_by(method, BRIDGE) == ["d0", "d1"]


def test_the_graph_of_other_passages_loses() -> None:
    method = made(GraphPPRShuffled, k=2)
    assert set(found_by(method, BRIDGE)) != {"d0", "d1"}


def test_what_the_walk_does_not_reach_is_searched() -> None:
    method = made(k=5)
    unknown = Query("q", "Is fish eaten raw?")
    searched = [p.id for p in method.retriever.backend.search([unknown.text], 5)[0]]
    assert found_by(method, unknown) == searched
    ranked = found_by(method, BRIDGE)
    assert ranked[:2] == ["d0", "d1"]
    assert set(ranked[-2:]) == {"d2", "d3"}  # those that no name joins
    assert len(ranked) == len(set(ranked))


def test_the_files_on_disk_are_what_storage_reports(tmp_path: Path) -> None:
    method = made(folder=tmp_path)
    parts = method.storage().parts
    index = method.retriever.backend.storage()["sparse index"]
    assert parts["sparse index"] == index + folder_bytes(tmp_path)
    assert parts["text"] == CORPUS.text_bytes
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy", ".json"}


def test_a_graph_of_another_corpus_is_refused(tmp_path: Path) -> None:
    made(folder=tmp_path)
    with pytest.raises(InputError, match="a graph of 5 passages, not 4; delete it and run again"):
        Graph.load(tmp_path, 4)
