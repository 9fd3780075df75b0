"""How fast memories are written: in batches, against one document at a time, and against the floor.

Run as ``python -m tests.benchmarks.writing [--passages N] [--steps S] [--tokens T] [--pairs P]``.
Both write the same NQ passages with the default model, in turn, in one process. The floor is what
the multiplications alone take: 4 FLOP a step for each parameter and token (2 forward, 2 for the
gradient with respect to the inputs; frozen weights need none), 2 for the last reading, at the speed
at which this machine multiplies matrices in the same run.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from time import perf_counter

import torch
import transformers
from rich.console import Console
from torch import Tensor

from harness.data.card import Task
from harness.data.task import load_task
from harness.llm.catalogue import DEFAULT_MODEL
from harness.llm.local import LocalModel
from harness.meters.hardware import set_torch_threads
from harness.registry import task_folder
from methods.parametric_qa.evaluate.evaluate_write import choose, open_local
from methods.parametric_qa.shared.initial import document_tokens, random_codes
from methods.parametric_qa.shared.parts import SharedParts
from methods.parametric_qa.write.writing import WriteSettings, optimise
from tests.benchmarks.figures import Figure, divided, report, take_turns

SLOTS = 8
SIDE, REPEATS = 1024, 40


class Writing:
    """The same documents and first codes, written either way."""

    def __init__(self, llm: LocalModel, documents: Sequence[Sequence[int]], steps: int) -> None:
        width = llm.model.get_input_embeddings().weight.shape[1]
        self.llm, self.documents = llm, documents
        self.parts = SharedParts.from_model(llm, SLOTS, width).to(llm.device)
        self.codes = random_codes(self.parts, len(documents), seed=0)
        self.settings = WriteSettings(steps=steps)

    def batched(self) -> Tensor:
        """Losses [documents] after writing all together."""
        return self._losses(range(len(self.documents)))

    def loop(self) -> Tensor:
        """Losses [documents] after writing each alone."""
        return torch.cat([self._losses([place]) for place in range(len(self.documents))])

    def flop(self) -> float:
        """Floating-point operations of the multiplications, without any padding."""
        tokens = sum(len(document) + SLOTS + 2 for document in self.documents)
        return self.llm.model.num_parameters() * tokens * (4 * self.settings.steps + 2)

    def _losses(self, places: Sequence[int]) -> Tensor:
        written = optimise(
            self.llm,
            self.parts,
            [self.documents[place] for place in places],
            self.codes[list(places)],
            self.settings,
            console=Console(file=io.StringIO()),
        )
        return torch.tensor([report.after for report in written.reports])


def matmul_speed(llm: LocalModel) -> float:
    """FLOP a second of large multiplications in the model's own type, best of five."""
    left, right = (
        torch.randn(SIDE, SIDE, device=llm.device, dtype=llm.model.dtype) for _ in range(2)
    )
    times = []
    for _ in range(5):
        start = perf_counter()
        for _ in range(REPEATS):
            product = left @ right
        product.sum().item()
        times.append(perf_counter() - start)
    return 2 * SIDE**3 * REPEATS / min(times)


def compare(work: Writing, pairs: int, detail: str) -> list[Figure]:
    """One at a time over batched, and batched over the floor. Prints what the losses differ by."""
    Writing(work.llm, work.documents[:2], 1).batched()
    losses: dict[str, Tensor] = {}
    floors: list[float] = []

    def floor() -> None:
        floors.append(work.flop() / matmul_speed(work.llm))

    seconds = take_turns(
        {
            "floor": floor,
            "batched": lambda: losses.update(batched=work.batched()),
            "loop": lambda: losses.update(loop=work.loop()),
        },
        pairs,
        perf_counter,
    )
    print(f"losses differ by up to {(losses['batched'] - losses['loop']).abs().max().item():.1e}")
    faster = divided(seconds["loop"], seconds["batched"])
    above = divided(seconds["batched"], floors)
    return [
        Figure("one document at a time, time", "batched", faster, "at least", 1.0, detail),
        Figure("batched writing, time", "the multiplications alone", above),
    ]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description="batched writing against one at a time")
    parser.add_argument("--passages", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=96, help="cut passages to so many")
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    set_torch_threads()
    llm = open_local(DEFAULT_MODEL, None)
    corpus = load_task(Task.from_folder(task_folder("nq"))).corpus
    passages = choose(corpus, options.passages, "nq")
    documents = [document_tokens(llm, passage)[: options.tokens] for passage in passages]
    work = Writing(llm, documents, options.steps)
    mean = sum(map(len, documents)) / len(documents)
    detail = (
        f"{llm.name}, {len(documents)} NQ passages of {mean:.0f} tokens, m = {SLOTS}, "
        f"{options.steps} steps, {torch.get_num_threads()} threads"
    )
    report(compare(work, options.pairs, detail))


if __name__ == "__main__":
    main()
