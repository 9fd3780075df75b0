"""The memories of documents on disk, each of which can be added, changed and removed alone.

A bank is a folder: ``bank.json`` (its shape and the list of its segments) and the segments, each
with ids and codes of some documents. A segment is never changed once it is written: a change
writes new ones, and replacing ``bank.json`` is the one moment at which it happens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from harness.errors import ConfigError, InputError, problem_of
from harness.files import folder_bytes, read_json, write_json, writing
from methods.parametric_qa.memory.quantise import (
    SEGMENTS,
    WRITE_AGAIN,
    CodeType,
    Layout,
    Segment,
    Snapshot,
    checked,
    from_stored,
    settle,
    to_stored,
)
from methods.parametric_qa.shared.rounding import BITS, packed_width
from methods.parametric_qa.shared.token_ids import WIDTHS

BANK_FILE, UNFINISHED = "bank.json", ".bank*.tmp"

_SegmentName = Annotated[str, Field(pattern=r"^bank-[0-9a-f]{32}\.safetensors$")]


class BankConfig(BaseModel):
    """The shape of a bank's memories, and what they were written with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slots: int = Field(ge=1, description="vectors of a memory (m)")
    z_dim: int = Field(ge=1, description="dimension of a vector")
    dtype: CodeType = Field("float16", description="how the numbers are stored")
    fingerprint: str = Field(description="hash of the model and the shared parts")
    corpus_fingerprint: str = Field("", description="hash of the corpus; empty: of none")

    def layout(self) -> Layout:
        """Name, type and shape of what is stored for one document."""
        if self.dtype in BITS:
            width = packed_width(self.z_dim, BITS[self.dtype])
            return {"codes": (torch.uint8, (self.slots, width))}
        if self.dtype in WIDTHS:
            return {"codes": (torch.uint8, (self.slots, WIDTHS[self.dtype]))}
        half = torch.float16
        code = torch.int8 if self.dtype == "int8" else half
        parts: Layout = {"codes": (code, (self.slots, self.z_dim))}
        if self.dtype == "int8":
            parts["scales"] = (half, (self.slots,))
        return parts

    @model_validator(mode="before")
    @classmethod
    def _without_keys(cls, values: Any) -> Any:
        # Banks written before 2026-11-26 say so of keys, which none of them has.
        if isinstance(values, Mapping) and values.get("key_dim") == 0:
            return {name: value for name, value in values.items() if name != "key_dim"}
        return values


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    config: BankConfig
    segments: tuple[_SegmentName, ...] = ()


