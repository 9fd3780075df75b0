"""The stop rule of rounds of selection: whether what is chosen holds all that a question needs.

A logistic regression on five figures of a question and its chosen documents, learned in training;
without one, selection stops by a fixed share of the question's tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import InputError, problem_of
from harness.files import read_object, write_json

if TYPE_CHECKING:
    from torch import Tensor

STOP_FILE = "stop.json"
FIGURES = ("covered", "best", "margin", "tokens", "chosen")
"""The share of the question's tokens that chosen memories cover, the best score of all documents,
its lead over the next one, the question's tokens, and the chosen documents."""
RIDGE = 1.0
"""Weight of the squared coefficients of standardised figures: finite where rows can be parted."""
_STEPS, _CLOSE = 100, 1e-10

Floats = npt.NDArray[np.float64]


class StopRule(BaseModel):
    """Coefficients of ``FIGURES`` as they are, and the constant."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    coefficients: tuple[float, ...] = Field(min_length=len(FIGURES), max_length=len(FIGURES))
    constant: float

    @classmethod
    def fit(cls, rows: npt.ArrayLike, enough: npt.ArrayLike) -> Self:
        """The rule of ``rows`` [n, figures] of which ``enough`` [n] says where to stop.

        By Newton's method in float64 from zero, so that the same rows give the same rule. Raises
        ValueError without any row.
        """
        figures, wanted = np.asarray(rows, dtype=np.float64), np.asarray(enough, dtype=np.float64)
        if not len(figures):
            raise ValueError("a stop rule needs rows to learn from")
        mean, spread = figures.mean(axis=0), figures.std(axis=0)
        # A figure that never changes tells nothing.
        scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-12)
        found = _newton((figures - mean) * scale, wanted)
        coefficients = found[:-1] * scale
        constant = found[-1] - coefficients @ mean
        return cls(coefficients=tuple(coefficients.tolist()), constant=float(constant))

    def stops(self, figures: Sequence[float]) -> bool:
        """Whether all is more likely there than not."""
        pairs = zip(self.coefficients, figures, strict=True)
        return self.constant + sum(weight * figure for weight, figure in pairs) >= 0

    def save(self, folder: Path) -> None:
        """Write ``stop.json``."""
        write_json(folder / STOP_FILE, {"figures": FIGURES, **self.model_dump()})

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """The rule in a folder of shared parts, if there is one. Raises InputError for another."""
        path = folder / STOP_FILE
        if not path.is_file():
            return None
        values = dict(read_object(path))
        again = "train the shared parts again or restore the folder"
        if values.pop("figures", None) != list(FIGURES):
            raise InputError(f"{path}: 'figures' are not {', '.join(FIGURES)}; {again}")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problem = problem_of(error)
            raise InputError(f"{path}: '{problem.where}': {problem.message}; {again}") from error


def round_figures(tokens: int, left: int, scores: Tensor, chosen: int) -> list[float]:
    """``FIGURES`` of a question of so many tokens, of which so many are left uncovered.

    ``scores`` [documents] are the selector's for the whole question; ``chosen`` counts documents.
    """
    best, after = scores.topk(2).values.tolist() if len(scores) > 1 else (float(scores[0]),) * 2
    return [1 - left / tokens, best, best - after, float(tokens), float(chosen)]


def _newton(figures: Floats, wanted: Floats) -> Floats:
    """Coefficients and constant [figures + 1] of least loss; the constant is not held small."""
    inputs = np.hstack([figures, np.ones((len(figures), 1))])
    ridge = np.diag([RIDGE] * figures.shape[1] + [1e-6])
    found = np.zeros(inputs.shape[1])
    for _ in range(_STEPS):
        shares = 1 / (1 + np.exp(-inputs @ found))
        gradient = inputs.T @ (shares - wanted) + ridge @ found
        curvature = (inputs * (shares * (1 - shares))[:, np.newaxis]).T @ inputs + ridge
        step, size = np.linalg.solve(curvature, gradient), 1.0
        while size > _CLOSE and _loss(inputs, wanted, ridge, found - size * step) > _loss(
            inputs, wanted, ridge, found
        ):
            size /= 2
        found = found - size * step
        if np.abs(size * step).max() < _CLOSE:
            break
    return found


def _loss(inputs: Floats, wanted: Floats, ridge: Floats, found: Floats) -> float:
    logits = inputs @ found
    penalty = found @ ridge @ found / 2
    return float((np.logaddexp(0, logits) - wanted * logits).sum() + penalty)
