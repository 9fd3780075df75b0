"""Replies shared by the workers of a board: what one run has had answered, no other asks again.

For greedy replies of models whose replies do not depend on their batch, so that every run has the
answers that it would get by itself. Each process appends to a file of its own and reads all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness.fingerprint import fingerprint
from harness.llm.requests import GenerateRequest, Reply
from harness.prompts import Rendered

Generate = Callable[[Sequence[GenerateRequest]], Iterator[tuple[int, Reply]]]
_FIELDS = ("text", "prompt_tokens", "completion_tokens", "thoughts", "cut_off", "stop")


class SharedReplies:
    """The replies that the processes of one folder have got from one model."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._own = folder, folder / f"{os.getpid()}.jsonl"
        self._known: dict[str, Reply] = {}
        self._read: dict[Path, int] = {}
        """Bytes of each file that are known."""

    def complete(
        self, requests: Sequence[GenerateRequest], generate: Generate
    ) -> Iterator[tuple[int, Reply]]:
        """The reply to each request by its index, those that nobody knows by ``generate``."""
        self._catch_up()
        keys = [_key(request) for request in requests]
        left = [index for index, key in enumerate(keys) if key not in self._known]
        for index, key in enumerate(keys):
            if key in self._known:
                yield index, self._known[key]
        with self._own.open("ab") as file:
            for place, reply in generate([requests[index] for index in left]) if left else ():
                if key := keys[left[place]]:
                    row = [key, *(getattr(reply, name) for name in _FIELDS)]
                    file.write(f"{json.dumps(row)}\n".encode())
                yield left[place], reply

    def _catch_up(self) -> None:
        for path in self._folder.glob("*.jsonl"):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                # Its writer may be at the last line.
                whole, newline, _ = file.read().rpartition(b"\n")
            self._read[path] = self._read.get(path, 0) + len(whole) + len(newline)
            for line in whole.split(b"\n") if whole else ():
                key, *values = json.loads(line)
                self._known[key] = Reply(**dict(zip(_FIELDS, values, strict=True)))


def _key(request: GenerateRequest) -> str:
    """What decides a reply; empty where more than text does, or chance."""
    more = request.soft_prompts or request.watch or request.adapters or request.prefix is not None
    if more or request.temperature > 0:
        return ""
    prompt = _plain(request.prompt)
    return fingerprint([prompt, request.max_tokens, request.stop, request.one_line])


def _plain(prompt: Rendered) -> list[list[str]] | str:
    return prompt if isinstance(prompt, str) else [[m.role, m.content] for m in prompt]
