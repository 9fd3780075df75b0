"""The one prompt format that Self-RAG's checkpoints were trained on."""

from __future__ import annotations

from dataclasses import dataclass

from harness.prompts import Prompt, PromptStyle
from methods.self_rag.tokens import END_OF_PARAGRAPH, PARAGRAPH, RETRIEVAL


@dataclass(frozen=True, slots=True)
class SelfRAGPrompt(Prompt):
    """An instruction and the response to it so far, in either prompt style.

    Passages end the text as retrieved evidence; without any, ``reply_start`` ends it, a control
    token or nothing.
    """

    reply_start: str = ""

    def render(self, style: PromptStyle) -> str:
        """The same text whatever the style."""
        task = self.ask
        if self.instruction:
            task = f"{self.instruction}\n\n## Input:\n\n{self.ask}"
        evidence = "".join(f"{PARAGRAPH}{p.contents}{END_OF_PARAGRAPH}" for p in self.passages)
        last = f"{RETRIEVAL}{evidence}" if evidence else self.reply_start
        return f"### Instruction:\n{task}\n\n### Response:\n{self.reply_so_far}{last}"
