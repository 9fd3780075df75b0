"""Hooks of a model that writes: sampling, stop strings, watches."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from time import perf_counter
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria

from harness.llm.requests import GenerateRequest
from harness.llm.text import first_line_ended
from harness.llm.thinking import Progress


class GumbelSampler(LogitsProcessor):  # type: ignore[misc]
    """Adds Gumbel noise from each row's own generator, so that the arg-max is a sample.

    A row's draw depends on its seed and step alone, never on the rest of the batch. The noise is
    scaled up by the temperature instead of the logits down, so that leads stay comparable with TIE.
    """

    def __init__(self, requests: Sequence[GenerateRequest], device: torch.device) -> None:
        self.rows = [
            (row, request.temperature, torch.Generator().manual_seed(request.seed))
            for row, request in enumerate(requests)
            if request.temperature > 0
        ]
        self.device = device

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Perturb the sampled rows of [batch, vocabulary] logits."""
        if not self.rows:
            return scores
        scores = scores.clone()
        for row, temperature, generator in self.rows:
            # In float64 no draw is 1, and one of 0 merely rules a token out: no NaN either way.
            uniform = torch.rand(scores.shape[1], generator=generator, dtype=torch.float64)
            noise = -torch.log(-torch.log(uniform)).to(scores)
            scores[row] += temperature * noise
        return scores


class LeadWatch(LogitsProcessor):  # type: ignore[misc]
    """Remembers by how much the best token led the second at every step."""

    def __init__(self) -> None:
        self._leads: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Record; the scores pass unchanged."""
        best = scores.topk(2, dim=-1).values
        self._leads.append((best[:, 0] - best[:, 1]).float().cpu())
        return scores

    def smallest(self, row: int, steps: int) -> float:
        """The row's smallest lead over its first ``steps`` tokens."""
        return min((float(lead[row]) for lead in self._leads[:steps]), default=float("inf"))


class TokenWatch(LogitsProcessor):  # type: ignore[misc]
    """Remembers the log-probability of every chosen token and the probabilities of watched ones.

    It stands before the sampler, so that they are the model's own and not those of the noise.
    """

    def __init__(self, watched: Sequence[int]) -> None:
        self._ids = list(watched)
        self._last: torch.Tensor | None = None
        self._logprobs: list[torch.Tensor] = []
        self._watched: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Record; the scores pass unchanged."""
        self.chosen(input_ids)
        self._last = scores.float().log_softmax(dim=-1)
        self._watched.append(self._last[:, self._ids].exp().cpu())
        return scores

    def chosen(self, input_ids: torch.Tensor) -> None:
        """Take the last column of [batch, length] ids as what the step before chose."""
        # One step late: a processor sees a choice only at the next step.
        if self._last is not None:
            self._logprobs.append(self._last.gather(1, input_ids[:, -1:])[:, 0].cpu())
            self._last = None

    def step(self, row: int, step: int) -> tuple[float, list[float]]:
        """A row's chosen log-probability and its watched probabilities at one step."""
        return float(self._logprobs[step][row]), self._watched[step][row].tolist()


class StopAtStrings(StoppingCriteria):  # type: ignore[misc]
    """Ends a row at its end token, a stop string or, if one line is wanted, the line's end.

    Of a row with ``progress``, only the answer counts for strings and lines, and it ends when that
    has ``most`` tokens.
    """

    def __init__(
        self,
        tokenizer: Any,
        stops: Sequence[Sequence[str]],
        eos: Collection[int] = (),
        one_line: Sequence[bool] = (),
        progress: Sequence[Progress] = (),
        most: int | None = None,
    ) -> None:
        self.tokenizer, self.eos, self.most = tokenizer, frozenset(eos), most
        self.stops = [tuple(stop for stop in row if stop) for row in stops]
        # Bytes of the longest stop string bound the tokens it may span; a few more for overlap.
        self.tails = [max((len(s.encode()) for s in row), default=0) + 4 for row in self.stops]
        self.one_line = list(one_line) or [False] * len(stops)
        self.progress = list(progress) or [Progress(tokenizer, None, False) for _ in stops]
        self.ended_at: list[int | None] = [None] * len(stops)
        self.cut_off = [True] * len(stops)
        """Whether nothing but a limit ended the row."""
        self.moments: list[float] = []
        """When each step's tokens were there, on ``perf_counter``."""

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """[rows] booleans: which rows are done; ``input_ids`` are new ones alone."""
        return self.ended(input_ids)

    def ended(self, written: torch.Tensor) -> torch.Tensor:
        """[rows] booleans: which rows of new token ids [rows, written] are done."""
        rows = written.tolist()  # here a GPU's tokens are waited for
        self.moments.append(perf_counter())
        done = [self._ended(row, ids) for row, ids in enumerate(rows)]
        return torch.tensor(done, device=written.device)

    def _ended(self, row: int, ids: list[int]) -> bool:
        if self.ended_at[row] is not None:
            return True
        self.progress[row].see(ids)
        said = ids[-1] in self.eos or self._said(row, ids[self.progress[row].answer_at :])
        if said:
            self.cut_off[row] = False
        if said or self._is_full(self.progress[row], len(ids)):
            self.ended_at[row] = len(ids)
        return self.ended_at[row] is not None

    def _said(self, row: int, answer: list[int]) -> bool:
        """Whether a row's answer so far ends it by a stop string or a line's end."""
        progress = self.progress[row]
        if progress.is_thinking:
            return False
        text = self.tokenizer.decode(answer[-self.tails[row] :]) if self.stops[row] else ""
        if progress.thinks and len(answer) <= self.tails[row]:
            text = text.lstrip()
        line = self.tokenizer.decode(answer, skip_special_tokens=True) if self.one_line[row] else ""
        return first_line_ended(line) or any(stop in text for stop in self.stops[row])

    def _is_full(self, progress: Progress, written: int) -> bool:
        if self.most is None or progress.is_thinking:
            return False
        return written - (progress.answer_at or 0) >= self.most
