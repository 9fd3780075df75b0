"""Prompts of ``corag-prompted``: the house's few-shot form, with demonstrations of each step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.prompts import Demonstration, Example, Prompt, QAPrompts, demonstration
from harness.records import Passage, Query
from methods.corag.chain import NO_INFORMATION, Chain, Hop
from methods.decomposition import hops_of, resolve, shows_steps

SEARCHING = (
    "A question is answered by searching step by step. Write the next simple query: one that was "
    "not asked before and helps to answer the question. The task:"
)
ANSWERING = (
    "Answer the question from the passages alone with a short phrase, a name, a date or yes/no. "
    f'If they do not tell, answer "{NO_INFORMATION}".'
)

_SENTENCE_END = re.compile(r"(?<=[^.\s]{3}[.!?])\s")
_VERB = re.compile(r"\s(?:is|was|are|were)\s")


@dataclass(frozen=True, slots=True)
class FewShotPrompts:
    """The four prompts of a chain, with demonstrations made of train questions."""

    house: QAPrompts
    task_description: str

    @property
    def no_information(self) -> str:
        """The answer of passages that tell nothing."""
        return NO_INFORMATION

    def sub_query(self, query: Query, chain: Chain) -> Prompt:
        """Ask for the next sub-query; every demonstration is at the same step, or its last.

        An example of which no step is known would show the question itself as its query.
        """
        return Prompt(
            _state(query.text, chain),
            f"{SEARCHING} {self.task_description}",
            tuple(
                _next_query(example, len(chain))
                for example in self.house.examples
                if shows_steps(example)
            ),
            reply_start="Next query:",
        )

    def sub_answer(self, sub_query: str, passages: Sequence[Passage]) -> Prompt:
        """Ask what the passages, best first, say to a sub-query."""
        return Prompt(_state(sub_query), ANSWERING, self._answers(), tuple(passages))

    def chain_alone(self, query: Query, chain: Chain) -> Prompt:
        """Ask the main query with the chain's queries and answers as the only passages."""
        told = [Passage(str(n), hop.query, hop.answer) for n, hop in enumerate(chain)]
        return replace(self.sub_answer(query.text, told), keep_order=True)

    def final_answer(self, query: Query, chain: Chain, passages: Sequence[Passage]) -> Prompt:
        """The house's reading prompt, with the chain before the question."""
        return replace(self.house.read(query, tuple(passages)), ask=_state(query.text, chain))

    def _answers(self) -> tuple[Demonstration, ...]:
        # The hops in turn, so that first and later ones are shown.
        chains = [demonstrated_chain(example) for example in self.house.examples]
        hops = [chain[n % len(chain)] for n, chain in enumerate(chains)]
        return tuple(Demonstration(_state(hop.query), hop.answer) for hop in hops)


def demonstrated_chain(example: Example) -> Chain:
    """The hops of a train question, at least one.

    Those of its decomposition, where the task has one. Else two: its gold passages, searched for
    by title and answered by what they say their title is; with only one, then the question itself.
    """
    question = example.question
    if steps := hops_of(question):
        answers = [str(step["answer"]) for step in steps]
        asked = [asked_plainly(str(step["question"]), answers) for step in steps]
        return tuple(Hop(query, answer) for query, answer in zip(asked, answers, strict=True))
    by_title = {bare_title(passage): passage for passage in reversed(example.passages)}
    titles = [Hop(title, describe(by_title[title])) for title in reversed(by_title) if title]
    golden = demonstration(question, [passage.text for passage in example.passages]).reply
    return (*titles, Hop(question.text, golden))[:2]


def asked_plainly(step: str, answers: Sequence[str]) -> str:
    """A step of a decomposition with earlier answers in it; '>>' left out."""
    return " ".join(resolve(step, answers).replace(">>", " ").split())


def bare_title(passage: Passage) -> str:
    """The title without what tells it from others in parentheses: 'Unbreakable (film)'."""
    return re.sub(r"\s*\([^()]*\)$", "", passage.title.strip())


def describe(passage: Passage) -> str:
    """At most ten words of the first sentence: what it says its subject is or was."""
    sentence = _SENTENCE_END.split(passage.text.strip(), maxsplit=1)[0]
    said = _VERB.split(sentence, maxsplit=1)[-1]
    return " ".join(re.split(r"[,;]", said)[0].split()[:10]).rstrip(".")


def _next_query(example: Example, step: int) -> Demonstration:
    chain = demonstrated_chain(example)
    step = min(step, len(chain) - 1)
    return Demonstration(_state(example.question.text, chain[:step]), chain[step].query)


def _state(question: str, chain: Chain = ()) -> str:
    # The chain stands before the question: there, the default model's second query was the first
    # again for 10 of 48 train questions of HotpotQA and MuSiQue; after the question, for 22.
    return "\n".join([*(f"{hop.query}: {hop.answer}" for hop in chain), f"Question: {question}"])
