"""The classifier: an encoder with a head of three, or a T5 whose first word is the label."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError, InputError, did_you_mean
from harness.files import expanded
from harness.progress import quiet_libraries
from harness.retrieval.catalogue import encoder_entry, encoder_names, is_encoder
from methods.adaptive_rag.labels import LABELS

if TYPE_CHECKING:
    import torch


class Router(ABC):
    """Gives each route's probability for a question. ``model`` is a transformers model."""

    def __init__(self, model: Any, tokenizer: Any, max_length: int) -> None:
        self.model, self.tokenizer, self.max_length = model, tokenizer, max_length

    @abstractmethod
    def logits(self, texts: Sequence[str]) -> torch.Tensor:
        """Float32 [texts, 3], in the order of LABELS."""

    @abstractmethod
    def loss(self, texts: Sequence[str], labels: Sequence[str]) -> torch.Tensor:
        """The mean training loss of a batch, a scalar."""

    def training_on(self, texts: Sequence[str]) -> AbstractContextManager[None]:
        """What every step on these texts stands in; it changes no step."""
        return nullcontext()

    def probabilities(self, text: str) -> dict[str, float]:
        """The probability of each label; alone and unpadded, so no other question matters."""
        import torch

        self.model.eval()
        with torch.inference_mode():
            shares = self.logits([text])[0].softmax(-1).tolist()
        return dict(zip(LABELS, shares, strict=True))

    @property
    def bytes(self) -> int:
        """Bytes of the weights."""
        return sum(p.numel() * p.element_size() for p in self.model.parameters())

    def save(self, folder: Path) -> None:
        """Write safetensors, configuration and tokenizer."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def _tokens(self, texts: Sequence[str]) -> Any:
        batch = self.tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self.max_length,
            return_tensors="pt",
        )
        return batch.to(self.model.device)


class EncoderRouter(Router):
    """An encoder with a classification head."""

    def logits(self, texts: Sequence[str]) -> torch.Tensor:
        """The head's logits."""
        found: torch.Tensor = self.model(**self._tokens(texts)).logits.float()
        return found

    def loss(self, texts: Sequence[str], labels: Sequence[str]) -> torch.Tensor:
        """Cross-entropy over the three labels."""
        import torch

        wanted = torch.tensor([LABELS.index(label) for label in labels], device=self.model.device)
        return torch.nn.functional.cross_entropy(self.logits(texts), wanted)

    def training_on(self, texts: Sequence[str]) -> AbstractContextManager[None]:
        """The words of no text have no gradient, and AdamW without decay leaves them."""
        import torch

        from methods.adaptive_rag.words import FewWords

        # Other tables have weights beside their rows, or a forward of their own.
        if type(self.model.get_input_embeddings()) is not torch.nn.Embedding:
            return nullcontext()
        return FewWords(self.model, self._tokens(texts).input_ids.unique().tolist())


class Seq2SeqRouter(Router):
    """A T5 that is trained to write the label and read by its first step (the paper's router)."""

    def logits(self, texts: Sequence[str]) -> torch.Tensor:
        """Logits of the three labels' tokens at the decoder's first step."""
        import torch

        start = self.model.config.decoder_start_token_id
        begun = torch.full((len(texts), 1), start, device=self.model.device)
        found = self.model(**self._tokens(texts), decoder_input_ids=begun).logits[:, 0]
        logits: torch.Tensor = found[:, self._label_ids()].float()
        return logits

    def loss(self, texts: Sequence[str], labels: Sequence[str]) -> torch.Tensor:
        """Cross-entropy over the whole vocabulary, of the label and the end after it."""
        wanted = self.tokenizer(list(labels), return_tensors="pt").input_ids
        loss: torch.Tensor = self.model(
            **self._tokens(texts), labels=wanted.to(self.model.device)
        ).loss
        return loss

    def _label_ids(self) -> list[int]:
        ids = [self.tokenizer(label).input_ids[0] for label in LABELS]
        if len(set(ids)) < len(LABELS):
            raise InputError(
                f"the router's tokenizer cannot tell {', '.join(LABELS)} apart (ids {ids}); "
                "choose another router"
            )
        return ids


def find_router(name: str) -> str:
    """Where a router starts from: a catalogue encoder's folder, a local folder, or a hub id.

    Raises ConfigError for a name that is none of these. Downloads nothing but a catalogue
    encoder whose files are not installed.
    """
    if is_encoder(name):
        from harness.retrieval.encoders import find_model

        folder, _ = find_model(encoder_entry(name))
        return str(folder)
    path = local_router(name)
    if path is not None:
        return str(path)
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return name
    raise ConfigError(
        f"no router {name!r}{did_you_mean(name, list(encoder_names()))}; a hub id ORG/NAME or a "
        "folder with a config.json will also do"
    )


def local_router(name: str) -> Path | None:
    """The local folder that a router's name stands for, if it stands for one."""
    path = expanded(name)
    found = not is_encoder(name) and (path / "config.json").is_file()
    return path if found else None


def read_config(place: str | Path) -> Any:
    """A router's transformers configuration, from the hub if need be. Raises InputError."""
    with _loading(place):
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(place)


def open_router(place: str | Path, max_length: int) -> Router:
    """Load a router, saved or about to be trained, in float32. Raises InputError.

    A new head draws from torch's global generator.
    """
    quiet_libraries()
    import torch
    import transformers

    seq2seq = bool(read_config(place).is_encoder_decoder)
    with _loading(place):
        if seq2seq:
            model = transformers.AutoModelForSeq2SeqLM.from_pretrained(
                place, dtype=torch.float32, use_safetensors=True
            )
        else:
            model = transformers.AutoModelForSequenceClassification.from_pretrained(
                place, num_labels=len(LABELS), dtype=torch.float32, use_safetensors=True
            )
        tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = Seq2SeqRouter if seq2seq else EncoderRouter
    return kind(model.to(device).eval(), tokenizer, max_length)


@contextmanager
def _loading(place: str | Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(
            f"router {place}: cannot be loaded ({reason}); give an encoder or T5 of the hub, or a "
            "local folder that holds one"
        ) from error
