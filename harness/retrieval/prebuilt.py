"""Prebuilt indexes named by their place: ``faiss:FILE@ENCODER`` and ``bm25s:FOLDER``.

The place says where an index lies; what decides results, and so a run's identity, is what it holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import ConfigError, InputError
from harness.files import expanded
from harness.fingerprint import fingerprint, known_sha256
from harness.retrieval.catalogue import (
    EncoderEntry,
    EncoderSettings,
    encoder_entry,
    encoder_names,
    explain,
)

FAISS, BM25S = "faiss:", "bm25s:"
FORMS = {
    "faiss:FILE@ENCODER": {
        "summary": "a flat faiss index, such as FlashRAG's e5_Flat.index or a folder of Pyserini's",
        "index": (
            "inner product; row i is passage i of the corpus, or the one that line i of a folder's "
            "docid names; memory-mapped"
        ),
        "encoder": (
            "one of the catalogue, or a local folder with query_prefix, normalize and other "
            "settings: faiss:e5_Flat.index@./e5-base-v2,query_prefix=query: ,normalize=true"
        ),
    },
    "bm25s:FOLDER": {
        "summary": "an index saved by bm25s, such as FlashRAG's bm25/",
        "index": "over the passages of the corpus in their order; memory-mapped",
        "queries": "tokenised and stemmed as the index was, which its vocabulary tells",
    },
}
"""What a prebuilt index's name looks like, and what ``describe`` says of it."""
RETRIEVER = (
    "'bm25', an encoder (ENCODER,index=sq8 or ivf-pq or hnsw), an index (faiss:FILE@ENCODER, "
    "bm25s:FOLDER), a plug-in's (NAME,PARAM=2)"
)
"""What a method's parameter ``retriever`` takes."""
_OPTION = re.compile(rf",({'|'.join(EncoderSettings.model_fields)})=")


@dataclass(frozen=True, slots=True)
class FaissSpec:
    """``faiss:FILE@ENCODER[,NAME=VALUE...]`` taken apart."""

    file: str
    encoder: str
    options: Mapping[str, str]

    @classmethod
    def parse(cls, name: str) -> FaissSpec:
        """Raises ConfigError."""
        head, *rest = _OPTION.split(name.removeprefix(FAISS))
        file, _, encoder = head.rpartition("@")
        if not file or not encoder:
            raise ConfigError(
                f"retriever '{name}': write it as faiss:FILE@ENCODER, such as "
                "faiss:indexes/e5_Flat.index@e5-base-v2"
            )
        return cls(file, encoder, dict(zip(rest[::2], rest[1::2], strict=True)))

    def written(self, file: str, encoder: str) -> str:
        """The spec with another file and encoder."""
        return f"{FAISS}{file}@{encoder}" + "".join(f",{k}={v}" for k, v in self.options.items())

    @property
    def is_of_catalogue(self) -> bool:
        """Whether the encoder is a name, not a folder."""
        return self.encoder == "dense" or self.encoder in encoder_names()

    def entry(self) -> EncoderEntry:
        """The encoder. Raises ConfigError or InputError."""
        if self.is_of_catalogue:
            return encoder_entry(self.encoder, self.options)
        folder = expanded(self.encoder)
        if not folder.is_dir():
            known = ", ".join(EncoderSettings.model_fields)
            hint = f"; after a comma only {known} may be given" if "," in self.encoder else ""
            raise ConfigError(
                f"retriever 'faiss:': no encoder '{self.encoder}' in the catalogue and no such "
                f"folder; 'memory-harness list encoders' names those there are{hint}"
            )
        missing = [each for each in ("query_prefix", "normalize") if each not in self.options]
        if missing:
            raise ConfigError(
                f"encoder {folder}: a local folder needs {' and '.join(missing)} stated, since a "
                f"wrong one lowers recall without any other sign: @{self.encoder},"
                + ",".join(f"{each}=..." for each in missing)
            )
        try:
            # The passages are encoded already.
            settings = EncoderSettings(**{"passage_prefix": "", **self.options})
        except ValidationError as error:
            raise ConfigError(f"encoder {folder}: {explain(error)}") from error
        return EncoderEntry(name=folder.name, path=folder, settings=settings)


def is_prebuilt(name: Any) -> bool:
    """Whether a retriever's name is the place of an index."""
    return isinstance(name, str) and name.startswith((FAISS, BM25S))


def is_sparse(name: str) -> bool:
    """Whether a retriever's name is that of one that matches words."""
    return name == "bm25" or name.startswith(BM25S)


def beside(name: str, place: Callable[[str], str]) -> str:
    """The spec with every local path as ``place`` gives it. Raises ConfigError."""
    if name.startswith(BM25S):
        return BM25S + place(name.removeprefix(BM25S))
    spec = FaissSpec.parse(name)
    encoder = spec.encoder if spec.is_of_catalogue else place(spec.encoder)
    return spec.written(place(spec.file), encoder)


def shown(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as a reader wants them: of a prebuilt index's place the last part alone."""
    return {
        key: beside(value, lambda path: Path(path).name) if is_prebuilt(value) else value
        for key, value in params.items()
    }


def index_sha256(files: Iterable[Path]) -> str:
    """What the files of an index hold. Raises InputError for one that cannot be read."""
    found = {}
    for file in files:
        try:
            found[file.name] = known_sha256(file)
        except OSError as error:
            raise InputError(
                f"{file}: cannot be read ({error.strerror}); give the place of the index"
            ) from error
    # One file counts by itself, whatever it is called.
    return next(iter(found.values())) if len(found) == 1 else fingerprint(found)
