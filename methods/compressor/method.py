"""Compressor: a retriever finds passages, and the model reads their vectors, not their text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from harness import trace
from harness.method import MethodCard
from harness.records import Passage, Prediction, Query, StorageReport
from harness.retrieval.prebuilt import RETRIEVER
from methods.others import others
from methods.parametric_qa.banked import Banked, BankParams
from methods.parametric_qa.prompts import reading_prompt

if TYPE_CHECKING:
    import torch

PAPER = (
    "Ge et al., ICAE, ICLR 2024, arXiv 2307.06945; Louis et al., PISCO, 2025, arXiv 2501.16075; "
    "He et al., CLaRa, 2025, arXiv 2511.18659"
)


class Compressor(Banked):
    """Write each passage into a few vectors in one pass; read those of the passages found."""

    card = MethodCard(
        title="Compressor",
        summary="A retriever finds passages; the model reads vectors that one pass wrote of each.",
        paper=PAPER,
        source="none; codes, encoders, bank and training are parametric-qa's",
        deviations=(
            "By default an extractive code: a vector is the mean of the input embeddings of a span "
            "of the passage. An encoder that reads the passage is trained by a recipe "
            "(memory-harness train smollm2-135m-compressor) and used with -p shared=PATH; "
            "the authors' encoders are the whole model.",
            "ICAE and PISCO store last hidden states at memory tokens, as wide as the model, in "
            "16 bits; here a code has 8 bits a number.",
            "The reader was tuned on train questions with answers alone; PISCO's teacher is the "
            "untuned model and writes the answers, ICAE's reader is not tuned.",
            "One passage is read by default, since the shipped reader was worse with more; PISCO "
            "reads five (-p k=5).",
            "The passages' text stays with the retriever and counts as storage.",
            "ICAE's checkpoint is opened (memory-harness import-icae), asked with the house's "
            "prompts, and was not run at full size; PISCO's and CLaRa's are not opened: see "
            "methods/compressor/README.md.",
        ),
    )

    class Params(BankParams):
        """What the codes are, which passages are found and how many of them are read."""

        init: Literal["spans", "encoder"] | None = Field(
            None, description="what writes codes; null: as the shared parts were trained"
        )
        retriever: str = Field("bm25", description=RETRIEVER)
        k: int = Field(1, ge=1, le=100, description="passages whose vectors are read")
        ranked: int = Field(
            5, ge=1, le=1000, description="found passages that are reported, read or not"
        )

    only_answers = frozenset({"k", "ranked", "retriever", "max_tokens"})
    params: Params

    async def answer(self, query: Query) -> Prediction:
        """Find passages, then read their vectors, the best ones last."""
        params = self.params
        found = await self.retriever.search(query.text, k=max(params.k, params.ranked))
        read = self._read(found, query)
        trace.note("read", memories_read=read)
        memories = self._memories(read)
        reply = await self.llm.generate(
            reading_prompt(query.text, len(memories), self.prompts.demonstrations),
            max_tokens=params.max_tokens,
            soft_prompts=memories,
            one_line=True,
        )
        return Prediction(reply.first_line, ranked=found, read=read)

    def storage(self) -> StorageReport:
        """The bank's files, ids included; what all share; and the text and index of the search."""
        found = super().storage()
        bank, shared = self._bank.file_bytes, self._bundle.bytes
        parts = {**found.parts, "memory vectors": bank, "shared parameters": shared}
        return StorageReport(parts, len(self._bank))

    def _codes(self, passages: Sequence[Passage]) -> torch.Tensor:
        from methods.parametric_qa.shared.initial import document_tokens
        from methods.parametric_qa.write.codes import first_codes

        bundle, names = self._bundle, [passage.id for passage in passages]
        documents = [document_tokens(self.model, passage) for passage in passages]
        init = self.params.init or bundle.init
        return first_codes(
            self.model, bundle.parts, bundle.encoder, documents, names, init, self.seed
        )

    def _read(self, found: Sequence[Passage], query: Query) -> list[str]:
        """Ids of the passages whose vectors are read, best first."""
        return [passage.id for passage in found[: self.params.k]]


class CompressorShuffled(Compressor):
    """Finds passages as usual, then reads the vectors of others: what having any vectors gives."""

    card = MethodCard(
        title="Compressor, shuffled memories",
        summary="Finds passages as compressor does but reads the vectors of random others.",
        paper=PAPER,
        source="a control of compressor",
        deviations=(
            "Random passages are drawn from those that were not found (-p ranked): a gold one may "
            "be among them.",
        ),
    )

    writes_as = "compressor"

    def _read(self, found: Sequence[Passage], query: Query) -> list[str]:
        used = {passage.id for passage in found}
        return others(self._bank.ids, used, self.params.k, self.seed, query)
