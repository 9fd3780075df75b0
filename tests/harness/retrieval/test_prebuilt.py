"""Prebuilt indexes that do not fit are refused before any model is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.cli.names import describe_name, names
from harness.data.corpus import Corpus
from harness.errors import ConfigError, HarnessError, InputError
from harness.retrieval.open import check_retriever, open_retriever, retriever_config
from tests.harness.retrieval.helpers import corpus_of

TEXTS = [f"Inventions and telephones of inventor{i}, running machines{i % 7}" for i in range(40)]
TITLES = [f"Person {i}" for i in range(40)]
MINILM = "all-minilm-l6-v2"


@pytest.fixture
def corpus() -> Corpus:
    return corpus_of(*TEXTS, titles=TITLES)


def faiss_index(path: Path, rows: int = 40, dimensions: int = 384, kind: str = "Flat") -> str:
    import faiss

    vectors = np.random.default_rng(0).random((rows, dimensions), dtype=np.float32)
    index = faiss.index_factory(dimensions, kind, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    faiss.write_index(index, str(path))
    return f"faiss:{path}@{MINILM}"


def bm25s_index(
    folder: Path, corpus: Corpus, stemmer: str | None = None, saved: list[object] | None = None
) -> str:
    import bm25s
    from Stemmer import Stemmer

    stem = Stemmer(stemmer) if stemmer else None
    texts = [passage.contents for passage in corpus]
    index = bm25s.BM25(backend="numpy")
    index.index(bm25s.tokenize(texts, stemmer=stem, show_progress=False), show_progress=False)
    index.save(str(folder), corpus=saved)
    return f"bm25s:{folder}"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"rows": 39}, "holds 39 vectors, but the corpus has 40 passages"),
        ({"dimensions": 64}, f"has 64 dimensions, but encoder {MINILM} gives 384"),
        ({"kind": "HNSW8"}, "of the kind b'IHNf'; only flat inner-product"),
        ({"kind": "IVF2,Flat"}, "of the kind b'IwFl'; only flat inner-product"),
    ],
)
def test_a_faiss_index_that_does_not_fit(tmp_path: Path, corpus: Corpus, options, told) -> None:
    name = faiss_index(tmp_path / "e5_Flat.index", **options)
    with pytest.raises(InputError, match=told):
        check_retriever(name, corpus)


def test_a_folder_that_is_no_encoder(tmp_path: Path, corpus: Corpus) -> None:
    (tmp_path / "config.json").write_text("{}")
    name = faiss_index(tmp_path / "e5.index").removesuffix(MINILM)
    with pytest.raises(InputError, match="no encoder that can be loaded .Unrecognized model"):
        check_retriever(f"{name}{tmp_path},query_prefix=,normalize=true", corpus)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("faiss:e5_Flat.index", "write it as faiss:FILE@ENCODER"),
        ("faiss:@e5-base-v2", "write it as faiss:FILE@ENCODER"),
        ("faiss:absent.index@e5-base-v2", "absent.index: cannot be read .No such file"),
        ("faiss:absent.index@e5-bas-v2", "no encoder 'e5-bas-v2' in the catalogue"),
        (
            "faiss:absent.index@dense,normalise=true",
            "only query_prefix, .*normalize, .*may be given",
        ),
        ("faiss:absent.index@{here}", "needs query_prefix and normalize stated"),
        ("bm25s:", "write it as bm25s:FOLDER"),
        ("bm25s:absent", "absent: no such folder"),
        ("bm25s:{here}", "no bm25s index, data.csc.index.npy"),
        ("faiss:FILE", "write it as faiss:FILE@ENCODER"),
    ],
)
def test_a_place_that_holds_nothing(tmp_path: Path, name: str, told: str) -> None:
    with pytest.raises(HarnessError, match=told):
        retriever_config(name.format(here=tmp_path))


def test_settings_of_other_retrievers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="language: a prebuilt index has its own"):
        retriever_config("bm25s:x", {"language": "de"})


@pytest.mark.parametrize("stemmer", [None, "english"])
def test_queries_are_stemmed_as_the_index_is(
    tmp_path: Path, corpus: Corpus, stemmer: str | None
) -> None:
    retriever = open_retriever(bm25s_index(tmp_path / "bm25", corpus, stemmer), corpus)
    assert retriever.provenance()["stemmer"] == (stemmer or "none")
    assert retriever.search(["the telephones of Inventor17?"], 1)[0][0].id == "p17"
    assert bool(retriever.search(["telephone"], 1)[0]) == (stemmer == "english")
    assert retriever.search(["zebra"], 3) == [[]]
    size = sum(f.stat().st_size for f in (tmp_path / "bm25").iterdir() if "index" in f.name)
    assert retriever.storage() == {"sparse index": size}


def test_where_stemmers_agree_on_a_corpus_the_tokenizers_notes_decide(tmp_path: Path) -> None:
    import bm25s
    from Stemmer import Stemmer

    corpus = corpus_of("cat dog", "dog tree", "tree book", titles=["cat", "dog", "tree"])
    folder = tmp_path / "bm25"
    tokenizer = bm25s.tokenization.Tokenizer(stopwords="en", stemmer=Stemmer("english"))
    texts = [passage.contents for passage in corpus]
    index = bm25s.BM25(backend="numpy")
    index.index(tokenizer.tokenize(texts, return_as="tuple", show_progress=False))
    index.save(str(folder))
    assert open_retriever(f"bm25s:{folder}", corpus).search(["cats"], 1) == [[]]
    tokenizer.save_vocab(str(folder))
    assert open_retriever(f"bm25s:{folder}", corpus).search(["cats"], 1)[0][0].id == "p0"


def test_a_bm25s_index_without_a_vocabulary(tmp_path: Path, corpus: Corpus) -> None:
    name = bm25s_index(tmp_path / "bm25", corpus)
    (tmp_path / "bm25" / "vocab.index.json").unlink()
    with pytest.raises(InputError, match="holds no vocabulary"):
        retriever_config(name)


def test_a_bm25s_index_of_another_corpus(tmp_path: Path, corpus: Corpus) -> None:
    name = bm25s_index(tmp_path / "bm25", corpus, "english")
    with pytest.raises(InputError, match="holds 40 passages, but the corpus has 39"):
        check_retriever(name, corpus_of(*TEXTS[1:]))
    with pytest.raises(InputError, match="or in another order"):
        check_retriever(name, corpus_of(*TEXTS[::-1], titles=TITLES[::-1]))
    with pytest.raises(InputError, match=r"knows only \d+ % of the words"):
        check_retriever(name, corpus_of(*[f"zebras run{i} fast" for i in range(40)]))


def test_a_bm25s_index_in_which_only_the_last_passages_moved(tmp_path: Path) -> None:
    texts = [" ".join(f"word{i}x{j}" for j in range(12)) for i in range(40)]
    name = bm25s_index(tmp_path / "bm25", corpus_of(*texts[:37], *texts[38:], texts[37]))
    with pytest.raises(InputError, match="or in another order"):
        check_retriever(name, corpus_of(*texts))


def test_an_unknown_tokenizer_is_refused(tmp_path: Path, corpus: Corpus) -> None:
    name = bm25s_index(tmp_path / "bm25", corpus)
    path = tmp_path / "bm25" / "vocab.index.json"
    words = json.loads(path.read_text())
    path.write_text(json.dumps({word[::-1]: number for word, number in words.items()}))
    with pytest.raises(InputError, match="by an unknown tokenizer"):
        check_retriever(name, corpus)


@pytest.mark.parametrize("change", [[0, 1], [3, 2]])
def test_a_corpus_saved_with_the_index_must_be_the_runs(
    tmp_path: Path, corpus: Corpus, change: list[int]
) -> None:
    rows = [{"id": p.id, "contents": p.contents} for p in corpus]
    name = bm25s_index(tmp_path / "bm25", corpus, saved=rows)
    check_retriever(name, corpus)
    saved = tmp_path / "bm25" / "corpus.jsonl"
    lines = saved.read_text().splitlines(keepends=True)
    first, second = change
    lines[first], lines[second] = lines[second], lines[first]
    saved.write_text("".join(lines))
    with pytest.raises(InputError, match=rf"corpus.jsonl:{min(change) + 1}: is not passage"):
        open_retriever(name, corpus)


def test_damaged_arrays_are_refused(tmp_path: Path, corpus: Corpus) -> None:
    name = bm25s_index(tmp_path / "bm25", corpus)
    np.save(tmp_path / "bm25" / "indices.csc.index.npy", np.full(3, 99, np.int32))
    with pytest.raises(InputError, match="do not fit each other"):
        check_retriever(name, corpus)
    np.save(tmp_path / "bm25" / "data.csc.index.npy", np.array([{}], dtype=object))
    with pytest.raises(InputError, match="damaged"):
        check_retriever(name, corpus)


def test_the_forms_are_listed_and_described() -> None:
    listed = dict(names("retrievers"))
    assert "FlashRAG's bm25/" in listed["bm25s:FOLDER"]
    assert "encoder: 'one of the catalogue, or a local folder" in " ".join(
        describe_name("faiss:FILE@ENCODER").split()
    )
