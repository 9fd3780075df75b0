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
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter

import torch
import transformers
from rich.console import Console
from torch import Tensor

from harness.data.card import Task
from harness.data.task import load_task
from harness.llm.catalogue import DEFAULT_MODEL
from harness.llm.local import LocalModel
from harness.meters.hardware import describe_hardware, set_torch_threads
from harness.registry import task_folder
from methods.parametric_qa.evaluate.evaluate_write import choose, open_local
from methods.parametric_qa.shared.initial import document_tokens, random_codes
from methods.parametric_qa.shared.parts import SharedParts
from methods.parametric_qa.write.writing import WriteSettings, optimise

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


def timed(run: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Seconds, and what the run gave."""
    start = perf_counter()
    result = run()
    return perf_counter() - start, result


def main() -> None:
    """Measure and print."""
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
    print(
        f"{llm.name}, {len(documents)} NQ passages of {mean:.0f} tokens, m = {SLOTS}, "
        f"{options.steps} steps; {describe_hardware().summary}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    Writing(llm, documents[:2], 1).batched()
    ratios, shares = [], []
    for pair in range(1, options.pairs + 1):
        floor = work.flop() / matmul_speed(llm)
        together, losses = timed(work.batched)
        alone, same = timed(work.loop)
        ratios.append(alone / together)
        shares.append(floor / together)
        print(
            f"pair {pair}: batched {len(documents) / together:.3f} documents/s, one at a time "
            f"{len(documents) / alone:.3f}, ratio {ratios[-1]:.2f}; floor {floor:.1f} s of "
            f"{together:.1f} s ({shares[-1]:.0%}); losses differ by up to "
            f"{(losses - same).abs().max().item():.1e}",
            flush=True,
        )
    print(
        f"ratio: median {median(ratios):.2f}, min {min(ratios):.2f}, max {max(ratios):.2f}; "
        f"share of the floor: median {median(shares):.0%}"
    )


if __name__ == "__main__":
    main()
