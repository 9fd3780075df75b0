"""Prompts kept between the calls of a question, off and on: does keeping them save time there?

Runs keep them on a CPU alone. What this measures on a GPU decides whether they should there, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from harness.llm.prefix import KeptPrompts
from harness.llm.requests import GenerateRequest
from harness.llm.runtime import Runtime
from tests.gpu.models import SEED, SMALL, Folders, random_llama, requests
from tests.gpu.report import Found
from tests.gpu.speed import timed

QUESTIONS, STEPS, WORDS, TOKENS = 8, 4, 300, 32
MOST = 200_000
"""Tokens that are kept at most."""
ROUNDS = 3


def check_prefix(device: str, folders: Folders) -> Found:
    """Seconds of questions whose steps each begin with the last one's prompt; off and on in turns.

    Replies are the same in float32; in bfloat16 the share that is, is told.
    """
    on_gpu = device != "cpu"
    runtime = random_llama({} if on_gpu else SMALL, device)
    steps = list(_steps(QUESTIONS, WORDS, TOKENS) if on_gpu else _steps(2, 20, 4))
    sides = {"off": replace(runtime, kept=None), "on": replace(runtime, kept=KeptPrompts(MOST))}
    timed(runtime, steps[0][:1], device)  # the first call loads libraries
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    texts: dict[str, list[str]] = {}
    for _ in range(ROUNDS if on_gpu else 1):
        for name, side in sides.items():
            found = [timed(side, step, device) for step in steps]
            seconds[name].append(sum(took for took, _ in found))
            texts[name] = [reply.text for _, replies in found for reply in replies]
            _release(side)
    same = sum(off == on for off, on in zip(texts["off"], texts["on"], strict=True))
    facts: dict[str, Any] = {
        "seconds_off": min(seconds["off"]),
        "seconds_on": min(seconds["on"]),
        "off_over_on": min(seconds["off"]) / min(seconds["on"]),
        "same_replies": same,
        "steps": STEPS,
    }
    name = "Llama-3.1-8B's shape" if on_gpu else "Llama 3.1's architecture, tiny"
    asked = len(texts["on"])
    return Found(on_gpu or same == asked, f"{name}, random weights", asked, SEED, facts)


def _steps(questions: int, words: int, tokens: int) -> Iterator[list[GenerateRequest]]:
    """The requests of all questions, step after step; each prompt goes on from the last."""
    parts = [str(r.prompt) for r in requests(questions * STEPS, words, 1)]
    for step in range(1, STEPS + 1):
        yield [
            GenerateRequest(" ".join(parts[q::questions][:step]), tokens, keep_for=f"q{q}")
            for q in range(questions)
        ]


def _release(runtime: Runtime) -> None:
    if runtime.kept is not None:
        for question in range(QUESTIONS):
            runtime.kept.release(f"q{question}")
