"""First codes by an encoder: one forward pass of the language model writes a document.

As in ICAE (Ge et al., ICLR 2024) and PISCO (Louis et al., 2025), ``Encoder`` has the model read the
document and then learned memory tokens, whose last hidden states, projected, are the memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.errors import InputError
from harness.files import write_json, writing
from harness.llm.halving import halving
from methods.parametric_qa.shared.gradients import without_dropout
from methods.parametric_qa.shared.parts import (
    SharedConfig,
    loaded,
    numbers_fingerprint,
    read_shape,
    save_tensors,
)

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from methods.parametric_qa.shared.parts import SharedParts

CONFIG_FILE, TENSORS_FILE = "encoder.json", "encoder.safetensors"
MOST = 2**21
"""Pairs of positions that one pass of a training reads."""
SPREAD = 0.1
"""How far memory tokens begin from the mean embedding, in standard deviations of embeddings."""


class DocumentEncoder(nn.Module):
    """What writes the codes of documents. ``start`` are the token ids that every text begins with.

    ``kind`` is its name in recipes and in ``encoder.json``.
    """

    kind: ClassVar[str]

    def __init__(self, config: SharedConfig, start: Sequence[int]) -> None:
        super().__init__()
        self.config, self.start = config, tuple(start)

    def forward(self, model: Any, documents: Sequence[Sequence[int]]) -> Tensor:
        """Codes [documents, slots, z_dim] of token ids; gradients reach whatever is trained."""
        raise NotImplementedError

    @property
    def memory_tokens(self) -> int:
        """Positions that are read after a document."""
        return 0

    def join(self, parts: SharedParts) -> None:
        """Take the shared parts that the codes are of. Raises ValueError for other ones."""
        if self.config != parts.config:
            raise ValueError("its encoder is of other shared parts")

    def check_fits(
        self, llm: LocalModel, documents: Sequence[Sequence[int]], names: Sequence[str]
    ) -> None:
        """Raise InputError for the first document too long for the window with its memory."""
        more = f" and {self.memory_tokens} memory tokens are" if self.memory_tokens else " is"
        for document, name in zip(documents, names, strict=True):
            length = len(self.start) + len(document) + self.memory_tokens
            if llm.window is not None and length > llm.window:
                raise InputError(
                    f"document {name!r}{more} {length} tokens, more than the window of "
                    f"'{llm.name}' ({llm.window}); split the document"
                )

    def fingerprint(self) -> str:
        """A hash of the shape, of the model it is for and of every number."""
        return numbers_fingerprint(f"{self.config.model_dump_json()} {self.start}", self)

    def save(self, folder: Path, *, half: bool = False) -> None:
        """Write ``encoder.json`` and ``encoder.safetensors``. Raises InputError if it cannot."""
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        save_tensors(folder / TENSORS_FILE, self.state_dict(), half=half)
        values = {"shape": self.config.model_dump(), "start": list(self.start)}
        write_json(folder / CONFIG_FILE, values | self.described())

    def described(self) -> dict[str, Any]:
        """What ``encoder.json`` holds beside shape and start."""
        return {}

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote. Raises InputError naming the file and the fix."""
        again = "train the encoder again or restore the folder"
        shape, values = read_shape(folder / CONFIG_FILE, again)
        start = values.get("start")
        if not isinstance(start, list) or not all(isinstance(token, int) for token in start):
            raise InputError(f"{folder / CONFIG_FILE}: 'start' is no list of tokens; {again}")
        try:
            with torch.device("meta"):
                cls.read(shape, values)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{folder / CONFIG_FILE}: {reason}; {again}") from error
        encoder = loaded(folder / TENSORS_FILE, partial(cls.read, shape, values), again)
        return encoder.eval().requires_grad_(False)

    @classmethod
    def read(cls, shape: SharedConfig, values: dict[str, Any]) -> Self:
        """An encoder without its numbers, of what ``encoder.json`` holds."""
        return cls(shape, values["start"])


