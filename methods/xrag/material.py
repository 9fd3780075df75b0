"""Material of a training: vectors of passages, rows that tell one or answer a question."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.llm.batches import common_prefix
from harness.llm.prefix import NO_PREFIX
from harness.llm.reading import read_tokens
from harness.prompts import QAPrompts, demonstration
from harness.retrieval.dense import embedding_folder
from harness.retrieval.embeddings import EmbeddingStore, embed_corpus
from methods.cartridge.network import Taught, target_logits, taught
from methods.parametric_qa.train.training_data import TrainingTask, golden_answer
from methods.parametric_qa.write.sequences import Row
from methods.study.rows import reply_ids
from methods.xrag.prompts import reading_prompt, restating_prompt

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from harness.llm.prefix import SharedPrefix
    from harness.prompts import Demonstration
    from harness.records import Question
    from harness.retrieval.encoders import Encoder

_LEAST = 0.01
"""Of the mean deviation: numbers that hardly differ, as one of MiniLM's, are not blown up."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a task, and the passage whose vector stands before it."""

    task: TrainingTask
    question: Question
    passage: str


class Vectors:
    """Of all passages of some tasks, and the mean and the deviation of their numbers.

    Both are of the free passages: those that no evaluated and no validation question needs.
    """

    def __init__(
        self,
        tasks: Sequence[TrainingTask],
        encoder: Encoder,
        advance: Callable[[int], None] | None = None,
    ) -> None:
        """``advance`` is told how many passages have a vector more."""
        store = EmbeddingStore(embedding_folder(encoder))
        self._rows: dict[str, Tensor] = {}
        for task in tasks:
            self._rows[task.name] = torch.from_numpy(embed_corpus(task.corpus, encoder, store))
            if advance:
                advance(len(task.corpus))
        free = torch.cat(
            [self._rows[t.name][[t.corpus.position(id_) for id_ in t.free]] for t in tasks]
        )
        self.shift, spread = free.mean(dim=0), free.std(dim=0)
        self.scale = spread.clamp_min(_LEAST * float(spread.mean()))

    def plain(self, task: TrainingTask, passage: str) -> Tensor:
        """The vector [dimensions] of a passage, as the encoder gave it."""
        return self._rows[task.name][task.corpus.position(passage)]

    def of(self, task: TrainingTask, passage: str) -> Tensor:
        """The vector [dimensions] of a passage as a bridge in training takes it."""
        return (self.plain(task, passage) - self.shift) / self.scale


