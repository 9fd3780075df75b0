"""Asking a stub server, without a pause between tries."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from harness.llm.catalogue import resolve_model
from harness.llm.requests import GenerateRequest, Reply
from harness.llm.server.model import ServerModel
from tests.stub import Stub

CLIENT = frozenset({"timeout", "max_retries", "pause", "jitter"})


def paris(prompt: str) -> str:
    return "Paris is it"


def opened(*stubs: Stub, **options: Any) -> ServerModel:
    """The stubs' first model, at all of them, not yet probed."""
    client = {"pause": 0.001, "jitter": Random(0), **options}
    entry = {key: client.pop(key) for key in options if key not in CLIENT}
    urls = [stub.url for stub in stubs]
    spec = {"name": "openai:m", "base_url": urls, "prompt_style": "chat", **entry}
    return ServerModel(resolve_model(spec), **client)


def ask(model: ServerModel, *requests: GenerateRequest | str) -> list[Reply]:
    """The replies in order."""
    every = [GenerateRequest(r) if isinstance(r, str) else r for r in requests]
    replies = dict(model.generate(every))
    return [replies[i] for i in range(len(every))]


def texts(replies: Sequence[Reply]) -> list[str]:
    """What the replies say."""
    return [reply.text for reply in replies]