class Encoder(DocumentEncoder):
    """``slots`` memory tokens that are read after a document, and the map of what comes of them.

    ``tokens`` [slots, hidden] are input vectors; ``project`` takes a last hidden state to
    ``z_dim``.
    """

    kind = "encoder"

    def __init__(self, config: SharedConfig, start: Sequence[int]) -> None:
        super().__init__(config, start)
        self.tokens = nn.Parameter(torch.zeros(config.slots, config.hidden))
        self.project = nn.Linear(config.hidden, config.z_dim)

    @property
    def memory_tokens(self) -> int:
        """Positions that are read after a document."""
        return self.config.slots

    @classmethod
    def from_model(cls, llm: LocalModel, parts: SharedParts, seed: int = 0) -> Self:
        """An untrained encoder: tokens near the mean embedding, and the map of ``parts.down``.

        The map is scaled so that a hidden state, made as long as an embedding, gives a code of the
        size that the embedding would.
        """
        table = llm.model.get_input_embeddings().weight.detach().float()
        encoder = cls(parts.config, llm.encode("")).to(table.device)
        source = torch.Generator().manual_seed(seed)
        noise = torch.randn(encoder.tokens.shape, generator=source).to(table.device)
        with torch.no_grad():
            encoder.tokens.copy_(table.mean(dim=0) + SPREAD * table.std(dim=0) * noise)
            with without_dropout(llm.model):
                hidden = encoder.hidden_states(llm.model, [()])
            shrink = (table.square().mean().sqrt() / hidden.square().mean().sqrt()).item()
            encoder.project.weight.copy_(parts.down.weight * shrink)
            encoder.project.bias.copy_(parts.down.bias)
        return encoder

    def hidden_states(self, model: Any, documents: Sequence[Sequence[int]]) -> Tensor:
        """Last hidden states at the memory tokens, float32 [documents, slots, hidden]."""
        return states_at(self.tokens, model, [[*self.start, *ids] for ids in documents])

    def forward(self, model: Any, documents: Sequence[Sequence[int]]) -> Tensor:
        """Codes [documents, slots, z_dim] of token ids; gradients reach whatever is trained."""
        codes: Tensor = self.project(self.hidden_states(model, documents))
        return codes


def states_at(tokens: Tensor, model: Any, texts: Sequence[Sequence[int]]) -> Tensor:
    """Last hidden states at ``tokens`` [slots, hidden], input vectors that are read after each text
    of token ids; float32 [texts, slots, hidden]."""
    embed = model.get_input_embeddings()
    rows = []
    for text in texts:
        vectors = embed(torch.tensor(text, device=embed.weight.device))
        rows.append(torch.cat([vectors, tokens.to(vectors)]))
    found = last_states(model.get_decoder(), rows)
    return torch.stack([states[-len(tokens) :] for states in found]).float()


def last_states(decoder: Any, rows: Sequence[Tensor]) -> list[Tensor]:
    """Last hidden states [length, hidden] of each row of input vectors.

    In training, rows of unlike lengths are read apart: one long document would else make attention
    to it, which is kept for the gradient, as wide in all rows.
    """
    lengths = [len(row) for row in rows]
    found: dict[int, Tensor] = {}
    for group in alike(lengths) if torch.is_grad_enabled() else [range(len(rows))]:
        states = _padded_states(decoder, [rows[place] for place in group])
        found |= {p: own[-lengths[p] :] for p, own in zip(group, states, strict=True)}
    return [found[place] for place in range(len(rows))]


def alike(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of rows that are read together, the short ones first.

    Rows times the square of the longest are within ``MOST``, unless one alone is longer.
    """
    group: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if group and (len(group) + 1) * lengths[place] ** 2 > MOST:
            yield group
            group = []
        group.append(place)
    if group:
        yield group


def _padded_states(decoder: Any, rows: Sequence[Tensor]) -> Tensor:
    """Last hidden states [rows, longest, hidden], the shorter rows at the end."""
    length, device = max(map(len, rows)), rows[0].device
    inputs = torch.stack([F.pad(row, (0, 0, length - len(row), 0)) for row in rows])
    padding = [length - len(row) for row in rows]
    mask = torch.tensor([[0] * n + [1] * (length - n) for n in padding], device=device)
    output = decoder(
        inputs_embeds=inputs,
        attention_mask=mask,
        position_ids=(mask.cumsum(dim=1) - 1).clamp_min(0),
        use_cache=False,
    )
    states: Tensor = output.last_hidden_state
    return states


def encoder_codes(
    llm: LocalModel,
    encoder: DocumentEncoder,
    documents: Sequence[Sequence[int]],
    names: Sequence[str] | None = None,
) -> Tensor:
    """Codes [documents, slots, z_dim], float32 on the CPU, in batches and without gradients.

    Raises InputError naming a document that is too long for the window.
    """
    names = names or [str(number) for number in range(len(documents))]
    encoder.check_fits(llm, documents, names)
    around = len(encoder.start) + encoder.memory_tokens
    read = [range(len(document) + around) for document in documents]

    encoder.to(llm.device)

    def run(batch: list[int]) -> list[Tensor]:
        return list(encoder(llm.model, [documents[i] for i in batch]).cpu())

    codes = torch.zeros(len(documents), encoder.config.slots, encoder.config.z_dim)
    with torch.no_grad(), without_dropout(llm.model, encoder):
        for batch in llm.batches(range(len(documents)), read):
            codes[batch] = torch.stack(halving(run, batch))
    return codes
