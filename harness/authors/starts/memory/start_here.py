"""Start here: say in one sentence what it does, and which paper it follows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness import (
    Corpus,
    Hit,
    Method,
    MethodCard,
    MethodParams,
    Prediction,
    Query,
    Question,
    StorageReport,
)
from pydantic import Field


class StartHere(Method):
    """Keep one sentence of every passage; read those that share most words with the question."""

    # Boards show it. Raise `version` whenever answers may change, so that runs made before and
    # after never share a row.
    card = MethodCard(title="Start here", summary="Remembers how every passage begins.")

    class Params(MethodParams):
        """Set with -p NAME=VALUE; they are part of a run's identity."""

        k: int = Field(8, ge=1, description="sentences that are read")

    params: Params
    kept: dict[str, str]

    def write(self, corpus: Corpus, train: Sequence[Question], folder: Path) -> None:
        """Leave the memory in the folder, once for all runs that share corpus, model and seed."""
        kept = {p.id: f"{p.title}: {p.text.partition('. ')[0]}" for p in corpus}
        # JSON, npy or safetensors: a pickle would run whatever it says when it is opened.
        (folder / "sentences.json").write_text(json.dumps(kept), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Open the memory: every run does, with an object that wrote nothing."""
        self.kept = json.loads((folder / "sentences.json").read_text(encoding="utf-8"))

    def storage(self) -> StorageReport:
        """The bytes that the memory takes on disk, by part."""
        size = sum(len(sentence.encode()) for sentence in self.kept.values())
        return StorageReport({"text": size}, documents=len(self.kept))

    async def answer(self, query: Query) -> Prediction:
        """Answer one question; many run at once, and what they await is batched."""
        words = set(query.text.lower().split())
        shared = {id_: len(words & set(text.lower().split())) for id_, text in self.kept.items()}
        # Ties keep the corpus order: nothing but question and seed may decide.
        best = sorted(shared, key=lambda id_: -shared[id_])[: self.params.k]
        facts = "\n".join(self.kept[id_] for id_ in best)
        reply = await self.llm.generate(f"{facts}\n\nQuestion: {query.text}\nAnswer:")
        # Recall@K is of `ranked`, best first.
        return Prediction(reply.first_line, ranked=[Hit(id_, shared[id_]) for id_ in best])


METHODS = {"start-here": StartHere}
