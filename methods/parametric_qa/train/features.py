"""Features of the training tasks: tokens, codes of span means and BM25 negatives of passages."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.retrieval.open import open_retriever
from methods.parametric_qa.shared.initial import document_tokens, salience_of, span_means
from methods.parametric_qa.shared.picks import numbers_of, picked
from methods.parametric_qa.shared.token_kinds import kinds, shares
from methods.parametric_qa.train.training_data import TrainingTask, golden_answer

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from harness.records import Question
    from harness.retrieval.base import Retriever
    from methods.parametric_qa.shared.parts import SharedParts


class Features:
    """The passages and questions of some tasks, for one model.

    A passage is named (task, id). ``sources`` are the tasks that are files of rows. ``table`` is a
    float32 copy of the input embeddings, as they are before anything is trained.
    """

    def __init__(
        self, llm: LocalModel, tasks: Sequence[TrainingTask], sources: Sequence[str] = ()
    ) -> None:
        self.llm, self.sources = llm, frozenset(sources)
        self.tasks = {task.name: task for task in tasks}
        weight = llm.model.get_input_embeddings().weight
        self.table: Tensor = weight.detach().float().cpu().clone()
        self._tokens: dict[tuple[str, str], list[int]] = {}
        self._found: dict[tuple[str, str], list[str]] = {}

    @cached_property
    def train(self) -> list[tuple[str, Question]]:
        """Train questions of all tasks, with the task's name."""
        return [(name, q) for name, task in self.tasks.items() for q in task.train]

    @cached_property
    def own(self) -> list[tuple[str, Question]]:
        """Those of the recipe's tasks, of no source."""
        return [(name, question) for name, question in self.train if name not in self.sources]

    def validation(self, most: int) -> list[tuple[str, Question]]:
        """At most ``most`` validation questions, in turn from each task."""
        return in_turn({name: task.validation for name, task in self.tasks.items()}, most)

    def tokens(self, task: str, id_: str) -> list[int]:
        """Token ids of a passage."""
        key = (task, id_)
        if key not in self._tokens:
            self._tokens[key] = document_tokens(self.llm, self.tasks[task].corpus.get(id_))
        return self._tokens[key]

    def free_tokens(self) -> Iterator[list[int]]:
        """Token ids of every passage that no evaluated question needs."""
        for name, task in self.tasks.items():
            for id_ in task.free:
                yield self.tokens(name, id_)

    def salience(self) -> Tensor:
        """Salience of every token [vocabulary] over the free passages."""
        return salience_of(self.free_tokens(), len(self.table))

    def telling(self, asking: float = 0.0) -> Tensor:
        """Salience times how often a token is of the answer where a gold passage has it.

        [vocabulary], over the train questions: what of a text is best kept if not all can be. How
        often it is of the question counts ``asking`` times as much, since documents are found by
        such tokens.
        """
        seen, answers, asked = Counter[int](), Counter[int](), Counter[int]()
        for name, question in self.train:
            of_answer = self._answer_tokens(question)
            of_question = set(self.question_ids(question.text))
            for id_ in question.gold_doc_ids:
                there = set(self.tokens(name, id_))
                seen.update(there)
                answers.update(there & of_answer)
                asked.update(there & of_question)
        kind = kinds(self.llm.tokenizer, len(self.table))
        rates = shares(seen, answers, kind) + asking * shares(seen, asked, kind)
        return self.salience() * rates

    def _answer_tokens(self, question: Question) -> set[int]:
        forms = [form for answer in question.golden_answers for form in (answer, f" {answer}")]
        found = self.llm.tokenizer(forms, add_special_tokens=False)["input_ids"]
        return {token for ids in found for token in ids}

    def span_codes(
        self, parts: SharedParts, documents: Sequence[Sequence[int]], slots: int | None = None
    ) -> Tensor:
        """Codes [documents, slots, z_dim] of the means of texts' spans, or of the tokens that are
        picked; ``down`` gets gradients. ``slots`` of picked tokens, if not as many as ``parts``
        have."""
        shape = parts.config
        if shape.picks:
            return self.numbers(parts, picked(parts, documents, slots))
        means = [
            span_means(self.table[tokens], parts.salience[tokens], shape.slots, shape.sharpness)
            for tokens in map(torch.tensor, documents)
        ]
        codes: Tensor = parts.down(torch.stack(means))
        return codes

    def numbers(self, parts: SharedParts, ids: Tensor) -> Tensor:
        """Codes [documents, slots, z_dim] of picked tokens [documents, slots]."""
        return numbers_of(parts, self.table, ids)

    def question_embeddings(self, text: str) -> Tensor:
        """A question's embeddings [length, hidden] as selection sees them."""
        return self.table[torch.tensor(self.question_ids(text))]

    def question_ids(self, text: str) -> list[int]:
        """A question's token ids as selection sees them."""
        from methods.parametric_qa.choose import question_tokens

        return question_tokens(self.llm, text)

    def found(self, task: str, question: Question) -> list[str]:
        """BM25's best free passages for a question, best first."""
        key = (task, question.id)
        if key not in self._found:
            found = self._bm25[task].search([question.text], 20)[0]
            self._found[key] = [p.id for p in found if p.id in self._free[task]]
        return self._found[key]

    def negatives(self, task: str, question: Question, count: int) -> list[str]:
        """The first of them that are not gold for it."""
        gold = set(question.gold_doc_ids)
        return [id_ for id_ in self.found(task, question) if id_ not in gold][:count]

    def answer(self, task: str, question: Question) -> str:
        """The golden answer that is taught."""
        return golden_answer(self.tasks[task].corpus, question)

    def random_passage(self, source: random.Random) -> tuple[str, str]:
        """A free passage; every task is as likely as any other."""
        name = source.choice(sorted(self.tasks))
        return name, source.choice(self.tasks[name].free)

    @cached_property
    def _free(self) -> dict[str, frozenset[str]]:
        return {name: frozenset(task.free) for name, task in self.tasks.items()}

    @cached_property
    def _bm25(self) -> dict[str, Retriever]:
        return {name: open_retriever("bm25", t.corpus) for name, t in self.tasks.items()}


def in_turn(questions: Mapping[str, Sequence[Question]], most: int) -> list[tuple[str, Question]]:
    """At most ``most`` questions of tasks, with the task's name: the first of each, the second."""
    longest = max(map(len, questions.values()), default=0)
    found = [(n, row[i]) for i in range(longest) for n, row in questions.items() if i < len(row)]
    return found[:most]
