"""Passage vectors kept by content, so that a changed corpus encodes only what changed.

Vectors are rounded to float16: half the bytes, and the float32 noise of which passages were encoded
together is gone. Vectors that lie beside a corpus, in ``vectors/<encoder key>/``, are used first.
"""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.data.npy import from_npy
from harness.errors import HarnessError
from harness.files import atomic_file
from harness.retrieval.base import Progress
from harness.retrieval.encoders import Encoder, Vectors
from harness.retrieval.wanted import Digests, Wanted

if TYPE_CHECKING:
    from harness.data.corpus import Corpus

_log = logging.getLogger(__name__)
_SHARD = 1024

_DAMAGED = (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile)
"""What reading a file that is no shard raises; an encrypted one RuntimeError."""


class EmbeddingStore:
    """Append-only shards of vectors, each with the SHA-256 of the texts they were made from.

    One folder serves one encoder key. A shard is one uncompressed ``.npz`` (``keys`` uint8 (n, 32),
    ``vectors`` float16 (n, dimensions)) that appears whole under a name made of its keys, so a kill
    loses at most the shard in progress, whose remains the next session takes over, and several
    processes may add at once. A damaged shard is skipped with a warning.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def take(self, wanted: Wanted, out: NDArray[Any]) -> None:
        """Copy stored vectors to their rows of ``out``, which want them no more."""
        for digests, vectors in self._shards(out.shape[1]):
            wanted.fill(digests, vectors, out)
            if not wanted.open:
                return

    def add(self, keys: Digests, vectors: NDArray[np.float16], name: str | None = None) -> None:
        """Save one shard, under the name of its keys unless one is given."""
        name = name or sha256(keys.tobytes()).hexdigest()[:32]
        with atomic_file(self.folder / f"{name}.npz") as file:
            np.savez(file, keys=keys, vectors=vectors)

    def _shards(self, dimensions: int) -> Iterator[tuple[Digests, NDArray[np.float16]]]:
        for path in sorted(self.folder.glob("*.npz")):
            try:
                shard = _shard(path, dimensions)
            except _DAMAGED as error:
                _log.warning("%s is damaged, its passages are encoded again: %s", path, error)
                continue
            yield shard


def _shard(path: Path, dimensions: int) -> tuple[np.ndarray, NDArray[np.float16]]:
    """Keys and vectors of a file. Raises one of ``_DAMAGED``."""
    with zipfile.ZipFile(path) as file:
        keys = _array(file, "keys.npy", np.uint8)
        vectors = _array(file, "vectors.npy", np.float16)
    if keys.shape != (len(vectors), 32) or vectors.shape[1:] != (dimensions,):
        raise ValueError(f"unexpected shapes {keys.shape} and {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise ValueError("NaN or infinity among the vectors")
    return keys, vectors


def _array(file: zipfile.ZipFile, name: str, dtype: type[np.generic]) -> np.ndarray:
    """A member as an array, which takes no more memory than the file has bytes."""
    member = file.getinfo(name)
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    array = from_npy(file.read(member))
    if array.dtype != dtype:
        raise ValueError(f"{name} holds {array.dtype} numbers, not {dtype.__name__}")
    return array


def embed_corpus(
    corpus: Corpus, encoder: Encoder, store: EmbeddingStore, progress: Progress | None = None
) -> Vectors:
    """Vectors of all passages, float32 (passages, dimensions) with float16 values, in corpus order.

    As ``embed_into``.
    """
    vectors: Vectors = np.empty((len(corpus), encoder.dimensions), np.float32)
    embed_into(vectors, corpus, encoder, store, progress)
    return vectors


def embed_into(
    vectors: NDArray[Any],
    corpus: Corpus,
    encoder: Encoder,
    store: EmbeddingStore,
    progress: Progress | None = None,
) -> None:
    """Fill an array [passages, dimensions], which may be a file's, in the order of the corpus.

    Encodes what the store lacks, longest first, and saves every 1,024 passages. ``progress`` is
    called with the passages done and their total, of each shard before it is saved: after that, a
    kill would leave the shard without what is noted of it. Equal contents share one vector.
    """
    wanted = Wanted((passage.contents for passage in corpus), len(corpus))
    if corpus.path is not None:
        EmbeddingStore(folder_beside(corpus.path, encoder)).take(wanted, vectors)
    store.take(wanted, vectors)
    if progress:
        progress(len(corpus) - wanted.open, len(corpus))
    for digests, rows in wanted.parts(_SHARD):
        shard = encoded(encoder, [corpus[int(row)].contents for row in rows])
        wanted.fill(digests, shard, vectors)
        if progress:
            progress(len(corpus) - wanted.open, len(corpus))
        store.add(digests, shard)


def encoded(encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float16]:
    """Vectors of passages as they are kept. Raises HarnessError for numbers out of range."""
    vectors = encoder.encode_passages(texts).astype(np.float16)
    if not np.isfinite(vectors).all():
        raise HarnessError(f"encoder {encoder.name} gave vectors that float16 cannot hold")
    return vectors


def folder_beside(corpus: Path, encoder: Encoder) -> Path:
    """Where vectors may lie beside a corpus file."""
    return corpus.parent / "vectors" / encoder.key


def write_beside(corpus: Corpus, encoder: Encoder, store: EmbeddingStore) -> Path:
    """Keep the vectors of a corpus opened from a file beside it, for whoever gets the folder."""
    assert corpus.path is not None
    vectors = embed_corpus(corpus, encoder, store).astype(np.float16)
    digests, rows = Wanted((passage.contents for passage in corpus), len(corpus)).in_order()
    folder = folder_beside(corpus.path, encoder)
    folder.mkdir(parents=True, exist_ok=True)
    EmbeddingStore(folder).add(digests, vectors[rows], "vectors")
    return folder / "vectors.npz"
