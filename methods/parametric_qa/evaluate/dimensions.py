"""The role of single numbers and slots of a code: what the reader loses where they are zero.

Train questions that training held out are asked with their gold memories. A number of a code is
the place of a token's embedding on one axis, from the mean of all embeddings: zero is that mean.
Axes begin as principal components, the one of most variance first, and are trained from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from harness.boards.changing.asking import circumstances
from harness.errors import ConfigError
from methods.parametric_qa.evaluate.encoder import answer_nats
from methods.parametric_qa.memory.quantise import quantised
from methods.parametric_qa.shared.bundle import adapter_of
from methods.parametric_qa.train.features import Features
from methods.parametric_qa.write.codes import first_codes

if TYPE_CHECKING:
    from rich.console import Console

    from harness.llm.local import LocalModel
    from harness.records import Question
    from methods.parametric_qa.evaluate.held_out import HeldOut
    from methods.parametric_qa.shared.bundle import Bundle

Kind = Literal["all", "none", "other", "first", "group", "number", "slot"]


@dataclass(frozen=True, slots=True)
class View:
    """What of a memory is read. ``kept`` [slots, z_dim] are the numbers that are not zero.

    ``first`` and ``last`` count numbers or slots from 1: those that are kept for ``first``, those
    that are zero for ``group``, ``number`` and ``slot``. ``none`` is no memory, ``other`` that of
    another question.
    """

    kind: Kind
    first: int
    last: int
    kept: Tensor


@dataclass(frozen=True, slots=True)
class Asked:
    """A question: tokens of its golden answer and their summed nats, one for each view."""

    id: str
    tokens: int
    nats: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class DimensionsEvaluation:
    """Where the figures come from, what was read, and a record a question.

    ``squares`` is, of each view, the share that it keeps of the squares of all numbers read.
    """

    facts: dict[str, Any]
    views: list[View]
    squares: list[float]
    questions: list[Asked]


def evaluate_dimensions(
    llm: LocalModel, held: HeldOut, groups: int, single: int, console: Console
) -> DimensionsEvaluation:
    """Ask every question of every view: of ``groups`` equal parts of a slot's numbers, of the
    ``single`` numbers that vary most, and of every slot.

    Raises ConfigError for shared parts of another model, and for more groups than numbers.
    """
    from harness.progress import bar

    bundle, task, start = held.bundle, held.task, perf_counter()
    check_groups(bundle, groups)
    bundle.parts.check_model(llm.model, llm.name)
    features, asked = Features(llm, [task]), []
    assert bundle.folder is not None  # it was read
    with llm.adapted(adapter_of(bundle.folder)), torch.no_grad():
        codes = _gold_codes(llm, bundle, features, held)
        read = torch.cat(codes)
        most = read.flatten(0, 1).var(dim=0).argsort(descending=True, stable=True)[:single]
        views = views_of(read.shape[1], read.shape[2], groups, most.tolist())
        with bar(console, "questions", len(held.questions)) as shown:
            for number, question in enumerate(held.questions):
                others = codes[_another(held.questions, number)]
                memories = [_memories(bundle, v, codes[number], others) for v in views]
                rows = [(task.name, question)] * len(views)
                found = answer_nats(llm, features, rows, memories)
                asked.append(Asked(question.id, found[0][0], tuple(nats for _, nats in found)))
                shown.advance()
    squares = read.square().sum(dim=0).double()
    shares = [float((squares * view.kept).sum() / squares.sum()) for view in views]
    facts = _facts(llm, held, groups) | {"seconds": round(perf_counter() - start)}
    return DimensionsEvaluation(facts, views, shares, asked)


def check_groups(bundle: Bundle, groups: int) -> None:
    """Raise ConfigError for more groups than a slot has numbers."""
    z_dim = bundle.parts.config.z_dim
    if groups > z_dim:
        raise ConfigError(f"--groups {groups}: a slot has {z_dim} numbers; give at most so many")


def views_of(slots: int, z_dim: int, groups: int, single: Sequence[int]) -> list[View]:
    """All that is compared, the whole memory first; ``single`` are numbers from 0."""
    number, slot = torch.arange(z_dim).expand(slots, z_dim), torch.arange(slots)[:, None]
    whole = torch.ones(slots, z_dim, dtype=torch.bool)
    found = [View("all", 1, z_dim, whole), View("other", 1, z_dim, whole)]
    found.append(View("none", 1, z_dim, ~whole))
    few = [2**power for power in range(z_dim.bit_length()) if 2**power < z_dim]
    found += [View("first", 1, kept, number < kept) for kept in few]
    ends = [z_dim * group // groups for group in range(groups + 1)]
    found += [
        View("group", low + 1, high, (number < low) | (number >= high))
        for low, high in pairwise(ends)
    ]
    found += [View("number", one + 1, one + 1, number != one) for one in single]
    return found + [View("slot", i + 1, i + 1, whole & (slot != i)) for i in range(slots)]


def _memories(bundle: Bundle, view: View, own: Tensor, others: Tensor) -> tuple[Tensor, ...]:
    """What is read [1 + slots, hidden] of codes [gold, slots, z_dim], the first gold last."""
    if view.kind == "none":
        return ()
    codes = (others if view.kind == "other" else own) * view.kept
    return bundle.parts.memory(codes).flip(0).unbind(0)


def _gold_codes(llm: LocalModel, bundle: Bundle, features: Features, held: HeldOut) -> list[Tensor]:
    """Codes [gold, slots, z_dim] of each question's gold passages, as a bank gives them back."""
    names = list(dict.fromkeys(id_ for q in held.questions for id_ in q.gold_doc_ids))
    documents = [features.tokens(held.task.name, name) for name in names]
    written = first_codes(llm, bundle.parts, bundle.encoder, documents, names, bundle.init, 0)
    stored = quantised(written, bundle.stored_as or "int8")
    places = {name: place for place, name in enumerate(names)}
    return [stored[[places[id_] for id_ in q.gold_doc_ids]] for q in held.questions]


def _another(questions: Sequence[Question], number: int) -> int:
    """The next question that needs none of this one's passages."""
    gold = set(questions[number].gold_doc_ids)
    for step in range(1, len(questions)):
        place = (number + step) % len(questions)
        if gold.isdisjoint(questions[place].gold_doc_ids):
            return place
    raise ConfigError(
        f"all other questions need passages of question {questions[number].id!r}; raise --limit"
    )


def _facts(llm: LocalModel, held: HeldOut, groups: int) -> dict[str, Any]:
    shape = held.bundle.parts.config
    return {
        "model": llm.name,
        "shared": held.shared,
        "shared_fingerprint": held.bundle.fingerprint(),
        "task": held.task.name,
        "corpus_fingerprint": held.task.corpus.fingerprint,
        "slots": shape.slots,
        "z_dim": shape.z_dim,
        "stored": held.bundle.stored_as or "int8",
        "groups": groups,
        **circumstances(),
    }
