"""Memories as they are stored: float16, int8 with a scale for each vector, or a grid, in segments.

A segment is one file of some documents: their ids, and one row a document of each tensor.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor

from harness.errors import InputError
from harness.files import atomic_file, writing
from methods.parametric_qa.shared.rounding import BITS, packed, unpacked
from methods.parametric_qa.shared.token_ids import WIDTHS, as_bytes, from_bytes

CodeType = Literal["float16", "int8", "grid2", "grid4", "grid8", "tokens2", "tokens3"]
"""The grids are of codes within -1 and 1, as a contextual encoder writes them, without scales; of
tokens a code is the id."""
Layout = dict[str, tuple[torch.dtype, tuple[int, ...]]]
"""Name, type and shape of what is stored for one document."""
LARGEST = 127
"""The largest int8 used; -128 is not, so that both signs reach equally far."""
# The prefix keeps other tensors that a user keeps in the folder from being taken for a bank's.
SEGMENTS = "bank-*.safetensors"
WRITE_AGAIN = "restore the folder or write the bank again"


def to_stored(codes: Tensor, dtype: CodeType) -> dict[str, Tensor]:
    """Tensors that are kept of finite codes [..., slots, z_dim], each |number| at most 65,504
    (of tokens: an id).

    ``codes`` in ``dtype``; for int8 also ``scales`` float16 [..., slots]: each vector's largest
    absolute number over 127, so that no number moves by more than half its scale.
    """
    exact = codes.detach().cpu().float()
    if dtype == "float16":
        return {"codes": exact.half()}
    if dtype in BITS:
        return {"codes": packed(exact, BITS[dtype])}
    if dtype in WIDTHS:
        return {"codes": as_bytes(exact, WIDTHS[dtype])}
    largest = exact.abs().amax(dim=-1)
    scales = (largest / LARGEST).half()
    # One float16 up where rounding went down: the largest number must still fit into int8.
    short = scales.float() * LARGEST < largest
    scales = (scales.view(torch.int16) + short).view(torch.float16)
    # A scale of 0 means a vector of zeros, and 0 / 1 is what 0 / 0 should be.
    divisors = torch.where(scales == 0, 1.0, scales.float())
    return {"codes": (exact / divisors[..., None]).round().to(torch.int8), "scales": scales}


def from_stored(stored: Mapping[str, Tensor], dtype: CodeType, z_dim: int) -> Tensor:
    """Codes float32 [..., slots, z_dim] of what ``to_stored`` gave."""
    if dtype in BITS:
        return unpacked(stored["codes"], BITS[dtype], z_dim)
    if dtype in WIDTHS:
        return from_bytes(stored["codes"])
    codes = stored["codes"].float()
    return codes * stored["scales"].float()[..., None] if "scales" in stored else codes


def quantised(codes: Tensor, dtype: CodeType) -> Tensor:
    """What a reader would get back of codes [..., slots, z_dim]: float32 on the codes' device."""
    stored = to_stored(codes, dtype)
    return from_stored(stored, dtype, codes.shape[-1]).to(codes.device)


def checked(
    what: str, ids: Sequence[str], values: Tensor, shape: tuple[int, ...], *, half: bool = True
) -> Tensor:
    """``values`` as float32 [len(ids), *shape] on the CPU.

    Raises InputError for another shape, NaN, infinity and, if ``half``, numbers that float16 cannot
    hold.
    """
    expected = (len(ids), *shape)
    if tuple(values.shape) != expected:
        first = f", the first {ids[0]!r}" if ids else ""
        raise InputError(
            f"{what} of {len(ids)} documents{first} have the shape {tuple(values.shape)}; "
            f"give {expected}"
        )
    exact = values.detach().cpu().float()
    fits = (exact.half() if half else exact).isfinite().flatten(1).all(dim=1)
    if not fits.all():
        bad = ids[int((~fits).nonzero()[0])]
        raise InputError(
            f"{what} of document {bad!r} hold NaN, infinity or a number beyond 65504, which "
            "float16 cannot hold; write it with a lower learning rate"
        )
    return exact


