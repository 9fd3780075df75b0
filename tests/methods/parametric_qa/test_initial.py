"""First codes: the means of a text's spans, or numbers spread like token embeddings."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.records import Passage
from methods.parametric_qa.shared.initial import (
    document_text,
    document_tokens,
    random_codes,
    span_codes,
    span_means,
)
from methods.parametric_qa.shared.parts import SharedParts
from methods.parametric_qa.write.codes import first_codes

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module")
def tiny(tiny_model_dir) -> LocalModel:
    return LocalModel(
        ModelConfig(name="tiny", path=str(tiny_model_dir), prompt_style="completion"),
        str(tiny_model_dir),
    )


@pytest.fixture(scope="module")
def parts(tiny) -> SharedParts:
    return SharedParts.from_model(tiny, slots=4, z_dim=64)


def one_by_one(embeddings, salience, slots, sharpness):
    """The definition, position by position."""
    total, before = salience.sum().item(), 0.0
    members: list[list[int]] = [[] for _ in range(slots)]
    for position, share in enumerate(salience.tolist()):
        middle = (before + share / 2) / total * slots
        members[min(int(middle), slots - 1)].append(position)
        before += share
    means = []
    for inside in members:
        chosen = inside or list(range(len(embeddings)))
        weights = salience[chosen] ** sharpness
        means.append((embeddings[chosen] * weights[:, None]).sum(dim=0) / weights.sum())
    return torch.stack(means)


# Halves of whole numbers, so that no middle falls on a border by rounding alone.
saliences = st.lists(st.sampled_from([0.5, 1.0, 2.0, 4.0]), min_size=1, max_size=150)


@given(
    salience=saliences,
    slots=st.sampled_from([1, 2, 3, 8, 32]),
    sharpness=st.sampled_from([0, 1, 3]),
)
def test_means_are_those_of_spans_of_equal_salience(salience, slots, sharpness):
    embeddings = torch.randn(len(salience), 3, generator=torch.Generator().manual_seed(1))
    wanted = one_by_one(embeddings, torch.tensor(salience).double(), slots, sharpness)
    means = span_means(embeddings.double(), torch.tensor(salience).double(), slots, sharpness)
    torch.testing.assert_close(means, wanted.to(means), atol=1e-5, rtol=1e-4)


@given(length=st.integers(1, 300), slots=st.integers(1, 64))
def test_with_equal_saliences_every_token_is_in_one_span_and_spans_differ_by_at_most_one(
    length, slots
):
    # The mean of rows of a unit matrix shows which rows it was taken of.
    means = span_means(torch.eye(length), torch.ones(length), slots)
    used = means > 0
    spans = used[used.sum(dim=1) < length] if length > 1 and slots > 1 else used[:1]
    assert (spans.sum(dim=0) == 1).all()
    if slots <= length:
        sizes = used.sum(dim=1)
        assert sizes.max() - sizes.min() <= 2


def test_a_rare_token_outweighs_the_common_ones_of_its_span():
    embeddings, salience = torch.eye(4), torch.tensor([0.1, 0.1, 5.0, 0.1])
    assert span_means(embeddings, salience, 1, sharpness=3.0)[0, 2] > 0.99


def test_a_text_shorter_than_the_slots_fills_empty_spans_with_its_mean():
    embeddings = torch.tensor([[0.0], [6.0]])
    assert span_means(embeddings, torch.ones(2), 4).flatten().tolist() == [3.0, 0.0, 3.0, 6.0]


def test_span_codes_of_a_document_do_not_depend_on_others(tiny, parts):
    documents = [[5, 6, 7, 8, 9, 10, 11], [20, 21], [30]]
    together = span_codes(tiny, parts, documents)
    assert together.shape == (3, 4, 64)
    for code, document in zip(together, documents, strict=True):
        torch.testing.assert_close(code, span_codes(tiny, parts, [document])[0])


def test_the_model_reads_a_code_of_single_tokens_as_their_embeddings(tiny, parts):
    document = [5, 6, 7, 8]
    memory = parts.memory(span_codes(tiny, parts, [document]))
    expected = tiny.model.get_input_embeddings()(torch.tensor(document))
    torch.testing.assert_close(memory[0, 1:], expected, atol=1e-4, rtol=1e-4)


def test_a_document_is_its_title_and_text_without_special_tokens(tiny):
    passage = Passage(id="p", title="Hamlet", text="A play.")
    assert document_text(passage) == "Hamlet: A play."
    assert document_text(Passage(id="p", title="", text="A play.")) == "A play."
    ids = document_tokens(tiny, passage)
    assert tiny.tokenizer.decode(ids) == "Hamlet: A play."
    assert not set(ids) & set(tiny.tokenizer.all_special_ids)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_document_is_refused_by_id(tiny, text):
    with pytest.raises(InputError, match="'p-7' is empty.*remove it from the corpus"):
        document_tokens(tiny, Passage(id="p-7", title="", text=text))


def test_random_codes_are_spread_as_the_models_embeddings(tiny, parts):
    codes = random_codes(parts, 2000, seed=3)
    assert codes.shape == (2000, 4, 64)
    read = parts.up(codes).reshape(-1, 64)
    table = tiny.model.get_input_embeddings().weight
    torch.testing.assert_close(read.std(dim=0), table.std(dim=0), rtol=0.1, atol=0)
    distance = (read.mean(dim=0) - table.mean(dim=0)).norm() / table.std(dim=0).norm()
    assert distance < 0.05


def test_random_codes_are_those_of_their_seed_alone(parts):
    first = random_codes(parts, 3, seed=3)
    torch.manual_seed(1)
    assert torch.equal(random_codes(parts, 3, seed=3), first)
    assert not torch.equal(random_codes(parts, 3, seed=4), first)


@pytest.mark.parametrize("init", ["random", "spans"])
def test_first_codes_are_those_of_a_document_in_any_company(tiny, parts, init):
    documents, names = [[5, 6, 7, 8], [20, 21], [30]], ["a", "b", "c"]
    together = first_codes(tiny, parts, None, documents, names, init, seed=3)
    turned = first_codes(tiny, parts, None, documents[::-1], names[::-1], init, seed=3)
    torch.testing.assert_close(turned.flip(0), together)
    alone = first_codes(tiny, parts, None, documents[1:2], ["b"], init, seed=3)
    torch.testing.assert_close(alone[0], together[1])
    other = first_codes(tiny, parts, None, documents, names, init, seed=4)
    assert torch.equal(other, together) == (init == "spans")
