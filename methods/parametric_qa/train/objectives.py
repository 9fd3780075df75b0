"""The losses of training: what each row shows the model and which tokens it must predict."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.prompts import Prompt, QAPrompts
from methods.parametric_qa.prompts import FOLLOW, RECALL, reading_prompt, recall_prompt
from methods.parametric_qa.train.tuning import untuned
from methods.parametric_qa.write.sequences import Row, end_token, pack, row_losses, target_logits

if TYPE_CHECKING:
    from harness.records import Question
    from methods.parametric_qa.shared.bundle import Bundle
    from methods.parametric_qa.train.features import Features
    from methods.parametric_qa.train.recipe import Recipe

TEACHER_TEXTS = 3
"""Texts that a teacher reads at most."""
MOST_SHOWN = 320
"""Tokens of memories in a row: attention's memory grows by their square. Eight rows of 640 took
20 GB, of 320 half of that."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A train question with the passages whose memories are shown, best last."""

    task: str
    question: Question
    passages: tuple[str, ...]


Ranked = Callable[[str, "Question"], Sequence[str]]
"""Ids of a task's passages for a train question, best first."""


def nothing(_task: str, _question: Question) -> Sequence[str]:
    """No passage for any question."""
    return ()


class Objectives:
    """Draws rows for one recipe. ``ranked`` gives a question's passages.

    Memories are of the encoder's codes if there is one, else of span means. A question that nothing
    is ranked for is shown gold alone.
    """

    def __init__(
        self,
        features: Features,
        recipe: Recipe,
        bundle: Bundle,
        ranked: Ranked = nothing,
    ) -> None:
        self.features, self.recipe, self.ranked = features, recipe, ranked
        self.parts, self.encoder = bundle.parts, bundle.encoder
        self.end = end_token(features.llm)
        self.start: dict[str, Tensor] = {}
        """The reader's weights that training goes on from, by name; empty if they are new."""

    def loss(self, model: Any, kind: str, source: random.Random, *, alone: bool = False) -> Tensor:
        """The mean loss of one batch of a kind, in nats a token.

        ``alone``: questions are shown one gold memory each, without any other.
        """
        size = self.recipe.batch
        if kind in ("answer", "distil"):
            drawn = [self._question(source) for _ in range(size)]
            # One number for all rows: padding the shorter ones would cost as much again.
            count = 1 if alone else source.choice(self.recipe.memories)
            asked = [self.ask(task, q, count, source, forced=alone) for task, q in drawn]
            if kind == "distil":
                return self._distil(model, asked)
            slots = self._slots(count, source)
            return self.row_losses(model, self.answer_rows(model, asked, slots)).mean()
        return self.row_losses(model, self._document_rows(model, kind, source)).mean()

    def _question(self, source: random.Random) -> tuple[str, Question]:
        """A train question; of the recipe's tasks as often as its share says, if it says one."""
        share, every = self.recipe.own, self.features.train
        if share is None:
            return source.choice(every)
        return source.choice(self.features.own if source.random() < share else every)

    def _slots(self, memories: int, source: random.Random) -> int | None:
        """How many tokens each of so many memories shows; None: all slots."""
        cuts = self.recipe.cuts
        if not cuts:
            return None
        return source.choice([n for n in cuts if n * memories <= MOST_SHOWN] or [min(cuts)])

    def ask(
        self,
        task: str,
        question: Question,
        count: int,
        source: random.Random,
        *,
        forced: bool = False,
    ) -> Asked:
        """Choose what a train question is shown: its gold among the best ranked, or nothing.

        Now and then what is ranked best is shown as it is, with gold in it or not.
        """
        draw = source.random()
        if draw < self.recipe.no_memory:
            return Asked(task, question, ())
        ranked = self.ranked(task, question)
        if not forced and draw < self.recipe.no_memory + self.recipe.unforced:
            return Asked(task, question, tuple(ranked[:count][::-1]))
        best = [id_ for id_ in ranked if id_ not in question.gold_doc_ids]
        gold = list(question.gold_doc_ids)
        # One of several gold documents alone: any of them, so that all are read.
        source.shuffle(gold)
        shown = best[: max(0, count - len(gold))][::-1]
        for id_ in gold[:count]:
            shown.insert(source.randint(0, len(shown)), id_)
        return Asked(task, question, tuple(shown))

    def answer_rows(
        self, model: Any, asked: Sequence[Asked], slots: int | None = None
    ) -> list[Row]:
        """Memories (of so many slots, where they are tokens), question, golden answer."""
        rows = []
        for a, memories in zip(asked, self._memories(model, asked, slots), strict=True):
            prompt = reading_prompt(a.question.text, len(memories))
            reply = self._reply(prompt, self.features.answer(a.task, a.question))
            rows.append(self._row(memories, prompt, reply))
        return rows

    def row_losses(self, model: Any, rows: Sequence[Row]) -> Tensor:
        """Loss of each row [rows], in nats a token."""
        packed = pack(model, rows)
        return row_losses(target_logits(model, packed), packed.targets)

    def _distil(self, model: Any, asked: Sequence[Asked]) -> Tensor:
        """KL from the reader of before that reads the passages' text, at the answer's tokens."""
        rows = self.answer_rows(model, asked)
        texts = [self._text_row(a, row) for a, row in zip(asked, rows, strict=True)]
        with torch.no_grad(), untuned(model, self.start) as teacher:
            read = pack(teacher, texts)
            wanted = target_logits(teacher, read).log_softmax(dim=-1)
        packed = pack(model, rows)
        found = target_logits(model, packed).log_softmax(dim=-1)
        each = F.kl_div(found, wanted, reduction="none", log_target=True).sum(dim=-1)
        kept = packed.targets != -100
        return ((each * kept).sum(dim=1) / kept.sum(dim=1)).mean()

    def _text_row(self, asked: Asked, row: Row) -> Row:
        corpus = self.features.tasks[asked.task].corpus
        best = [corpus.get(id_) for id_ in asked.passages[::-1][:TEACHER_TEXTS]]
        return self._row((), QAPrompts().read(asked.question.query, best), row.target)

    def _document_rows(self, model: Any, kind: str, source: random.Random) -> list[Row]:
        drawn = [self._document(kind, source) for _ in range(self.recipe.batch)]
        memories = self.parts.memory(self._codes(model, [tokens for tokens, _ in drawn]))
        prompt = recall_prompt(FOLLOW if kind == "follow" else RECALL)
        return [
            self._row([memory], prompt, [*target, self.end])
            for memory, (_, target) in zip(memories, drawn, strict=True)
        ]

    def _document(self, kind: str, source: random.Random) -> tuple[list[int], list[int]]:
        """What of a random passage is remembered, and what is predicted from that."""
        tokens = self.features.tokens(*self.features.random_passage(source))
        tokens = tokens[: self.recipe.longest]
        half = len(tokens) // 2
        if kind == "follow" and half:
            return tokens[:half], tokens[half:]
        return tokens, tokens

    def _memories(
        self, model: Any, asked: Sequence[Asked], slots: int | None = None
    ) -> list[Sequence[Tensor]]:
        """What each row reads of its passages, [1 + slots, hidden] each."""
        keys = [(a.task, id_) for a in asked for id_ in a.passages]
        if not keys:
            return [()] * len(asked)
        codes = self._codes(model, [self.features.tokens(*key) for key in keys], slots)
        memories = self.parts.memory(codes)
        shares = torch.split(memories, [len(a.passages) for a in asked])
        return [share.unbind(0) for share in shares]

    def _codes(
        self, model: Any, documents: Sequence[Sequence[int]], slots: int | None = None
    ) -> Tensor:
        """Codes [documents, slots, z_dim], with gradients to what makes them."""
        if self.encoder is None:
            return self.features.span_codes(self.parts, documents, slots)
        codes: Tensor = self.encoder(model, documents)
        return codes.to(self.parts.mark.device)

    def _row(self, memories: Sequence[Tensor], prompt: Prompt, target: Sequence[int]) -> Row:
        """A row as the engine would send it (see ``harness.llm.generation``)."""
        return Row(self.features.llm.parts(prompt), memories, target)

    def _reply(self, prompt: Prompt, answer: str) -> list[int]:
        """An answer's tokens with its end: a line's in a completion, a turn's in a chat."""
        llm = self.features.llm
        if llm.prompt_style == "completion":
            answer = f" {answer}\n"
        _, (ids,) = llm.pairs(prompt.render(llm.prompt_style), [answer])
        return ids if llm.prompt_style == "completion" else [*ids, self.end]
