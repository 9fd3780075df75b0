"""CoRAG and CoRAG prompted."""

from __future__ import annotations

from pydantic import Field

from harness.method import MethodCard
from methods.corag.algorithm import ChainOfRetrieval, ChainPrompts
from methods.corag.few_shot import FewShotPrompts
from methods.corag.prompts import SectionPrompts


class CoRAG(ChainOfRetrieval):
    """Chains of retrieval by a model fine-tuned to write them (Wang et al., NeurIPS 2025)."""

    card = MethodCard(title="CoRAG", summary="x", source="microsoft/LMOps, corag")
    needs_training_for = "corag"
    prompted_variant = "corag-prompted"

    class Params(ChainOfRetrieval.Params):
        """Parameters of CoRAG."""

        shots: int = Field(0, ge=0, le=0, description="none: the checkpoint is not few-shot")

    params: Params

    @property
    def asking(self) -> ChainPrompts:
        """The checkpoint's form."""
        return SectionPrompts(self.params.task_description)


class CoRAGPrompted(ChainOfRetrieval):
    """CoRAG's algorithm on any model, with few-shot prompts."""

    card = MethodCard(title="CoRAG (prompted)", summary="x", source="microsoft/LMOps, corag")

    class Params(ChainOfRetrieval.Params):
        """Parameters of CoRAG on any model."""

        k: int = Field(3, ge=1, le=1000, description="passages of each sub-query")
        final_k: int = Field(5, ge=1, le=1000, description="passages of the question itself")
        max_path_length: int = Field(3, ge=0, le=32, description="sub-queries of a chain (L)")
        sub_query_tokens: int = Field(32, ge=1, description="longest sub-query, in tokens")
        sub_answer_tokens: int = Field(32, ge=1, description="longest sub-answer, in tokens")
        max_tokens: int = Field(32, ge=1, description="longest answer, in tokens")

    params: Params

    @property
    def asking(self) -> ChainPrompts:
        """The house's few-shot form."""
        return FewShotPrompts(self.prompts, self.params.task_description)
