"""First codes by an encoder: a document's own, in any company, trainable, and kept in files."""

from __future__ import annotations

import json

import pytest
import torch

from harness.errors import InputError
from methods.parametric_qa.shared.encoder import Encoder, encoder_codes
from methods.parametric_qa.write.writing import WriteSettings, optimise
from tests.methods.parametric_qa.lab import NAMES, load_tiny, make_parts, quiet, tokens

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module")
def llm(tiny_model_dir):
    return load_tiny(tiny_model_dir)


@pytest.fixture(scope="module")
def parts(llm):
    return make_parts(llm, slots=3, z_dim=16)


@pytest.fixture(scope="module")
def documents(llm):
    return tokens(llm)


@pytest.fixture
def encoder(llm, parts) -> Encoder:
    return Encoder.from_model(llm, parts, seed=0)


def test_codes_are_the_documents_own_in_any_company(llm, encoder, documents):
    together = encoder_codes(llm, encoder, documents)
    assert together.shape == (len(documents), 3, 16)
    alone = torch.cat([encoder_codes(llm, encoder, [document]) for document in documents])
    assert torch.allclose(together, alone, atol=1e-4)
    assert torch.pdist(together.flatten(1)).min() > 0.1


def test_the_memory_tokens_read_the_whole_document(llm, encoder, documents):
    """A change of the first token or of the last changes the code."""
    ids = documents[0]
    changed = [[ids[0] + 1, *ids[1:]], [*ids[:-1], ids[-1] + 1]]
    codes = encoder_codes(llm, encoder, [ids, *changed])
    assert (codes[1:] - codes[0]).abs().amax(dim=(1, 2)).min() > 1e-3


def test_untrained_codes_are_of_the_size_of_an_embeddings_code(llm, parts, encoder, documents):
    size = encoder_codes(llm, encoder, documents).square().mean().sqrt()
    usual = parts.code_std.square().mean().sqrt()
    assert 0.2 * usual < size < 5 * usual


def test_gradients_reach_what_is_trained(llm, encoder, documents):
    encoder(llm.model, documents[:2]).square().sum().backward()
    for name, weight in encoder.named_parameters():
        assert weight.grad.abs().sum() > 0, name
    assert all(weight.grad is None for weight in llm.model.parameters())


def test_an_encoders_codes_can_be_optimised(llm, parts, encoder, documents):
    codes = encoder_codes(llm, encoder, documents)
    settings = WriteSettings(steps=5)
    written = optimise(llm, parts, documents, codes, settings, names=NAMES, console=quiet())
    assert all(report.after < report.before for report in written.reports)


def test_a_saved_encoder_gives_the_same_codes(llm, parts, encoder, documents, tmp_path):
    encoder.save(tmp_path)
    loaded = Encoder.load(tmp_path)
    assert loaded.fingerprint() == encoder.fingerprint()
    kept = encoder.state_dict()
    assert all(torch.equal(tensor, kept[name]) for name, tensor in loaded.state_dict().items())
    # The same numbers elsewhere in memory: some processors then give another last digit.
    torch.testing.assert_close(
        encoder_codes(llm, loaded, documents),
        encoder_codes(llm, encoder, documents),
        rtol=1e-4,
        atol=1e-5,
    )
    assert Encoder.from_model(llm, parts, seed=1).fingerprint() != encoder.fingerprint()


def test_broken_files_are_named(encoder, tmp_path):
    encoder.save(tmp_path)
    weights = tmp_path / "encoder.safetensors"
    weights.write_bytes(weights.read_bytes()[:50])
    with pytest.raises(InputError, match=r"encoder\.safetensors: .*train the encoder again"):
        Encoder.load(tmp_path)
    (tmp_path / "encoder.json").write_text(json.dumps({"shape": {"slots": 0}}))
    with pytest.raises(InputError, match=r"encoder\.json: .*train the encoder again"):
        Encoder.load(tmp_path)


def test_a_document_too_long_for_the_window_is_named(llm, encoder, documents, monkeypatch):
    read = len(documents[0]) + 1 + 3
    monkeypatch.setattr(llm, "window", read)
    encoder_codes(llm, encoder, documents[:1], names=["hamlet"])
    monkeypatch.setattr(llm, "window", read - 1)
    with pytest.raises(InputError, match=f"'hamlet' and 3 memory tokens are {read} tokens"):
        encoder_codes(llm, encoder, documents[:1], names=["hamlet"])
