"""CPU seconds of text and soft prompts in one call against one call for each.

python -m tests.benchmarks.mixed_batches [MODEL] [REQUESTS OF EACH] [NEW TOKENS]
"""

from __future__ import annotations

import random
import sys

import torch

from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.llm.local import LocalModel
from harness.llm.open import open_model
from harness.llm.requests import GenerateRequest
from harness.prompts import SOFT
from tests.benchmarks.figures import Figure, divided, report, take_turns

WORDS = ["river", "city", "play", "wrote", "who", "which", "year", "capital", "prince", "first"]
ROUNDS = 5


def requests(llm: LocalModel, count: int, new: int) -> list[GenerateRequest]:
    """As many with vectors as without, one after the other."""
    draw, source = random.Random(0), torch.Generator().manual_seed(0)
    table = llm.model.get_input_embeddings().weight
    found = []
    for _ in range(count):
        texts = [f"{' '.join(draw.choices(WORDS, k=draw.randint(8, 24)))}?" for _ in range(2)]
        length = draw.randint(4, 16)
        vectors = torch.randn(length, table.shape[1], generator=source) * table.std()
        found.append(GenerateRequest(texts[0], new))
        found.append(GenerateRequest(f"{SOFT}{texts[1]}", new, soft_prompts=(vectors,)))
    return found


def compare(model: str, count: int, new: int) -> Figure:
    """The ratio of one call to two. Raises AssertionError if a reply is not the one alone."""
    llm = open_model(resolve_model(model), device="cpu")
    assert isinstance(llm, LocalModel)
    asked = requests(llm, count, new)
    alone = [next(llm.generate([request]))[1] for request in asked]

    def together() -> None:
        found = dict(llm.generate(asked))
        assert [found[index] for index in range(len(asked))] == alone

    def apart() -> None:
        for kind in (asked[::2], asked[1::2]):
            list(llm.generate(kind))

    seconds = take_turns({"apart": apart, "together": together}, ROUNDS)
    return Figure(
        "text and soft prompts in one call, time",
        "in one call each",
        divided(seconds["together"], seconds["apart"]),
        target=1.0,
        detail=f"{llm.name}, {count} + {count} requests, {new} tokens, 1 thread",
    )


def main(model: str = DEFAULT_MODEL, count: str = "6", new: str = "10") -> None:
    """Measure and report; replies are those of one at a time."""
    torch.set_num_threads(1)
    report([compare(model, int(count), int(new))])


if __name__ == "__main__":
    main(*sys.argv[1:])
