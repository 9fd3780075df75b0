"""FlashRAG's setting of a reader: zero-shot, its passage format, its limits.

Source: RUC-NLPIR/FlashRAG at 1ee5249 (prompt/base_prompt.py, examples/methods/run_exp.py,
docs/original_docs/baseline_details.md). The structure and the limits are FlashRAG's; the two
instructions say the same in other words, and over-long prompts lose passages from the end of the
ranking where FlashRAG cuts out the middle of the rendered text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from harness.method import MethodParams, later
from harness.prompts import Message, Prompt, PromptStyle, Rendered
from harness.records import Passage, Query

if TYPE_CHECKING:
    from harness.clients import LLMClient

CLOSED_BOOK = "Use what you know to answer the question. Reply with the answer alone, nothing else."
READING = (
    "Use the documents given here to answer the question. Reply with the answer alone, nothing "
    "else.\nThese are the documents.\n\n"
)
LONGEST = 2048
"""Tokens of a whole prompt, where the model can count them."""
FLASHRAG_SETTING = (
    "-p prompt=flashrag has FlashRAG's structure and limits in our words: zero-shot, instruction "
    "and documents before the question, best first, the whole reply as the answer, 32 new tokens, "
    f"prompts up to {LONGEST} tokens where they can be counted (shortened by whole documents, the "
    "best at a sentence if it is too long alone, not in the middle). A completion model's answer "
    "is its first line that is not empty. The table is of Llama-3-8B-Instruct, and with passages "
    "of e5-base-v2 and Wikipedia 2018, on the first 1,000 questions of a set."
)

Setting = Literal["few-shot", "flashrag"]


class ReaderParams(MethodParams):
    """Parameters of methods whose reader can be asked in FlashRAG's setting."""

    prompt: Setting = later(
        "few-shot",
        description="few-shot, or flashrag: the zero-shot setting of FlashRAG's published table "
        "(its structure and limits, our words)",
    )
    max_tokens: int = Field(32, ge=1, description="longest answer, in tokens")

    @model_validator(mode="before")
    @classmethod
    def _zero_shot(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.get("prompt") != "flashrag":
            return values
        if values.get("shots", 0) not in (0, "0"):
            raise ValueError("prompt=flashrag shows no demonstrations; leave shots out or set 0")
        return {**values, "shots": 0}


@dataclass(frozen=True, slots=True)
class FlashRAGPrompt(Prompt):
    """Instruction and documents as the system's message, the question as the user's."""

    def render(self, style: PromptStyle) -> Rendered:
        """Messages, or for completion models both texts one after the other."""
        documents = "".join(document(n, p) for n, p in enumerate(self.passages, start=1))
        system = self.instruction + documents
        if style == "completion":
            return f"{system}\n\n{self.ask}"
        return Message("system", system), Message("user", self.ask)


def flashrag_prompt(query: Query, passages: Sequence[Passage] | None = None) -> Prompt:
    """Ask with passages, best first; None asks from the model's own knowledge."""
    instruction = CLOSED_BOOK if passages is None else READING
    return FlashRAGPrompt(
        f"Question: {query.text}", instruction, passages=tuple(passages or ()), longest=LONGEST
    )


async def flashrag_answer(llm: LLMClient, prompt: Prompt, max_tokens: int) -> str:
    """The whole reply; of a completion model, which goes on and on, the first line with a text."""
    one_line = llm.model.prompt_style == "completion"
    reply = await llm.generate(prompt, max_tokens=max_tokens, stop=(), one_line=one_line)
    return reply.text.strip()


def document(number: int, passage: Passage) -> str:
    """A passage as one numbered line."""
    return f"Doc {number}(Title: {passage.title}) {passage.text}\n"
