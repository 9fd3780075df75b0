"""Counting of tokens for a server that does not, by the tokenizer that the config names."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from harness.llm.loading import load_tokenizer
from harness.llm.messages import as_messages
from harness.llm.model_config import local_folder
from harness.llm.server.bodies import template_options
from harness.llm.template import render_chat
from harness.llm.thoughts import opened_by
from harness.prompts import PromptStyle, Rendered

if TYPE_CHECKING:
    from harness.llm.model_config import ModelConfig


class Counter:
    """A tokenizer, read when it is first needed; threads may share it."""

    def __init__(self, config: ModelConfig, style: PromptStyle) -> None:
        self._config, self._style, self._lock = config, style, Lock()
        self._tokenizer: Any = None

    def prompt(self, prompt: Rendered) -> int:
        """Tokens of a rendered prompt, special tokens included."""
        with self._lock:
            if isinstance(prompt, str) and self._style == "completion":
                return len(self._loaded()(prompt)["input_ids"])
            return self._length(self._chat(prompt))

    def text(self, text: str) -> int:
        """Tokens of a reply."""
        with self._lock:
            return self._length(text)

    def first(self, text: str, most: int) -> str:
        """A text's first tokens, at most so many; the text itself if it has no more."""
        with self._lock:
            tokenizer = self._loaded()
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            return text if len(ids) <= most else str(tokenizer.decode(ids[:most]))

    def has_token(self, text: str) -> bool:
        """Whether the vocabulary holds ``text`` as one token."""
        with self._lock:
            tokenizer = self._loaded()
            known: int | None = tokenizer.convert_tokens_to_ids(text)
            return known is not None and tokenizer.convert_ids_to_tokens(known) == text

    def opens_thoughts(self, prompt: Rendered) -> bool:
        """Whether the chat template ends a prompt with the tag that opens thoughts."""
        with self._lock:
            return opened_by(self._chat(prompt)) is not None

    def _length(self, text: str) -> int:
        return len(self._loaded()(text, add_special_tokens=False)["input_ids"])

    def _chat(self, prompt: Rendered) -> str:
        arguments = template_options(self._config).get("chat_template_kwargs", {})
        name = self._config.name
        return render_chat(name, self._loaded(), as_messages(prompt), arguments)

    def _loaded(self) -> Any:
        # Held by the lock: fast tokenizers refuse to be used by two threads at once.
        if self._tokenizer is None:
            name = self._config.tokenizer or ""
            self._tokenizer = load_tokenizer(self._config, str(local_folder(name) or name))
        return self._tokenizer
