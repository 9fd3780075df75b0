"""Written prompts of a chat: messages that pipelines, which know texts alone, can go on with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from harness.prompts import Message


class Written(str):
    """Messages of a chat as one text. What is added to it becomes the assistant's turn so far."""

    messages: tuple[Message, ...]

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Self:
        """The text of messages, which it keeps."""
        written = cls("\n\n".join(message.content for message in messages))
        written.messages = tuple(messages)
        return written

    @classmethod
    def from_dicts(cls, messages: Sequence[Mapping[str, Any]]) -> Self:
        """The text of messages as FlashRAG has them: dictionaries with role and content."""
        return cls.of([Message(each["role"], each["content"]) for each in messages])

    def __add__(self, more: str) -> Self:
        """The same messages, and more of the assistant's turn."""
        last = self.messages[-1]
        if last.role != "assistant":
            return self.of([*self.messages, Message("assistant", more)])
        begun = replace(last, content=last.content + more)
        return self.of([*self.messages[:-1], begun])
