"""xRAG: the model reads one bridged vector of the dense encoder in the place of each passage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from harness.data.trained_on import TrainedOn, read_record
from harness.errors import ConfigError
from harness.method import Lent, Method, MethodCard, MethodParams
from harness.records import Passage, Prediction, Query, StorageReport
from harness.retrieval.prebuilt import RETRIEVER, is_sparse
from methods.xrag.prompts import reading_prompt

if TYPE_CHECKING:
    import torch

    from harness.llm.base import LanguageModel
    from harness.llm.local import LocalModel
    from harness.llm.model_config import ModelConfig
    from harness.llm.requests import Capability
    from harness.retrieval.base import Retriever
    from methods.xrag.bridge import Bridge


class XRAG(Method):
    """Find passages by their vectors; read these vectors, bridged, and no text."""

    card = MethodCard(
        title="xRAG",
        summary="The vector that finds a passage stands in its place, by a small trained map.",
        paper="Cheng et al., xRAG: Extreme Context Compression for Retrieval-augmented Generation "
        "with One Token, NeurIPS 2024 (arXiv 2405.13792)",
        source="Hannibal046/xRAG at 7335bf1, read for its behaviour; no code or prompt of it",
        deviations=(
            "The default encoder is all-MiniLM-L6-v2 (384 numbers, -p retriever); the authors' is "
            "SFR-Embedding-Mistral (4,096), and ColBERTv2 finds their passages.",
            "A vector is of a passage's title and text, up to the encoder's limit (256 tokens); "
            "the authors cut passages at 180.",
            "The house's prompts ask, in training and reading: one line a vector, then the "
            "question; a completion has no instruction. The authors ask a chat model in their "
            "words, which begin its reply.",
            "A bridge is trained on train questions with one gold passage each, and on passages "
            "(memory-harness train-bridge); the authors' on two million passages and on "
            "instructions of many tasks.",
            "The teacher of the second stage reads demonstrations, too, and its 20 likeliest "
            "tokens count; the authors' reads the passage alone, and all tokens count.",
            "Several vectors are read with -p k=3; the authors read one.",
            "No bridge ships: one that was trained on 8,000 rows of 950 questions expects the "
            "answer more after the gold passage's vector than after another's, but is not shown "
            "to answer better (methods/xrag/README.md).",
            "With --model xrag-7b the projector is the checkpoint's own; no run of full size was "
            "made, the code path is tested with a small random model of the same shape.",
        ),
    )
    needs: ClassVar[frozenset[Capability]] = frozenset({"hidden-states", "soft-prompts"})

    class Params(MethodParams):
        """Parameters of finding and reading."""

        shots: int = Field(0, ge=0, le=64, description="demonstrations from the train split")
        bridge: str | None = Field(
            None,
            description="folder of a bridge, by 'memory-harness train-bridge'; null takes the "
            "model's own, if it is a checkpoint of the authors",
        )
        retriever: str = Field("all-minilm-l6-v2", description=f"a dense one. {RETRIEVER}")
        k: int = Field(1, ge=1, le=100, description="passages whose vectors are read")
        ranked: int = Field(5, ge=1, le=1000, description="passages that are reported, read or not")
        max_tokens: int = Field(32, ge=1, description="longest answer, in tokens")

        @model_validator(mode="after")
        def _dense(self) -> Self:
            if is_sparse(self.retriever):
                raise ValueError(
                    f"retriever {self.retriever} has no vectors to read; take a dense encoder"
                )
            return self

    params: Params
    _bridge: Bridge

    @property
    def inputs(self) -> Mapping[str, str]:
        """The bridge's content; the model's own belongs to the model."""
        from harness.fingerprint import folder_fingerprint
        from methods.xrag.bridge import CONTENTS, find_bridge

        name = self.params.bridge
        return {"bridge": folder_fingerprint(find_bridge(name), CONTENTS)} if name else {}

    def trained_on(self) -> tuple[TrainedOn, ...]:
        """What the bridge was trained on; nobody noted it of the authors'."""
        from methods.xrag.bridge import find_bridge

        name = self.params.bridge
        return (read_record(find_bridge(name), f"bridge '{name}'"),) if name else ()

    def check_entry(self, model: ModelConfig) -> None:
        """A bridge is for one encoder and one style of prompts; without one, for a checkpoint."""
        from harness.llm.style import prompt_style
        from methods.xrag.authors import ENCODER, check_trained
        from methods.xrag.bridge import Bridge, find_bridge

        if self.params.bridge is None:
            check_trained(model.name, model.trained_for)
            wanted = ENCODER
        else:
            bridge = Bridge.load(find_bridge(self.params.bridge))
            bridge.check_style(prompt_style(model), model.name)
            wanted = bridge.config.encoder
        if wanted != (given := _encoder(self.params.retriever)):
            raise ConfigError(
                f"the bridge takes vectors of the encoder '{wanted}', not of '{given}': set "
                f"retriever: {wanted}, or train a bridge for the other: memory-harness train-bridge"
            )

    def check_model(self, llm: LanguageModel) -> None:
        """A bridge is for one model."""
        self._open_bridge(llm)

    def open(self, lent: Lent) -> None:
        """Open the bridge, too. Raises ConfigError if it is not for this model and encoder."""
        super().open(lent)
        self._bridge = self._open_bridge(self.llm.model)
        backend = self.retriever.backend
        wanted = self._bridge.config.encoder_key
        if backend is not None and wanted and backend.encoder_key != wanted:
            raise ConfigError(
                f"the bridge takes the vectors of '{wanted}', but the retriever '{backend.name}' "
                f"has those of '{backend.encoder_key}'; take the encoder and the settings that it "
                "was trained with"
            )

    async def answer(self, query: Query) -> Prediction:
        """Find passages, read their vectors, the best one last."""
        params = self.params
        found = await self.retriever.search(query.text, k=max(params.k, params.ranked))
        read = self._chosen(query, found)
        reply = await self.llm.generate(
            reading_prompt(query.text, len(read), self.prompts.demonstrations),
            max_tokens=params.max_tokens,
            soft_prompts=self._read(read[::-1]),
            one_line=True,
        )
        return Prediction(reply.first_line, ranked=found, read=read)

    def storage(self) -> StorageReport:
        """The vectors, and the bridge that all share: no text is needed to answer."""
        found = super().storage()
        parts = {part: size for part, size in found.parts.items() if part != "text"}
        return StorageReport({**parts, "shared parameters": self._bridge.bytes}, found.documents)

    def _chosen(self, query: Query, found: Sequence[Passage]) -> list[str]:
        """Ids of the passages whose vectors are read, best first."""
        return [passage.id for passage in found[: self.params.k]]

    def _read(self, ids: Sequence[str]) -> tuple[torch.Tensor, ...]:
        """What the model reads of passages, [1, hidden] of each."""
        import torch

        if not ids:
            return ()
        return self._bridge.segments(torch.from_numpy(self._retriever.vectors(ids)))

    @property
    def _retriever(self) -> Retriever:
        found = self.retriever.backend
        assert found is not None  # the parameters name one
        return found

    def _open_bridge(self, llm: LanguageModel) -> Bridge:
        from methods.xrag.authors import own_bridge
        from methods.xrag.bridge import Bridge, find_bridge

        model, name = _local(llm), self.params.bridge
        if name is None:
            return own_bridge(model)
        bridge = Bridge.load(find_bridge(name))
        bridge.check_model(model)
        return bridge


def _local(llm: LanguageModel) -> LocalModel:
    from harness.llm.local import LocalModel

    if not isinstance(llm, LocalModel):
        raise ConfigError(f"model '{llm.name}' shows no weights; take a local transformers model")
    return llm


def _encoder(retriever: str) -> str:
    """The name of a retriever's encoder; that of a plug-in's is its own."""
    from harness.retrieval.catalogue import encoder_entry, is_encoder
    from harness.retrieval.open import parted
    from harness.retrieval.prebuilt import FAISS, FaissSpec

    if retriever.startswith(FAISS):
        return FaissSpec.parse(retriever).entry().name
    name = parted(retriever)[0]
    if name == "dense" or is_encoder(name):
        return encoder_entry(name).name
    return retriever
