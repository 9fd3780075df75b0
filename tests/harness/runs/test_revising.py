"""Methods over a corpus that changes: as if they had been begun over it, and what that took."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.boards.changing.asking import ask
from harness.data.corpus_changes import CorpusChanges
from harness.method import Method, MethodCard
from harness.records import Passage, Prediction
from harness.retrieval.base import Built
from harness.runs.revising import ANEW, EXTENDED, NOTHING, REBUILT, REVISED, Reviser, of_corpus
from harness.testing.models import RuleModel, WordRetriever, small_task
from tests.harness.lab import Ask, quiet
from tests.harness.testing.broken_methods import Following, Good

NEW = Passage("new", "Harbour", "The harbour of Vell was built by Ida Berg in 1902.")
OTHER = "The lighthouse of Vell was built by Jon Abel in 1850."


class Search(Method):
    card = MethodCard("Search", "Reads what is found.")
    retriever_name = "words"

    async def answer(self, query):
        passages = await self.retriever.search(query.text, k=2)
        reply = await self.llm.generate(self.prompts.read(query, passages))
        return Prediction(reply.first_line, passages)


class Together(Following):
    """Takes all changes at once."""

    revises_together = True


class Growing(WordRetriever):
    """Goes on from what it has, as far as anybody can tell."""

    opened = 0

    def __init__(self, corpus):
        super().__init__(corpus)
        type(self).opened += 1

    def revised(self, changes):
        made = WordRetriever.__new__(type(self))
        WordRetriever.__init__(made, changes.corpus)
        made.built = Built(False, 0.5, 0.5, bytes=7)
        return made


@pytest.fixture
def retriever(monkeypatch):
    """The class that is opened as the retriever of every method; Growing if it is not changed."""
    chosen = [Growing]
    monkeypatch.setattr(Growing, "opened", 0)

    def open_index(method, corpus, name, console):
        return None if method.retriever_name is None else chosen[0](corpus)

    monkeypatch.setattr("harness.runs.revising.open_index", open_index)
    return chosen


@pytest.fixture
def data():
    return small_task()


@pytest.fixture
def changes(data):
    first = replace(data.corpus[0], text=OTHER)
    return CorpusChanges.of(data.corpus, added=[NEW], updated=[first], deleted=["d4", "d8"])


def reviser(cls, folder):
    return Reviser(cls, RuleModel(), 0, quiet(), folder)


def answers(state, data):
    queries = [question.query for question in data.questions]
    found = ask(state.engine, state.method, queries, quiet(), "test")
    return {id_: (each.answer, each.ranked_ids) for id_, each in found.items()}


@pytest.mark.parametrize(
    ("cls", "kind", "steps"),
    [
        (Ask, None, [(4, NOTHING)]),
        (Search, Growing, [(1, EXTENDED)] * 4),
        (Search, WordRetriever, [(4, REBUILT)]),
        (Following, Growing, [(1, f"{EXTENDED}, {REVISED}")] * 4),
        (Following, WordRetriever, [(4, f"{REBUILT}, {REVISED}")]),
        (Together, Growing, [(4, f"{EXTENDED}, {REVISED}")]),
        (Good, Growing, [(4, f"{EXTENDED}, {ANEW}")]),
    ],
)
def test_a_changed_corpus_is_answered_from_as_one_that_was_there_at_first(
    cls, kind, steps, retriever, data, changes, tmp_path
):
    retriever[0] = kind
    living = reviser(cls, tmp_path)
    first = living.begin(data)
    before = answers(first, data)
    changed = living.change(first, changes)
    fresh = reviser(cls, tmp_path).begin(of_corpus(data, changes))
    assert answers(changed, data) == answers(fresh, data)
    assert [(step.documents, step.how) for step in changed.steps] == steps
    assert (answers(changed, data) != before) == (cls is not Ask)
    # The first state stays, and can be changed otherwise.
    assert answers(first, data) == before
    again = living.change(first, CorpusChanges.of(data.corpus, deleted=["d0"]))
    assert "d0" not in again.data.corpus and "d4" in again.data.corpus
    assert answers(first, data) == before


def test_what_it_took_is_counted(retriever, data, changes, tmp_path):
    living = reviser(Following, tmp_path)
    first = living.begin(data)
    (written,) = first.steps
    titles = json.dumps({passage.id: passage.title for passage in data.corpus})
    assert written.how == f"{REBUILT}, {ANEW}" and written.documents == len(data.corpus)
    index = sum(WordRetriever(data.corpus).storage().values())
    assert written.written_bytes == index + len(titles)
    steps = living.change(first, changes).steps
    assert all(step.seconds > 0 for step in steps)
    assert steps[0].written_bytes == 7 + len(titles)  # an update that changes no title
    assert Growing.opened == 1


def test_an_index_from_the_cache_counts_as_what_building_it_took(
    retriever, data, changes, tmp_path, monkeypatch
):
    monkeypatch.setattr(WordRetriever, "built", Built(cached=True, seconds=30.0))
    retriever[0] = WordRetriever
    living = reviser(Search, tmp_path)
    (step,) = living.change(living.begin(data), changes).steps
    assert step.seconds == 30


def test_documents_that_do_not_change_keep_their_every_byte(retriever, data, changes, tmp_path):
    living = reviser(Following, tmp_path)
    changed = living.change(living.begin(data), changes)
    assert changed.identical == len(data.corpus) - 3
    other = reviser(Good, tmp_path)
    assert other.change(other.begin(data), changes).identical is None
