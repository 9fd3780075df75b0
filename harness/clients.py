"""Clients: what a method holds, awaitable views of the model and retriever that record calls."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from math import isfinite
from time import perf_counter
from typing import TYPE_CHECKING, Any

from harness import trace
from harness.errors import ConfigError
from harness.llm.base import (
    GenerateRequest,
    LanguageModel,
    NextTokenProbs,
    NextTokenRequest,
    Reply,
    ScoreRequest,
    Scores,
    as_text,
)
from harness.prompts import Prompt, Rendered
from harness.records import Passage, StorageReport

if TYPE_CHECKING:
    import torch

    from harness.data.corpus import Corpus
    from harness.retrieval.base import Retriever

NO_RETRIEVER = "this method searches but declares no retriever (set params.retriever)"

Submit = Callable[[str, Any], Awaitable[Any]]


class LLMClient:
    """The language model as a method sees it: one awaitable call, recorded and batched."""

    def __init__(self, model: LanguageModel, submit: Submit, seed: int) -> None:
        self._model, self._submit, self._seed = model, submit, seed

    @property
    def model(self) -> LanguageModel:
        """The model itself, for methods that train on it or read its hidden states."""
        return self._model

    async def generate(
        self,
        prompt: Prompt | Rendered,
        *,
        max_tokens: int = 32,
        stop: Sequence[str] | None = None,
        temperature: float = 0.0,
        soft_prompt: torch.Tensor | None = None,
        watch: Sequence[str] = (),
        keep: bool = False,
        one_line: bool = False,
    ) -> Reply:
        """Continue a prompt with at most ``max_tokens`` tokens, cut before the first ``stop``.

        Without ``stop``, a completion model stops at the end of the line (it would go on with
        another question) and a chat model at its own end token. Sampling (``temperature`` > 0)
        draws from a seed fixed by run, question and step. With tokens to ``watch``, the reply's
        ``choices`` hold their probabilities at every step. ``keep`` says that later prompts of
        this question begin like this one, so that a model may keep what it has read of it.
        ``one_line`` cuts the reply after its first line that is not empty.
        """
        scope = trace.current_scope()
        key = scope.next_key()
        vectors = 0 if soft_prompt is None else len(soft_prompt)
        rendered, dropped = self._render(prompt, max_tokens + vectors + self._model.thinking_tokens)
        if stop is None:
            stop = ("\n",) if isinstance(rendered, str) else ()
        request = GenerateRequest(
            rendered,
            max_tokens,
            tuple(stop),
            temperature,
            _call_seed(self._seed, scope.recorder.query_id, key) if temperature > 0 else 0,
            soft_prompt,
            tuple(watch),
            scope.recorder.query_id if keep else None,
            one_line,
        )
        reply = _storable(await _timed(self._submit, scope, "generate", request))
        scope.recorder.record(key, "generate", _generated(rendered, reply, dropped))
        return reply

    async def score(self, prompt: Prompt | Rendered, continuations: Sequence[str]) -> Scores:
        """Natural-log probability of each continuation after the prompt."""
        scope = trace.current_scope()
        key = scope.next_key()
        rendered, dropped = self._render(prompt, self._longest(continuations))
        request = ScoreRequest(rendered, tuple(continuations))
        scores: Scores = await _timed(self._submit, scope, "score", request)
        data = {
            "prompt": as_text(rendered),
            "continuations": list(continuations),
            "logprobs": [_rounded(value) for value in scores.logprobs],
            "prompt_tokens": scores.prompt_tokens,
            "passages_dropped": dropped,
        }
        scope.recorder.record(key, "score", data)
        return scores

    async def next_token_probs(
        self, prompt: Prompt | Rendered, strings: Sequence[str]
    ) -> NextTokenProbs:
        """Probability that each string's first token comes next."""
        scope = trace.current_scope()
        key = scope.next_key()
        rendered, dropped = self._render(prompt, 1)
        request = NextTokenRequest(rendered, tuple(strings))
        result: NextTokenProbs = await _timed(self._submit, scope, "next_token_probs", request)
        data = {
            "prompt": as_text(rendered),
            "probs": {text: _rounded(p) for text, p in result.probs.items()},
            "prompt_tokens": result.prompt_tokens,
            "passages_dropped": dropped,
        }
        scope.recorder.record(key, "next_token_probs", data)
        return result

    async def choose(self, prompt: Prompt | Rendered, options: Sequence[str]) -> dict[str, float]:
        """The probability of each option as the next word, normalised over the options.

        In a completion prompt a space precedes the option. Equal shares if the model gives none
        of them any probability.
        """
        style = self._model.prompt_style if isinstance(prompt, Prompt) else None
        space = " " if style == "completion" or isinstance(prompt, str) else ""
        found = await self.next_token_probs(prompt, [space + option for option in options])
        probs = {option: found.probs[space + option] for option in options}
        total = sum(probs.values())
        return {
            option: value / total if total > 0 else 1 / len(probs)
            for option, value in probs.items()
        }

    def _longest(self, continuations: Sequence[str]) -> int:
        if self._model.window is None:
            return 0
        return max((self._model.count_tokens(text) or 0 for text in continuations), default=0)

    def _render(self, prompt: Prompt | Rendered, max_tokens: int) -> tuple[Rendered, int]:
        if isinstance(prompt, Prompt):
            return self._model.fit(prompt, max_tokens)
        return prompt, 0


