"""The same request of a batch is answered once, and everybody who made it has the answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest, NextTokenRequest, ScoreRequest
from harness.prompts import SOFT, Message
from tests.tiny import save_tiny_adapter

ASK = "Question: Who wrote the play about the prince of Denmark?\nAnswer:"
GREEDY = GenerateRequest(ASK, 6)
SAMPLED = replace(GREEDY, temperature=0.7, seed=3)
SCORED = ScoreRequest(ASK, (" William Shakespeare", " Paris"))
NEXT = NextTokenRequest(ASK, (" yes", " no"))


@pytest.fixture(scope="module")
def llm(tiny_model_dir) -> LocalModel:
    return LocalModel(ModelConfig(name="tiny", path=str(tiny_model_dir)), str(tiny_model_dir))


@pytest.fixture
def rows(llm: LocalModel) -> Iterator[list[int]]:
    """Rows of every forward pass."""
    seen: list[int] = []

    def note(_: Any, args: tuple[Any, ...], given: dict[str, Any]) -> None:
        read = given.get("inputs_embeds", given.get("input_ids", args[0] if args else None))
        seen.append(len(read))

    hook = llm.model.register_forward_pre_hook(note, with_kwargs=True)
    yield seen
    hook.remove()


def soft(llm: LocalModel, seed: int = 0) -> tuple[torch.Tensor, ...]:
    source = torch.Generator().manual_seed(seed)
    return (torch.randn(3, llm.model.config.hidden_size, generator=source),)


KINDS = {
    "greedy": ("generate", GREEDY),
    "sampled": ("generate", SAMPLED),
    "watched": ("generate", replace(GREEDY, watch=(" yes", " no"))),
    "chat": ("generate", replace(GREEDY, prompt=(Message("user", "Who?"),))),
    "kept": ("generate", replace(GREEDY, keep_for="q1")),
    "scores": ("score", SCORED),
    "choices": ("next_token_probs", NEXT),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_request_is_read_once(llm, rows, kind):
    name, request = KINDS[kind]
    ask = getattr(llm, name)
    (_, alone), *_ = ask([request])
    once = sum(rows)
    rows.clear()
    found = dict(ask([replace(request) for _ in range(5)]))
    assert found == dict.fromkeys(range(5), alone)
    assert sum(rows) == once


OTHERS = [
    (GREEDY, replace(GREEDY, max_tokens=5)),
    (GREEDY, replace(GREEDY, stop=("a",))),
    (GREEDY, SAMPLED),
    (SAMPLED, replace(SAMPLED, seed=4)),
    (GREEDY, replace(GREEDY, prompt=f"{ASK} ")),
    (GREEDY, replace(GREEDY, one_line=True)),
    (SCORED, replace(SCORED, continuations=(" Paris",))),
    (NEXT, replace(NEXT, strings=(" yes",))),
]


@pytest.mark.parametrize(("one", "other"), OTHERS, ids=range(len(OTHERS)))
def test_whatever_changes_an_answer_is_asked_apart(llm, one, other):
    ask = {GenerateRequest: llm.generate, ScoreRequest: llm.score}.get(
        type(one), llm.next_token_probs
    )
    alone = [dict(ask([request]))[0] for request in (one, other)]
    found = dict(ask([one, other, one]))
    assert [found[n] for n in range(3)] == [*alone, alone[0]]


def test_vectors_are_the_same_by_their_bytes(llm, rows):
    asked = [GenerateRequest(f"{SOFT}{ASK}", 1, soft_prompts=soft(llm, seed)) for seed in (0, 1, 0)]
    alone = [dict(llm.generate([request]))[0] for request in asked]
    rows.clear()
    found = dict(llm.generate(asked))
    assert [found[n] for n in range(3)] == alone
    assert alone[0] == alone[2] and sum(rows) == 2


def test_a_prefix_and_adapters_tell_requests_apart(llm, rows, tiny_model_dir, tmp_path):
    held, adapter = llm.read(ASK), save_tiny_adapter(tiny_model_dir, tmp_path / "lora")
    prompt = f"{ASK} yes"
    plain = GenerateRequest(prompt, 1)
    asked = [plain, replace(plain, prefix=held), replace(plain, adapters=(adapter,))]
    alone = [dict(llm.generate([request]))[0] for request in asked]
    rows.clear()
    found = dict(llm.generate([*asked, *asked]))
    assert [found[n] for n in range(6)] == [*alone, *alone]
    assert sum(rows) == 3