class Material:
    """What a bridge learns from: free passages, and train questions with a gold passage each.

    The first ``shots`` questions that the seed draws of a task are the teacher's demonstrations,
    and no rows.
    """

    def __init__(
        self,
        llm: LocalModel,
        tasks: Sequence[TrainingTask],
        shots: int,
        most_taught: int | None,
        seed: int,
    ) -> None:
        self.llm = llm
        self.passages = [(task, id_) for task in tasks for id_ in task.free]
        self.train: list[Asked] = []
        self.validation = _in_turn([_asked(task, task.validation) for task in tasks])
        self._demonstrations: dict[str, tuple[Demonstration, ...]] = {}
        for task in tasks:
            source = random.Random(f"{seed} demonstrations {task.name}")  # noqa: S311
            order = source.sample(_asked(task, task.train), len(task.train))
            self._demonstrations[task.name] = tuple(map(_worked, order[:shots]))
            self.train += order[shots:]
        count = len(self.train) if most_taught is None else min(most_taught, len(self.train))
        source = random.Random(f"{seed} taught")  # noqa: S311
        self.taught = frozenset(source.sample(range(len(self.train)), count))
        """Places in ``train`` of the questions that have a teacher."""
        self._expected: dict[int, Taught | None] = {}

    def telling(self, task: TrainingTask, passage: str, ask: str, longest: int) -> Row:
        """A row that tells a passage's text from its vector, which is to be put in."""
        prompt = restating_prompt(ask)
        text = " ".join(task.corpus.get(passage).text.split())
        _, target = reply_ids(self.llm, prompt, text)
        return Row(self.llm.parts(prompt), [], target[:longest])

    def answering(self, asked: Asked, vectors: int = 1) -> Row:
        """A row that answers a question after so many vectors, which are to be put in."""
        prompt = reading_prompt(asked.question.text, vectors)
        answer = golden_answer(asked.task.corpus, asked.question)
        _, target = reply_ids(self.llm, prompt, answer)
        return Row(self.llm.parts(prompt), [], target)

    def expected(self, place: int, target: Sequence[int]) -> Taught | None:
        """What the model expects at a train question's answer when it reads the passage's text.

        None without a teacher, or where the answer becomes other tokens there.
        """
        if place not in self.taught:
            return None
        if place not in self._expected:
            self._expected[place] = self._read(self.train[place], target)
        return self._expected[place]

    def _read(self, asked: Asked, target: Sequence[int]) -> Taught | None:
        # Alone, so that no value depends on which rows are read together.
        ids, said = self._text_ids(asked)
        if said != list(target):
            return None
        with torch.no_grad():
            (logits,) = target_logits(self.llm, self._held[asked.task.name], [(ids, said)])
        return taught(logits)

    def _text_ids(self, asked: Asked) -> tuple[list[int], list[int]]:
        words = QAPrompts(self._demonstrations[asked.task.name])
        passage = asked.task.corpus.get(asked.passage)
        prompt = words.read(asked.question.query, (passage,))
        answer = golden_answer(asked.task.corpus, asked.question)
        return reply_ids(self.llm, prompt, answer)

    @cached_property
    def _held(self) -> Mapping[str, SharedPrefix]:
        """What the teacher's prompts of a task begin with alike, read once."""
        found: dict[str, SharedPrefix] = {}
        for name in self._demonstrations:
            rows = [self.train[n] for n in sorted(self.taught) if self.train[n].task.name == name]
            prompts = [self._text_ids(asked)[0] for asked in rows]
            if not prompts or "key-value-prompts" not in self.llm.capabilities:
                found[name] = NO_PREFIX
            else:
                shared = prompts[0][: common_prefix(prompts)]
                held = read_tokens(self.llm.runtime, shared, name, None)
                found[name] = held.first(len(shared))
        return found


def _asked(task: TrainingTask, questions: Sequence[Question]) -> list[Asked]:
    """Each question with the gold passage that names an answer, or with its first one."""
    found = []
    for question in questions:
        golden = [answer.casefold() for answer in question.golden_answers]
        known = [id_ for id_ in question.gold_doc_ids if id_ in task.corpus]
        naming = (
            id_
            for id_ in known
            if any(answer in task.corpus.get(id_).contents.casefold() for answer in golden)
        )
        found.append(Asked(task, question, next(naming, known[0])))
    return found


def _worked(asked: Asked) -> Demonstration:
    return demonstration(asked.question, [asked.task.corpus.get(asked.passage).text])


def _in_turn(rows: Sequence[Sequence[Asked]]) -> list[Asked]:
    """One of each task in turn, so that a beginning of them is of all tasks."""
    longest = max(map(len, rows), default=0)
    return [row[place] for place in range(longest) for row in rows if place < len(row)]


def others(asked: Sequence[Asked]) -> list[Asked]:
    """Each question with the passage of the next one of its task; the last with the first's."""
    by_task: dict[str, list[Asked]] = {}
    for each in asked:
        by_task.setdefault(each.task.name, []).append(each)
    following = {
        (name, one.question.id): other.passage
        for name, rows in by_task.items()
        for one, other in zip(rows, [*rows[1:], *rows[:1]], strict=True)
    }
    return [replace(x, passage=following[x.task.name, x.question.id]) for x in asked]