async def _timed(submit: Submit, scope: trace.Scope, kind: str, request: Any) -> Any:
    """Submit a request and add the seconds waited for it to its question."""
    start = perf_counter()
    result = await submit(kind, request)
    scope.recorder.seconds[kind] += perf_counter() - start
    return result


class RetrieverClient:
    """The retriever as a method sees it."""

    def __init__(self, retriever: Retriever | None, corpus: Corpus | None, submit: Submit) -> None:
        self._retriever, self._corpus, self._submit = retriever, corpus, submit

    @property
    def backend(self) -> Retriever | None:
        """The retriever itself, for methods whose write phase runs other methods."""
        return self._retriever

    @property
    def corpus(self) -> Corpus | None:
        """The passages of the run, to check a loaded memory by; None where no run has any."""
        return self._corpus

    async def search(self, text: str, k: int) -> list[Passage]:
        """The k best passages, best first, with scores; fewer if fewer match."""
        if self._retriever is None:
            raise ConfigError(NO_RETRIEVER)
        scope = trace.current_scope()
        key = scope.next_key()
        passages: list[Passage] = await _timed(self._submit, scope, "search", (text, k))
        data = {
            "query": text,
            "k": k,
            "retrieved_ids": [p.id for p in passages],
            "scores": [_rounded(p.score) for p in passages if p.score is not None],
        }
        scope.recorder.record(key, "search", data)
        return passages

    def storage(self) -> StorageReport:
        """Bytes of the text and the index, over the whole corpus."""
        if self._retriever is None or self._corpus is None:
            raise ConfigError(NO_RETRIEVER)
        parts = {"text": self._corpus.text_bytes, **self._retriever.storage()}
        return StorageReport(parts, len(self._corpus))


def _generated(prompt: Rendered, reply: Reply, dropped: int) -> dict[str, Any]:
    return {
        "prompt": as_text(prompt),
        "reply": reply.text,
        **({"thoughts": reply.thoughts} if reply.thoughts else {}),
        **({"cut_off": True} if reply.cut_off else {}),
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "passages_dropped": dropped,
    }


def _storable(reply: Reply) -> Reply:
    # Servers may cut a character in two; half of one cannot be written as UTF-8.
    text, thoughts = (
        part.encode(errors="replace").decode() for part in (reply.text, reply.thoughts)
    )
    unchanged = (text, thoughts) == (reply.text, reply.thoughts)
    return reply if unchanged else replace(reply, text=text, thoughts=thoughts)


def _rounded(value: float) -> float | None:
    # JSON knows no infinity; a continuation the model rules out has one.
    return round(float(value), 4) if isfinite(value) else None


def _call_seed(run_seed: int, query_id: str, key: trace.Key) -> int:
    digest = hashlib.sha256(f"{run_seed}|{query_id}|{key}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
