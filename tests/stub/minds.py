"""Minds behind the stub server: words by a rule, or a tiny model of transformers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from threading import Lock
from typing import Any, Protocol
from zlib import crc32

Messages = str | list[dict[str, str]]
"""A prompt as it came: a text or the messages of a chat."""


@dataclass(frozen=True)
class Token:
    """A token's id, text, natural-log probability and those of the likeliest tokens."""

    id: int
    text: str
    logprob: float | None = None
    top: tuple[tuple[str, float], ...] = ()


class Mind(Protocol):
    """What reads prompts and writes replies."""

    def read(self, prompt: Messages, begun: str | None, switches: dict[str, Any]) -> list[Token]:
        """A prompt's tokens with the probability that each had after those before it."""

    def write(self, tokens: list[Token], limit: int, body: dict[str, Any], top: int) -> list[Token]:
        """At most ``limit`` tokens that go on; fewer if the reply is over."""


def as_text(prompt: Messages) -> str:
    """A prompt in one piece."""
    return prompt if isinstance(prompt, str) else "\n".join(m["content"] for m in prompt)


def pieces(text: str) -> list[str]:
    """A text in words, each with the space before it."""
    return re.findall(r"\s*\S+|\s+$", text)


class Words:
    """A reply by a rule; a token is a word. ``probability`` of a word after a text, if any."""

    def __init__(
        self,
        reply: Callable[[str], str],
        probability: Callable[[str, str], float] | None = None,
    ) -> None:
        self.reply, self.probability = reply, probability

    def read(self, prompt: Messages, begun: str | None, switches: dict[str, Any]) -> list[Token]:
        """The prompt's words, then those of a reply that has begun."""
        return self._tokens("", [*pieces(as_text(prompt)), *pieces(begun or "")])

    def write(self, tokens: list[Token], limit: int, body: dict[str, Any], top: int) -> list[Token]:
        """The words of the rule's reply."""
        text = "".join(token.text for token in tokens)
        return self._tokens(text, pieces(self.reply(text))[:limit])

    def _tokens(self, text: str, words: Sequence[str]) -> list[Token]:
        if self.probability is None:
            return [Token(0, word) for word in words]
        found = []
        for word in words:
            logprob = log(self.probability(text, word)) if text else None
            top = () if logprob is None else ((word, logprob),)
            found.append(Token(crc32(word.encode()), word, logprob, top))
            text += word
        return found


class TinyMind:
    """A model of transformers, read in whole forward passes; greedy where the temperature is 0."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder).eval()
        self._lock = Lock()

    def read(self, prompt: Messages, begun: str | None, switches: dict[str, Any]) -> list[Token]:
        """The prompt's tokens; a chat goes through the template."""
        with self._lock:
            if isinstance(prompt, str):
                ids = self.tokenizer(prompt)["input_ids"]
            else:
                text = self.tokenizer.apply_chat_template(
                    prompt, add_generation_prompt=True, tokenize=False, **switches
                )
                ids = self.tokenizer(text + (begun or ""), add_special_tokens=False)["input_ids"]
            return self._tokens(ids, 1, top=0)

    def write(self, tokens: list[Token], limit: int, body: dict[str, Any], top: int) -> list[Token]:
        """The model's own continuation without its end token."""
        import torch

        ids = [token.id for token in tokens]
        sampled = (body.get("temperature") or 0) > 0
        options = {"temperature": body["temperature"]} if sampled else {}
        with self._lock, torch.random.fork_rng():
            torch.manual_seed(body.get("seed") or 0)
            out = self.model.generate(
                torch.tensor([ids]), max_new_tokens=limit, do_sample=sampled, top_k=0, **options
            )[0].tolist()
            if out[-1] == self.tokenizer.eos_token_id:
                out = out[:-1]
            return self._tokens(out, len(ids), top) if top else self._plain(out[len(ids) :])

    def _plain(self, ids: Sequence[int]) -> list[Token]:
        return [Token(i, self._show(i)) for i in ids]

    def _tokens(self, ids: list[int], start: int, top: int) -> list[Token]:
        """Tokens from ``start`` on, those before it only if it is 1."""
        import torch

        with torch.inference_mode():
            logprobs = self.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        found = [Token(ids[0], self._show(ids[0]))] if start == 1 else []
        for place in range(start, len(ids)):
            row = logprobs[place - 1]
            best = row.topk(top) if top else None
            listed = zip(best.indices.tolist(), best.values.tolist(), strict=True) if best else ()
            likely = tuple((self._show(i), value) for i, value in listed)
            found.append(Token(ids[place], self._show(ids[place]), float(row[ids[place]]), likely))
        return found

    def _show(self, token: int) -> str:
        return str(self.tokenizer.decode([token]))
