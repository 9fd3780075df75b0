"""CoRAG with its checkpoint, and the same algorithm on any model."""

from __future__ import annotations

from pydantic import Field

from harness.method import MethodCard
from methods.corag.algorithm import ChainOfRetrieval, ChainPrompts
from methods.corag.few_shot import FewShotPrompts
from methods.corag.prompts import SectionPrompts

PAPER = "Wang et al., Chain-of-Retrieval Augmented Generation, NeurIPS 2025"
SOURCE = "microsoft/LMOps, corag (agent/corag_agent.py, prompts.py)"

SHARED = (
    "The default encoder is all-MiniLM-L6-v2, which needs no hub; the paper's is E5-large "
    "(-p retriever=e5-large-v2).",
    "A prompt that does not fit the window loses its lowest-ranked documents; the authors' code "
    "cuts long messages in the middle and each document to an even share.",
    "A sub-query, sub-answer or answer is the first non-empty line of its reply.",
    "An empty sub-query counts as a failed try, an empty sub-answer as 'No relevant information "
    "found'.",
    "Tree search drops repeated sub-queries in the order they were drawn; the authors' code keeps "
    "any order of a set.",
    "The limits on tokens hold in tree search too, where the authors' code forgets them.",
    "Every sampled sub-query is a call of its own, so the tokens of its prompt count each time.",
    "The retrieved passages, of the question and of the chosen chain, are ranked by their best "
    "rank in any search, the question's search before the chain's; the paper defines no ranking.",
)


class CoRAG(ChainOfRetrieval):
    """Chains of retrieval by a model that was fine-tuned to write them."""

    card = MethodCard(
        title="CoRAG",
        summary="A fine-tuned model asks and answers sub-queries in a chain, then reads with it.",
        paper=PAPER,
        source=SOURCE,
        deviations=(
            "The prompts have the structure that the checkpoint was tuned on, in words of our own.",
            "The checkpoint was not run at full size here: tests run its code path with a small "
            "Llama of random weights.",
            *SHARED,
        ),
    )
    needs_training_for = "corag"
    prompted_variant = "corag-prompted"

    class Params(ChainOfRetrieval.Params):
        """Parameters of CoRAG."""

        shots: int = Field(0, ge=0, le=0, description="the checkpoint's prompts hold none")

    params: Params

    @property
    def asking(self) -> ChainPrompts:
        """The checkpoint's form."""
        return SectionPrompts(self.params.task_description)


class CoRAGPrompted(ChainOfRetrieval):
    """CoRAG's algorithm on a model that was not tuned for it, by few-shot prompts."""

    card = MethodCard(
        title="CoRAG (prompted)",
        summary="Any model asks and answers sub-queries in a chain, then reads with it.",
        paper=PAPER,
        source=SOURCE,
        deviations=(
            "The model is not fine-tuned; demonstrations made of train questions show each step: "
            "from a question's decomposition where the task has one, else from the titles of its "
            "gold passages.",
            "A chain has 2 sub-queries (paper: 6), since the small default model mostly repeats "
            "itself or invents in a third.",
            "The reader gets 5 passages of the question (paper: 20), as in standard RAG; 20 would "
            "take the small default model's whole window.",
            "Replies have at most 32 tokens (paper: 64 for sub-queries, 128 for answers), as in "
            "standard RAG.",
            "The last prompt is the one of standard RAG with the chain before the question; in "
            "completion prompts the best passage comes last, in chat prompts first.",
            *SHARED,
        ),
    )

    class Params(ChainOfRetrieval.Params):
        """Parameters of CoRAG on any model."""

        final_k: int = Field(5, ge=1, le=1000, description="passages of the question itself")
        max_path_length: int = Field(2, ge=0, le=32, description="sub-queries of a chain (L)")
        sub_query_tokens: int = Field(32, ge=1, description="longest sub-query, in tokens")
        sub_answer_tokens: int = Field(32, ge=1, description="longest sub-answer, in tokens")
        max_tokens: int = Field(32, ge=1, description="longest answer, in tokens")

    params: Params

    @property
    def asking(self) -> ChainPrompts:
        """The house's few-shot form."""
        return FewShotPrompts(self.prompts, self.params.task_description)
