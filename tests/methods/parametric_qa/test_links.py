"""Links: documents that the best one names, which go before others among the further ones."""

from __future__ import annotations

import pytest
import torch

from harness.data.corpus import Corpus
from harness.data.corpus_changes import CorpusChanges
from harness.errors import ConfigError, InputError
from harness.files import folder_bytes
from harness.records import Passage
from harness.retrieval.bm25 import BM25InMemory
from harness.testing.conformance import check_method
from methods.parametric_qa.links import Links
from methods.parametric_qa.memory.titles import LONGEST, TITLES_FILE, Titles, spelling
from methods.parametric_qa.method import ParametricQA
from methods.parametric_qa.shared.bundle import Bundle
from methods.parametric_qa.tokens import TokenMemory
from tests.methods.parametric_qa.lab import load_tiny, token_memory, token_parts

pytestmark = pytest.mark.numeric

TEXTS = (
    ("Ferry Crossing", "The ferry was painted by Ada Moor, whose harbour it shows."),
    ("Ada Moor", "She was born in Lindholm and taught drawing."),
    ("Harbour", "Ships lie in it."), ("Ferry Crossing", "A second part about Ada Moor."),
    ("", "Who painted a ferry? Nobody says."), ("The", "Ada Moor again, without a name."),
    ("Moor Ada", "Nothing at all is here of her."), ("Birds", "Gulls follow every ship."),
)  # fmt: skip
CORPUS = Corpus.from_passages([Passage(f"d{n}", *row) for n, row in enumerate(TEXTS)])
QUESTION = "Where was the painter of Ferry Crossing painted by whose harbour born?"


@pytest.fixture(scope="module")
def tiny(tiny_model_dir):
    return load_tiny(tiny_model_dir)


@pytest.fixture(scope="module")
def shared(tiny, tmp_path_factory):
    """With room for all tokens of a text."""
    return token_parts(tiny, tmp_path_factory.mktemp("links"), 64)


def opened(tiny, shared, folder=None, **params):
    return token_memory(tiny, shared, CORPUS, folder, **params)


def ranked(method) -> list[str]:
    return [c.id for c in method._chooser.choose(QUESTION, len(TEXTS))]


def test_a_document_is_named_by_all_the_terms_of_its_title_wherever_they_stand():
    index = BM25InMemory(CORPUS, {})
    links = Links(index, [title for title, _ in TEXTS])
    # Not the other part of the own page, the untitled one or the one whose title is a stop word.
    assert links.named(0) == [1, 2, 6]
    assert links.named(3) == [1, 6]
    assert links.named(7) == []
    one_by_one = [
        other
        for other, (title, _) in enumerate(TEXTS)
        if (terms := set(index.terms(title)))
        and terms != set(index.terms("Ferry Crossing"))
        and terms <= set(index.terms(TEXTS[0][1]))
    ]
    assert links.named(0) == one_by_one


def test_what_the_best_document_names_goes_before_what_it_does_not(tiny, shared):
    without, found = ranked(opened(tiny, shared, links=None)), ranked(opened(tiny, shared, links=9))
    assert without[0] == found[0] == "d0"
    assert {found[1], found[3]} <= {"d1", "d2", "d6"}
    assert sorted(found) == sorted(without)


def test_a_small_weight_changes_nothing(tiny, shared):
    assert ranked(opened(tiny, shared, links=1e-9)) == ranked(opened(tiny, shared, links=None))


@pytest.mark.parametrize(
    ("code", "length"),
    [([], 0), ([5, 6, 9, 5], 2), ([5, 7, 1], 2), ([6, 7, 5], 2), ([9, 5], 0), ([7, 6], 1)],
)
def test_a_code_begins_with_what_it_keeps_of_the_title(code, length):
    assert spelling([5, 6, 7], code) == length


def test_a_long_title_is_counted_as_far_as_a_byte_goes():
    assert spelling(range(900), range(900)) == LONGEST


def test_titles_take_a_byte_each_and_come_back(tiny, shared, tmp_path):
    method = opened(tiny, shared, tmp_path / "with", links=0.8)
    bank, lengths = folder_bytes(tmp_path / "with" / "bank"), method._titles.lengths
    assert method.storage().parts["memory vectors"] == bank + 128 + len(TEXTS)
    assert Titles.load(tmp_path / "with", len(TEXTS), 0.8).lengths.equal(lengths)
    for (title, _), length, code in zip(TEXTS, lengths, method._bank.codes(), strict=True):
        kept = tiny.tokenizer.decode(code.squeeze(-1)[:length].long().tolist())
        assert kept == (f"{title}:" if title else "")
    plain = opened(tiny, shared, tmp_path / "without", links=None)
    assert plain.storage().parts["memory vectors"] == bank
    assert not list((tmp_path / "without").rglob(TITLES_FILE))
    assert "links" not in ParametricQA.Params().model_dump()


def test_a_changed_corpus_has_its_own_titles(tiny, shared, tmp_path):
    method = opened(tiny, shared, tmp_path, links=0.8)
    changes = CorpusChanges.of(
        CORPUS,
        added=[Passage("new", "Lindholm", "A town.")],
        updated=[Passage("d7", "Gulls", "Birds that follow ships.")],
        deleted=["d2"],
    )
    changed, before = (
        changes.corpus,
        dict(zip(method._bank.ids, method._titles.lengths.tolist(), strict=True)),
    )
    method.revise(changes, [], tmp_path)
    found = Titles.load(tmp_path, len(changed), 0.8).lengths.tolist()
    for id_, length in zip(method._bank.ids, found, strict=True):
        title = changed.get(id_).title
        spelt = len(tiny.tokenizer(f"{title}:", add_special_tokens=False)["input_ids"])
        assert length == (spelt if title else 0)
        assert id_ in ("new", "d7") or length == before[id_]


def test_a_revision_that_is_killed_leaves_no_titles_of_other_documents(
    tiny, shared, tmp_path, monkeypatch
):
    method = opened(tiny, shared, tmp_path, links=0.8)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Titles, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        method.revise(CorpusChanges.of(CORPUS, deleted=["d0"]), [], tmp_path)
    with pytest.raises(InputError, match=TITLES_FILE):
        Titles.load(tmp_path, len(TEXTS) - 1, 0.8)


def test_files_that_are_missing_or_of_others_are_named(tmp_path):
    with pytest.raises(InputError, match=rf"{TITLES_FILE}: .*write the bank again"):
        Titles.load(tmp_path, 2, 0.8)
    Titles(torch.tensor([1, 300])).save(tmp_path)
    with pytest.raises(InputError, match="its numbers are none of titles"):
        Titles.load(tmp_path, 2, 0.8)
    Titles(torch.tensor([1, 3])).save(tmp_path)
    with pytest.raises(InputError, match="has titles of 2 documents, the bank holds 3"):
        Titles.load(tmp_path, 3, 0.8)


def test_names_need_words_and_attention(shared):
    method = TokenMemory(TokenMemory.Params(shared=str(shared), selection="words"))
    with pytest.raises(ConfigError, match="links: null, or selection: words\\+attention"):
        method.check_bundle(Bundle.load(shared))


def test_links_keep_the_rules_of_a_method(tiny, shared):
    params = {"shared": str(shared), "max_tokens": 4, "links": 0.8, "pages": None}
    check_method(TokenMemory, params, model=tiny)
