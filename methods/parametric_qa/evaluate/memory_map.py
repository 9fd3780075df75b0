"""A map of the memories: z in two dimensions, and whether alike documents lie together.

Documents with the same title are passages of one article, so they should be neighbours. How many
have such a nearest neighbour is counted for z (its code), for the map and, to compare, for their
words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from harness.boards.task_entry import TaskSource
from harness.errors import ConfigError
from harness.llm.catalogue import DEFAULT_MODEL
from methods.parametric_qa.method import ParametricQA
from methods.parametric_qa.reader import DEFAULT_SHARED, check_shared

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from harness.records import Passage
    from methods.parametric_qa.shared.bundle import Bundle

Floats = npt.NDArray[np.float64]
Projection = Literal["tsne", "umap"]
LEAST = 8
"""Documents below which neither projection means anything."""
PERPLEXITY = 30
"""Neighbours that a document is compared with, for t-SNE and UMAP alike."""
COMPONENTS = 50
"""Principal components that t-SNE begins with (van der Maaten and Hinton, JMLR 2008)."""


@dataclass(frozen=True, slots=True)
class MemoryMap:
    """Where every document lies, and how memories use their dimensions.

    ``points`` [documents, 2]; ``spread`` [z_dim] is the standard deviation of each number of a
    code; ``same_title`` holds, for z, map, words and chance, the share of documents whose nearest
    neighbour has their title, among documents that share one.
    """

    facts: dict[str, Any]
    ids: tuple[str, ...]
    titles: tuple[str, ...]
    points: Floats
    spread: Floats
    same_title: dict[str, float]


def map_memories(
    task: TaskSource,
    shared: str = DEFAULT_SHARED,
    documents: int | None = None,
    projection: Projection = "tsne",
    model: str = DEFAULT_MODEL,
    device: str | None = None,
    seed: int = 0,
) -> MemoryMap:
    """Write a task's documents into memories and map them.

    ``documents``: so many with the smallest SHA-256 of their ids; None takes all. Raises InputError
    or ConfigError for what does not fit.
    """
    from harness.meters.hardware import set_torch_threads
    from methods.parametric_qa.evaluate.evaluate_write import choose, local_entry, open_local
    from methods.parametric_qa.shared.open_bundle import trained_bundle

    name, corpus = task.corpus()
    passages = choose(corpus, documents, name) if documents else list(corpus)
    if len(passages) < LEAST:
        raise ConfigError(f"a map of {len(passages)} documents shows nothing; take {LEAST} or more")
    # Their errors, before a model is loaded and memories are written.
    check_shared(shared, local_entry(model))
    if projection == "umap":
        _umap()
    set_torch_threads()
    llm = open_local(model, device)
    bundle = trained_bundle(llm, shared, None)
    bundle.parts.check_model(llm.model, llm.name)
    means, spread = _vectors(llm, bundle, passages, seed)
    points = project(means, projection, seed)
    facts = {
        "model": llm.name,
        "shared": shared,
        "task": name,
        "corpus_fingerprint": corpus.fingerprint,
        "documents": len(passages),
        "projection": projection,
        "seed": seed,
        "date": date.today().isoformat(),
    }
    same = _neighbours(means, points, passages)
    ids, titles = ([getattr(p, name) for p in passages] for name in ("id", "title"))
    return MemoryMap(facts, tuple(ids), tuple(titles), points, spread, same)


def _neighbours(means: Floats, points: Floats, passages: Sequence[Passage]) -> dict[str, float]:
    """Shares of documents whose nearest neighbour has their title, by what is compared."""
    titles = [passage.title for passage in passages]
    return {
        "z": same_title(means, titles),
        "map": same_title(points, titles, cosine=False),
        "words": same_title(_words(passages), titles),
        "chance": chance(titles),
    }


def _vectors(
    llm: LocalModel, bundle: Bundle, passages: Sequence[Passage], seed: int
) -> tuple[Floats, Floats]:
    """The mean code of each document [documents, z_dim] and the codes' spread [z_dim].

    Means are over the slots, each number divided by its standard deviation over the documents:
    else how common a document's words are, which is the first component, outweighs all others.
    """
    import torch

    from methods.parametric_qa.shared.bundle import adapter_of
    from methods.parametric_qa.write.codes import write_codes

    adapter = adapter_of(bundle.folder) if bundle.folder else None
    with llm.adapted(adapter), torch.no_grad():
        written = write_codes(llm, bundle, passages, ParametricQA.Params(), seed)
        codes = bundle.numbers(written).double()
    means = codes.mean(dim=1)
    scaled = means / means.std(dim=0).clamp_min(1e-12)
    return scaled.numpy(), codes.flatten(0, 1).std(dim=0).numpy()


def project(vectors: Floats, projection: Projection, seed: int) -> Floats:
    """Two dimensions [n, 2] of vectors [n, d]. Raises ConfigError if UMAP is not installed."""
    from sklearn.decomposition import PCA

    neighbours = min(PERPLEXITY, (len(vectors) - 1) // 3)
    first = PCA(min(COMPONENTS, *vectors.shape), random_state=seed).fit_transform(vectors)
    if projection == "tsne":
        from sklearn.manifold import TSNE

        points = TSNE(perplexity=neighbours, init="pca", random_state=seed).fit_transform(first)
    else:
        points = _umap()(n_neighbors=max(2, neighbours), random_state=seed).fit_transform(first)
    return np.asarray(points, dtype=np.float64)


def _umap() -> Any:
    try:
        from umap import UMAP
    except ImportError:
        raise ConfigError(
            "UMAP is not installed; install lm-memory-harness[umap] or take tsne"
        ) from None
    return UMAP


def same_title(vectors: Any, titles: Sequence[str], *, cosine: bool = True) -> float:
    """Share of documents whose nearest other one has their title, among those that share one.

    ``vectors`` [n, d], dense or sparse; near by cosine of the centred vectors (sparse ones as they
    are), or by distance. NaN if no two documents share a title.
    """
    from sklearn.neighbors import NearestNeighbors

    shared = _sharing(titles)
    if not shared:
        return float("nan")
    dense = isinstance(vectors, np.ndarray)
    compared = vectors - vectors.mean(axis=0) if dense and cosine else vectors
    search = NearestNeighbors(n_neighbors=2, metric="cosine" if cosine else "euclidean")
    nearest = search.fit(compared).kneighbors(compared[shared], return_distance=False)
    # A twin of the same vector may stand before the document itself.
    other = [two if one == i else one for i, (one, two) in zip(shared, nearest, strict=True)]
    return float(np.mean([titles[i] == titles[j] for i, j in zip(shared, other, strict=True)]))


def chance(titles: Sequence[str]) -> float:
    """The same share if the nearest document were any other one."""
    counts, shared = Counter(titles), _sharing(titles)
    if not shared:
        return float("nan")
    return float(np.mean([(counts[titles[i]] - 1) / (len(titles) - 1) for i in shared]))


def _sharing(titles: Sequence[str]) -> list[int]:
    counts = Counter(titles)
    return [i for i, title in enumerate(titles) if counts[title] > 1]


def _words(passages: Sequence[Passage]) -> Any:
    """TF-IDF of what is written into the memories [documents, words], sparse."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer().fit_transform([passage.contents for passage in passages])
