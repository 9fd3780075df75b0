"""Writing optimises codes and nothing else, the same in any company, and goes on after a kill."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.errors import ConfigError, InputError, RunFailedError
from methods.parametric_qa.shared.initial import random_codes
from methods.parametric_qa.write.writing import WriteSettings, Written, optimise
from tests.methods.parametric_qa.lab import NAMES, load_tiny, losses, make_parts, quiet, tokens

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module")
def llm(tiny_model_dir):
    return load_tiny(tiny_model_dir)


@pytest.fixture(scope="module")
def parts(llm):
    return make_parts(llm)


@pytest.fixture(scope="module")
def documents(llm):
    return tokens(llm)


@pytest.fixture(scope="module")
def start(parts):
    return random_codes(parts, len(NAMES), seed=0)


@pytest.fixture
def write(llm, parts, documents, start):
    """Writes the documents, or those at ``chosen`` places."""

    def call(chosen=None, codes=start, scratch: Path | None = None, **values):
        settings = WriteSettings(**{"steps": 10, "learning_rate": 0.1, **values})
        chosen = list(range(len(NAMES))) if chosen is None else chosen
        given = [documents[i] for i in chosen], codes[chosen], settings
        names = [NAMES[i] for i in chosen]
        return optimise(llm, parts, *given, names=names, scratch=scratch, console=quiet())

    return call


@pytest.fixture
def rows_read(llm):
    """How many rows the model read at each call of its first layer's MLP."""
    read: list[int] = []
    layer = llm.model.get_decoder().layers[0].mlp
    handle = layer.register_forward_pre_hook(lambda _, inputs: read.append(len(inputs[0])))
    yield read
    handle.remove()


def assert_alike(one: Written, other: Written, tolerance: float = 0.0) -> None:
    assert torch.allclose(one.codes, other.codes, rtol=0, atol=tolerance)
    assert [r.steps for r in one.reports] == [r.steps for r in other.reports]


def test_writing_lowers_every_loss_and_says_by_how_much(llm, parts, documents, start, write):
    written = write(steps=40)
    assert written.codes.shape == start.shape
    after = [report.after for report in written.reports]
    assert [report.before for report in written.reports] == pytest.approx(
        losses(llm, parts, documents, start), abs=1e-3
    )
    assert after == pytest.approx(losses(llm, parts, documents, written.codes), abs=1e-3)
    assert all(r.after < 0.7 * r.before and r.steps == 40 for r in written.reports)


def test_a_document_is_written_in_company_as_it_is_alone(write):
    """Within 1e-3 of codes whose numbers are of size 0.3: padding moves a loss's last digits."""
    together = write()
    for place in range(len(NAMES)):
        alone = write([place])
        assert torch.allclose(alone.codes[0], together.codes[place], rtol=0, atol=1e-3)
        assert alone.reports[0].after == pytest.approx(together.reports[place].after, abs=1e-3)


def test_the_size_of_batches_changes_nothing(write, rows_read):
    together = write()
    assert max(rows_read) == len(NAMES)
    rows_read.clear()
    assert_alike(together, write(batch_tokens=1), 1e-3)
    assert max(rows_read) == 1


def test_only_codes_change_even_where_all_could_be_trained(llm, parts, write):
    everything = [*llm.model.parameters(), *parts.parameters()]
    before = [weight.detach().clone() for weight in everything]
    trained = [weight.requires_grad for weight in everything]
    try:
        for weight in everything:
            weight.requires_grad_(True)
        write(steps=3)
    finally:
        for weight, flag in zip(everything, trained, strict=True):
            weight.requires_grad_(flag)
    assert all(weight.grad is None for weight in everything)
    assert all(map(torch.equal, before, everything))


def test_dropout_is_off_and_comes_back(llm, write):
    llm.model.train()
    try:
        llm.model.config.attention_dropout = 0.5
        for layer in llm.model.get_decoder().layers:
            layer.self_attn.attention_dropout = 0.5
        first, second = write(steps=2), write(steps=2)
        assert llm.model.get_decoder().layers[0].mlp.training
    finally:
        llm.model.eval()
        for layer in llm.model.get_decoder().layers:
            layer.self_attn.attention_dropout = 0.0
    assert torch.equal(first.codes, second.codes)


def test_no_steps_leave_the_codes_as_they_are(write, start, rows_read):
    written = write(steps=0)
    assert torch.equal(written.codes, start)
    assert rows_read == []


def test_the_best_code_seen_is_kept(llm, parts, documents, start, write):
    """Steps so large that most make it worse never give back something worse than the start."""
    written = write(steps=6, learning_rate=5.0)
    for report, loss in zip(
        written.reports, losses(llm, parts, documents, written.codes), strict=True
    ):
        assert report.after <= report.before
        assert loss == pytest.approx(report.after, abs=1e-3)


def test_an_anchor_keeps_codes_near_their_beginning(parts, start, write):
    def moved(written: Written) -> float:
        return ((written.codes - start) / parts.code_std).square().mean().item()

    assert moved(write(anchor=100.0)) < 0.1 * moved(write())


