"""Messages: a prompt as the turns of a chat, for a server or another program."""

from __future__ import annotations

from harness.prompts import Message, Rendered

GO_ON = "Go on from there; write only what comes next."


def as_messages(prompt: Rendered) -> tuple[Message, ...]:
    """A rendered prompt as chat messages for a server; plain text becomes one user message.

    Not every server continues an assistant's turn, so where one has begun, a turn of the user asks
    to go on with it.
    """
    if isinstance(prompt, str):
        return (Message("user", prompt),)
    if prompt[-1].role == "assistant":
        return (*prompt, Message("user", GO_ON))
    return prompt
