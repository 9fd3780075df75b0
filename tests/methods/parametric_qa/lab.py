"""A tiny model with memories to write, and a toy model whose every prediction is known."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import torch
from rich.console import Console
from torch import nn

from harness.data.corpus import Corpus
from harness.errors import HarnessError
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.prompts import QAPrompts
from methods.parametric_qa.prompts import recall_prompt
from methods.parametric_qa.shared.bundle import Bundle, SelectorConfig
from methods.parametric_qa.shared.parts import SharedParts
from methods.parametric_qa.tokens import TokenMemory
from methods.parametric_qa.write.sequences import Row, end_token, pack, row_losses, target_logits
from tests.harness.programs import open_with, remember

TEXTS = (
    "William Shakespeare wrote Hamlet around the year 1600.",
    "Paris, a city on the river Seine.",
    "Marie Curie discovered polonium and radium with her husband Pierre.",
    "Who invented the telephone?",
    "the Nile",
)
NAMES = ("hamlet", "paris", "curie", "telephone", "nile")


def load_tiny(folder: Path) -> LocalModel:
    return LocalModel(
        ModelConfig(name="tiny", path=str(folder), prompt_style="completion"), str(folder)
    )


def make_parts(llm: LocalModel, slots: int = 4, z_dim: int = 64) -> SharedParts:
    return SharedParts.from_model(llm, slots, z_dim)


def token_parts(llm: LocalModel, folder: Path, slots: int) -> Path:
    """Untrained parts, saved, whose codes are so many tokens of the text."""
    parts = SharedParts.from_model(llm, slots, 64, picks=True)
    bundle = Bundle.untrained(parts, SelectorConfig(width=32))
    bundle.save(folder, {"prompt_style": llm.prompt_style})
    return folder


def token_memory(
    llm: LocalModel, shared: Path, corpus: Corpus, folder: Path | None = None, **params: object
) -> TokenMemory:
    """A token memory of a corpus, written and open; it looks at no pages and names unless told."""
    values = {"shared": str(shared), "ranked": len(corpus), "max_tokens": 4}
    method = TokenMemory(TokenMemory.Params(**values, **{"pages": None, "links": None, **params}))
    open_with(method, llm, None, corpus, prompts=QAPrompts(), seed=0)
    remember(method, corpus, folder=folder)
    return method


def tokens(llm: LocalModel, texts=TEXTS) -> list[list[int]]:
    return [llm.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]


def quiet() -> Console:
    return Console(file=StringIO())


def losses(llm: LocalModel, parts: SharedParts, documents, codes) -> list[float]:
    """Reconstruction loss of each document alone, nats a token."""
    end, found = end_token(llm), []
    with torch.no_grad():
        for document, code in zip(documents, codes, strict=True):
            row = Row(llm.parts(recall_prompt()), [parts.memory(code)], [*document, end])
            packed = pack(llm.model, [row])
            found.append(row_losses(target_logits(llm.model, packed), packed.targets).item())
    return found


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@contextmanager
def little_space(most: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: a write beyond them fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def one_line(error: HarnessError) -> str:
    assert "\n" not in str(error)
    return str(error)


class Alphabet(nn.Module):
    """Predicts from each position's input alone: after token t comes t + 1, almost surely."""

    SIZE = 16

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding.from_pretrained(torch.eye(self.SIZE))

    def get_input_embeddings(self) -> nn.Embedding:
        return self.table

    def forward(self, inputs_embeds, attention_mask, position_ids, logits_to_keep, use_cache):
        logits = 40 * inputs_embeds.roll(1, dims=-1)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        return SimpleNamespace(logits=logits[:, kept])

    def vectors(self, *ids: int) -> torch.Tensor:
        """A memory [tokens, hidden] that looks like these tokens."""
        return self.table(torch.tensor(ids)).clone().requires_grad_()
