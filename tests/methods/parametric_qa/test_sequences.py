"""Each target token is predicted at the position just before it: nothing is skipped."""

from __future__ import annotations

import pytest
import torch

from methods.parametric_qa.write.sequences import Row, pack, row_losses, target_logits, token_losses
from tests.methods.parametric_qa.lab import Alphabet, load_tiny

MODEL = Alphabet()
END = 9


def of(memory: torch.Tensor, prompt: tuple[int, ...], target: tuple[int, ...]) -> Row:
    """A memory, then a prompt, then what is predicted."""
    return Row([(), prompt], [memory], target)


def losses_of(*rows: Row) -> torch.Tensor:
    packed = pack(MODEL, rows)
    return token_losses(target_logits(MODEL, packed), packed.targets)


def test_the_token_after_the_memory_is_the_first_of_the_document():
    """A model that copies each input's successor has no loss only if the columns are right."""
    rows = [
        of(MODEL.vectors(0, 0, 4), (), (5, 6, 7, 8, END)),
        of(MODEL.vectors(0, 7), (), (8, END)),
        Row([(2, 3)], [], (4, 5, 6)),
        of(MODEL.vectors(1), (6,), (7, 8, END)),
    ]
    assert losses_of(*rows).max() < 1e-6


@pytest.mark.parametrize(("target", "place"), [((6, 7), 0), ((4, 5), 0), ((5, 7), 1)])
def test_a_skipped_or_repeated_token_costs(target, place):
    assert losses_of(of(MODEL.vectors(0, 4), (), target))[0, place] > 10


def test_the_first_token_and_the_end_are_trained():
    wrong_start = losses_of(of(MODEL.vectors(0, 3), (), (5, 6, 7)))[0]
    assert wrong_start[0] > 10 and wrong_start[1:].max() < 1e-6
    wrong_end = losses_of(of(MODEL.vectors(0, 4), (), (5, 6, END)))[0]
    assert wrong_end[-1] > 10 and wrong_end[:-1].max() < 1e-6


def test_the_first_tokens_gradient_reaches_the_memorys_last_vector():
    memory = MODEL.vectors(0, 3, 3)
    losses_of(of(memory, (), (5, 6)))[0, 0].backward()
    assert memory.grad[2].abs().sum() > 1
    assert memory.grad[:2].abs().sum() == 0


def test_a_row_with_nothing_before_its_target_is_refused():
    with pytest.raises(ValueError, match="needs a memory or a prompt"):
        pack(MODEL, [Row([()], [], (1, 2))])


def test_a_row_costs_in_company_what_it_costs_alone(tiny_model_dir):
    llm = load_tiny(tiny_model_dir)
    memory = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    rows = [
        of(memory, (), (7, 8, 9)),
        of(memory, (20, 21, 22, 23), (30,)),
        Row([(5,)], [], tuple(range(40, 60))),
    ]

    def costs(*given: Row) -> torch.Tensor:
        packed = pack(llm.model, given)
        return row_losses(target_logits(llm.model, packed), packed.targets)

    alone = torch.cat([costs(row) for row in rows])
    assert torch.allclose(costs(*rows), alone, atol=1e-4)
