"""A tokenizer's chat template applied to messages; what it says never depends on the day."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from harness.errors import ConfigError
from harness.prompts import Message

DAY = "strftime_now"
"""The template argument that is ours: the day, as YYYY-MM-DD, of templates that ask for today's."""

REPLY = "reply"
"""What stands for a reply where a template is asked how it writes one."""

_MARK = "\ue0f0"
_MARKED = re.compile(f"{_MARK}(.*?){_MARK}", re.DOTALL)
# Instead of the function that transformers gives to templates: it leaves the format in the text.
# The line's end is cut with the block, so that the template begins a line as it did.
_STOPPED = f"{{%- macro {DAY}(format) -%}}{_MARK}{{{{ format }}}}{_MARK}{{%- endmacro %}}\n"


def render_chat(
    name: str,
    tokenizer: Any,
    messages: Sequence[Message],
    arguments: Mapping[str, Any],
    *,
    replied: bool = False,
) -> str:
    """The text that a model's chat template makes of messages, up to where the reply begins.

    ``replied``: the last message is the reply, and nothing is to follow.

    ``arguments`` go to the template. Raises ConfigError if there is none, if it refuses the
    messages or leaves out the system's, or if it would write today's date and no argument says
    which day it is.
    """
    if tokenizer.chat_template is None:
        raise ConfigError(f"model '{name}' has no chat template; set prompt_style: completion")
    turns = [{"role": m.role, "content": m.content} for m in messages]
    given = {key: value for key, value in arguments.items() if key != DAY}
    try:
        text: str = tokenizer.apply_chat_template(
            turns,
            chat_template=stopped(tokenizer.get_chat_template()),
            add_generation_prompt=not replied,
            tokenize=False,
            **given,
        )
    except Exception as error:
        line = " ".join(str(error).split())
        raise ConfigError(
            f"model '{name}': its chat template refuses these messages "
            f"({type(error).__name__}: {line}); set prompt_style: completion"
        ) from error
    check_system(name, messages, text)
    return dated(name, text, arguments)


def check_system(name: str, messages: Sequence[Message], text: str) -> None:
    """Raise ConfigError if a template's text lacks a system message: it holds the passages."""
    if any(m.role == "system" and m.content.strip() not in text for m in messages):
        raise ConfigError(
            f"model '{name}': its chat template leaves out the system message, which holds the "
            "instruction and the passages; set prompt_style: completion"
        )


def after_prompt(prompt: str, replied: str, text: str) -> str:
    """A reply as it follows a template's prompt: after a space where the template puts one.

    ``replied`` is what the template makes of the same messages and the reply ``REPLY``.
    """
    between = replied.rpartition(REPLY)[0].removeprefix(prompt)
    spaced = between.strip() or not text or text[0].isspace()
    return text if spaced else between + text


def stopped(template: str) -> str:
    """The template with marks where it would ask the clock."""
    return _STOPPED + template if DAY in template else template


def dated(name: str, text: str, arguments: Mapping[str, Any]) -> str:
    """A text of a stopped template with the day that ``arguments`` fix. Raises ConfigError."""
    if _MARKED.search(text) is None:
        return text
    if DAY not in arguments:
        raise ConfigError(
            f"model '{name}': its chat template writes today's date, so that every day has other "
            "prompts; fix one: set template: {date_string: 26 Jul 2024} if the template takes a "
            f"date, else template: {{{DAY}: 2024-07-26}}"
        )
    day = date.fromisoformat(str(arguments[DAY]))
    return _MARKED.sub(lambda found: day.strftime(found[1]), text)


def check_argument(key: str, value: Any) -> None:
    """Raise ConfigError for a template argument that the harness sets itself, or for no day."""
    if key in _OURS:
        raise ConfigError(f"template: '{key}' is set by the harness; leave it out")
    if key == DAY:
        try:
            date.fromisoformat(str(value))
        except ValueError:
            raise ConfigError(f"template: {DAY} is a day such as 2024-07-26") from None


_OURS = frozenset(
    {"add_generation_prompt", "chat_template", "continue_final_message", "conversation"}
    | {"documents", "max_length", "messages", "padding", "return_assistant_tokens_mask"}
    | {"return_dict", "return_tensors", "tokenize", "tokenizer_kwargs", "tools", "truncation"}
)
