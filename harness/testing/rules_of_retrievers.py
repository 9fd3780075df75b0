"""Rules of a retriever, tried over ten passages: what ``check-retriever`` tells."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

from harness.data.corpus import Corpus
from harness.errors import HarnessError, describe_error
from harness.records import Passage
from harness.retrieval.base import Retriever
from harness.retrieval.open import open_retriever, retriever_config
from harness.testing.findings import Breach, BrokenRuleError, Findings, Wrongs
from harness.testing.models import small_task
from harness.testing.rules_of_revising import to_small_task

INDEX_PARTS = frozenset({"sparse index", "dense index"})
_QUERIES = ("Who built the lighthouse of Vell?", "Oster", "{trade} 100% \\n", "\U0001f6a2", "", "?")


class _Tried:
    """A retriever by its name, over the ten passages, and what it finds there."""

    def __init__(self, name: str) -> None:
        self.name, self.corpus = name, small_task().corpus
        self.opened = self.over(self.corpus)
        self.found = self.opened.search(list(_QUERIES), 3)

    def over(self, corpus: Corpus) -> Retriever:
        return open_retriever(self.name, corpus)


def check_retriever(name: str) -> tuple[str, ...]:
    """The rules that the retriever of a name, with its parameters, was found to keep.

    BrokenRuleError names every rule that it breaks, each with the fix.
    """
    findings = examine_retriever(name)
    if findings.broken:
        raise BrokenRuleError(findings)
    return findings.kept


def examine_retriever(name: str) -> Findings:
    """Everything found of a retriever. Raises ConfigError for a name or parameter there is not."""
    retriever_config(name)
    try:
        tried = _Tried(name)
    except HarnessError:
        raise
    except Exception as error:
        wrong = f"a search failed with {describe_error(error)}"
        return Findings(name, (), (Breach(_OPENS, wrong, "answer any text, also an empty one"),))
    kept, broken = [_OPENS], list[Breach]()
    for rule, check in _RULES.items():
        found = [Breach(rule, *wrong) for wrong in _tried(check, tried)]
        broken += found[:3]
        if not found:
            kept.append(rule)
    return Findings(name, tuple(kept), tuple(broken))


def _tried(check: Callable[[_Tried], Wrongs], tried: _Tried) -> Iterator[tuple[str, str]]:
    try:
        yield from check(tried)
    except Exception as error:
        yield f"it failed with {describe_error(error)}", "mend what raises it"


def _identity(tried: _Tried) -> Wrongs:
    config = retriever_config(tried.name)
    try:
        same = json.loads(json.dumps(config)) == config == retriever_config(tried.name)
    except TypeError:
        same = False
    if not same:
        yield f"config() gives {config!r:.80}", "give numbers, texts, lists, dictionaries alone"
    if type(tried.opened).revision(ascii_only=False) < 1:
        yield "revision() is below 1", "give 1, and raise it when results change"


def _results(tried: _Tried) -> Wrongs:
    if len(tried.found) != len(_QUERIES):
        yield f"{len(_QUERIES)} queries gave {len(tried.found)} lists", "give one list a query"
    for query, passages in zip(_QUERIES, tried.found, strict=False):
        ids = [passage.id for passage in passages]
        if len(ids) > 3 or len(set(ids)) < len(ids):
            yield f"{query!r}, k=3: {ids}", "give at most k passages, each once"
        for passage in passages:
            known = passage.id in tried.corpus and tried.corpus.get(passage.id)
            if not known or replace(passage, score=None) != known:
                yield f"{query!r}: {passage!r:.80}", "give passages as the corpus has them"
            elif passage.score is None or not isfinite(passage.score):
                yield f"{query!r}: {passage.id} has score {passage.score}", "set a finite score"
        scores = [passage.score or 0.0 for passage in passages]
        if scores != sorted(scores, reverse=True):
            yield f"{query!r}: scores {scores}", "give the best first; higher is better"


def _alone(tried: _Tried) -> Wrongs:
    for query, together in zip(_QUERIES, tried.found, strict=True):
        (alone,) = tried.opened.search([query], 3)
        if alone != together:
            yield (
                f"{query!r} finds {_ids(alone)} alone, {_ids(together)} among others",
                "let nothing of a query depend on the others",
            )
    if tried.opened.search([], 3) != []:
        yield "no query gave a result", "give [] for []"


def _bounds(tried: _Tried) -> Wrongs:
    many = len(tried.corpus) + 5
    for found in tried.opened.search(list(_QUERIES), many):
        if len(set(_ids(found))) != len(found):
            yield f"k={many}: {_ids(found)}", "give each passage once, fewer where there are fewer"
    for whole, few in zip(tried.found, tried.opened.search(list(_QUERIES), 1), strict=True):
        if few != whole[:1]:
            yield f"k=1 gives {_ids(few)}, k=3 {_ids(whole)}", "give the first k of one ranking"


def _again(tried: _Tried) -> Wrongs:
    if tried.over(tried.corpus).search(list(_QUERIES), 3) != tried.found:
        yield (
            "opened again, it finds others",
            "let corpus and parameters alone decide; name a cache after all that decides results",
        )


def _follows(tried: _Tried) -> Wrongs:
    changes = to_small_task(tried.corpus)
    other = tried.over(changes.before)
    fix = "name a cache after the corpus's fingerprint; let revised() find what a new one finds"
    if tried.opened.search(list(_QUERIES), 3) != tried.found:
        yield "opened over another corpus, the first finds others", fix
    revised = other.revised(changes)
    if revised is not None and revised.search(list(_QUERIES), 3) != tried.found:
        yield "revised() finds others than one that is opened over the changed corpus", fix


def _vectors(tried: _Tried) -> Wrongs:
    ids = list(tried.corpus.ids)
    if tried.opened.encoder_key is None:
        return
    whole = tried.opened.vectors(ids)
    if whole.ndim != 2 or len(whole) != len(ids) or whole.dtype.name != "float32":
        yield f"vectors() gives {whole.dtype.name}, {whole.shape}", "give float32, a row an id"
    elif any((tried.opened.vectors([id_]) != whole[[row]]).any() for row, id_ in enumerate(ids)):
        # NaN differs from itself, too.
        yield "a passage has another vector among others", "give each the vector that is kept"


def _storage(tried: _Tried) -> Wrongs:
    parts: Any = tried.opened.storage()
    if unknown := sorted(set(parts) - INDEX_PARTS):
        yield f"unknown parts {unknown}", f"call them {' or '.join(sorted(INDEX_PARTS))}"
    for name, value in parts.items():
        if type(value) is not int or value < 0:
            yield f"{name} = {value!r}, not a number of bytes", "give whole bytes: int(…)"


def _ids(passages: Sequence[Passage]) -> list[str]:
    return [passage.id for passage in passages]


_OPENS = "it opens over a corpus and answers any text"
_RULES: dict[str, Callable[[_Tried], Wrongs]] = {
    "its identity is its parameters and revision": _identity,
    "results are passages of the corpus, the best first": _results,
    "a query's result does not depend on the others": _alone,
    "k cuts one ranking": _bounds,
    "corpus and parameters alone decide what is found": _again,
    "another corpus does not change it": _follows,
    "a passage's vector does not depend on the others": _vectors,
    "storage() reports bytes by part": _storage,
}
RULES = (_OPENS, *_RULES)
"""Names of the rules."""
