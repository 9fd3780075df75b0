"""Log-probabilities from servers that offer them, as far as they do.

Of given text, in one of two forms: ``prompt_logprobs`` (vLLM, for chats too, with token ids) or
``echo`` (SGLang, llama-cpp-python, hosted ones; completion style only, and only where prompts'
tokens are counted). The prompt is read alone and with each continuation; where the tokens part, the
continuation begins. These are exact: ``score`` and ``next_token_probs`` equal those of the same
model in this process.

Of the likeliest next tokens only (``top_logprobs``; OpenAI's chats, llama.cpp), 20 or as many as
the server gives: then ``next_token_probs`` reads a string's first token as the longest listed
token that the string begins with, and gives a string without one 0, its probability being below
the least listed. ``score`` is not offered. ``watch`` reads the listed tokens likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp
from typing import Any, Literal, TypeVar

from harness.errors import CapabilityError, ConfigError, HarnessError
from harness.llm.batches import common_prefix
from harness.llm.requests import Capability, NextTokenProbs, Scores, TokenChoice
from harness.llm.server.bodies import in_chat, messages, placed
from harness.llm.server.failures import Refused, ServerFailure
from harness.llm.server.replies import Said, counted, number
from harness.prompts import PromptStyle, Rendered

Form = Literal["prompt_logprobs", "echo"]
Read = TypeVar("Read")
Post = Callable[[str, dict[str, Any], Callable[[dict[str, Any]], Any]], Any]

TOPS = (20, 5)
"""Likeliest tokens asked for: vLLM's and OpenAI's most for chats, OpenAI's for completions."""
_NO_TOKEN = -1


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a given text: its id (or text), text and natural-log probability."""

    key: str
    text: str
    logprob: float


class NotOfferedError(CapabilityError):
    """The server ignored what was asked for."""

    def __init__(self) -> None:
        super().__init__("the server gives no log-probabilities")


@dataclass(frozen=True, slots=True)
class LogProbs:
    """What a server offers; ``find`` tries it out."""

    post: Post
    model: str
    style: PromptStyle
    extras: dict[str, Any]
    """What goes with every chat: arguments of the template."""
    form: Form | None = None
    """Of given text; None: not offered."""
    top: int = 0
    """How many likeliest tokens are given; 0: not offered."""
    tried: bool = False
    """Whether the server gave them when it was tried out: what it then leaves out, it lost."""

    def find(self) -> LogProbs:
        """The same with what the server turns out to offer, by up to four short requests."""
        top = next((most for most in TOPS if self._gives_top(most)), 0)
        forms: tuple[Form, ...] = (
            ("prompt_logprobs", "echo") if self.style == "completion" else ("prompt_logprobs",)
        )
        form = next((form for form in forms if self._with(form, top)._gives_text()), None)
        return replace(self._with(form, top), tried=True)

    @property
    def told(self) -> str:
        """For provenance."""
        parts = [self.form or "", f"top {self.top}" if self.top else ""]
        return ", ".join(filter(None, parts)) or "none"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What a model can do with it."""
        offered: set[Capability] = set()
        if self.form is not None or self.top:
            offered.add("next-token-probs")
        if self.form is not None and self.top:
            offered.add("logprobs")
        return frozenset(offered)

    def score(self, prompt: Rendered, continuations: Sequence[str]) -> Scores:
        """Log-probability of each continuation, summed over its tokens."""
        before, after = self._parted(prompt, continuations)
        return Scores(
            tuple(sum(token.logprob for token in tokens) for tokens in after),
            tuple(len(tokens) for tokens in after),
            before * len(continuations),
        )

    def next_token_probs(self, prompt: Rendered, strings: Sequence[str]) -> NextTokenProbs:
        """Probability of each string's first token."""
        if self.form is None:
            return self._listed(prompt, strings)
        before, after = self._parted(prompt, strings)
        firsts = [tokens[0] for tokens in after]
        if len({token.key for token in firsts}) < len(set(strings)):
            raise _alike(strings)
        probs = {text: exp(token.logprob) for text, token in zip(strings, firsts, strict=True)}
        return NextTokenProbs(probs, before)

    def asked(self, prompt: Rendered) -> dict[str, Any]:
        """What a request for generated tokens' probabilities says beside the rest."""
        if in_chat(prompt, self.style):
            return {"logprobs": True, "top_logprobs": self.top}
        return {"logprobs": self.top}

    def _listed(self, prompt: Rendered, strings: Sequence[str]) -> NextTokenProbs:
        said = self._ask(prompt, self.asked(prompt), Said.read)
        if said.thinks:
            raise CapabilityError(
                f"model '{self.model}' thinks before it answers, so that the next token says "
                "nothing about an answer; set thinking: off"
            )
        if not said.steps:
            raise HarnessError(f"model '{self.model}': its reply ended before any token")
        top = {**said.steps[0].top, said.steps[0].token: said.steps[0].logprob}
        firsts = {text: first_listed(text, list(top)) for text in strings}
        known = [token for token in firsts.values() if token is not None]
        if len(set(known)) < len(known):
            raise _alike(strings)
        probs = {text: 0.0 if t is None else exp(top[t]) for text, t in firsts.items()}
        return NextTokenProbs(probs, said.prompt_tokens)

    def _parted(
        self, prompt: Rendered, continuations: Sequence[str]
    ) -> tuple[int, list[list[Token]]]:
        """How many tokens stand before the continuations, and those of each."""
        alone = self._text(prompt)
        wholes = [self._text(prompt, text) for text in continuations]
        ids: dict[str, int] = {}
        rows = [[ids.setdefault(t.key, len(ids)) for t in row] for row in (alone, *wholes)]
        rows[0].append(_NO_TOKEN)
        length = common_prefix(rows)
        if self.style == "chat" and length < len(alone) - 1:
            raise ConfigError(
                f"model '{self.model}': its chat template does not go on with a reply that has "
                "begun; set prompt_style: completion"
            )
        after = [row[length:] for row in wholes]
        if not all(after):
            raise ConfigError(f"a continuation in {list(continuations)} has no tokens")
        return length, after

    def _text(self, prompt: Rendered, continuation: str = "") -> list[Token]:
        """Every token of a prompt with a continuation, as the server reads them."""
        if isinstance(prompt, str) and not in_chat(prompt, self.style):
            options = {"prompt_logprobs": 0} if self.form == "prompt_logprobs" else _ECHO
            read = _prompt_logprobs if self.form == "prompt_logprobs" else _echoed
            return self._ask(prompt + continuation, options, read)
        if self.form == "echo":
            raise NotOfferedError  # Of completions only; messages are a chat in any style.
        options = {"prompt_logprobs": 0}
        if not continuation:
            return self._ask(prompt, options, _prompt_logprobs)
        turns = [*messages(prompt), {"role": "assistant", "content": continuation}]
        options |= {"add_generation_prompt": False, "continue_final_message": True}
        return self._ask(prompt, {**options, "messages": turns}, _prompt_logprobs)

    def _ask(
        self, prompt: Rendered, options: dict[str, Any], read: Callable[[dict[str, Any]], Read]
    ) -> Read:
        path, prompted = placed(prompt, self.style, self.extras)
        body = {"model": self.model, "max_tokens": 1, "temperature": 0.0, **prompted, **options}
        answer: Read = self.post(path, body, _insisting(read) if self.tried else read)
        return answer

    def _with(self, form: Form | None, top: int) -> LogProbs:
        return LogProbs(self.post, self.model, self.style, self.extras, form, top)

    def _gives_top(self, most: int) -> bool:
        try:
            said = self._ask(_SAMPLE, self._with(None, most).asked(_SAMPLE), Said.read)
        except Refused:
            return False
        # The first token of thoughts says nothing about an answer.
        return bool(said.steps and said.steps[0].top) and not said.thinks

    def _gives_text(self) -> bool:
        try:
            _, (tokens,) = self._parted(_SAMPLE, [" Paris"])
        except (Refused, NotOfferedError, ConfigError):
            return False
        # Where a server decodes tokens one by one, spaces may be lost.
        return "".join(token.text for token in tokens).strip() == "Paris"


