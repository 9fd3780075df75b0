"""What a memory bank stores and gives back."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import torch
from torch import Tensor

from harness.errors import InputError
from harness.files import folder_bytes, read_json, write_json
from methods.parametric_qa.memory.bank import BankConfig, MemoryBank
from methods.parametric_qa.memory.quantise import Segment, quantised

SLOTS, Z_DIM = 2, 3


def config(**changes) -> BankConfig:
    return BankConfig(**{"slots": SLOTS, "z_dim": Z_DIM, "fingerprint": "model-1", **changes})


def numbers(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, SLOTS, Z_DIM, generator=torch.Generator().manual_seed(seed))


def filled(folder: Path, **changes) -> MemoryBank:
    """Documents a to f in two segments."""
    bank = MemoryBank.create(folder, config(**changes))
    bank.add(["a", "b", "c", "d"], numbers(4, 1))
    bank.add(["e", "f"], numbers(2, 2))
    return bank


@pytest.fixture
def bank(tmp_path) -> MemoryBank:
    return filled(tmp_path / "bank")


def refused(change, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        change(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_codes_come_back_as_quantised_says_before_they_are_written(tmp_path, dtype):
    bank = filled(tmp_path / "bank", dtype=dtype)
    expected = quantised(torch.cat([numbers(4, 1), numbers(2, 2)]), dtype)
    for reader in (bank, MemoryBank.open(bank.folder)):
        assert reader.ids == ("a", "b", "c", "d", "e", "f")
        assert reader.codes().dtype == torch.float32
        assert torch.equal(reader.codes(), expected)


def test_documents_are_read_in_the_order_asked_for(bank):
    codes = bank.codes()
    assert torch.equal(bank.codes(["e", "a", "f", "a"]), codes[[4, 0, 5, 0]])
    assert bank.codes([]).shape == (0, SLOTS, Z_DIM)
    assert "'zz'" in refused(bank.codes, ["a", "zz"])


def test_a_bank_that_says_it_has_no_keys_is_one_without_keys(bank):
    path = bank.folder / "bank.json"
    manifest = read_json(path)
    assert "key_dim" not in manifest["config"]
    manifest["config"]["key_dim"] = 0  # as banks said before
    write_json(path, manifest)
    assert torch.equal(MemoryBank.open(bank.folder, "model-1").codes(), bank.codes())
    manifest["config"]["key_dim"] = 4
    write_json(path, manifest)
    assert "key_dim" in refused(MemoryBank.open, bank.folder)


def test_an_updated_document_keeps_its_place_and_an_added_one_comes_last(bank):
    bank.update(["c"], numbers(1, 9))
    bank.delete(["a"])
    bank.add(["a"], numbers(1, 8))
    assert bank.ids == ("b", "c", "d", "e", "f", "a")
    assert torch.equal(bank.codes(["c", "a"]), torch.cat([numbers(1, 9), numbers(1, 8)]).half())


def test_documents_are_updated_in_any_order(bank):
    before = bank.codes()
    bank.update(["d", "f", "a"], numbers(3, 9))
    assert torch.equal(bank.codes(["d", "f", "a"]), numbers(3, 9).half().float())
    assert torch.equal(bank.codes(["b", "c", "e"]), before[[1, 2, 4]])


@pytest.mark.parametrize("size", [1, 4, 5, 6, 100])
def test_batches_cover_all_documents_once_and_are_no_larger_than_asked(bank, size):
    batches = list(bank.batches(size))
    assert max(len(ids) for ids, _ in batches) == min(size, len(bank))
    assert sum((ids for ids, _ in batches), ()) == bank.ids
    assert torch.equal(torch.cat([codes for _, codes in batches]), bank.codes())


def test_a_batch_of_no_documents_is_refused(bank):
    with pytest.raises(ValueError, match="at least 1"):
        next(bank.batches(0))


def test_changes_during_batches_do_not_disturb_them(bank):
    before = bank.codes()
    seen = []
    for ids, codes in bank.batches(2):
        bank.delete([ids[0]])
        seen.append(codes)
    assert torch.equal(torch.cat(seen), before)
    assert bank.ids == ("b", "d", "f")


def test_a_reader_keeps_what_it_opened_while_another_writes(bank):
    reader = MemoryBank.open(bank.folder)
    before = reader.codes()
    bank.delete(["a", "e"])
    bank.update(["b"], numbers(1, 9))
    assert torch.equal(reader.codes(), before)
    assert MemoryBank.open(bank.folder).ids == bank.ids == ("b", "c", "d", "f")


def test_a_bank_that_is_changed_while_it_is_opened_is_seen_as_changed(bank, monkeypatch):
    open_segment, changes = Segment.open, [["a"], ["e"]]

    def open_late(path, layout):
        if changes:
            ids = changes.pop()
            with monkeypatch.context() as patch:
                patch.setattr(Segment, "open", open_segment)
                bank.delete(ids)
        return open_segment(path, layout)

    monkeypatch.setattr(Segment, "open", open_late)
    assert MemoryBank.open(bank.folder).ids == ("b", "c", "d", "f")


def test_a_writer_sees_what_another_wrote_since_it_was_opened(bank):
    other = MemoryBank.open(bank.folder)
    bank.add(["g"], numbers(1, 3))
    assert "'g'" in refused(other.add, ["g"], numbers(1, 4))
    other.add(["h"], numbers(1, 4))
    assert MemoryBank.open(bank.folder).ids == ("a", "b", "c", "d", "e", "f", "g", "h")


def test_what_a_reader_does_with_its_tensors_does_not_reach_the_bank(bank):
    before = bank.codes()
    bank.codes().zero_()
    assert torch.equal(bank.codes(), before)


def test_adding_touches_no_existing_segment(bank):
    before = {path: path.stat().st_mtime_ns for path in bank.folder.glob("*.safetensors")}
    bank.add(["g"], numbers(1, 3))
    after = {path: path.stat().st_mtime_ns for path in bank.folder.glob("*.safetensors")}
    assert len(after) == len(before) + 1
    assert before.items() <= after.items()


def test_a_change_leaves_segments_without_its_documents_alone(bank):
    (large,) = (p for p in bank.folder.glob("*.safetensors") if b'"a"' in p.read_bytes())
    written = large.stat().st_mtime_ns
    bank.update(["e"], numbers(1, 9))
    bank.delete(["f"])
    assert large.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("changes", "each"),
    [
        ({}, SLOTS * Z_DIM * 2),
        ({"dtype": "int8"}, SLOTS * (Z_DIM + 2)),
    ],
)
def test_storage_counts_codes_and_scales(tmp_path, changes, each):
    bank = filled(tmp_path / "bank", **changes)
    assert bank.nbytes == 6 * each
    assert len(bank.raw("a")) == each
    bank.delete(["a"])
    assert bank.nbytes == 5 * each


def test_storage_is_nearly_all_that_a_large_bank_takes_on_disk(tmp_path):
    bank = MemoryBank.create(tmp_path / "bank", config(slots=8, z_dim=256))
    bank.add([f"document {i}" for i in range(100)], torch.ones(100, 8, 256))
    assert bank.nbytes <= folder_bytes(bank.folder) < 1.02 * bank.nbytes


def test_opening_reads_no_codes(tmp_path):
    size = 16 * 2**20
    bank = MemoryBank.create(tmp_path / "bank", config(slots=32, z_dim=1024))
    bank.add([str(i) for i in range(256)], torch.ones(256, 32, 1024))
    assert bank.nbytes == size
    process = psutil.Process()
    before = process.memory_info().rss
    reader = MemoryBank.open(bank.folder)
    assert len(reader) == 256
    assert process.memory_info().rss - before < size / 4


def test_an_empty_bank_and_an_emptied_one_can_be_read_and_filled(tmp_path):
    bank = MemoryBank.create(tmp_path / "new" / "bank", config())
    for _ in range(2):
        assert (len(bank), bank.ids, bank.nbytes, list(bank.batches(3))) == (0, (), 0, [])
        assert bank.codes().shape == (0, SLOTS, Z_DIM)
        bank.add(["a"], numbers(1))
        assert "a" in bank
        bank.delete(["a"])
        bank = MemoryBank.open(bank.folder)


def test_no_documents_are_no_change(bank):
    before = sorted(bank.folder.iterdir())
    bank.add([], numbers(0))
    bank.update([], numbers(0))
    bank.delete([])
    assert sorted(bank.folder.iterdir()) == before


def test_ids_may_be_any_text(tmp_path):
    ids = ["", "a/b", '"quoted"', "é ∂ 記憶", "line\nbreak", "\ud800"]
    bank = MemoryBank.create(tmp_path / "bank", config())
    bank.add(ids, numbers(len(ids)))
    assert MemoryBank.open(bank.folder).ids == tuple(ids)


def test_codes_under_training_can_be_stored(bank):
    bank.add(["g"], numbers(1, 3).double().requires_grad_())
    assert torch.equal(bank.codes(["g"]), numbers(1, 3).half().float())
    assert not bank.codes().requires_grad


def test_other_files_in_the_folder_are_left_alone(bank):
    names = ("shared.safetensors", "shared.json", ".other.tmp")
    for name in names:
        (bank.folder / name).write_text("kept")
    bank.delete(["a"])
    assert all((bank.folder / name).read_text() == "kept" for name in names)