class MemoryBank:
    """Codes of documents in one folder; see ``create`` and ``open``.

    Numbers are mapped from the files and read when asked for. A bank sees the folder as it was when
    it was opened or last changed through this object; one writer at a time, any number of readers.
    A change that raises has happened whole or not at all, and this object shows which.
    """

    def __init__(self, folder: Path, fingerprint: str | None = None) -> None:
        self.folder = folder
        manifest = _read_manifest(folder)
        self.config = manifest.config
        self._layout = self.config.layout()
        if fingerprint is not None and fingerprint != self.config.fingerprint:
            raise ConfigError(
                f"{folder}: the bank was written with another model or other shared parts, so its "
                "codes mean nothing to this one; write it again"
            )
        self._view = Snapshot(folder, ())
        self._reread()

    @classmethod
    def create(cls, folder: Path, config: BankConfig) -> Self:
        """An empty bank in a folder that has none. Raises InputError if it has."""
        if (folder / BANK_FILE).exists():
            raise InputError(f"{folder}: there is a bank already; open it or choose another folder")
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / BANK_FILE, _Manifest(config=config).model_dump())
        return cls(folder)

    @classmethod
    def open(cls, folder: Path, fingerprint: str | None = None) -> Self:
        """The bank in a folder.

        Raises InputError naming the file that is missing or broken, and ConfigError if it was not
        written with the model and the shared parts of ``fingerprint``.
        """
        return cls(folder, fingerprint)

    def check_corpus(self, corpus_fingerprint: str) -> None:
        """Raise ConfigError if the bank was written for a corpus, and it is not this one."""
        if self.config.corpus_fingerprint not in ("", corpus_fingerprint):
            raise ConfigError(
                f"{self.folder}: the bank holds the documents of another corpus, or of this one "
                "before it changed; write it again or choose the corpus it was written from"
            )

    def belong_to(self, corpus_fingerprint: str) -> None:
        """Note of which corpus the bank holds the documents now."""
        names = tuple(segment.name for segment in self._view.segments)
        config = self.config.model_copy(update={"corpus_fingerprint": corpus_fingerprint})
        write_json(self.folder / BANK_FILE, _Manifest(config=config, segments=names).model_dump())
        self.config = config

    def add(self, ids: Sequence[str], codes: Tensor) -> None:
        """Store codes [n, slots, z_dim] of new documents as one segment.

        Raises InputError for a known or repeated id, a wrong shape and numbers that float16 cannot
        hold, naming the document; then nothing is changed.
        """
        fresh = self._fresh(ids, codes)
        for id_ in ids:
            if id_ in self._view.places:
                raise InputError(f"the bank holds document {id_!r} already; update it instead")
        if ids:
            self._commit([*self._view.segments, Segment.draft(ids, fresh)])

    def update(self, ids: Sequence[str], codes: Tensor) -> None:
        """Replace the codes of documents; they keep their place in the order.

        Writes every segment anew that holds one of them, that is all documents added together with
        it, and needs as much memory and disk meanwhile; other segments are not touched. Raises
        InputError as ``add`` does, and for an unknown id.
        """
        fresh = self._fresh(ids, codes)
        segments = list(self._view.segments)
        for number, (positions, rows) in self._view.find(ids).items():
            values = {name: tensor[positions] for name, tensor in fresh.items()}
            segments[number] = segments[number].replaced(rows, values)
        self._commit(segments)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove documents; no file of the folder holds their numbers afterwards.

        Costs what ``update`` costs. Raises InputError for an unknown or repeated id.
        """
        self._begin(ids)
        segments = list(self._view.segments)
        for number, (_, rows) in self._view.find(ids).items():
            segments[number] = segments[number].without(rows)
        self._commit([segment for segment in segments if segment.ids])

    def codes(self, ids: Sequence[str] | None = None) -> Tensor:
        """Codes float32 [n, slots, z_dim] of these documents, or of all in the bank's order.

        Raises InputError for an unknown id.
        """
        return self._exact(self._view.stored(self._layout, self.ids if ids is None else ids))

    def raw(self, id_: str) -> bytes:
        """Every stored byte of a document: code and scales. Raises InputError if unknown."""
        stored = self._view.stored(self._layout, [id_])
        return b"".join(tensor.numpy().tobytes() for tensor in stored.values())

    def batches(self, size: int) -> Iterator[tuple[tuple[str, ...], Tensor]]:
        """Ids and codes float32 [up to size, slots, z_dim], in order, one batch in memory.

        Gives the bank as it was at the first batch, even if it is changed meanwhile. Raises
        ValueError if ``size`` is less than 1.
        """
        if size < 1:
            raise ValueError(f"a batch of {size} documents; give at least 1")
        view = self._view
        for start in range(0, len(view.ids), size):
            ids = view.ids[start : start + size]
            yield ids, self._exact(view.stored(self._layout, ids))

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all documents, in the order in which they were added."""
        return self._view.ids

    @property
    def nbytes(self) -> int:
        """Bytes of codes and scales on disk: what grows with documents, ids left out."""
        row = sum(kind.itemsize * math.prod(shape) for kind, shape in self._layout.values())
        return row * len(self)

    @property
    def file_bytes(self) -> int:
        """Bytes of all its files, ids included."""
        return folder_bytes(self.folder)

    def __len__(self) -> int:
        return len(self._view.ids)

    def __contains__(self, id_: object) -> bool:
        return id_ in self._view.places

    def _exact(self, stored: Mapping[str, Tensor]) -> Tensor:
        return from_stored(stored, self.config.dtype, self.config.z_dim)

    def _fresh(self, ids: Sequence[str], codes: Tensor) -> dict[str, Tensor]:
        self._begin(ids)
        shape = (self.config.slots, self.config.z_dim)
        exact = checked("codes", ids, codes, shape, half=self.config.dtype not in WIDTHS)
        if self.config.dtype in BITS and exact.numel() and exact.abs().max() > 1:
            raise InputError(
                f"codes beyond -1 and 1 cannot be stored as {self.config.dtype}; write them with "
                "a contextual encoder, or store int8"
            )
        return to_stored(exact, self.config.dtype)

    def _begin(self, ids: Sequence[str]) -> None:
        """Before a change: see what others wrote, and remove what a killed writer left."""
        seen = set[str]()
        for id_ in ids:
            if id_ in seen:
                raise InputError(f"document {id_!r} is given twice; give each id once")
            seen.add(id_)
        self._reread()
        self._sweep()

    def _commit(self, segments: Sequence[Segment]) -> None:
        names = tuple(segment.name for segment in segments)
        there = tuple(segment.name for segment in self._view.segments)
        if names == there:
            return
        manifest = _Manifest(config=self.config, segments=names)
        try:
            for segment in segments:
                if segment.name not in there:
                    segment.save(self.folder)
            settle(self.folder)
            write_json(self.folder / BANK_FILE, manifest.model_dump())
            settle(self.folder)
        except BaseException:
            # Only the disk knows on which side of the change the failure fell.
            with suppress(InputError, OSError):
                self._begin(())
            raise
        self._begin(())

    def _reread(self) -> None:
        """See the folder as it is now; segments that are open already stay so."""
        known = {segment.name: segment for segment in self._view.segments}
        while True:
            manifest = _read_manifest(self.folder)
            if manifest.config != self.config:
                raise InputError(f"{self.folder}: now holds another bank; open it again")
            try:
                segments = [
                    known.get(name) or Segment.open(self.folder / name, self._layout)
                    for name in manifest.segments
                ]
            except InputError:
                # A writer may have replaced segments since the list was read.
                if _read_manifest(self.folder) == manifest:
                    raise
                continue
            self._view = Snapshot(self.folder, segments)
            return

    def _sweep(self) -> None:
        kept = {segment.name for segment in self._view.segments}
        with writing(self.folder):
            for path in [*self.folder.glob(SEGMENTS), *self.folder.glob(UNFINISHED)]:
                if path.name not in kept:
                    path.unlink(missing_ok=True)


def _read_manifest(folder: Path) -> _Manifest:
    path = folder / BANK_FILE
    if not path.exists():
        raise InputError(f"{path}: there is no memory bank; check the path or write one")
    try:
        return _Manifest.model_validate(read_json(path))
    except ValidationError as error:
        found = problem_of(error)
        where = found.where or "the file"
        raise InputError(f"{path}: {where}: {found.message}; {WRITE_AGAIN}") from error
