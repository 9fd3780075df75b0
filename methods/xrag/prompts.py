"""Prompts of xRAG: where the vectors of passages stand, in training and reading alike."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.prompts import SOFT, Demonstration, Prompt, PromptStyle, QAPrompts, Rendered
from harness.prompts import without_places as plain

RESTATE = (
    "Say in other words what the passage says.",
    "What does the passage tell?",
    "Write out what this passage holds.",
    "Give the content of the passage.",
)
"""What is asked of a passage when a bridge learns to have it told again."""


@dataclass(frozen=True, slots=True)
class VectorPrompt(Prompt):
    """A prompt in which vectors stand for passages, one line each, the best one last.

    A completion has no instruction. In a chat they stand in the user's last turn, after the
    instruction and before what is asked.
    """

    vectors: int = 0

    def render(self, style: PromptStyle) -> Rendered:
        """The completion text or the messages, with a place (``SOFT``) for each vector."""
        ask = "\n".join([*[f"Passage:{SOFT}"] * self.vectors, self.ask])
        if style == "completion":
            return replace(self, ask=ask, instruction="")._completion()
        turn = "\n\n".join(filter(None, [self.instruction, ask]))
        return replace(self, ask=turn, instruction="")._chat()


def reading_prompt(
    question: str, vectors: int, demonstrations: tuple[Demonstration, ...] = ()
) -> VectorPrompt:
    """Ask a question with so many vectors before it; with none, from the model's own knowledge."""
    words = QAPrompts()
    return VectorPrompt(
        f"Question: {plain(question)}",
        words.reading_instruction if vectors else words.closed_book_instruction,
        tuple(Demonstration(plain(d.ask), plain(d.reply)) for d in demonstrations),
        vectors=vectors,
    )


def restating_prompt(ask: str) -> VectorPrompt:
    """Ask for the text of the one passage whose vector stands there."""
    return VectorPrompt(ask, reply_start="Text:", vectors=1)
