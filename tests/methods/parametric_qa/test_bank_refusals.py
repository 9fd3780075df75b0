"""What a memory bank refuses, in one line that names the document or the folder."""

from __future__ import annotations

import pytest
import torch

from harness.errors import ConfigError
from methods.parametric_qa.memory.bank import MemoryBank
from tests.methods.parametric_qa.test_bank import (
    SLOTS,
    Z_DIM,
    config,
    filled,
    numbers,
    refused,
)


@pytest.fixture
def bank(tmp_path) -> MemoryBank:
    return filled(tmp_path / "bank")


@pytest.mark.parametrize(
    ("ids", "codes", "named"),
    [
        (["g", "b"], numbers(2), "'b'"),
        (["g", "h", "g"], numbers(3), "'g'"),
        (["g"], numbers(2), "(2, 2, 3)"),
        (["g"], numbers(1)[0], "'g'"),
        (["g"], torch.zeros(1, SLOTS, Z_DIM + 1), "'g'"),
        (["g", "h"], numbers(2).index_fill(0, torch.tensor(1), float("nan")), "'h'"),
        (["g", "h"], numbers(2).index_fill(0, torch.tensor(0), float("-inf")), "'g'"),
        (["g", "h"], numbers(2).index_fill(0, torch.tensor(1), 65_536.0), "'h'"),
        (["g"], numbers(1).double() * 1e300, "'g'"),
    ],
)
@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_what_cannot_be_stored_is_refused_by_name_and_changes_nothing(
    tmp_path, dtype, ids, codes, named
):
    bank = filled(tmp_path / "bank", dtype=dtype)
    before = {path: path.read_bytes() for path in bank.folder.iterdir()}
    assert named in refused(bank.add, ids, codes)
    known = [{"g": "c", "h": "d"}.get(id_, "zz") for id_ in ids]
    wrong = {"'g'": "'c'", "'h'": "'d'", "'b'": "'zz'"}.get(named, named)
    assert wrong in refused(bank.update, known, codes)
    assert {path: path.read_bytes() for path in bank.folder.iterdir()} == before
    assert bank.ids == ("a", "b", "c", "d", "e", "f")


def test_deleting_unknown_or_repeated_ids_is_refused_and_changes_nothing(bank):
    assert "'zz'" in refused(bank.delete, ["a", "zz"])
    assert "'a'" in refused(bank.delete, ["a", "b", "a"])
    assert MemoryBank.open(bank.folder).ids == bank.ids == ("a", "b", "c", "d", "e", "f")


def test_another_models_bank_is_refused(bank):
    assert len(MemoryBank.open(bank.folder, "model-1")) == 6
    with pytest.raises(ConfigError, match="another model or other shared parts.*write it again"):
        MemoryBank.open(bank.folder, "model-2")


def test_another_corpus_is_refused_where_the_bank_was_written_for_one(tmp_path, bank):
    bank.check_corpus("any")
    bound = filled(tmp_path / "bound", corpus_fingerprint="corpus-1")
    bound.check_corpus("corpus-1")
    with pytest.raises(ConfigError, match="another corpus.*write it again"):
        MemoryBank.open(bound.folder).check_corpus("corpus-2")


def test_a_bank_is_not_created_over_another(bank):
    assert "already" in refused(MemoryBank.create, bank.folder, config())
    assert len(MemoryBank.open(bank.folder)) == 6
