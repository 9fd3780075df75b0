"""What is measured of memories, against sums done by hand."""

from __future__ import annotations

from math import exp, log

import pytest
import torch

from methods.parametric_qa.evaluate.reconstruction import (
    DocumentScores,
    Reconstruction,
    confusion,
    greedy_tokens,
    reconstruct,
)
from methods.parametric_qa.shared.initial import random_codes
from methods.parametric_qa.write.sequences import end_token
from methods.parametric_qa.write.writing import WriteSettings, optimise
from tests.methods.parametric_qa.lab import NAMES, load_tiny, losses, make_parts, quiet, tokens


@pytest.fixture(scope="module")
def llm(tiny_model_dir):
    return load_tiny(tiny_model_dir)


@pytest.fixture(scope="module")
def parts(llm):
    return make_parts(llm, slots=8).requires_grad_(False)


@pytest.fixture(scope="module")
def documents(llm):
    return tokens(llm)


@pytest.fixture(scope="module")
def start(parts):
    return random_codes(parts, len(NAMES), seed=0)


@pytest.fixture(scope="module")
def codes(llm, parts, documents, start):
    settings = WriteSettings(steps=80, stop_below=0.02)
    return optimise(llm, parts, documents, start, settings, names=NAMES, console=quiet()).codes


@pytest.fixture(scope="module")
def scores(llm, parts, documents, codes) -> Reconstruction:
    return reconstruct(llm, parts, codes, documents, NAMES)


def test_a_written_document_is_read_back_token_for_token(scores):
    nile = scores.documents[NAMES.index("nile")]
    assert nile.exact and nile.greedy == "the Nile"
    assert nile.greedy_prefix == nile.tokens
    assert nile.token_accuracy == nile.greedy_accuracy == nile.rouge_l == nile.chrf == 1


def test_losses_are_those_of_the_text_and_its_end(llm, parts, documents, codes, scores):
    with_z = [document.nll_with / document.tokens for document in scores.documents]
    assert with_z == pytest.approx(losses(llm, parts, documents, codes), abs=1e-4)
    for document, found in zip(documents, scores.documents, strict=True):
        ids = torch.tensor([[llm.tokenizer.bos_token_id, *document, end_token(llm)]])
        mean = llm.model(ids, labels=ids).loss.item()
        assert found.tokens == len(document) + 1
        assert found.perplexity_without == pytest.approx(exp(mean), rel=1e-3)


def test_greedy_text_is_what_the_likeliest_tokens_make(llm, parts, start):
    memories = parts.memory(start)
    most = [4, 9, 1, 6, 6]
    first = llm.model.get_input_embeddings()(torch.tensor(llm.begins))
    for row, memory, length in zip(greedy_tokens(llm, memories, most), memories, most, strict=True):
        inputs, expected = torch.cat([first, memory])[None], []
        while len(expected) < length and end_token(llm) not in expected:
            expected.append(llm.model(inputs_embeds=inputs).logits[0, -1].argmax().item())
            token = llm.model.get_input_embeddings()(torch.tensor([[expected[-1]]]))
            inputs = torch.cat([inputs, token], dim=1)
        assert row == expected


def test_confusion_is_the_loss_under_every_memory(llm, parts, documents, codes, scores):
    for column in (0, 3):
        swapped = codes[[column] * len(codes)]
        expected = torch.tensor(losses(llm, parts, documents, swapped))
        assert torch.allclose(scores.confusion[:, column], expected, atol=1e-3)
    assert scores.summary(parts, 16)["own_memory_best"] == 1


def test_memories_that_were_never_written_fit_no_document_best(llm, parts, documents, start):
    fits = reconstruct(llm, parts, start, documents, NAMES).summary(parts, 16)
    assert fits["own_memory_best"] < 1
    assert fits["exact"] == 0


def test_confusion_of_many_documents_is_of_a_sample(llm, parts):
    memories = parts.memory(random_codes(parts, 70, seed=0))
    assert confusion(llm, memories, [[5, 6]] * 70).shape == (8, 64)


def test_a_summary_counts_tokens_and_bits(parts):
    def document(tokens: int, with_z: float, without: float, prefix: int) -> DocumentScores:
        return DocumentScores(
            "d", tokens, with_z, without, 0.5, prefix / tokens, prefix, False, 0.2, 0.1, 0.4, ""
        )

    documents = (document(10, 10.0, 30.0, 4), document(30, 10.0, 50.0, 0))
    summary = Reconstruction(documents, torch.tensor([[1.0, 3.0], [1.0, 2.0]])).summary(parts, 16)
    assert summary["perplexity_with"] == pytest.approx(exp(20 / 40))
    assert summary["perplexity_without"] == pytest.approx(exp(80 / 40))
    assert summary["perplexity_ratio"] == pytest.approx(exp(-60 / 40))
    assert summary["greedy_accuracy"] == pytest.approx(0.1)
    assert summary["greedy_prefix"] == 2
    assert summary["own_memory_best"] == 0.5
    assert summary["loss_own_memory"] == 1.5
    assert summary["loss_other_memories"] == 2
    assert summary["bits_stored"] == pytest.approx(60 / log(2))
    assert summary["memory_bits"] == 2 * 8 * 64 * 16
    assert summary["bits_per_memory_bit"] == pytest.approx(60 / log(2) / (2 * 8 * 64 * 16))
    shared = 64 * 64 * 2 + 3 * 64
    assert summary["bits_per_shared_parameter"] == pytest.approx(60 / log(2) / shared)
