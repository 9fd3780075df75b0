"""Thoughts: what a reasoning model writes before its answer, and where they end.

Known tags, and models that write them (their cards and vLLM's and SGLang's lists of parsers):

- ``<think>``: DeepSeek-R1 and its distillations, Qwen3, QwQ, SmolLM3, GLM-4.5, MiniMax-M2
- ``[THINK]``: Magistral since 2507
- ``<seed:think>``: Seed-OSS
- ``◁think▷``: Kimi's thinking models
- ``<|channel|>analysis<|message|>``: gpt-oss (harmony), if the special tokens are in the text

Thoughts without tags of their own are not told apart: ``<thinking>``, which no such model writes
unasked, sentences as those of Granite 3.2, and harmony without its special tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tags:
    """What a kind of models writes before and after its thoughts."""

    opening: str
    closing: str
    ending: str
    """What ends thoughts that go on for too long, as the model itself would end them."""


def _tags(opening: str, closing: str) -> Tags:
    return Tags(opening, closing, f"\n{closing}\n\n")


_HARMONY = Tags(
    "<|channel|>analysis<|message|>",
    "<|channel|>final<|message|>",
    "<|end|><|start|>assistant<|channel|>final<|message|>",
)
TAGS = (
    _tags("<think>", "</think>"),
    _tags("[THINK]", "[/THINK]"),
    _tags("<seed:think>", "</seed:think>"),
    _tags("◁think▷", "◁/think▷"),
    _HARMONY,
)
SWITCHES = ("enable_thinking", "thinking")
"""What chat templates call it: Qwen3, SmolLM3 and GLM-4.5 the first, DeepSeek-V3.1 and Granite 3.2
the second; the others ignore what they do not know."""
_ANY = re.compile("|".join(re.escape(t) for tags in TAGS for t in (tags.opening, tags.closing)))
_BETWEEN_CHANNELS = re.compile(r"<\|start\|>assistant|<\|(?:end|return|call)\|>")
_BLANK = re.compile(rf"\A(?:\s|{_BETWEEN_CHANNELS.pattern})*")


def part(text: str, *, opened: bool = False) -> tuple[str, str]:
    """The thoughts and the answer in a reply; text without tags is all answer, unchanged.

    ``opened``: the prompt ended with the opening tag, so the text begins with thoughts. A closing
    tag that nothing opened says the same. Thoughts that do not end leave no answer. Several blocks
    are joined by an empty line; blank space before the answer is left out, as models put it there.
    """
    tags = _tags_in(text)
    if tags is None:
        return (text.strip(), "") if opened else ("", text)
    thoughts: list[str] = []
    answer: list[str] = []
    for _, block, is_thought in _blocks(text, tags, opened):
        if tags is _HARMONY:
            block = _BETWEEN_CHANNELS.sub("", block)
        (thoughts if is_thought else answer).append(block)
    kept = [thought.strip() for thought in thoughts if thought.strip()]
    return "\n\n".join(kept), "".join(answer).lstrip()


def answer_at(text: str, *, opened: bool = False) -> int:
    """Where the answer that ``part`` finds begins; the text's length where there is none."""
    tags = _tags_in(text)
    blocks = _blocks(text, tags, opened) if tags else [(0, text, opened)]
    starts = (
        at + len(block) - len(_BLANK.sub("", block))
        for at, block, is_thought in blocks
        if not is_thought and not _BLANK.fullmatch(block)
    )
    return next(starts, len(text))


def _tags_in(text: str) -> Tags | None:
    found = _ANY.search(text)
    return found and next(t for t in TAGS if found.group() in (t.opening, t.closing))


def _blocks(text: str, tags: Tags, opened: bool) -> Iterator[tuple[int, str, bool]]:
    """Where each piece between two tags begins, the piece, and whether it is of thoughts."""
    pieces = re.split(f"({re.escape(tags.opening)}|{re.escape(tags.closing)})", text)
    inside, at = opened, 0
    for piece, tag in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        yield at, piece, inside or tag == tags.closing
        inside, at = tag == tags.opening, at + len(piece) + len(tag)


def opened_by(prompt: str) -> Tags | None:
    """The tags whose opening one ends a prompt, as some chat templates have it."""
    return next((tags for tags in TAGS if prompt.rstrip().endswith(tags.opening)), None)


def without_thoughts(prompt: str) -> str:
    """A chat's prompt after which an answer comes next: thoughts that it opens are ended."""
    tags = opened_by(prompt)
    if tags is not None:
        return prompt.rstrip() + tags.ending
    # Harmony's template leaves the channel to the model.
    return prompt + _HARMONY.closing if prompt.endswith("<|start|>assistant") else prompt
