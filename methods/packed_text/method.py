"""Packed text: the corpus lies compressed on disk, and loading makes its BM25 index anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from harness.method import MethodCard
from harness.records import Passage, Query, Question, StorageReport
from methods.bm25 import BM25
from methods.packed_text.packing import Codec, read_packed, write_packed
from methods.standard_rag import READER, RetrieveThenRead

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.retrieval.bm25 import BM25InMemory

PACKED = "corpus.packed"


class PackedText(RetrieveThenRead):
    """BM25 over text that takes as few bytes on disk as a general compressor leaves of it."""

    card = MethodCard(
        title="Packed text",
        summary="BM25 and the reader over a compressed corpus, whose index is made on loading.",
        paper="a baseline of equal bytes for parametric-qa and compressor",
        source="xz (liblzma) or zstd",
        deviations=(
            "What is found and read is bm25's. On disk there are ids, titles and texts in one "
            "compressed file and no index: loading unpacks all of it and builds the index in "
            "memory, which takes seconds and memory that the storage does not show.",
            *READER,
        ),
    )

    class Params(BM25.Params):
        """Parameters of packing, of BM25 and of reading."""

        codec: Codec = Field("xz", description="xz or zstd, each at its highest level")

    only_answers = frozenset({"k", "k1", "b", "prompt", "max_tokens"})
    params: Params
    retriever_name: str | None = None
    _found: BM25InMemory
    _bytes: int

    def write(self, corpus: Corpus, train: Sequence[Question], folder: Path) -> None:
        """Pack what is kept of the corpus."""
        write_packed(folder / PACKED, self.kept(corpus), self.params.codec)

    def kept(self, corpus: Corpus) -> Iterable[Passage]:
        """The passages as they are packed: whole."""
        return corpus

    def load(self, folder: Path) -> None:
        """Unpack the corpus and build its index. Raises InputError for a damaged file."""
        from harness.data.corpus import Corpus
        from harness.retrieval.bm25 import BM25InMemory

        file = folder / PACKED
        self._bytes = file.stat().st_size
        passages = read_packed(file, self.params.codec)
        self._found = BM25InMemory(Corpus.from_passages(passages), self.params.index())

    @property
    def retriever_settings(self) -> Mapping[str, Any]:
        """None: no index of the harness is asked for."""
        return {}

    def storage(self) -> StorageReport:
        """Bytes of the packed file, ids included."""
        return StorageReport({"text": self._bytes}, len(self._found.corpus))

    async def find(self, query: Query) -> list[Passage]:
        """What BM25 finds in the unpacked corpus."""
        return self._found.search(query.text, self.params.k)
