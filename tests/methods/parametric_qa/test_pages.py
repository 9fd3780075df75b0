"""Pages: passages of one title, whose scores count in selection."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.data.corpus import Corpus
from harness.data.corpus_changes import CorpusChanges
from harness.errors import ConfigError, InputError
from harness.files import folder_bytes
from harness.prompts import QAPrompts
from harness.records import Passage, Query
from harness.retrieval.bm25 import BM25InMemory
from harness.testing.conformance import check_method
from methods.parametric_qa.memory.pages import PAGES_FILE, Pages
from methods.parametric_qa.method import ParametricQA
from methods.parametric_qa.tokens import TokenMemory
from tests.harness.programs import open_with, remember
from tests.methods.parametric_qa.lab import load_tiny, token_memory, token_parts

pytestmark = pytest.mark.numeric

WAYS = ("attention", "words", "words+attention")
QUESTIONS = (
    "Who wrote Hamlet?", "Which city lies on the river Seine?", "What did Marie Curie discover?",
    "Who invented the telephone?", "polonium in Paris",
)  # fmt: skip
TEXTS = (
    ("Hamlet", "William Shakespeare wrote it."), ("Hamlet", "Polonius is stabbed in the play."),
    ("Paris", "a city on the river Seine"), ("Curie", "Marie discovered polonium and radium."),
    ("Curie", "Pierre and she lived in a city."), ("", "Who invented the telephone?"),
    ("", "the Nile"),
)  # fmt: skip
CORPUS = Corpus.from_passages([Passage(f"d{n}", *row) for n, row in enumerate(TEXTS)])


@pytest.fixture(scope="module")
def tiny(tiny_model_dir):
    return load_tiny(tiny_model_dir)


@pytest.fixture(scope="module")
def shared(tiny, tmp_path_factory):
    return token_parts(tiny, tmp_path_factory.mktemp("pages"), 12)


def opened(tiny, shared, way, folder=None, corpus=CORPUS, **params):
    return token_memory(tiny, shared, corpus, folder, selection=way, **params)


def scores(method, question: str) -> dict[str, float]:
    return {c.id: c.score for c in method._chooser.choose(question, len(method._bank))}


def test_documents_of_one_title_are_of_one_page_and_those_without_are_alone():
    pages = Pages.of(passage.title for passage in CORPUS)
    assert pages.numbers.tolist() == [0, 0, 1, 2, 2, 3, 4] and pages.count == 5
    assert pages.joined(list("abcdefg")) == ["a b", "c", "d e", "f", "g"]
    values = torch.arange(14.0).view(7, 2) * torch.tensor([1, -1])
    highest = pages.highest(values)
    for page in range(5):
        assert highest[page].equal(values[pages.numbers == page].amax(dim=0))
    assert Pages.of(()).count == 0


@pytest.mark.parametrize(("titles", "each"), [(200, 1), (300, 2)])
def test_numbers_take_few_bytes_and_come_back(tmp_path, titles, each):
    pages = Pages.of(f"title {n % titles}" for n in range(500))
    pages.save(tmp_path)
    assert folder_bytes(tmp_path) == 500 * each + 128
    assert Pages.load(tmp_path, 500, 0.5).numbers.equal(pages.numbers)


def test_files_that_are_missing_broken_or_of_others_are_named(tmp_path):
    with pytest.raises(InputError, match=rf"{PAGES_FILE}: .*write the bank again"):
        Pages.load(tmp_path, 2, 0.5)
    np.save(tmp_path / PAGES_FILE, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=rf"{PAGES_FILE}: .*write the bank again"):
        Pages.load(tmp_path, 2, 0.5)
    Pages.of("ab").save(tmp_path)
    with pytest.raises(InputError, match="has pages of 2 documents, the bank holds 3"):
        Pages.load(tmp_path, 3, 0.5)


def test_a_pages_attention_is_to_the_slots_of_all_its_documents(tiny, shared):
    method = opened(tiny, shared, "attention", pages=0.5)
    chooser, selector = method._chooser, method._bundle.selector
    for question in QUESTIONS:
        tokens = chooser.tokens(question)
        own = selector.scores(tokens, chooser.keys)
        wanted = {}
        for row, (id_, (title, _)) in enumerate(zip(CORPUS.ids, TEXTS, strict=True)):
            page = {n for n, (other, _) in enumerate(TEXTS) if title and other == title}
            mates = sorted(page | {row})
            slots = chooser.keys.each[chooser.keys.slots[mates].flatten()][None]
            wanted[id_] = float(own[row] + 0.5 * selector.scores(tokens, slots)[0])
        assert scores(method, question) == pytest.approx(wanted, abs=1e-5)


def test_a_pages_words_are_those_of_all_its_documents(tiny, shared):
    method = opened(tiny, shared, "words", pages=0.5)
    plain = opened(tiny, shared, "words")
    kept = [p.text for p in plain._chooser.index.corpus]
    pages = {0: [0, 1], 1: [2], 2: [3, 4], 3: [5], 4: [6]}
    texts = [Passage(str(n), "", " ".join(kept[i] for i in rows)) for n, rows in pages.items()]
    whole = BM25InMemory(Corpus.from_passages(texts), {})
    for question in QUESTIONS:
        own, found = scores(plain, question), whole.scores(question)
        wanted = {f"d{i}": own.get(f"d{i}", 0.0) + 0.5 * found[n]
                  for n, rows in pages.items() for i in rows}  # fmt: skip
        wanted = {id_: score for id_, score in wanted.items() if score > 0}
        assert scores(method, question) == pytest.approx(wanted)


@pytest.mark.parametrize("way", WAYS)
def test_a_page_lifts_its_documents_by_what_the_others_say(tiny, shared, way):
    before = list(scores(opened(tiny, shared, way), "William Shakespeare wrote it."))
    after = list(scores(opened(tiny, shared, way, pages=2.0), "William Shakespeare wrote it."))
    assert before[0] == after[0] == "d0"
    assert after[1] == "d1" and before[1:2] != ["d1"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("weight", [0.1, 0.25, 3.0])
def test_where_every_page_is_one_document_the_ranking_is_that_without(tiny, shared, way, weight):
    alone = Corpus.from_passages([Passage(p.id, f"{p.title} {p.id}", p.text) for p in CORPUS])
    with_, without = (
        opened(tiny, shared, way, corpus=alone, **more) for more in ({"pages": weight}, {})
    )
    for question in QUESTIONS:
        assert list(scores(with_, question)) == list(scores(without, question))


def test_rounds_of_attention_count_pages(tiny, shared):
    method = opened(tiny, shared, "attention", pages=2.0)
    found = method._chooser.choose("Shakespeare wrote radium", 4, hops=2)
    assert len({c.id for c in found}) == 4


def test_what_is_stored_is_counted_and_nothing_is_without(tiny, shared, tmp_path):
    method = opened(tiny, shared, "words", tmp_path / "with", pages=0.5)
    bank = folder_bytes(tmp_path / "with" / "bank")
    assert method.storage().parts["memory vectors"] == bank + 128 + len(CORPUS)
    plain = opened(tiny, shared, "words", tmp_path / "without")
    assert plain.storage().parts["memory vectors"] == bank
    assert not list((tmp_path / "without").rglob(PAGES_FILE))
    assert "pages" not in ParametricQA.Params().model_dump()


def test_vectors_with_pages_keep_the_rules_of_a_method(tiny):
    params = {"shared": None, "slots": 4, "z_dim": 64, "max_tokens": 4, "pages": 0.5}
    check_method(ParametricQA, params, model=tiny)


def test_a_changed_corpus_has_its_own_pages(tiny, shared, tmp_path):
    method = opened(tiny, shared, "words", tmp_path, pages=0.5)
    changes = CorpusChanges.of(
        CORPUS,
        added=[Passage("new", "Curie", "Warsaw")],
        updated=[Passage("d6", "Paris", "the Nile")],
        deleted=["d0"],
    )
    changed = changes.corpus
    method.revise(changes, [], tmp_path)
    titles = [changed.get(id_).title for id_ in method._bank.ids]
    found = Pages.load(tmp_path, len(changed), 0.5)
    assert found.numbers.equal(Pages.of(titles).numbers) and found.count == 4


def test_a_revision_that_is_killed_leaves_no_pages_of_other_documents(
    tiny, shared, tmp_path, monkeypatch
):
    method = opened(tiny, shared, "words", tmp_path, pages=0.5)
    changes = CorpusChanges.of(CORPUS, deleted=["d0"])

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Pages, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        method.revise(changes, [], tmp_path)
    with pytest.raises(InputError, match=PAGES_FILE):
        Pages.load(tmp_path, 6, 0.5)


@pytest.mark.parametrize("way", ["cosine", "router"])
def test_ways_of_selecting_that_know_no_pages_are_refused(tiny, way):
    method = ParametricQA(ParametricQA.Params(shared=None, selection=way, pages=0.5))
    with pytest.raises(ConfigError, match="pages = 0.5: pages are found by attention or by words"):
        method.check_entry(tiny.config)
    ParametricQA(ParametricQA.Params(shared=None, pages=0.5)).check_entry(tiny.config)


def test_answers_read_what_pages_found(tiny, shared):
    method = TokenMemory(
        TokenMemory.Params(shared=str(shared), selection="words", pages=2.0, max_tokens=4)
    )
    engine = open_with(method, tiny, None, CORPUS, prompts=QAPrompts(), seed=0)
    remember(method, CORPUS)
    found = []
    engine.run([Query("q", "William Shakespeare wrote it.")], found.append)
    assert [hit.id for hit in found[0].prediction.ranked][:2] == ["d0", "d1"]