@dataclass(frozen=True, slots=True)
class Segment:
    """Some documents; ``tensors`` [documents, ...] are mapped from the file once it is saved."""

    name: str
    ids: tuple[str, ...]
    tensors: Mapping[str, Tensor]

    @classmethod
    def draft(cls, ids: Sequence[str], tensors: Mapping[str, Tensor]) -> Self:
        """A segment that is not on disk yet, under a name of its own."""
        return cls(f"bank-{uuid.uuid4().hex}.safetensors", tuple(ids), tensors)

    @classmethod
    def open(cls, path: Path, layout: Layout) -> Self:
        """Map a saved segment. Raises InputError if it is missing, broken or of another shape."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            tensors = load_file(path)
            ids = json.loads(tensors.pop("ids").numpy().tobytes())
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: not a bank's segment ({reason}); {WRITE_AGAIN}") from error
        if not isinstance(ids, list) or not all(isinstance(id_, str) for id_ in ids):
            raise InputError(f"{path}: its ids are not a list of strings; {WRITE_AGAIN}")
        found = {name: (t.dtype, tuple(t.shape)) for name, t in tensors.items()}
        rows = {name: (kind, (len(ids), *shape)) for name, (kind, shape) in layout.items()}
        if found != rows:
            raise InputError(
                f"{path}: its tensors do not fit its {len(ids)} ids and the shape of the bank; "
                f"{WRITE_AGAIN}"
            )
        return cls(path.name, tuple(ids), tensors)

    def save(self, folder: Path) -> None:
        """Write the file whole or not at all. Raises InputError if the system refuses."""
        from safetensors.torch import save

        ids = torch.frombuffer(bytearray(json.dumps(self.ids).encode()), dtype=torch.uint8)
        content = save({**self.tensors, "ids": ids})
        with atomic_file(folder / self.name) as file:
            file.write(content)

    def replaced(self, rows: list[int], fresh: Mapping[str, Tensor]) -> Segment:
        """A draft with other values in some rows and the same bytes in all others."""
        tensors = {name: tensor.clone() for name, tensor in self.tensors.items()}
        for name, tensor in tensors.items():
            tensor[rows] = fresh[name]
        return self.draft(self.ids, tensors)

    def without(self, rows: list[int]) -> Segment:
        """A draft that lacks some rows; the same bytes in all others."""
        gone = set(rows)
        kept = [row for row in range(len(self.ids)) if row not in gone]
        tensors = {name: tensor[kept] for name, tensor in self.tensors.items()}
        return self.draft([self.ids[row] for row in kept], tensors)


class Snapshot:
    """A bank at one moment, readable even when the files of its segments are gone.

    ``ids`` are those of all documents in order, ``places`` their segment's number and their row.
    """

    def __init__(self, folder: Path, segments: Sequence[Segment]) -> None:
        self.segments = tuple(segments)
        self.places: dict[str, tuple[int, int]] = {}
        for number, segment in enumerate(segments):
            for row, id_ in enumerate(segment.ids):
                if id_ in self.places:
                    path = folder / segment.name
                    raise InputError(f"{path}: holds document {id_!r} a second time; {WRITE_AGAIN}")
                self.places[id_] = (number, row)
        self.ids = tuple(self.places)

    def find(self, ids: Sequence[str]) -> dict[int, tuple[list[int], list[int]]]:
        """For each segment that is concerned: positions in ``ids`` and their rows there.

        Raises InputError for an unknown id.
        """
        found: dict[int, tuple[list[int], list[int]]] = {}
        for position, id_ in enumerate(ids):
            if id_ not in self.places:
                raise InputError(f"the bank holds no document {id_!r}; add it first")
            number, row = self.places[id_]
            positions, rows = found.setdefault(number, ([], []))
            positions.append(position)
            rows.append(row)
        return found

    def stored(self, layout: Layout, ids: Sequence[str]) -> dict[str, Tensor]:
        """Copies of what is stored of documents, one row each. Raises InputError as ``find``."""
        found = self.find(ids)
        stored = {}
        for name, (kind, shape) in layout.items():
            stored[name] = torch.empty((len(ids), *shape), dtype=kind)
            for number, (positions, rows) in found.items():
                stored[name][positions] = self.segments[number].tensors[name][rows]
        return stored


def settle(folder: Path) -> None:
    """Have the names of files on disk, too, before what relies on them is written or removed."""
    with writing(folder):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
