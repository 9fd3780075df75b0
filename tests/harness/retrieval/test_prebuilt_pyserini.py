"""Folders as Pyserini writes them, a faiss index and an id for each row, opened by their place."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from harness.data.corpus import Corpus
from harness.data.corpus_changes import CorpusChanges
from harness.errors import HarnessError, InputError
from harness.retrieval.encoders import open_encoder
from harness.retrieval.faiss_index import read_docids
from harness.retrieval.open import check_retriever, open_retriever, retriever_config
from tests.harness.retrieval.helpers import corpus_of
from tests.harness.retrieval.test_prebuilt_flashrag import QUERIES, SUBJECTS
from tests.tiny_encoder import SETTINGS, build_tiny_encoder

TEXTS = [f"{subject.split()[-1]} was the discoverer of {subject}" for subject in SUBJECTS]
TITLES = [f"{subject.split()[0].title()}s" for subject in SUBJECTS]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = {word for text in (*TEXTS, *TITLES) for word in text.split()}
    return build_tiny_encoder(tmp_path_factory.mktemp("pyserini") / "encoder", words)


@pytest.fixture
def corpus() -> Corpus:
    return corpus_of(*TEXTS, titles=TITLES)


def pyserini(folder: Path, corpus: Corpus, encoder: Path, rows: list[int]) -> str:
    """As ``python -m pyserini.encode ... --to-faiss`` leaves it, in an order of its own."""
    settings = {"query_prefix": "query: ", "passage_prefix": "", "normalize": True}
    model = open_encoder("dense", {"path": str(encoder), **settings})
    index = faiss.IndexFlatIP(model.dimensions)
    index.add(model.encode_passages([corpus[row].contents for row in rows]))
    folder.mkdir()
    faiss.write_index(index, str(folder / "index"))
    (folder / "docid").write_text("".join(f"{corpus[row].id}\n" for row in rows))
    return f"faiss:{folder}@{encoder},{SETTINGS}"


def test_rows_in_any_order_give_what_rows_in_order_give(
    tmp_path: Path, corpus: Corpus, encoder: Path
) -> None:
    straight = list(range(len(corpus)))
    turned = np.random.default_rng(0).permutation(straight).tolist()
    plain = open_retriever(pyserini(tmp_path / "plain", corpus, encoder, straight), corpus)
    name = pyserini(tmp_path / "turned", corpus, encoder, turned)
    check_retriever(name, corpus)
    other = open_retriever(name, corpus)
    assert other.search(QUERIES, 5) == plain.search(QUERIES, 5)
    ids = ["p3", "p0", "p15"]
    assert (other.vectors(ids) == plain.vectors(ids)).all()
    changes = CorpusChanges.of(corpus, deleted=["p2"])
    one, two = plain.revised(changes), other.revised(changes)
    assert one is not None and two is not None
    assert one.search(QUERIES, 5) == two.search(QUERIES, 5)
    assert retriever_config(name)["kind"] == "faiss"


def test_the_ids_are_part_of_what_an_index_holds(
    tmp_path: Path, corpus: Corpus, encoder: Path
) -> None:
    name = pyserini(tmp_path / "x", corpus, encoder, list(range(len(corpus))))
    before = retriever_config(name)
    docid = tmp_path / "x" / "docid"
    lines = docid.read_text().splitlines(keepends=True)
    docid.write_text("".join(lines[::-1]))
    assert retriever_config(name) != before
    with pytest.raises(HarnessError, match="built from a corpus in another order or by another"):
        open_retriever(name, corpus)
    docid.unlink()
    with pytest.raises(InputError, match="docid: cannot be read"):
        retriever_config(name)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("p0\np1\n", "has 2 ids, but the corpus has 3 passages"),
        ("p0\np1\np2\np0\n", "has 4 ids, but the corpus has 3 passages"),
        ("p0\np9\np2\n", "docid:2: 'p9' is no passage of the corpus"),
        ("p0\np1\np1\n", "names a passage twice"),
        ("", "has 0 ids"),
        ("p0\n\xff", "cannot be read .no UTF-8.; an index of Pyserini's has it beside 'index'"),
    ],
)
def test_ids_of_another_corpus_are_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "docid"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=told) as caught:
        read_docids(path, corpus_of("a", "b", "c"))
    assert "\n" not in str(caught.value)


def test_ids_in_the_corpuss_order_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "docid"
    path.write_text("p0\np1\np2")
    assert read_docids(path, corpus_of("a", "b", "c")) is None
    path.write_text("p2\np1\np0\n")
    order = read_docids(path, corpus_of("a", "b", "c"))
    assert order is not None and order.tolist() == [2, 1, 0]
