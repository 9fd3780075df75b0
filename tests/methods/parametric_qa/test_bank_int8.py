"""How far int8 moves a number."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from methods.parametric_qa.memory.quantise import quantised, to_stored

numbers = st.floats(-65_504, 65_504, width=32)
vectors = st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=4)


@given(vectors, st.sampled_from([1.0, 1e-3, 1e-6, 1e-30, 1e-44]))
def test_no_number_moves_by_more_than_half_its_scale(rows, factor):
    codes = torch.tensor(rows)[None] * factor
    scales = to_stored(codes, "int8")["scales"].float()
    moved = (quantised(codes, "int8") - codes).abs()
    # Beyond half a scale only by the rounding of float32 itself.
    assert (moved <= scales[..., None] * (0.5 + 1e-5)).all()
    assert (scales * 127 <= codes.abs().amax(dim=-1) * 1.001 + 127 * 2.0**-24).all()


@given(vectors)
def test_what_was_quantised_once_does_not_move_again_in_float16(rows):
    once = quantised(torch.tensor(rows), "float16")
    assert torch.equal(quantised(once, "float16"), once)


def test_a_vector_of_zeros_stays_zero_beside_others():
    codes = torch.tensor([[[0.0, 0.0, 0.0], [127.0, -127.0, 1.0]]])
    assert torch.equal(quantised(codes, "int8"), codes)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_quantising_does_not_change_what_it_is_given(dtype):
    codes = torch.randn(2, 3, 4)
    before = codes.clone()
    quantised(codes, dtype)
    assert torch.equal(codes, before)
