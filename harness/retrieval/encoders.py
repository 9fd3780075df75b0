"""Dense encoders: from text to vectors with sentence-transformers."""

from __future__ import annotations

import importlib.util
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ConfigError, HarnessError, InputError
from harness.files import to_slug
from harness.fingerprint import fingerprint
from harness.progress import quiet_libraries
from harness.retrieval.catalogue import EncoderEntry, encoder_entry, hash_model_files

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_log = logging.getLogger(__name__)
_CONFIGS = ["*.json", "*.txt", "*.model"]
_OTHER_BACKENDS = ["onnx/*", "openvino/*"]

Vectors = NDArray[np.float32]


class Encoder(ABC):
    """Turns texts into float32 vectors of ``dimensions``; relevance is their inner product.

    ``key`` names everything that decides a passage's vector and is safe as a folder name.
    """

    name: str
    key: str
    dimensions: int

    @abstractmethod
    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """One row a query. A row does not depend on the other queries in the call."""

    @abstractmethod
    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """One row a passage."""

    def provenance(self) -> dict[str, Any]:
        """What a manifest records about the encoder."""
        return {"encoder": self.name}


class SentenceEncoder(Encoder):
    """An encoder that sentence-transformers can load, always in float32.

    Queries are encoded one at a time: in a batch, the last bits of a vector depend on its
    neighbours, and a near-tie could then rank differently. Passages are encoded in batches sorted
    by length. Code inside a model folder is never run.
    """

    def __init__(
        self, entry: EncoderEntry, *, device: str | None = None, batch_size: int | None = None
    ) -> None:
        """Load the model. Raises HarnessError when it is absent, altered or not as described."""
        folder, origin = find_model(entry)
        files = hash_model_files(folder)
        _check_weights(entry, folder, files)
        self.name = entry.name
        self._settings = entry.settings
        with _explained(folder):
            self._model = _load(folder, device)
            _check_model(entry, self._model)
            self.dimensions = int(self._model.encode(["x"], show_progress_bar=False).shape[1])
        # On 2 CPU cores MiniLM read 40 passages a second in eights, 35 in 32s and 29 in 128s.
        self._batch_size = batch_size or (8 if self._model.device.type == "cpu" else 128)
        if entry.dimensions not in (None, self.dimensions):
            raise ConfigError(
                f"encoder {entry.name}: {folder} gives {self.dimensions} dimensions, "
                f"not {entry.dimensions}"
            )
        passage_side = {
            "files": files,
            **entry.settings.model_dump(exclude={"query_prefix", "query_max_tokens"}),
        }
        self.key = f"{to_slug(entry.name)}-{fingerprint(passage_side)[:24]}"
        self._origin = {**origin, "files": fingerprint(files)}

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Float32 (queries, dimensions); longer queries are cut at the entry's limit."""
        settings = self._settings
        rows = [
            self._encode([settings.query_prefix + text], settings.query_max_tokens)
            for text in texts
        ]
        return np.concatenate(rows) if rows else np.empty((0, self.dimensions), np.float32)

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Float32 (passages, dimensions); longer passages are cut at the entry's limit."""
        settings = self._settings
        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        prefixed = [settings.passage_prefix + text for text in texts]
        return self._encode(prefixed, settings.passage_max_tokens)

    def provenance(self) -> dict[str, Any]:
        """Where the files came from, their hash, the device and the library version."""
        return {
            "encoder": self.name,
            **self._origin,
            "device": str(self._model.device),
            "sentence-transformers": version("sentence-transformers"),
        }

    def _encode(self, texts: list[str], max_tokens: int) -> Vectors:
        self._model.max_seq_length = max_tokens
        vectors = self._model.encode(
            texts,
            batch_size=self._batch_size,
            show_progress_bar=False,
            convert_to_numpy=True,
            normalize_embeddings=self._settings.normalize,
        )
        return np.ascontiguousarray(vectors, dtype=np.float32)


def open_encoder(
    name: str = "dense", settings: Mapping[str, Any] | None = None, *, device: str | None = None
) -> SentenceEncoder:
    """Load a catalogue encoder, or a local folder with ``settings={"path": ..., ...}``."""
    return SentenceEncoder(encoder_entry(name, settings), device=device)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Say in one line that a folder's model cannot be loaded, or cannot encode, and why."""
    try:
        yield
    except HarnessError:
        raise
    # The libraries raise many unrelated types; to the user all mean: no encoder.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(
            f"{folder}: no encoder that can be loaded ({reason}); expected a folder of "
            "sentence-transformers or transformers, with config.json, tokenizer and weights"
        ) from error


def _load(folder: Path, device: str | None) -> SentenceTransformer:
    quiet_libraries()
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        str(folder), device=device, trust_remote_code=False, local_files_only=True
    )
    # A prompt that the folder turns on by itself would add to the entry's prefixes.
    model.default_prompt_name = None
    return model.float().eval()


def find_model(entry: EncoderEntry) -> tuple[Path, dict[str, Any]]:
    """The folder of an encoder's files, downloaded if need be, and where they came from."""
    if entry.path is not None:
        if not entry.path.is_dir():
            raise InputError(f"{entry.path}: no such folder (settings path of the encoder)")
        return entry.path, {"origin": "local folder"}
    if entry.wheel is not None:
        # Finding a top-level package runs none of its code.
        spec = importlib.util.find_spec(entry.wheel.package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            if (folder := Path(place) / entry.wheel.folder).is_dir():
                name = entry.wheel.distribution
                return folder, {"origin": f"wheel {name} {version(name)}"}
    if entry.hub is None:
        raise ConfigError(f"encoder {entry.name}: names neither a folder nor a hub repository")
    return _download(entry.name, entry.hub, entry.revision)


def _download(name: str, hub: str, revision: str | None) -> tuple[Path, dict[str, Any]]:
    from huggingface_hub import snapshot_download

    try:
        for weights in ("*.safetensors", "pytorch_model*.bin"):
            folder = Path(
                snapshot_download(
                    hub,
                    revision=revision,
                    allow_patterns=[*_CONFIGS, weights],
                    ignore_patterns=_OTHER_BACKENDS,
                )
            )
            if any(folder.glob(weights)):
                return folder, {"origin": f"hub {hub}", "revision": folder.name}
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise HarnessError(
            f"encoder {name}: cannot get {hub} from the hub ({reason}); download it where there "
            "is a network, or use the retriever 'dense' with settings path"
        ) from error
    raise HarnessError(f"encoder {name}: {hub} holds no safetensors or PyTorch weights")


def _check_weights(entry: EncoderEntry, folder: Path, files: Mapping[str, str]) -> None:
    found = files.get("model.safetensors")
    if entry.weights_sha256 is not None and found != entry.weights_sha256:
        raise HarnessError(
            f"encoder {entry.name}: {folder / 'model.safetensors'} is not the published file "
            f"(sha256 {found}, expected {entry.weights_sha256}); install it again"
        )


def _check_model(entry: EncoderEntry, model: SentenceTransformer) -> None:
    settings = entry.settings
    window = getattr(model[0].auto_model.config, "max_position_embeddings", None)
    longest = max(settings.query_max_tokens, settings.passage_max_tokens)
    if window is not None and longest > window:
        raise ConfigError(f"encoder {entry.name}: reads {window} tokens, not {longest}")
    for module in model:
        if type(module).__name__ != "Pooling":
            continue
        mode = getattr(module, "pooling_mode", None) or module.get_pooling_mode_str()
        if mode != settings.pooling:
            raise ConfigError(
                f"encoder {entry.name}: the model pools by {mode!r}, but its settings say "
                f"{settings.pooling!r}"
            )
