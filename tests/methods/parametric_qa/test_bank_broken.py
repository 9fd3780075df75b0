"""A damaged bank is refused in one line that names the file and the way out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.errors import InputError
from methods.parametric_qa.memory.bank import BANK_FILE, MemoryBank
from tests.methods.parametric_qa.test_bank import filled, numbers


@pytest.fixture
def folder(tmp_path) -> Path:
    """A bank whose first segment holds documents a to d."""
    return filled(tmp_path / "bank", dtype="int8").folder


def segments(folder: Path) -> list[Path]:
    listed = json.loads((folder / BANK_FILE).read_text())["segments"]
    return [folder / name for name in listed]


def rewrite(path: Path, **changes) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()} | changes
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path)


def as_ids(value) -> torch.Tensor:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return torch.frombuffer(bytearray(text), dtype=torch.uint8)


def refusal(folder: Path, named: Path) -> str:
    with pytest.raises(InputError) as caught:
        MemoryBank.open(folder)
    message = str(caught.value)
    assert message.startswith(f"{named}: ") and "\n" not in message
    return message


def test_a_truncated_segment_is_named(folder):
    path = segments(folder)[1]
    whole = path.read_bytes()
    for length in (0, 4, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert "restore the folder or write the bank again" in refusal(folder, path)


def test_a_missing_segment_is_named(folder):
    path = segments(folder)[0]
    path.unlink()
    assert "restore the folder or write the bank again" in refusal(folder, path)


@pytest.mark.parametrize(
    "changes",
    [
        {"codes": torch.zeros(3, 2, 3, dtype=torch.int8)},
        {"codes": torch.zeros(4, 2, 3, dtype=torch.float16)},
        {"codes": torch.zeros(4, 3, 2, dtype=torch.int8)},
        {"codes": None},
        {"scales": None},
        {"scales": torch.zeros(4, 1, dtype=torch.float16)},
        {"more": torch.zeros(4)},
        {"ids": None},
        {"ids": as_ids(["a", "b", "c"])},
        {"ids": as_ids(["a", "b", "c", 4])},
        {"ids": as_ids({"a": 1})},
        {"ids": as_ids(b'["a", "b\xff')},
        {"ids": torch.empty(0, dtype=torch.uint8)},
        {"ids": torch.zeros(3, dtype=torch.bfloat16)},
    ],
    ids=str,
)
def test_a_segment_that_does_not_fit_is_named(folder, changes):
    path = segments(folder)[0]
    rewrite(path, **changes)
    assert "restore the folder or write the bank again" in refusal(folder, path)


@pytest.mark.parametrize(("number", "ids"), [(0, list("abca")), (1, ["e", "b"])])
def test_a_document_that_is_there_twice_is_named(folder, number, ids):
    path = segments(folder)[number]
    rewrite(path, ids=as_ids(ids))
    assert ("'a'" if number == 0 else "'b'") in refusal(folder, path)


def test_a_segment_that_is_listed_twice_is_named(folder):
    values = json.loads((folder / BANK_FILE).read_text())
    values["segments"].append(values["segments"][0])
    (folder / BANK_FILE).write_text(json.dumps(values))
    assert "a second time" in refusal(folder, segments(folder)[0])


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '"bank"', "\xff"])
def test_a_list_of_segments_that_is_no_json_object_is_named(folder, text):
    (folder / BANK_FILE).write_bytes(text.encode("latin-1"))
    assert "restore" in refusal(folder, folder / BANK_FILE)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", 2),
        ("more", 1),
        ("segments", ["../elsewhere.safetensors"]),
        ("segments", "bank"),
        ("config", {}),
        ("config.slots", 0),
        ("config.z_dim", "wide"),
        ("config.dtype", "int4"),
        ("config.more", 1),
    ],
)
def test_a_wrong_value_is_named(folder, field, value):
    values = json.loads((folder / BANK_FILE).read_text())
    *outer, last = field.split(".")
    (values[outer[0]] if outer else values)[last] = value
    (folder / BANK_FILE).write_text(json.dumps(values))
    assert last in refusal(folder, folder / BANK_FILE)


def test_a_folder_without_a_bank_is_named(tmp_path):
    assert "there is no memory bank" in refusal(tmp_path, tmp_path / BANK_FILE)


def test_a_bank_that_breaks_while_it_is_open_refuses_changes_and_can_still_be_read(folder):
    bank = MemoryBank.open(folder)
    codes = bank.codes()
    (folder / BANK_FILE).write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        bank.delete(["a"])
    assert torch.equal(bank.codes(), codes)


def test_a_bank_of_another_shape_in_the_same_place_is_not_written_to(tmp_path):
    bank = filled(tmp_path / "bank")
    for path in bank.folder.iterdir():
        path.unlink()
    other = filled(bank.folder, fingerprint="model-2")
    with pytest.raises(InputError, match="another bank; open it again"):
        bank.add(["g"], numbers(1))
    assert MemoryBank.open(bank.folder).ids == other.ids
