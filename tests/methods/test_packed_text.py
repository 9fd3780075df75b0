"""Packed and pruned text: bm25's answers from fewer bytes, and extracts of a few words."""

from __future__ import annotations

import lzma
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.corpus import Corpus
from harness.errors import InputError
from harness.records import Passage, Query, Question
from harness.retrieval.bm25 import BM25InMemory, BM25Retriever
from harness.testing.models import RuleModel
from methods.bm25 import BM25
from methods.packed_text.method import PACKED, PackedText
from methods.packed_text.packing import read_packed, write_packed
from methods.packed_text.pruned import PrunedText, PrunedTextOracle
from methods.packed_text.words import document_frequencies, plain, pruned
from tests.harness.programs import open_with, remember

LINE = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
PASSAGES = st.lists(st.builds(Passage, LINE, LINE, LINE), min_size=1, max_size=6)
EIFFEL = Passage(
    "e", "Eiffel Tower", "The tower was built by Gustave Eiffel in 1889. It is in Paris, France."
)
BELL = Passage("b", "Alexander Bell", "Bell built the telephone in Boston. The telephone rang.")
CORPUS = Corpus.from_passages([EIFFEL, BELL])


def opened(cls, corpus, gold=None, retriever=None, **params):
    method = cls(cls.Params(**params))
    found = open_with(method, RuleModel(), retriever, corpus, gold=gold or {})
    remember(method, corpus)
    return found


def found_by(engine, query):
    answers = []
    engine.run([query], answers.append)
    (answer,) = answers
    return answer.prediction


@given(PASSAGES, st.sampled_from(["xz", "zstd"]))
def test_what_was_packed_is_unpacked(tmp_path_factory, passages, codec):
    file = tmp_path_factory.mktemp("packed") / PACKED
    write_packed(file, passages, codec)
    assert read_packed(file, codec) == passages


@pytest.mark.parametrize("codec", ["xz", "zstd"])
def test_it_answers_as_bm25_does_from_two_fifths_of_the_bytes(codec):
    """Of so few passages; of the whole sample it is a third."""
    corpus = Corpus.from_passages(islice(Corpus.open("tasks/nq/sample/corpus.jsonl"), 500))
    engine = opened(PackedText, corpus, codec=codec)
    own = BM25Retriever(corpus)
    plain_bm25 = open_with(BM25(), RuleModel(), own, corpus)
    for text in ("who wrote the declaration of independence", "zzz", "when was the telephone made"):
        query = Query("q", text)
        mine, theirs = found_by(engine, query), found_by(plain_bm25, query)
        assert mine.ranked == theirs.ranked and mine.answer == theirs.answer
    report = engine.method.storage()
    assert report.documents == len(corpus) and list(report.parts) == ["text"]
    assert report.parts["text"] < corpus.text_bytes / 2.5


def test_other_settings_of_bm25_are_its_own_too():
    settings = {"k1": 0.9, "b": 0.4}
    engine = opened(PackedText, CORPUS, **settings)
    (wanted,) = BM25InMemory(CORPUS, settings).search("Bell telephone", 5)
    (found,) = found_by(engine, Query("q", "Bell telephone")).ranked
    assert (found.id, found.score) == ("b", wanted.score)
    assert wanted.score != BM25InMemory(CORPUS, {}).search("Bell telephone", 5)[0].score


@pytest.mark.parametrize("damage", [b"", b"no archive", lzma.compress(b'["id","title"]')])
def test_a_damaged_file_is_named_with_the_way_out(tmp_path, damage):
    (tmp_path / PACKED).write_bytes(damage)
    with pytest.raises(InputError, match=rf"{PACKED}: .*; delete the memory and run again"):
        read_packed(tmp_path / PACKED, "xz")


@pytest.mark.parametrize(
    ("most", "by", "text"),
    [
        (2, "names", ""),
        (5, "names", "Gustave 1889 Paris"),
        (6, "names", "Gustave 1889 Paris France"),
        (4, "rarity", "was by"),
        (99, "names", "The was built by Gustave in 1889 It is Paris France"),
    ],
)
def test_title_names_and_rare_words_are_kept_in_their_order(most, by, text):
    kept = pruned(EIFFEL, most, by, document_frequencies(CORPUS))
    assert (kept.id, kept.title, kept.text) == ("e", "Eiffel Tower", text)


@given(
    st.builds(Passage, LINE, LINE, LINE), st.integers(1, 12), st.sampled_from(["names", "rarity"])
)
def test_never_more_words_than_asked_for_and_none_that_were_not_there(passage, most, by):
    kept = pruned(passage, most, by, document_frequencies([passage]))
    words = kept.contents.split()
    assert len(words) <= most
    assert {plain(word) for word in words} <= {plain(word) for word in passage.contents.split()}
    assert len(kept.text.split()) == len({plain(word) for word in kept.text.split()})


def test_the_pruned_words_are_found_and_read():
    engine = opened(PrunedText, CORPUS, words=5)
    prediction = found_by(engine, Query("q", "Who was Gustave?"))
    assert [passage.text for passage in prediction.ranked] == ["Gustave 1889 Paris"]
    assert found_by(engine, Query("q", "built")).ranked == []


def test_the_oracle_reads_the_gold_passage_with_the_answer_in_it():
    question = Question("q", "Where is it?", ("in France",), gold_doc_ids=("e",))
    engine = opened(PrunedTextOracle, CORPUS, {"q": question}, BM25Retriever(CORPUS), words=4)
    (read,) = found_by(engine, question.query).ranked
    assert (read.id, read.text) == ("e", "in France")
    assert (
        engine.method.storage().parts == opened(PrunedText, CORPUS, words=4).method.storage().parts
    )
