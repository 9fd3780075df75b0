"""Clients: what a method holds, awaitable views of the model and retriever that record calls."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from harness import trace
from harness.calls import traced
from harness.errors import ConfigError, WindowExceededError
from harness.llm.base import LanguageModel
from harness.llm.fitting import Fitted, refitted
from harness.llm.requests import (
    GenerateRequest,
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
    from harness.llm.keyvalues import KeyValues
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

    def through(self, submit: Submit) -> LLMClient:
        """The same model, asked by way of ``submit``."""
        return LLMClient(self._model, submit, self._seed)

    async def generate(
        self,
        prompt: Prompt | Rendered,
        *,
        max_tokens: int = 32,
        stop: Sequence[str] | None = None,
        temperature: float = 0.0,
        soft_prompts: Sequence[torch.Tensor] = (),
        watch: Sequence[str] = (),
        keep: bool = False,
        one_line: bool = False,
        adapters: Sequence[Path] = (),
        prefix: KeyValues | None = None,
    ) -> Reply:
        """Continue a prompt with at most ``max_tokens`` tokens, cut before the first ``stop``.

        Without ``stop``, a completion model stops at the end of the line (it would go on with
        another question) and a chat model at its own end token. Sampling (``temperature`` > 0)
        draws from a seed fixed by run, question and step. With tokens to ``watch``, the reply's
        ``choices`` hold their probabilities at every step. ``keep`` says that later prompts of
        this question begin like this one, so that a model may keep what it has read of it.
        ``one_line`` cuts the reply after its first line that is not empty. ``soft_prompts`` stand
        where the prompt holds ``harness.prompts.SOFT``, one in each place. ``adapters``: folders of
        LoRAs whose sum the model has for this call alone. What a ``prefix`` of text holds of the
        prompt is not read again, and changes no reply; a trained one stands before the prompt.
        """
        scope = trace.current_scope()
        key, own = scope.next_key(), self._model.chosen_adapters(adapters, prefix)

        def request(rendered: Rendered) -> GenerateRequest:
            line = ("\n",) if isinstance(rendered, str) else ()
            return GenerateRequest(
                rendered,
                max_tokens,
                line if stop is None else tuple(stop),
                temperature,
                _call_seed(self._seed, scope.recorder.query_id, key) if temperature > 0 else 0,
                tuple(soft_prompts),
                tuple(watch),
                scope.recorder.query_id if keep else None,
                one_line,
                own,
                prefix,
            )

        vectors = sum(map(len, soft_prompts)) + _trained(prefix)
        room = max_tokens + self._model.thoughts_before(prompt)
        reply: Reply
        fitted, reply = await self._ask(scope, key, "generate", prompt, request, room, vectors)
        scope.recorder.note_first_token(key, reply.first_token)
        reply = traced.storable(reply)
        data = traced.generated(fitted, soft_prompts, reply, prefix) | traced.named(own)
        scope.recorder.record(key, "generate", data)
        return reply

    async def score(
        self,
        prompt: Prompt | Rendered,
        continuations: Sequence[str],
        *,
        adapters: Sequence[Path] = (),
        prefix: KeyValues | None = None,
    ) -> Scores:
        """Natural-log probability of each continuation after the prompt."""
        scope = trace.current_scope()
        key, own = scope.next_key(), self._model.chosen_adapters(adapters, prefix)
        scores: Scores
        fitted, scores = await self._ask(
            scope,
            key,
            "score",
            prompt,
            lambda rendered: ScoreRequest(rendered, tuple(continuations), own, prefix),
            self._longest(continuations),
            _trained(prefix),
        )
        data = traced.scored(fitted, continuations, scores, prefix) | traced.named(own)
        scope.recorder.record(key, "score", data)
        return scores

    async def next_token_probs(
        self,
        prompt: Prompt | Rendered,
        strings: Sequence[str],
        *,
        adapters: Sequence[Path] = (),
        prefix: KeyValues | None = None,
    ) -> NextTokenProbs:
        """Probability that each string's first token comes next."""
        scope = trace.current_scope()
        key, own = scope.next_key(), self._model.chosen_adapters(adapters, prefix)
        result: NextTokenProbs
        fitted, result = await self._ask(
            scope,
            key,
            "next_token_probs",
            prompt,
            lambda rendered: NextTokenRequest(rendered, tuple(strings), own, prefix),
            1,
            _trained(prefix),
        )
        data = traced.compared(fitted, result, prefix) | traced.named(own)
        scope.recorder.record(key, "next_token_probs", data)
        return result

    async def choose(
        self,
        prompt: Prompt | Rendered,
        options: Sequence[str],
        *,
        adapters: Sequence[Path] = (),
        prefix: KeyValues | None = None,
    ) -> dict[str, float]:
        """The probability of each option as the next word, normalised over the options.

        In a completion prompt a space precedes the option. Equal shares if the model gives none
        of them any probability.
        """
        style = self._model.prompt_style if isinstance(prompt, Prompt) else None
        space = " " if style == "completion" or isinstance(prompt, str) else ""
        words = [space + option for option in options]
        found = await self.next_token_probs(prompt, words, adapters=adapters, prefix=prefix)
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

    async def _ask(
        self,
        scope: trace.Scope,
        key: trace.Key,
        kind: str,
        prompt: Prompt | Rendered,
        request: Callable[[Rendered], Any],
        max_tokens: int,
        vectors: int = 0,
    ) -> tuple[Fitted, Any]:
        """Submit what fits; less of it where a server tells that it was too long for its window."""
        fitted = self._fit(prompt, max_tokens, vectors)
        scope.recorder.reads_untold |= bool(vectors) or not isinstance(prompt, Prompt)
        while True:
            if kind == "generate" and isinstance(prompt, Prompt):
                # Before it is sent: what was read counts where the reader then fails, too.
                scope.recorder.show(key, [p.id for p in prompt.passages], fitted.dropped)
            try:
                return fitted, await _timed(self._submit, scope, kind, request(fitted.rendered))
            except WindowExceededError as told:
                shorter = self._refit(prompt, fitted, told, max_tokens)
                if shorter is None:
                    raise
                fitted = shorter

    def _refit(
        self, prompt: Prompt | Rendered, refused: Fitted, told: WindowExceededError, beside: int
    ) -> Fitted | None:
        if not isinstance(prompt, Prompt):
            return None
        # Where tokens can be counted, the window now known is enough.
        fitted = self._model.fit(prompt, beside)
        if len(as_text(fitted.rendered)) < len(as_text(refused.rendered)):
            return fitted
        room = told.window - beside
        tokens = told.prompt_tokens or room + 1
        return refitted(prompt, self._model.prompt_style, refused.rendered, tokens, room)

    def _fit(self, prompt: Prompt | Rendered, max_tokens: int, vectors: int = 0) -> Fitted:
        if isinstance(prompt, Prompt):
            return self._model.fit(prompt, max_tokens, vectors)
        return Fitted(prompt)


