"""Counterfactual facts made of real questions: a gold passage that now says something else."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal

from harness.data.corpus import Corpus
from harness.errors import InputError
from harness.metrics.answer import contains, normalise
from harness.records import Passage, Question

Kind = Literal["year", "number", "name"]

_YEAR, _NUMBER = re.compile(r"1\d{3}|20\d{2}"), re.compile(r"\d+([.,]\d+)*")


@dataclass(frozen=True, slots=True)
class ChangedFact:
    """A question whose answer ``old`` stands in ``passage``; ``changed`` says ``new`` instead.

    ``changed`` has the id of ``passage``, holds ``new`` and none of the golden answers.
    """

    question: Question
    old: str
    new: str
    passage: Passage
    changed: Passage


@dataclass(frozen=True, slots=True)
class _Candidate:
    question: Question
    old: str
    kind: Kind
    passage: Passage


def changed_facts(
    questions: Sequence[Question], corpus: Corpus, count: int, seed: int, name: str
) -> list[ChangedFact]:
    """``count`` facts of distinct documents, in an order that the seed and the ids decide.

    A question makes a fact if exactly one of its gold passages holds a golden answer, verbatim and
    as a whole word; a year, a number or capitalised words. New is the answer of another such
    question of the same kind. No golden answer and not the new one may be part of the question, of
    each other or, after the change, of the passage (normalised), so that an answer tells which
    version was read. No two facts share a gold passage. A larger count contains a smaller one.
    Raises InputError if there are not so many facts; ``name`` is the task's.
    """
    candidates = [found for question in questions if (found := _candidate(question, corpus))]
    donors = defaultdict[Kind, list[str]](list)
    for candidate in candidates:
        donors[candidate.kind].append(candidate.old)
    facts: list[ChangedFact] = []
    used: set[str] = set()
    for candidate in sorted(candidates, key=lambda c: _order(seed, c.question.id)):
        gold = set(candidate.question.gold_doc_ids)
        fact = None if gold & used else _fact(candidate, donors[candidate.kind], seed)
        if fact is not None:
            facts.append(fact)
            used |= gold
        if len(facts) == count:
            return facts
    raise InputError(
        f"the questions of '{name}' make {len(facts):,} facts that can be changed, not {count:,}; "
        f"ask for {len(facts):,} or fewer"
    )


def unchanged_questions(
    questions: Sequence[Question], facts: Sequence[ChangedFact], count: int, seed: int
) -> list[Question]:
    """At most ``count`` questions none of whose gold passages holds a fact that changes.

    In an order that the seed and the ids decide; those without gold passages are left out.
    """
    changed = {id_ for fact in facts for id_ in fact.question.gold_doc_ids}
    others = [q for q in questions if q.gold_doc_ids and changed.isdisjoint(q.gold_doc_ids)]
    return sorted(others, key=lambda question: _order(seed, question.id))[:count]


def kind_of(answer: str) -> Kind | None:
    """A year, another number, or words that all begin with a capital; None for anything else."""
    if _YEAR.fullmatch(answer):
        return "year"
    if _NUMBER.fullmatch(answer):
        return "number"
    capitals = all(word[:1].isupper() for word in answer.split(" "))
    return "name" if capitals and answer.isprintable() else None


def replaced(passage: Passage, old: str, new: str) -> Passage:
    """The passage with ``new`` for every ``old`` in title and text: whole words, same case."""
    form = _whole(old)
    title, text = (form.sub(lambda _: new, part) for part in (passage.title, passage.text))
    return replace(passage, title=title, text=text)


def _candidate(question: Question, corpus: Corpus) -> _Candidate | None:
    golds = question.golden_answers
    passages = [corpus.get(id_) for id_ in question.gold_doc_ids]
    holding = [passage for passage in passages if contains(passage.contents, golds)]
    if len(holding) != 1 or contains(question.text, golds):
        return None
    # The longest first: of "Hamlet" and "Prince Hamlet", the one that leaves nothing behind.
    for old in sorted(golds, key=len, reverse=True):
        kind = kind_of(old)
        if kind is not None and normalise(old) and _whole(old).search(holding[0].contents):
            rest = replaced(holding[0], old, "…").contents
            return None if contains(rest, golds) else _Candidate(question, old, kind, holding[0])
    return None


def _fact(candidate: _Candidate, donors: Sequence[str], seed: int) -> ChangedFact | None:
    question, passage = candidate.question, candidate.passage
    source = random.Random(f"{seed} {question.id}")  # noqa: S311
    for new in source.sample(donors, len(donors)):
        texts = (passage.contents, question.text, *question.golden_answers)
        if any(contains(text, [new]) for text in texts) or contains(new, question.golden_answers):
            continue
        changed = replaced(passage, candidate.old, new)
        if not contains(changed.contents, question.golden_answers):
            return ChangedFact(question, candidate.old, new, passage, changed)
    return None


def _whole(text: str) -> re.Pattern[str]:
    # Not \b: a text may begin or end with a sign, such as "U.S.".
    return re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")


def _order(seed: int, id_: str) -> bytes:
    return sha256(f"{seed} {id_}".encode()).digest()
