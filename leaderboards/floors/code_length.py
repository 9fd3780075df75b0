"""Code length of passages by a language model: the bits that arithmetic coding would need.

A coder that predicts each token with the model's own probability writes a text in the sum of
-log2 p bits, rounded up once (Shannon; Rissanen and Langdon, 1979). Whoever has the model reads the
text back, so the model itself is not counted: every method here has it anyway.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from harness.errors import CapabilityError, InputError
from harness.fingerprint import sample_by_hash
from harness.llm.base import LanguageModel
from harness.llm.requests import ScoreRequest
from harness.records import Passage

END = "\n\n"
"""What ends a passage, so that the reader of the code knows where it is over; it is coded, too."""


@dataclass(frozen=True, slots=True)
class CodeLength:
    """Bits of each passage of a sample; ``left_out`` of it were longer than the model's window."""

    bits: tuple[float, ...]
    left_out: int = 0

    @property
    def mean(self) -> float:
        """Bits a passage."""
        return fmean(self.bits)

    @property
    def half_width(self) -> float | None:
        """Half of the 95 % interval of the mean over passages (normal); None of a single one."""
        n = len(self.bits)
        return 1.96 * stdev(self.bits) / math.sqrt(n) if n > 1 else None


def sample(passages: Iterable[Passage], count: int) -> list[Passage]:
    """A fixed random sample, by the hash of the passages' ids."""
    return sample_by_hash(passages, count, lambda passage: passage.id)


def check_model(model: LanguageModel) -> None:
    """Raise CapabilityError for a model that does not give log-probabilities in this process."""
    if "logprobs" not in model.capabilities or model.concurrency:
        raise CapabilityError(
            f"model '{model.name}' gives no log-probabilities of whole passages; a code length "
            "takes a local transformers model"
        )


def code_length(model: LanguageModel, passages: Sequence[Passage]) -> CodeLength:
    """Bits of each passage with its title, after nothing. Raises InputError if none fits."""
    check_model(model)
    texts = [passage.contents + END for passage in passages]
    fitting = [text for text in texts if _fits(model, text)]
    if not fitting:
        raise InputError(f"no passage of the sample fits into the window of '{model.name}'")
    bits = {
        index: -scores.logprobs[0] / math.log(2)
        for index, scores in model.score([ScoreRequest("", (text,)) for text in fitting])
    }
    return CodeLength(tuple(bits[i] for i in sorted(bits)), len(texts) - len(fitting))


def _fits(model: LanguageModel, text: str) -> bool:
    tokens = model.count_tokens(text)
    # One more: a model reads a token before it writes the first.
    return model.window is None or tokens is None or tokens < model.window