def test_documents_that_are_good_enough_leave_the_batch(write, rows_read):
    threshold = min(r.after for r in write(steps=24).reports) + 1e-3
    rows_read.clear()
    reports = write(steps=30, stop_below=threshold).reports
    stopped = [report for report in reports if report.steps < 30]
    assert 1 <= len(stopped) < len(NAMES)
    assert all(report.after < threshold for report in stopped)
    assert sum(rows_read) == sum(report.steps + 1 for report in reports)


def test_documents_that_gain_nothing_leave_the_batch(write):
    assert {r.steps for r in write(learning_rate=1e-7, patience=3).reports} == {3}
    assert {r.steps for r in write(patience=3, steps=5).reports} == {5}


def test_a_document_too_long_for_the_window_is_named(llm, parts, write, monkeypatch, documents):
    longest = max(range(len(NAMES)), key=lambda i: len(documents[i]))
    length = len(documents[longest])
    monkeypatch.setattr(llm, "window", length + parts.config.slots + 3)
    write(steps=1)
    monkeypatch.setattr(llm, "window", length + parts.config.slots + 2)
    with pytest.raises(InputError, match=f"'{NAMES[longest]}' has {length} tokens.*window of 'ti"):
        write(steps=1)


def test_a_loss_that_is_no_number_names_its_document(write, start, tmp_path, rows_read):
    broken = start.clone()
    broken[3] = float("nan")
    with pytest.raises(RunFailedError, match="'telephone': its loss became nan at step 0") as told:
        write(codes=broken, batch_tokens=1, scratch=tmp_path)
    assert "\n" not in str(told.value)
    done = len(list(tmp_path.rglob("*.safetensors")))
    assert done == 3  # longest first: curie, hamlet, paris
    rows_read.clear()
    with pytest.raises(RunFailedError):
        write(codes=broken, batch_tokens=1, scratch=tmp_path)
    assert len(rows_read) == 1


BATCH = 40
"""Tokens: three batches or more."""


class Killed(BaseException):
    pass


@pytest.mark.parametrize("batches", [1, 2])
def test_a_killed_write_goes_on_with_the_same_results(llm, write, tmp_path, rows_read, batches):
    whole = write(batch_tokens=BATCH)
    calls = len(rows_read)
    assert calls >= 33
    rows_read.clear()

    def die(*_: object) -> None:
        if len(list(tmp_path.rglob("*.safetensors"))) == batches:
            raise Killed

    handle = llm.model.get_decoder().layers[1].mlp.register_forward_pre_hook(die)
    try:
        with pytest.raises(Killed):
            write(batch_tokens=BATCH, scratch=tmp_path)
    finally:
        handle.remove()
    rows_read.clear()
    assert_alike(whole, write(batch_tokens=BATCH, scratch=tmp_path))
    assert len(rows_read) == calls - 11 * batches
    rows_read.clear()
    assert write(batch_tokens=BATCH, scratch=tmp_path).reports == whole.reports
    assert rows_read == []


def test_what_was_kept_for_other_settings_is_not_taken(write, tmp_path):
    write(scratch=tmp_path)
    assert_alike(write(learning_rate=0.2), write(learning_rate=0.2, scratch=tmp_path))


def test_a_broken_file_of_a_killed_write_is_named(write, tmp_path):
    write(steps=1, scratch=tmp_path)
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(b"not tensors")
    with pytest.raises(InputError, match=f"{path.name}: cannot be read .*; delete it"):
        write(steps=1, scratch=tmp_path)


def test_checkpointing_computes_layers_twice_for_the_same_codes(llm, write, rows_read):
    plain = write(steps=5)
    calls = len(rows_read)
    rows_read.clear()
    assert_alike(plain, write(steps=5, checkpointing=True), 1e-5)
    assert len(rows_read) == calls + 5
    assert "forward" not in llm.model.get_decoder().layers[0].__dict__


def test_a_batch_that_does_not_fit_is_checkpointed_and_then_parted(llm, write, rows_read):
    whole = write(steps=3)

    def refuse(_, inputs):
        if len(inputs[0]) > 2:
            raise torch.OutOfMemoryError("too many rows")

    rows_read.clear()
    handle = llm.model.get_decoder().layers[1].mlp.register_forward_pre_hook(refuse)
    try:
        assert_alike(whole, write(steps=3), 1e-3)
    finally:
        handle.remove()
    assert rows_read[:2] == [5, 5]


def test_a_model_without_an_end_token_is_refused(parts, tiny_model_dir, start, documents):
    llm = load_tiny(tiny_model_dir)
    llm.tokenizer.eos_token = None
    llm.model.generation_config.eos_token_id = None
    with pytest.raises(ConfigError, match="'tiny' has no end token"):
        optimise(llm, parts, documents, start, WriteSettings(), names=NAMES)


def test_codes_of_another_shape_are_a_mistake(llm, parts, documents, start):
    with pytest.raises(ValueError, match=r"codes are \(1, 4, 64\)"):
        optimise(llm, parts, documents, start[:1], WriteSettings())
