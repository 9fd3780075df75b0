"""FlashRAG's PromptTemplate in the style of any model of the harness.

The texts are FlashRAG's. Its own class asks a model's folder whether to write a chat (by its
name!), and cuts prompts in tokens of that folder; here the harness knows the style, and the
generator cuts. Importing this module imports FlashRAG.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flashrag.prompt import PromptTemplate

from methods.flashrag.written import Written


class Template(PromptTemplate):  # type: ignore[misc]  # FlashRAG is not typed
    """A template that writes messages for a chat model, else text."""

    def __init__(
        self,
        config: Mapping[str, Any],
        system_prompt: str = "",
        user_prompt: str = "",
        reference_template: str | None = None,
        enable_chat: bool = True,
    ) -> None:
        # As "openai" it looks for no model's files.
        quiet = {**config, "framework": "openai"}
        super().__init__(quiet, system_prompt, user_prompt, reference_template, enable_chat)
        self.config, self.enable_chat = config, enable_chat
        self.is_chat = config["prompt_style"] == "chat"
        self.is_openai = self.is_chat and enable_chat
        """Whether a prompt is a list of messages; else it is text, and goes on as text."""

    def get_string(self, *args: Any, **values: Any) -> str:
        """The prompt as text; that of a chat keeps its messages."""
        written: Any = super().get_string(*args, **values)
        return written if isinstance(written, str) else Written.from_dicts(written)

    def truncate_prompt(self, prompt: Any) -> Any:
        """The prompt as it is: the generator cuts what is too long."""
        return prompt

    def _get_tokenizer(self) -> _Words:
        return _Words()


class _Words:
    """A tokenizer for pipelines that cut documents to a number of tokens: here, of words."""

    def encode(self, text: str, **_: Any) -> list[list[str]]:
        """One row of words, each with the space around it."""
        return [re.findall(r"\s*\S+\s*", text)]

    def decode(self, words: list[str], **_: Any) -> str:
        """The text of words."""
        return "".join(words)


@contextmanager
def own_templates() -> Iterator[None]:
    """While open, pipelines that are made write their prompts with ``Template``."""
    modules = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("flashrag.pipeline.") and hasattr(module, "PromptTemplate")
    ]
    for module in modules:
        module.PromptTemplate = Template  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module in modules:
            module.PromptTemplate = PromptTemplate  # type: ignore[attr-defined]
