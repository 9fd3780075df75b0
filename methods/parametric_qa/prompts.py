"""Prompts of Parametric QA: where memories stand, in training, writing and reading alike."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.prompts import SOFT, Demonstration, Prompt, PromptStyle, QAPrompts, Rendered
from harness.prompts import without_places as plain

MAY_HELP = "The memories may hold the answer."
RECALL = "The memory holds a text. Write the text, word by word."
FOLLOW = "The memory holds the first half of a text. Write the second half."


@dataclass(frozen=True, slots=True)
class MemoryPrompt(Prompt):
    """A prompt in which memories stand, one soft segment each, best last.

    A completion begins with them, and no word says what they are: so the shipped reader was
    trained. In a chat they stand in the user's last turn, numbered, after the instruction and
    before the question. No white space touches a memory: tokenizers differ in what they make of
    it where a text begins.
    """

    memories: int = 0

    def render(self, style: PromptStyle) -> Rendered:
        """The completion text or the messages, with a place (``SOFT``) for each memory."""
        if style == "completion":
            silent = replace(self, instruction="")
            return SOFT * self.memories + (silent._completion() if self.ask else "")
        memories = "".join(f"Memory {n}:{SOFT}" for n in range(1, self.memories + 1))
        turn = "\n\n".join(filter(None, [self.instruction, memories + self.ask]))
        return replace(self, ask=turn, instruction="")._chat()


def reading_prompt(
    question: str, memories: int, demonstrations: tuple[Demonstration, ...] = ()
) -> MemoryPrompt:
    """Ask a question of so many memories; of none, from the reader's own knowledge."""
    alone = QAPrompts().closed_book_instruction
    return MemoryPrompt(
        f"Question: {plain(question)}",
        f"{alone} {MAY_HELP}" if memories else alone,
        tuple(Demonstration(plain(d.ask), plain(d.reply)) for d in demonstrations),
        memories=memories,
    )


def recall_prompt(instruction: str = RECALL) -> MemoryPrompt:
    """Ask for the text of one memory, or for what follows it (``FOLLOW``)."""
    return MemoryPrompt("", instruction, memories=1)
