"""Retrievers and metrics of plug-ins that break what the harness relies on, and are told so."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import registry
from harness.errors import ConfigError, InputError
from harness.metrics import score_answer, try_metrics
from harness.records import Passage
from harness.retrieval.open import open_retriever, retriever_config
from harness.testing.findings import BrokenRuleError
from harness.testing.models import WordRetriever, small_task
from harness.testing.rules_of_retrievers import RULES, check_retriever
from harness.testing.vectors import WordVectors
from tests.harness.conftest import CommandLine


class Words(WordRetriever):
    """A good one, which follows its corpus."""

    def revised(self, changes):
        return type(self)(changes.corpus)


class Most(WordRetriever):
    """A good one with a parameter that it cannot do without."""

    def __init__(self, corpus, most):
        super().__init__(corpus, int(most))


class Unscored(WordRetriever):
    def search(self, queries, k):
        return [
            [Passage(p.id, p.title, p.text) for p in found] for found in super().search(queries, k)
        ]


class WorstFirst(WordRetriever):
    def search(self, queries, k):
        return [found[::-1] for found in super().search(queries, k)]


class Stranger(WordRetriever):
    def search(self, queries, k):
        return [[Passage("x", "", "y", 1.0)] for _ in queries]


class Together(WordRetriever):
    def search(self, queries, k):
        return super().search([" ".join(queries)] * len(queries), k)


class SecondBest(WordRetriever):
    def search(self, queries, k):
        return [found[k == 1 :][:k] for found in super().search(queries, k + 1)]


class Drifting(WordRetriever):
    opened = 0

    def __init__(self, corpus):
        type(self).opened += 1
        super().__init__(corpus, 1 if type(self).opened > 1 else None)


class Stuck(WordRetriever):
    def revised(self, changes):
        return self


class Odd(WordRetriever):
    def storage(self):
        return {"index": 1.5}


class Failing(WordRetriever):
    def search(self, queries, k):
        return [super(Failing, self).search([query.split()[0]], k)[0] for query in queries]


class Centred(WordVectors):
    def vectors(self, ids):
        found = super().vectors(ids)
        return found - found.mean(axis=0)


class Flat(WordVectors):
    def vectors(self, ids):
        return super().vectors(ids)[:, 0]


class Unwritable(WordRetriever):
    @classmethod
    def config(cls, settings):
        return {"place": Path("x")}


@pytest.fixture(autouse=True)
def _own_names(monkeypatch):
    monkeypatch.setattr(registry, "_plugins", {})


def test_a_good_retriever_keeps_every_rule():
    registry.register("retrievers", "words", Words)
    registry.register("retrievers", "most", Most)
    assert check_retriever("words") == check_retriever("most,most=2") == RULES
    registry.register("retrievers", "vectors", WordVectors)
    assert check_retriever("vectors") == RULES


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (Unscored, "score None; set a finite score"),
        (WorstFirst, "give the best first; higher is better"),
        (Stranger, "give passages as the corpus has them"),
        (Together, "let nothing of a query depend on the others"),
        (SecondBest, "give the first k of one ranking"),
        (Drifting, "opened again, it finds others; let corpus and parameters alone decide"),
        (Stuck, r"revised\(\) finds others than one that is opened over the changed corpus"),
        (Odd, r"unknown parts \['index'\].*\n.*index = 1.5, not a number of bytes"),
        (Failing, "IndexError: list index out of range; answer any text, also an empty one"),
        (Centred, "a passage has another vector among others; give each the vector that is kept"),
        (Flat, r"vectors\(\) gives float32, \(10,\); give float32, a row an id"),
        (Unwritable, "give numbers, texts, lists, dictionaries alone"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_retriever_is_told_what_to_mend(cls, words):
    registry.register("retrievers", "broken", cls)
    with pytest.raises(BrokenRuleError, match=words):
        check_retriever("broken")


def test_parameters_are_part_of_the_identity_and_refused_if_unknown():
    registry.register("retrievers", "words", WordRetriever)
    assert retriever_config("words,most=2") == {"kind": "words", "most": 2}
    assert retriever_config("words,most=null") == retriever_config("words") == {"kind": "words"}
    for name, words in [
        ("words,mots=2", "no parameter 'mots'; did you mean 'most'"),
        ("words,most", "write it as NAME,PARAM=VALUE"),
        ("wrds,most=2", "no retriever 'wrds'; did you mean 'words'"),
        ("bm25,k1=2", "'bm25' takes no parameters beside its name"),
    ]:
        with pytest.raises(ConfigError, match=words):
            retriever_config(name)
    registry.register("retrievers", "most", Most)
    with pytest.raises(ConfigError, match=r"'most' cannot be opened: TypeError.*mend it, or its"):
        open_retriever("most", small_task().corpus)


def score(metric, *, failed=False, golds=("gold",)):
    registry.register("metrics", "own", metric)
    return score_answer("x", None, golds, (), added=("own",), failed=failed)["own"]


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (
            lambda answer, golds: float("nan"),
            "gave nan for the answer 'x', not a number from 0 to 1",
        ),
        (lambda answer, golds: 1.5, "gave 1.5"),
        (lambda answer, golds: -0.1, "gave -0.1"),
        (lambda answer, golds: None, "gave None"),
        (lambda answer, golds: "0.5", "gave '0.5'"),
        (lambda answer, golds: golds[7], "failed on the answer 'x': IndexError"),
    ],
)
def test_a_metric_that_gives_no_score_is_refused(metric, words):
    with pytest.raises(InputError, match=rf"metric 'own' {words}.*answers are kept"):
        score(metric)


def test_a_failed_question_scores_nothing_and_the_metric_is_not_asked():
    assert score(lambda answer, golds: max(len(gold) / 4 for gold in golds), failed=True) == 0


def test_metrics_are_tried_before_any_work(cli: CommandLine, files: Path, tmp_path: Path):
    asked = []
    registry.register("metrics", "own", lambda answer, golds: asked.append(answer) or 2)
    with pytest.raises(InputError, match="gave 2 for the answer ''"):
        try_metrics(["em", "own"], ["gold"])
    (files.parent / "zoo").mkdir()
    files.rename(files.parent / "zoo" / "sample")
    (files.parent / "zoo" / "task.yaml").write_text("name: zoo\ntitle: Zoo\nmetrics: [own]\n")
    arguments = ["run", "--method", "no-retrieval", "--task", files.parent / "zoo"]
    told = cli.refuses(*arguments, "--out", tmp_path / "runs")
    assert "metric 'own' gave 2 for the answer ''" in told and "loading" not in told
    assert not list(tmp_path.glob("runs/zoo/*/*"))
