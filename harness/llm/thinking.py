"""Thinking of a local model: a budget of its own for what it writes before its answer.

Thoughts that do not end within the budget are ended by force, and the model answers from what it
has thought (budget forcing: Muennighoff et al., s1, arXiv:2501.19393; Qwen3's technical report,
arXiv:2505.09388, section 4.3). Only the tags are put in, no words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import LogitsProcessor

from harness.errors import ConfigError
from harness.llm.thoughts import SWITCHES, TAGS, Tags, opened_by

if TYPE_CHECKING:
    from harness.llm.model_config import ModelConfig


@dataclass(frozen=True, slots=True)
class Thinking:
    """How a model marks its thoughts, what ends them, and how many tokens they may take."""

    tags: Tags
    ending: tuple[int, ...]
    """Token ids that end thoughts by force."""
    budget: int
    quiet: Mapping[str, bool]
    """Arguments of the chat template that switch thinking off, if it has a switch."""

    @property
    def room(self) -> int:
        """Tokens that may be written before an answer."""
        return self.budget + len(self.ending)


def thinking_of(config: ModelConfig, tokenizer: Any) -> Thinking | None:
    """How a model thinks; None if neither its vocabulary nor its template has tags of thoughts.

    Switched off, it has no budget: thoughts that it begins nevertheless are ended at once. Raises
    ConfigError where ``thinking`` is asked for and cannot be had.
    """
    if config.thinking and config.prompt_style != "chat":
        raise ConfigError(
            f"model '{config.name}': thinking works with prompt_style: chat; set it, or leave "
            "thinking out"
        )
    tags = _tags_in(*tokenizer.get_added_vocab(), _template(tokenizer))
    if tags is None:
        if config.thinking == "on":
            known = ", ".join(tags.opening for tags in TAGS)
            raise ConfigError(
                f"model '{config.name}' has no tags of thoughts ({known}) in its vocabulary or "
                "chat template; leave thinking out"
            )
        return None
    ending = tokenizer(tags.ending, add_special_tokens=False)["input_ids"]
    name = _switch(_template(tokenizer))
    off = config.thinking == "off" or (name is not None and config.template.get(name) is False)
    budget = 0 if off else config.thinking_tokens
    return Thinking(tags, tuple(ending), budget, {name: False} if name else {})


def switch(config: ModelConfig, tokenizer: Any) -> Mapping[str, bool]:
    """The argument of the chat template that turns thinking on or off; empty if not asked for.

    A template without a switch always thinks or never does; ConfigError if it should not and does.
    """
    template = _template(tokenizer)
    name = _switch(template) if config.thinking else None
    if name is not None:
        return {name: config.thinking == "on"}
    if config.thinking == "off" and _tags_in(template):
        raise ConfigError(
            f"model '{config.name}': its chat template has no switch for thoughts "
            f"({' or '.join(SWITCHES)}); leave thinking out, or set thinking_tokens: 0"
        )
    return {}


def _tags_in(*texts: str) -> Tags | None:
    """The first tags that a model's vocabulary or chat template shows."""
    whole = "\n".join(texts)
    return next((t for t in TAGS if t.opening in whole or t.closing in whole), None)


def _template(tokenizer: Any) -> str:
    template = tokenizer.chat_template
    return (template.get("default") if isinstance(template, dict) else template) or ""


def _switch(template: str) -> str | None:
    """The template's variable that switches thinking, if it has one."""
    import jinja2
    from jinja2 import meta

    # A tag of transformers' own, which changes no text.
    plain = re.sub(r"{%-?\s*(end)?generation\s*-?%}", "", template)
    environment = jinja2.Environment(autoescape=True, extensions=["jinja2.ext.loopcontrols"])
    try:
        variables = meta.find_undeclared_variables(environment.parse(plain))
    except jinja2.TemplateSyntaxError:
        # Rendering it says what is wrong.
        return None
    return next((name for name in SWITCHES if name in variables), None)


class Progress:
    """One row's way through its thoughts to its answer."""

    def __init__(self, tokenizer: Any, thinking: Thinking | None, opened: bool) -> None:
        self._tokenizer, self._thinking, self.opened = tokenizer, thinking, opened
        self.answer_at: int | None = None
        """Where the answer begins in the ids written; None while that is open."""
        self.thinks = opened
        self._forced_at: int | None = None
        if thinking is None:
            self.answer_at = 0
        elif opened and not thinking.budget:
            self._forced_at = 0

    @property
    def is_thinking(self) -> bool:
        """Whether its thoughts have begun and are not over."""
        return self.thinks and self.answer_at is None

    def begin(self, written: int) -> int:
        """Where the answer begins among the tokens written; at their end while it thinks."""
        if self.answer_at is not None:
            return min(self.answer_at, written)
        return written if self.thinks else 0

    def see(self, ids: Sequence[int]) -> None:
        """Take in all ids written so far, the last of which is new."""
        if self._thinking is None:
            return
        if self.answer_at is not None:
            # Blank space between the tag and the answer belongs to neither.
            if self.thinks and self.answer_at == len(ids) - 1 and self._is_blank(ids[-1]):
                self.answer_at = len(ids)
        elif self._forced_at is not None:
            if len(ids) == self._forced_at + len(self._thinking.ending):
                self.answer_at = len(ids)
        else:
            self._look(ids, self._thinking)

    def forced(self, step: int) -> int | None:
        """The token that must be written at a step, if any."""
        if self._thinking is None or self._forced_at is None or self.answer_at is not None:
            return None
        return self._thinking.ending[step - self._forced_at]

    def _look(self, ids: Sequence[int], thinking: Thinking) -> None:
        tags = thinking.tags
        if not self.thinks:
            begun = self._tokenizer.decode(ids).lstrip()
            if not any(_overlap(begun, tag) for tag in (tags.opening, tags.closing)):
                self.answer_at = 0
                return
            self.thinks = begun.startswith((tags.opening, tags.closing))
        if not self.thinks:
            return
        # Its bytes bound the tokens that a tag may span; a few more for overlap.
        tail = self._tokenizer.decode(ids[-len(tags.closing.encode()) - 4 :])
        if tags.closing in tail:
            self.answer_at = len(ids)
        elif len(ids) >= thinking.budget:
            self._forced_at = len(ids)

    def _is_blank(self, token: int) -> bool:
        return not self._tokenizer.decode([token]).strip()


class ForcedEndings(LogitsProcessor):  # type: ignore[misc]
    """Lets rows whose thoughts are ended by force write nothing else meanwhile."""

    def __init__(self, rows: Sequence[Progress]) -> None:
        self.rows = rows

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Leave only the forced token of [batch, vocabulary] logits where there is one."""
        step = input_ids.shape[1]
        forced = {
            n: token for n, row in enumerate(self.rows) if (token := row.forced(step)) is not None
        }
        if not forced:
            return scores
        scores = scores.clone()
        for row, token in forced.items():
            scores[row] = -torch.inf
            scores[row, token] = 0.0
        return scores


def opens_thoughts(tokenizer: Any, prompt: Sequence[int]) -> bool:
    """Whether a prompt's token ids end with an opening tag."""
    longest = max(len(tags.opening.encode()) for tags in TAGS)
    return opened_by(tokenizer.decode(prompt[-longest - 4 :])) is not None


def _overlap(begun: str, tag: str) -> bool:
    return tag.startswith(begun) or begun.startswith(tag)
