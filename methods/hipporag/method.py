"""HippoRAG: the model reads triples out of passages; a walk over them ranks the passages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from harness.errors import InputError
from harness.files import write_json
from harness.method import MethodCard
from harness.records import Passage, Query, Question
from methods.graph_ppr.graph import PHRASES, Graph
from methods.graph_ppr.method import INDEX, PAPER, GraphRead, Shuffled
from methods.graph_ppr.phrases import normal
from methods.hipporag.parse import Triple, parse_entities, parse_triples
from methods.hipporag.prompts import (
    entities_of_passage,
    entities_of_question,
    triples_of_passage,
)
from methods.standard_rag import READER

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.retrieval.encoders import Encoder
    from methods.hipporag.synonyms import Vectors

VECTORS = "vectors.npy"
READ = "read.json"


class HippoRAG(GraphRead):
    """Triples of every passage, synonyms between their ends, a walk from the question's names."""

    card = MethodCard(
        title="HippoRAG",
        summary="The model reads triples out of passages; a walk over them from the question's "
        "names ranks the passages.",
        paper=PAPER,
        source="OSU-NLP-Group/HippoRAG, src/hipporag.py and create_graph.py of 2024; no code of it",
        deviations=(
            "The prompts ask for the same, named entities and then triples, in our own words, with "
            "one demonstration of our own each; completion models get them as text.",
            "Triples are read by the run's model; the paper's are GPT-3.5's. A small model names "
            "little that is right: read.json in the memory counts what could not be parsed.",
            "Lists that are cut off or stand in other text are used as far as they are whole; the "
            "official code drops a reply that is no JSON. Equal triples of a passage count once.",
            "The encoder is all-MiniLM-L6-v2 (-p encoder=...), with the paper's cosine of 0.8 for "
            "synonyms; the paper's are Contriever and ColBERTv2, for which 0.8 was chosen.",
            "A synonym's edge is added to a triple's between the same phrases; the official code "
            "puts it in its place.",
            "Accents are taken off phrases, where the official code makes blanks of the letters.",
            "Where the model names nothing in a question, or the walk reaches fewer than k "
            "passages, BM25's follow (-p retriever=...); the official code ranks by its dense "
            "encoder if it is told to, else not at all.",
            "The official code's ensemble with dense ranking and its multi-step retrieval (IRCoT) "
            "are left out.",
            "The graph's files are counted with BM25's as sparse index, the phrases' vectors as "
            "dense index.",
            *READER,
        ),
    )

    class Params(GraphRead.Params):
        """Parameters of extraction and synonyms."""

        encoder: str = Field("all-minilm-l6-v2", description="compares phrases: a dense encoder")
        synonyms: float = Field(
            0.8, ge=-1, le=1, description="cosine from which on two phrases are synonyms"
        )
        entity_tokens: int = Field(128, ge=1, description="longest list of entities, in tokens")
        triple_tokens: int = Field(256, ge=1, description="longest list of triples, in tokens")

    params: Params
    _vectors: Vectors
    _phrases: list[str]
    _encoder: Encoder

    @property
    def inputs(self) -> Mapping[str, str]:
        """What decides the encoder's vectors."""
        from harness.fingerprint import fingerprint
        from harness.retrieval.catalogue import encoder_entry

        return {"encoder": fingerprint(encoder_entry(self.params.encoder).config())}

    def check_write(self, train: Sequence[Question]) -> None:
        """Find the encoder's files, downloaded if need be."""
        from harness.retrieval.catalogue import encoder_entry
        from harness.retrieval.encoders import find_model

        find_model(encoder_entry(self.params.encoder))

    async def write(self, corpus: Corpus, train: Sequence[Question], folder: Path) -> None:
        """Have the model read every passage, join what is alike, and save the graph."""
        from methods.hipporag.synonyms import encode, synonyms

        counts: Counter[str] = Counter()
        read = await self.each(corpus, self.read)
        for _, count in read:
            counts.update(count)
        ends, edges = joined([triples for triples, _ in read])
        phrases = list(dict.fromkeys(end for each in ends for end in each))
        vectors = encode(self.open_encoder(), phrases)
        for one, other, cosine in synonyms(phrases, vectors, self.params.synonyms):
            pair = min(one, other), max(one, other)
            edges[pair] = edges.get(pair, 0.0) + cosine
            counts["synonyms"] += 1
        self.arranged(Graph.of(ends, edges)).save(folder)
        np.save(folder / VECTORS, vectors, allow_pickle=False)
        write_json(folder / READ, {name: counts[name] for name in sorted(counts)})

    async def read(self, passage: Passage) -> tuple[list[Triple], Counter[str]]:
        """Triples of one passage, their ends in normal form, and what was and was not parsed."""
        most = self.params
        named = await self.llm.generate(entities_of_passage(passage), max_tokens=most.entity_tokens)
        entities = parse_entities(named.text)
        said = await self.llm.generate(
            triples_of_passage(passage, entities or ()), max_tokens=most.triple_tokens
        )
        triples, wrong = parse_triples(said.text)
        plain = [(normal(a), normal(b), normal(c)) for a, b, c in triples]
        whole = list(dict.fromkeys(each for each in plain if each[0] and each[2]))
        counts = Counter(
            {
                "passages": 1,
                "entities": len(entities or ()),
                "entity lists not parsed": entities is None,
                "triples": len(whole),
                "triples not parsed": wrong + len(triples) - len(whole),
                "passages without a triple": not whole,
            }
        )
        return whole, counts

    def load(self, folder: Path) -> None:
        """Open the graph, the vectors of its phrases, and the encoder."""
        super().load(folder)
        self._vectors = np.load(folder / VECTORS, allow_pickle=False)
        self._phrases = list(self._graph.phrases)
        if len(self._vectors) != len(self._phrases):
            raise InputError(f"{folder}: {VECTORS} is not of {PHRASES}; delete it and run again")
        self._encoder = self.open_encoder()
        dense = (folder / VECTORS).stat().st_size
        self._parts = {INDEX: self._parts[INDEX] - dense, "dense index": dense}

    def open_encoder(self) -> Encoder:
        """The encoder of phrases."""
        from harness.retrieval.encoders import open_encoder

        return open_encoder(self.params.encoder)

    async def starts(self, query: Query) -> list[str]:
        """For each thing that the model names in the question, the phrase that is nearest to it."""
        from methods.hipporag.synonyms import encode, nearest

        reply = await self.llm.generate(
            entities_of_question(query.text), max_tokens=self.params.entity_tokens
        )
        names = list(dict.fromkeys(filter(None, map(normal, parse_entities(reply.text) or ()))))
        if not names:
            return []
        # One at a time: in a batch the last bits of a vector depend on its neighbours.
        vectors = np.concatenate([encode(self._encoder, [name]) for name in names])
        return [self._phrases[place] for place in nearest(self._vectors, vectors)]


class HippoRAGShuffled(Shuffled, HippoRAG):
    """The control: the triples are those of the corpus, but stand in other passages."""

    card = MethodCard(
        title="HippoRAG, shuffled",
        summary="Control of hipporag: each passage has the ends of another one's triples.",
        paper=PAPER,
        source=HippoRAG.card.source,
        deviations=("All that hipporag's card says; the passages are permuted by the seed.",),
    )


def joined(
    triples_of: Sequence[Sequence[Triple]],
) -> tuple[list[list[str]], dict[tuple[str, str], float]]:
    """Of every passage both ends of each triple, and how many triples join two phrases."""
    ends = [
        [end for head, _, tail in triples for end in dict.fromkeys((head, tail))]
        for triples in triples_of
    ]
    edges: Counter[tuple[str, str]] = Counter()
    for triples in triples_of:
        edges.update((min(head, tail), max(head, tail)) for head, _, tail in triples)
    return ends, {pair: float(count) for pair, count in edges.items()}
