"""Replies made of what vLLM wrote: thoughts and answer apart, cut, with the tokens watched."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import Any

from harness.errors import ConfigError
from harness.llm.requests import GenerateRequest, Reply, TokenChoice
from harness.llm.runtime import Runtime
from harness.llm.thoughts import part


@dataclass(frozen=True, slots=True)
class Written:
    """One ``vllm.RequestOutput`` and the request that it answers."""

    runtime: Runtime
    request: GenerateRequest
    output: Any

    def reply(self) -> Reply:
        """The reply, its tokens counted as they were written."""
        asked, (written,) = self.request, self.output.outputs
        prompt = self.runtime.encode(asked.prompt)
        thoughts, whole = part(self._text(written), opened=self._opens_thoughts(prompt))
        kept = self._within(whole)
        answer = asked.cut(kept)
        return Reply(
            answer,
            len(prompt) + asked.vectors,
            len(written.token_ids),
            self._choices(written) if asked.watch else (),
            thoughts,
            answer == kept and (kept != whole or written.finish_reason == "length"),
            asked.stopped_by(kept),
        )

    def _text(self, written: Any) -> str:
        tokens, special = list(written.token_ids), bool(self.request.watch)
        # vLLM names no reason but a stop string's or another end token's.
        ended = written.finish_reason == "stop" and not isinstance(written.stop_reason, str)
        if tokens and ended and special:
            tokens = tokens[:-1]
        return str(self.runtime.tokenizer.decode(tokens, skip_special_tokens=not special))

    def _opens_thoughts(self, prompt: list[int]) -> bool:
        from harness.llm.thinking import opens_thoughts

        asks = self.runtime.thinking is not None and not isinstance(self.request.prompt, str)
        return asks and opens_thoughts(self.runtime.tokenizer, prompt)

    def _within(self, answer: str) -> str:
        """The answer within its own limit; thoughts had room beside it."""
        if self.runtime.thinking is None:
            return answer
        ids = self.runtime.encoder.ids(answer, whole=False)
        most = self.request.max_tokens
        return answer if len(ids) <= most else str(self.runtime.tokenizer.decode(ids[:most]))

    def _choices(self, written: Any) -> tuple[TokenChoice, ...]:
        watched = {text: self._token(text) for text in self.request.watch}
        return tuple(
            TokenChoice(
                self.runtime.tokenizer.decode([token]),
                float(step[token].logprob),
                {text: exp(step[own].logprob) for text, own in watched.items()},
            )
            for token, step in zip(written.token_ids, written.logprobs, strict=True)
        )

    def _token(self, text: str) -> int:
        found = self.runtime.token_id(text)
        if found is None:
            raise ConfigError(
                f"{text!r} is not one token of '{self.runtime.name}', so it cannot be watched"
            )
        return found
