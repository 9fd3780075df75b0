"""The file of a corpus's floors: computed once, kept beside the runs, read by every table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import InputError, problem_of
from harness.files import read_json, write_json, writing
from harness.runs.seal import is_sound, sealed, without_seal
from leaderboards.floors import Floor, floors_path

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.llm.base import LanguageModel

MOST_BYTES = 200_000_000
"""Corpora with more text are packed by a fixed sample of as much: xz takes a second a megabyte."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Packed(_Part):
    """A floor by compression."""

    name: str
    bytes_per_1000: float = Field(ge=0)
    note: str = ""
    shared_bytes: int = Field(0, ge=0)


class Coded(_Part):
    """The code length by one model."""

    model: str
    settings: dict[str, Any]
    """The model's identity, as in a run's manifest."""
    passages: int = Field(ge=1)
    left_out: int = Field(0, ge=0)
    bits: float = Field(ge=0)
    """Mean bits a passage."""
    half_width: float | None = Field(None, ge=0)
    asked: int = Field(ge=1)

    @property
    def floor(self) -> Floor:
        """As a line beside the others."""
        n = f"{self.bits:,.0f} bits a passage"
        width = "" if self.half_width is None else f" \u00b1 {self.half_width:,.0f}"
        left = f", {self.left_out:,} too long for its window left out" if self.left_out else ""
        note = f"{n}{width}, n = {self.passages:,}{left}; lossless, the model not counted"
        return Floor(f"code of {self.model}", self.bits / 8 * 1000, note)


class FloorsFile(_Part):
    """All floors of one corpus. ``sample`` is how many documents were packed, if not all."""

    corpus_fingerprint: str
    documents: int = Field(ge=1)
    sample: int | None = Field(None, ge=1)
    packed: tuple[Packed, ...]
    coded: tuple[Coded, ...] = ()
    made: str = ""

    def floors(self) -> Iterator[Floor]:
        """All of them, as they are shown."""
        part = "" if self.sample is None else f"of {self.sample:,} documents, a random sample"
        for one in self.packed:
            note = "; ".join(filter(None, (one.note, part)))
            yield Floor(one.name, one.bytes_per_1000, note, one.shared_bytes)
        yield from (one.floor for one in self.coded)


def read_file(path: Path, corpus_fingerprint: str) -> FloorsFile:
    """The floors of a corpus. Raises InputError if the file is damaged or another corpus's.

    Files of earlier releases have no seal that would tell of edits.
    """
    again = "delete it and run `memory-harness floors` again"
    values = read_json(path)
    try:
        found = FloorsFile.model_validate(
            without_seal(values) if isinstance(values, dict) else values
        )
    except ValidationError as error:
        problem = problem_of(error)
        raise InputError(
            f"{path}: {problem.where or 'the file'}: {problem.message}; {again}"
        ) from error
    if found.corpus_fingerprint != corpus_fingerprint:
        raise InputError(f"{path}: of another corpus; {again}")
    if not is_sound(values, corpus_fingerprint):
        raise InputError(f"{path}: changed since it was computed; {again}")
    return found


def make_floors(
    runs: Path,
    corpus: Corpus,
    *,
    model: dict[str, Any] | None = None,
    open_model: Callable[[], LanguageModel] | None = None,
    passages: int = 64,
) -> FloorsFile:
    """Compute what is not there yet and keep it; ``model`` is the identity of what is opened."""
    path = floors_path(runs, corpus.fingerprint)
    found = read_file(path, corpus.fingerprint) if path.exists() else _pack(corpus)
    if model is not None and open_model is not None and not _is_coded(found, model, passages):
        coded = _code(corpus, model, open_model, passages)
        others = [one for one in found.coded if one.settings != model]
        kept = sorted([*others, coded], key=lambda one: (one.model, str(one.settings)))
        found = found.model_copy(update={"coded": tuple(kept)})
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, sealed(found.model_dump(mode="json"), corpus.fingerprint))
    return found


def _pack(corpus: Corpus) -> FloorsFile:
    from harness.fingerprint import sample_by_hash
    from leaderboards.floors.compression import compression_floors

    count = len(corpus)
    if corpus.text_bytes > MOST_BYTES:
        count = max(1, round(count * MOST_BYTES / corpus.text_bytes))
    kept = set(sample_by_hash(corpus.ids, count, str)) if count < len(corpus) else None
    texts = [p.contents.encode() for p in corpus if kept is None or p.id in kept]
    return FloorsFile(
        corpus_fingerprint=corpus.fingerprint,
        documents=len(corpus),
        sample=None if kept is None else len(texts),
        packed=tuple(_packed(compression_floors(texts))),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _packed(floors: Sequence[Floor]) -> Iterator[Packed]:
    for one in floors:
        yield Packed(
            name=one.name,
            bytes_per_1000=one.bytes_per_1000,
            note=one.note,
            shared_bytes=one.shared_bytes,
        )


def _is_coded(file: FloorsFile, model: dict[str, Any], passages: int) -> bool:
    return any(one.settings == model and one.asked == passages for one in file.coded)


def _code(
    corpus: Corpus, model: dict[str, Any], open_model: Callable[[], LanguageModel], passages: int
) -> Coded:
    from leaderboards.floors.code_length import code_length, sample

    ids = sample(corpus, passages)
    llm = open_model()
    try:
        length = code_length(llm, ids)
    finally:
        llm.close()
    return Coded(
        model=llm.name,
        settings=model,
        passages=len(length.bits),
        left_out=length.left_out,
        bits=length.mean,
        half_width=length.half_width,
        asked=passages,
    )
