"""Indexes that the real FlashRAG builds, opened by their place."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.data.corpus import Corpus
from harness.errors import HarnessError
from harness.retrieval.open import check_retriever, open_retriever, retriever_config
from harness.retrieval.prebuilt import FORMS
from tests.tiny_encoder import SETTINGS, build_tiny_encoder

SUBJECTS = (
    "telephone Bell", "steam engine Watt", "penicillin Fleming", "radium Curie", "dynamite Nobel",
    "vaccination Jenner", "gravitation Newton", "relativity Einstein", "evolution Darwin",
    "printing Gutenberg", "aeroplanes Wright", "batteries Volta", "gramophones Edison",
    "telescopes Galilei", "logarithms Napier", "pasteurization Pasteur",
)  # fmt: skip
QUERIES = ["inventor of the telephone", "who discovered penicillin?", "telescopes"]


@dataclass(frozen=True)
class Built:
    """What FlashRAG built of one corpus, and the settings to search it with FlashRAG."""

    corpus: Path
    encoder: Path
    folder: Path

    @property
    def faiss(self) -> str:
        return f"faiss:{self.folder / 'e5_Flat.index'}@{self.encoder},{SETTINGS}"

    @property
    def bm25s(self) -> str:
        return f"bm25s:{self.folder / 'bm25'}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    pytest.importorskip("flashrag.retriever.index_builder")
    from flashrag.retriever.index_builder import Index_Builder

    folder = tmp_path_factory.mktemp("flashrag")
    rows = [
        {
            "id": f"d{i}",
            "contents": f"{subject.split()[0].title()}s\n{subject.split()[-1]} was the inventor or "
            f"discoverer of the {subject}, the inventions number {i} here",
        }
        for i, subject in enumerate(SUBJECTS)
    ]
    corpus = folder / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = {word for row in rows for word in re.findall(r"\w+", row["contents"])}
    built = Built(corpus, build_tiny_encoder(folder / "encoder", words), folder / "indexes")
    common = {"corpus_path": str(corpus), "save_dir": str(built.folder), "use_fp16": False}
    options = {"max_length": 180, "batch_size": 8, **common}
    Index_Builder(retrieval_method="bm25", model_path=None, **options).build_index()
    Index_Builder(retrieval_method="e5", model_path=str(built.encoder), **options).build_index()
    return built


@pytest.fixture(autouse=True, scope="module")
def _quiet_datasets(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("datasets")))
        yield


def test_a_faiss_index_gives_what_flashrags_own_retriever_does(built: Built) -> None:
    from flashrag.retriever.retriever import DenseRetriever

    config = {
        "retrieval_method": "e5", "retrieval_topk": 5, "corpus_path": str(built.corpus),
        "index_path": str(built.folder / "e5_Flat.index"), "save_retrieval_cache": False,
        "use_retrieval_cache": False, "retrieval_cache_path": None, "use_reranker": False,
        "retrieval_query_max_length": 128, "retrieval_pooling_method": "mean",
        "retrieval_use_fp16": False, "retrieval_batch_size": 8, "instruction": None,
        "retrieval_model_path": str(built.encoder), "use_sentence_transformer": False,
        "faiss_gpu": False, "silent_retrieval": True,
    }  # fmt: skip
    theirs, scores = DenseRetriever(config).batch_search(QUERIES, 5, return_score=True)
    corpus = Corpus.open(built.corpus)
    check_retriever(built.faiss, corpus)
    retriever = open_retriever(built.faiss, corpus)
    ours = retriever.search(QUERIES, 5)
    for mine, other, values in zip(ours, theirs, scores, strict=True):
        assert [p.score for p in mine] == pytest.approx(values, abs=1e-5)
        assert [p.id for p in mine] == [row["id"] for row in other]
    assert retriever.storage() == {"dense index": len(SUBJECTS) * 48 * 4}
    assert retriever.provenance()["index"].endswith("e5_Flat.index")


def test_a_faiss_index_of_another_order_is_found_out_before_any_run(built: Built) -> None:
    corpus = Corpus.open(built.corpus)
    turned = Corpus.from_passages(reversed(list(corpus)))
    with pytest.raises(HarnessError, match="built from a corpus in another order or by another"):
        check_retriever(built.faiss, turned)


def test_a_bm25s_index_is_searched_with_stemmed_queries(built: Built) -> None:
    import bm25s
    from Stemmer import Stemmer

    corpus = Corpus.open(built.corpus)
    retriever = open_retriever(built.bm25s, corpus)
    # As FlashRAG asks, "telephone" is no term of its index.
    index = bm25s.BM25.load(str(built.folder / "bm25"), load_corpus=False)
    assert "telephone" not in index.vocab_dict
    assert "telephon" in index.vocab_dict
    (best, *_), *_ = ours = retriever.search(QUERIES, 3)
    assert best.id == "d0"
    index.backend = "numpy"
    for query, mine in zip(QUERIES, ours, strict=True):
        asked = bm25s.tokenize([query], stemmer=Stemmer("english"), show_progress=False)
        positions, scores = index.retrieve(asked, k=3, show_progress=False)
        assert mine[0].id == corpus[int(positions[0, 0])].id
        assert [p.score for p in mine] == pytest.approx(
            [score for score in scores[0].tolist() if score > 0], abs=1e-5
        )
    assert retriever.provenance()["stemmer"] == "english"
    assert (built.folder / "bm25" / "corpus.jsonl").is_file(), "checked, and never read from"


def test_configs_tell_what_an_index_holds_not_where_it_lies(built: Built, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "elsewhere"
    shutil.copytree(built.folder, copy)
    for name in (built.faiss, built.bm25s):
        moved = name.replace(str(built.folder), str(copy))
        assert retriever_config(moved) == retriever_config(name)
        assert str(tmp_path) not in json.dumps(retriever_config(moved))
    assert set(FORMS) == {"faiss:FILE@ENCODER", "bm25s:FOLDER"}
