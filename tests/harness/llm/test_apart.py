"""Attention to a beginning that is held once: as over all keys and values, or refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from harness.llm.apart import attention
from harness.llm.prefix import Layer

pytestmark = pytest.mark.numeric

ROWS, HEADS, GROUPS, SIZE, BEFORE = 3, 6, 2, 8, 20
LAYER = SimpleNamespace(layer_idx=1)


@pytest.fixture(params=[1, 5], ids=["one token", "five tokens"])
def case(request):
    """Queries of some tokens, the rows' own keys and values, the beginning's, and a mask."""
    draw = torch.Generator().manual_seed(request.param)
    length, columns = request.param, request.param + 4

    def some(*shape: int) -> torch.Tensor:
        return 3 * torch.randn(*shape, generator=draw, dtype=torch.float64)

    query = some(ROWS, HEADS, length, SIZE)
    own = Layer(some(ROWS, GROUPS, columns, SIZE), some(ROWS, GROUPS, columns, SIZE))
    shared = Layer(some(1, GROUPS, BEFORE, SIZE), some(1, GROUPS, BEFORE, SIZE))
    seen = torch.ones(ROWS, 1, length, columns).tril(columns - length).bool()
    seen[1, :, :, :3] = False
    mask = torch.zeros(seen.shape, dtype=torch.float64).masked_fill(~seen, -1e30)
    return query, own, shared, mask


def test_it_is_attention_over_the_beginning_and_the_row(case):
    query, own, shared, mask = case
    found, _ = attention(LAYER, query, own.keys, own.values, mask, beginning=[None, shared])
    keys, values = (
        torch.cat([one.expand(ROWS, -1, -1, -1), other], dim=2).repeat_interleave(
            HEADS // GROUPS, dim=1
        )
        for one, other in ((shared.keys, own.keys), (shared.values, own.values))
    )
    whole = F.pad(mask, (BEFORE, 0))
    expected = F.scaled_dot_product_attention(query, keys, values, attn_mask=whole)
    torch.testing.assert_close(found.transpose(1, 2), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", [{"softcap": 30.0}, {"s_aux": torch.zeros(2)}, {}])
def test_another_kind_of_attention_is_refused(case, options):
    query, own, shared, mask = case
    beginning = [None, shared] if options else ()
    with pytest.raises(ValueError, match="no caps, sinks or windows"):
        attention(LAYER, query, own.keys, own.values, mask, beginning=beginning, **options)
