"""Replies with reflection tokens, written by hand or drawn, for tests of Self-RAG."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from harness.boards.method_entry import load_method
from harness.llm.requests import GenerateRequest, Reply, TokenChoice, as_text
from harness.records import Prediction
from harness.testing.models import RuleModel, ScriptedModel
from methods.self_rag.tokens import REFLECTION, TOKENS
from tests.harness.programs import predictions, queries

RET, NO_RET = "[Retrieval]", "[No Retrieval]"
REL, IRR = "[Relevant]", "[Irrelevant]"
FULL, PART, NONE = "[Fully supported]", "[Partially supported]", "[No support / Contradictory]"
USE = tuple(f"[Utility:{n}]" for n in range(1, 6))

Token = str | tuple[str, Mapping[str, float]]


def said(*tokens: Token, p: float = 1.0) -> Reply:
    """A reply of these tokens, each with the watched probabilities given, 0 for all others.

    ``p`` is the probability of every token itself.
    """
    pairs = [token if isinstance(token, tuple) else (token, {}) for token in tokens]
    choices = [
        TokenChoice(text, math.log(p), dict.fromkeys(REFLECTION, 0.0) | dict(probs))
        for text, probs in pairs
    ]
    return Reply("".join(text for text, _ in pairs), choices=tuple(choices))


def wants(p: float) -> Reply:
    """A first token with probability ``p`` for [Retrieval] and 1 - p for [No Retrieval]."""
    return said((RET, {RET: p, NO_RET: 1 - p}))


def scripted(replies, **options) -> ScriptedModel:
    """A scripted model that has the reflection tokens."""
    model = ScriptedModel(replies, **options)
    model.tokens = frozenset(TOKENS)
    return model


def ask(name: str, model, asked=None, most: int | None = None, **params) -> Prediction:
    """The prediction of a method for one question."""
    cls = load_method(name)
    method = cls(cls.Params(**params))
    (found,) = predictions(method, asked or queries(1), model).values()
    assert found.error is None
    return found


def notes(found: Prediction, kind: str) -> list[dict]:
    return [dict(step.data) for step in found.steps if step.kind == kind]


class TokenModel(RuleModel):
    """Says the tokens that a rule draws for a prompt; ends like a real model does.

    Every watched token has the probability that the rule ``probability`` gives it.
    """

    def __init__(
        self, tokens_for: Callable[[str], Sequence[str]], probability: Callable[[str, str], float]
    ) -> None:
        super().__init__(probability=probability)
        self.tokens_for, self.tokens = tokens_for, frozenset(TOKENS)

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[tuple[int, Reply]]:
        for index, request in enumerate(requests):
            prompt = as_text(request.prompt)
            kept: list[str] = []
            for token in self.tokens_for(prompt)[: request.max_tokens]:
                kept.append(token)
                if token in request.stop:
                    break
            text = "".join(kept[:-1] if kept and kept[-1] in request.stop else kept)
            choices = [self._choice(prompt, token, request) for token in kept if request.watch]
            yield index, Reply(text, len(prompt.split()), len(kept), tuple(choices))


def hashed_tokens(prompt: str) -> list[str]:
    """Up to eight tokens, words and reflection tokens mixed, that depend on the prompt alone."""
    vocabulary = [*TOKENS, " Oster", " Mara", " Quint", " 1821", "\n", "."]
    draws = hashlib.sha256(prompt.encode(errors="replace")).digest()
    return [vocabulary[draw % len(vocabulary)] for draw in draws[1 : 2 + draws[0] % 8]]


def has_control(text: str) -> bool:
    return re.search("|".join(map(re.escape, TOKENS)), text) is not None
