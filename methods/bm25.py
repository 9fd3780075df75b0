"""BM25 and the same reader as standard RAG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from harness.method import MethodCard
from harness.retrieval.languages import TermParams
from methods.standard_rag import READER, RetrieveThenRead


class BM25(RetrieveThenRead):
    """Sparse retrieval over title and text, then read (Robertson and Zaragoza, 2009)."""

    card = MethodCard(
        title="BM25",
        summary="BM25 retrieves the k best passages once; the model reads them.",
        paper="Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009",
        source="xhluca/bm25s (Lucene's variant)",
        deviations=(
            "FlashRAG's published table has no row of BM25.",
            "Questions and passages go through the same tokenizer and stemmer; FlashRAG's BM25 "
            "stems the passages alone.",
            "k1 and b are Lucene's, 1.2 and 0.75; other engines, and published rows, have others.",
            *READER,
        ),
    )

    class Params(RetrieveThenRead.Params, TermParams):
        """Parameters of BM25 retrieval and reading."""

        k1: float = Field(1.2, gt=0, description="term-frequency saturation")
        b: float = Field(0.75, ge=0, le=1, description="length normalisation")

        def index(self) -> dict[str, Any]:
            """What decides the index: k1, b and the terms."""
            return {"k1": self.k1, "b": self.b, **self.terms()}

    params: Params
    retriever_name = "bm25"

    @property
    def retriever_settings(self) -> Mapping[str, Any]:
        """k1, b and the terms go to the index."""
        return self.params.index()