def _trained(prefix: KeyValues | None) -> int:
    """Positions of a window that a prefix takes beside the prompt's own tokens."""
    return 0 if prefix is None else prefix.trained


async def _timed(submit: Submit, scope: trace.Scope, kind: str, request: Any) -> Any:
    """Submit a request and add the seconds waited for it to its question."""
    start = perf_counter()
    try:
        result = await submit(kind, request)
    except Exception as error:
        scope.recorder.note_failure(error)
        raise
    scope.recorder.seconds[kind] += perf_counter() - start
    return result


class RetrieverClient:
    """The retriever as a method sees it."""

    def __init__(self, retriever: Retriever | None, corpus: Corpus | None, submit: Submit) -> None:
        self._retriever, self._corpus, self._submit = retriever, corpus, submit

    def through(self, submit: Submit, *, searches: bool = True) -> RetrieverClient:
        """The same retriever, asked by way of ``submit``, or its corpus with nothing to ask."""
        return RetrieverClient(self._retriever if searches else None, self._corpus, submit)

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
        scope.recorder.record(key, "search", traced.searched(text, k, passages))
        return passages

    def storage(self) -> StorageReport:
        """Bytes of the text and the index, over the whole corpus."""
        if self._retriever is None or self._corpus is None:
            raise ConfigError(NO_RETRIEVER)
        parts = {"text": self._corpus.text_bytes, **self._retriever.storage()}
        return StorageReport(parts, len(self._corpus))


def _call_seed(run_seed: int, query_id: str, key: trace.Key) -> int:
    digest = hashlib.sha256(f"{run_seed}|{query_id}|{key}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
