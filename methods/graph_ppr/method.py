"""Graph PPR: a walk from the question's names over the names that passages share ranks them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from harness import trace
from harness.files import folder_bytes
from harness.method import MethodCard
from harness.records import Passage, Query, Question, StorageReport
from harness.retrieval.prebuilt import RETRIEVER
from methods.graph_ppr.graph import Floats, Graph
from methods.graph_ppr.phrases import known_phrases, phrases_of
from methods.standard_rag import READER, RetrieveThenRead

if TYPE_CHECKING:
    from harness.data.corpus import Corpus

PAPER = "Gutiérrez et al., HippoRAG, NeurIPS 2024, arXiv 2405.14831"
INDEX = "sparse index"
"""The part of a storage report that the graph is counted in."""


class GraphRead(RetrieveThenRead):
    """Rank passages by a walk over phrases, then read; search where the question names none."""

    class Params(RetrieveThenRead.Params):
        """Parameters of the walk and of reading."""

        damping: float = Field(
            0.5, ge=0, lt=1, description="chance that the walk goes on instead of beginning again"
        )
        retriever: str = Field(
            "bm25", description=f"searches where the walk finds nothing or too little. {RETRIEVER}"
        )

    only_answers = frozenset({"damping", "k", "retriever", "max_tokens"})
    params: Params
    _graph: Graph
    _parts: dict[str, int]
    """Bytes of what was written, by part."""

    def load(self, folder: Path) -> None:
        """Open the graph."""
        corpus = self.retriever.corpus
        assert corpus is not None  # the retriever is over one
        self._graph = Graph.load(folder, len(corpus))
        self._parts = {INDEX: folder_bytes(folder)}

    def arranged(self, graph: Graph) -> Graph:
        """The graph as it is saved; a control saves another."""
        return graph

    def storage(self) -> StorageReport:
        """Text and index of the retriever, and the files of the graph."""
        report = super().storage()
        return StorageReport(Counter(report.parts) + Counter(self._parts), report.documents)

    async def starts(self, query: Query) -> list[str]:
        """Phrases of the graph at which the walk begins."""
        return known_phrases(query.text, self._graph.phrases)

    async def find(self, query: Query) -> list[Passage]:
        """The passages where the walk is most; below them, or without any, what a search brings."""
        phrases = await self.starts(query)
        ranked: list[Passage] = []
        with trace.timed("select"):
            start = self._graph.specific(phrases)
            if start.any():
                ranked = self._best(self.scores(start))
        ids = [passage.id for passage in ranked]
        trace.note("select", phrases=phrases, retrieved_ids=ids)
        if len(ranked) == self.params.k:
            return ranked
        found = await self.retriever.search(query.text, k=self.params.k)
        # Without scores, which are on another scale.
        others = [Passage(p.id, p.title, p.text) for p in found if p.id not in ids]
        return [*ranked, *others][: self.params.k]

    def scores(self, start: Floats) -> Floats:
        """Of every passage, from where a walk begins."""
        return self._graph.scores(start, self.params.damping)

    def _best(self, scores: Floats) -> list[Passage]:
        """The k passages of the highest scores above 0; of equal ones the first in the corpus."""
        order = np.argsort(-scores, kind="stable")[: self.params.k]
        corpus = self.retriever.corpus
        assert corpus is not None  # as it was when the graph was loaded
        found = [(corpus[int(place)], float(scores[place])) for place in order if scores[place] > 0]
        return [Passage(p.id, p.title, p.text, score) for p, score in found]


class GraphPPR(GraphRead):
    """HippoRAG's walk over a graph whose phrases are found by rule, without a model."""

    card = MethodCard(
        title="Graph PPR",
        summary="A walk from the question's names over names that passages share finds passages.",
        paper=PAPER,
        source="OSU-NLP-Group/HippoRAG, whose walk it is; no code of it",
        deviations=(
            "Phrases are found by rule: titles, runs of words with capitals, numbers and dates; in "
            "HippoRAG a language model names entities and triples. Languages without capitals "
            "have titles and numbers alone.",
            "A walk goes from a phrase to a passage that has it, and on to a phrase of that, all "
            "equally likely; HippoRAG's goes along triples and between synonyms.",
            "The question's phrases are those of the graph that stand in it, word for word; "
            "HippoRAG has a model name them and takes the phrase of the nearest vector for each.",
            "A passage's score is the sum over its phrases, each once and divided by the number of "
            "passages that have it (-p specific): on 226 train questions of MuSiQue Recall@5 was "
            "57.8 % with and 55.9 % without. HippoRAG's counts it once for each triple of the "
            "passage that has it, undivided.",
            "Where a question has no known phrase, or the walk reaches fewer than k passages, "
            "BM25's follow (-p retriever=...); HippoRAG ranks by its dense encoder where it finds "
            "no phrase, if it is told to.",
            "The graph's files are counted with BM25's as sparse index.",
            *READER,
        ),
    )

    class Params(GraphRead.Params):
        """Parameters of the walk, of scores and of reading."""

        specific: bool = Field(
            True, description="a phrase counts in a score the more, the fewer passages have it"
        )

    only_answers = GraphRead.only_answers | {"specific"}
    params: Params

    def scores(self, start: Floats) -> Floats:
        """Of every passage, from where a walk begins."""
        params = self.params
        return self._graph.scores(start, params.damping, specific=params.specific)

    async def write(self, corpus: Corpus, train: Sequence[Question], folder: Path) -> None:
        """Find the phrases of every passage; the model is asked nothing."""
        graph = Graph.of([phrases_of(passage.title, passage.text) for passage in corpus])
        self.arranged(graph).save(folder)


class Shuffled(GraphRead):
    """What controls share in whose graph the passages are permuted by the seed."""

    def arranged(self, graph: Graph) -> Graph:
        """The graph in which every passage has another one's phrases."""
        count = graph.passages.shape[0]
        order = Random(f"{self.seed} passages").sample(range(count), count)  # noqa: S311
        return Graph(graph.phrases, graph.passages[order], graph.edges)


class GraphPPRShuffled(Shuffled, GraphPPR):
    """The control: every passage has the phrases of another one."""

    card = MethodCard(
        title="Graph PPR, shuffled",
        summary="Control of graph-ppr: each passage has another one's phrases in the graph.",
        paper=PAPER,
        source=GraphPPR.card.source,
        deviations=("All that graph-ppr's card says; the passages are permuted by the seed.",),
    )
