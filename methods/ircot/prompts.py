"""IRCoT's prompt and its demonstrations: paragraphs, a question, a chain of thought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.prompts import (
    Demonstration,
    Example,
    Message,
    Prompt,
    PromptStyle,
    Rendered,
    passage_line,
)
from harness.records import Passage, Query
from methods.decomposition import shows_steps
from methods.ircot.chains import chain_of_thought, excerpt, gold_passages
from methods.ircot.passages import shown

INSTRUCTION = (
    "Reason step by step. Each line states one fact from the passages that helps to answer the "
    'question; the last one says "So the answer is:" and the answer.'
)
REPLY_START = "Let's think step by step."
"""After "Reasoning:", "A:" or "Facts:" the default model named an answer at once for 8, 6 and 2 of
10 train questions of HotpotQA, after this for none."""


@dataclass(frozen=True, slots=True)
class ThoughtPrompt(Prompt):
    """Asks for the next sentence of a chain of thought.

    Passages stand after the demonstrations in the order they were collected, in chat prompts too:
    what was said in one step is how the next step's prompt begins.
    """

    def render(self, style: PromptStyle) -> Rendered:
        """The completion text, or messages with the passages in the last question's."""
        if style == "completion":
            return Prompt.render(self, style)
        messages = [Message("system", self.instruction)]
        for shot in self.demonstrations:
            messages += [Message("user", shot.ask), Message("assistant", shot.reply)]
        parts = filter(None, [self._passage_block(self.passages), self.ask])
        return (*messages, Message("user", "\n".join(parts)), *self._begun())


def thought_prompt(
    query: Query,
    demonstrations: tuple[Demonstration, ...],
    passages: Sequence[Passage],
    thoughts: Sequence[str] = (),
) -> ThoughtPrompt:
    """Ask for what follows ``thoughts``.

    Each sentence has a line of its own, so that a generation ends with the sentence.
    """
    return ThoughtPrompt(
        ask=f"Question: {query.text}",
        instruction=INSTRUCTION,
        demonstrations=demonstrations,
        passages=shown(passages),
        reply_start=REPLY_START,
        reply_so_far="".join(f"{thought}\n" for thought in thoughts),
        keep_order=True,
    )


def thought_demonstrations(
    examples: Sequence[Example], count: int, distractors: int, words: int
) -> tuple[Demonstration, ...]:
    """The first examples worked: excerpts of paragraphs, the question, its chain of thought.

    Examples of which no step is known are passed over. Beside the gold paragraphs stand
    distractors: gold paragraphs of the other examples. All stand in order of title, so that their
    place does not tell which of them help.
    """
    able = [example for example in examples if shows_steps(example)]
    return tuple(
        _demonstration(example, _borrowed(able, n, distractors), words)
        for n, example in enumerate(able[:count])
    )


def _demonstration(example: Example, others: Sequence[Passage], words: int) -> Demonstration:
    chain = "\n".join(chain_of_thought(example))
    about = f"{example.question.text} {chain}"
    given = (*gold_passages(example), *others)
    passages = [replace(p, text=excerpt(p, about, words)) for p in given]
    lines = [passage_line(p) for p in sorted(passages, key=lambda p: (p.title, p.id))]
    return Demonstration("\n".join([*lines, f"Question: {example.question.text}"]), chain)


def _borrowed(examples: Sequence[Example], at: int, count: int) -> list[Passage]:
    own = {passage.id for passage in examples[at].passages}
    others = [p for example in (*examples[at + 1 :], *examples[:at]) for p in example.passages]
    unique = {p.id: p for p in others if p.id not in own}
    return list(unique.values())[:count]