def _insisting(read: Callable[[dict[str, Any]], Read]) -> Callable[[dict[str, Any]], Read]:
    """``read``, for which a reply without log-probabilities is a failure of the server."""

    def insist(value: dict[str, Any]) -> Read:
        try:
            return read(value)
        except NotOfferedError:
            raise ServerFailure("a reply without log-probabilities") from None

    return insist


def choices(said: Said, watch: Sequence[str]) -> tuple[TokenChoice, ...]:
    """An answer's tokens with the probabilities of watched ones; 0 for those not listed."""
    steps = said.steps
    while said.thoughts and len("".join(step.token for step in steps[1:])) >= len(said.answer):
        steps = steps[1:]
    return tuple(
        TokenChoice(
            step.token,
            step.logprob,
            {text: exp(step.top[text]) if text in step.top else 0.0 for text in watch},
        )
        for step in steps
    )


def first_listed(text: str, listed: Sequence[str]) -> str | None:
    """The longest listed token that a text begins with."""
    return max((t for t in listed if t and text.startswith(t)), key=len, default=None)


_SAMPLE = "The capital of France is"
_ECHO = {"echo": True, "logprobs": 1}


def _prompt_logprobs(value: dict[str, Any]) -> list[Token]:
    """vLLM's form: by token id, the token itself first; a chat has it beside the choices."""
    rows = value["choices"][0].get("prompt_logprobs") or value.get("prompt_logprobs")
    if not isinstance(rows, list) or not rows or not all(rows[1:]):
        raise NotOfferedError
    found = []
    for row in rows[1:]:
        key, entry = next(iter(row.items()))
        text = str(entry.get("decoded_token", ""))
        found.append(Token(str(key), text, number(entry.get("logprob"))))
    # The first token of all has no probability; it is never a continuation's.
    return [Token("", "", 0.0), *found]


def _echoed(value: dict[str, Any]) -> list[Token]:
    """OpenAI's old form: the prompt's tokens as text, then the one token that was generated."""
    logprobs = value["choices"][0].get("logprobs")
    tokens = logprobs.get("tokens") if isinstance(logprobs, dict) else None
    values = logprobs.get("token_logprobs") if isinstance(logprobs, dict) else None
    count = counted(value.get("usage"), "prompt_tokens")
    # Without a count nobody knows whether the last token is the prompt's: a reply may end at once.
    # A server that ignores echo gives the generated token alone.
    if count is None or not tokens or not values or len(tokens) < max(count, 2):
        raise NotOfferedError
    pairs = zip(tokens[:count], values[:count], strict=True)
    return [Token(str(token), str(token), number(logprob)) for token, logprob in pairs]


def _alike(strings: Sequence[str]) -> ConfigError:
    return ConfigError(
        f"strings {list(strings)} share a first token and cannot be told apart by next-token "
        "probability"
    )
