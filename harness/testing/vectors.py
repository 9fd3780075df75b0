"""Vectors of passages for tests of methods that read them, from a retriever of words."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.data.corpus import Corpus
from harness.testing.models import WordRetriever

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KEY, DIMENSIONS = "words", 8


class WordVectors(WordRetriever):
    """Finds passages by their words, and has a vector of each: how many words have which hash."""

    encoder_key = KEY

    def __init__(self, corpus: Corpus, most: int | None = None) -> None:
        super().__init__(corpus, most)
        self._words = {passage.id: words for passage, words in self._passages}

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """The vectors [ids, 8]."""
        import numpy as np

        found = np.zeros((len(ids), DIMENSIONS), np.float32)
        for row, id_ in enumerate(ids):
            for word in self._words[id_]:
                found[row, zlib.crc32(word.encode()) % DIMENSIONS] += 1
        return found
