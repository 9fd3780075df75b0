"""CoRAG with its checkpoint and its authors' prompts, with other prompts, and with any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from harness.errors import ConfigError
from harness.files import expanded
from harness.method import MethodCard
from harness.prompts import Example
from methods.corag.algorithm import ChainOfRetrieval, ChainPrompts
from methods.corag.checkout import AUTHORS, SOURCE, read_checkout
from methods.corag.few_shot import FewShotPrompts
from methods.corag.prompts import TemplatePrompts
from methods.corag.wording import REWORDED, Wording, read_wording
from methods.decomposition import stepless

if TYPE_CHECKING:
    from harness.llm.model_config import ModelConfig

PAPER = "Wang et al., Chain-of-Retrieval Augmented Generation, NeurIPS 2025, arXiv:2501.14342"

SHARED = (
    "The default encoder is all-MiniLM-L6-v2, which needs no hub; the paper's is E5-large "
    "(-p retriever=e5-large-v2), with queries cut at 64 tokens, over KILT's Wikipedia.",
    "The run's retriever searches for the passages of the question itself; the authors' come with "
    "their data set.",
    "A prompt that does not fit the window loses its lowest-ranked documents, the best one at a "
    "sentence if it is too long alone; the authors' code cuts every message in the middle, at "
    "4,096 tokens and the last one at 3,072, and each of the last one's 20 documents at 184.",
    "A sub-query, sub-answer or answer is the first non-empty line of its reply, the authors' the "
    "whole reply; labels and quotes of any kind are taken off a sub-query, there one of each.",
    "An empty sub-query counts as a failed try, an empty sub-answer as 'No relevant information "
    "found'.",
    "Chains are compared, as in the released code, by the mean log-probability of the refusal and "
    "of the token that ends the turn; that token is left out where the model is no local chat "
    "model.",
    "Tree search drops repeated sub-queries in the order they were drawn; the authors' code keeps "
    "any order of a set.",
    "The limits on tokens hold in tree search too, where the authors' code forgets them.",
    "Every sampled sub-query is a call of its own, so the tokens of its prompt count each time.",
    "The retrieved passages, of the question and of the chosen chain, are ranked by their best "
    "rank in any search, the question's search before the chain's; the paper defines no ranking.",
)
TUNED = (
    "The checkpoint was not run at full size here: tests run its code path with a small "
    "Llama of random weights.",
    "max_path_length is 6, as in the authors' script and the paper's main table; their "
    "program's own default is 3.",
)


class Tuned(ChainOfRetrieval):
    """Chains by a model that was fine-tuned to write them, in the wording of its prompts."""

    needs_training_for = "corag"
    prompted_variant = "corag-prompted"

    class Params(ChainOfRetrieval.Params):
        """Parameters of a fine-tuned model."""

        shots: int = Field(0, ge=0, le=0, description="the checkpoint's prompts hold none")
        # By its content part of a run's identity, see inputs; where it lay is not.
        prompts: str | None = Field(
            None,
            exclude=True,
            description="the prompts: a checkout of microsoft/LMOps, which is read and not run, or "
            "a YAML or JSON file (methods/corag/README.md)",
        )

    params: Params

    def wording(self) -> Wording:
        """The prompts' strings. Raises InputError if they cannot be read."""
        if self.params.prompts is None:
            return REWORDED
        path = expanded(self.params.prompts)
        return read_checkout(path) if path.is_dir() else read_wording(path)

    @property
    def inputs(self) -> Mapping[str, str]:
        """What the prompts say."""
        wording = self.wording()
        return {} if wording is REWORDED else {"prompts": wording.fingerprint}

    @property
    def provenance(self) -> Mapping[str, str]:
        """Where the prompts lay."""
        return {} if self.params.prompts is None else {"prompts": self.params.prompts}

    def descriptions(self) -> Mapping[str, str]:
        """The wording's."""
        return self.wording().tasks

    def ask_as(self, description: str) -> ChainPrompts:
        """The checkpoint's form."""
        return TemplatePrompts(description, self.wording())


class CoRAG(Tuned):
    """The checkpoint, asked in exactly the strings that it was tuned on."""

    card = MethodCard(
        title="CoRAG",
        summary="A fine-tuned model asks and answers sub-queries in a chain, then reads with it.",
        paper=PAPER,
        source=f"{SOURCE} (agent/corag_agent.py; prompts.py, which you give)",
        version=2,
        deviations=(
            "The prompts are the authors', read from the checkout that -p prompts names and "
            "checked against the SHA-256 of theirs; none is shipped.",
            "The authors' code describes multi-hop tasks alone, and so does the released "
            "checkpoint's training; for other tasks the paper's table 10 has descriptions "
            "(-p task_description), and without one the run stops.",
            *TUNED,
            *SHARED,
        ),
    )

    class Params(Tuned.Params):
        """Parameters of CoRAG."""

    params: Params

    def wording(self) -> Wording:
        """The authors' strings. Raises ConfigError for none and for others."""
        if self.params.prompts is None:
            raise ConfigError(
                "method 'corag' asks in its authors' words, which are not shipped: give a clone of "
                "https://github.com/microsoft/LMOps (-p prompts=PATH), or use the method "
                "'corag-reworded', which says the same in other words"
            )
        wording = super().wording()
        if wording.prompts_fingerprint != AUTHORS:
            raise ConfigError(
                f"{self.params.prompts}: not the prompts that CoRAG was tuned on ({SOURCE}); give "
                "those, or use the method 'corag-reworded', which takes any"
            )
        return wording

    def check_entry(self, model: ModelConfig) -> None:
        """The strings are for one user turn of the model's chat template."""
        from harness.llm.style import prompt_style

        if prompt_style(model) != "chat":
            raise ConfigError(
                f"model '{model.name}': CoRAG was tuned on turns of a chat, and this entry "
                "completes plain text; set prompt_style: chat"
            )


class CoRAGReworded(Tuned):
    """The checkpoint, asked in other words than it was tuned on."""

    card = MethodCard(
        title="CoRAG (reworded)",
        summary="CoRAG's checkpoint, asked in other words than those it was tuned on.",
        paper=PAPER,
        source=f"{SOURCE} (agent/corag_agent.py; the structure of prompts.py)",
        deviations=(
            "The checkpoint was tuned on exact strings, and these are others: the same sections in "
            "words of our own, or what -p prompts gives. What that costs was not measured; "
            "'corag' takes the authors'.",
            "The task description says whether a question takes one document or several, by the "
            "task's card; the authors' code describes multi-hop tasks alone, and the paper each "
            "data set.",
            *TUNED,
            *SHARED,
        ),
    )

    class Params(Tuned.Params):
        """Parameters of CoRAG in other words."""

    params: Params


class CoRAGPrompted(ChainOfRetrieval):
    """CoRAG's algorithm on a model that was not tuned for it, by few-shot prompts."""

    card = MethodCard(
        title="CoRAG (prompted)",
        summary="Any model asks and answers sub-queries in a chain, then reads with it.",
        paper=PAPER,
        source=f"{SOURCE} (agent/corag_agent.py); prompts of this harness",
        version=2,
        deviations=(
            "The model is not fine-tuned; demonstrations made of train questions show each step: "
            "from a question's decomposition where the task has one, else from the titles of its "
            "gold passages.",
            "The prompts are not the authors': demonstrations, the chain as lines 'QUERY: ANSWER' "
            "and the passages of this harness's reading prompt, with its instruction. Only the "
            "sub-query's prompt describes the task, by whether its card says that a question takes "
            "one document or several.",
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

    def remark(self, examples: Sequence[Example]) -> str:
        """Whether fewer sub-queries are shown than there are demonstrations."""
        return stepless(examples)

    def descriptions(self) -> Mapping[str, str]:
        """Those of this harness."""
        return REWORDED.tasks

    def ask_as(self, description: str) -> ChainPrompts:
        """The house's few-shot form."""
        return FewShotPrompts(self.prompts, description)
