"""Shared replies: what one process has had answered, another does not ask again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.llm.requests import GenerateRequest, Reply
from harness.llm.shared_replies import SharedReplies
from harness.prompts import Message

ASKED = GenerateRequest("Who?", 8, ("\n",))
REPLY = Reply("\u00e9t\u00e9: it was Ines", 3, 4, thoughts="hm", cut_off=True, stop="\n")


class Process:
    """One that shares replies, and what it had to ask its model."""

    def __init__(self, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.getpid", lambda: name)
        self.replies, self.asked = SharedReplies(folder), list[GenerateRequest]()

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[tuple[int, Reply]]:
        for index, request in reversed(list(enumerate(requests))):
            self.asked.append(request)
            yield index, REPLY

    def ask(self, *requests: GenerateRequest) -> dict[int, Reply]:
        return dict(self.replies.complete(requests, self.generate))


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Process, Process]:
    return Process(tmp_path, "1", monkeypatch), Process(tmp_path, "2", monkeypatch)


def test_a_known_prompt_is_not_asked_again(pair: tuple[Process, Process]) -> None:
    first, second = pair
    chat = replace(ASKED, prompt=(Message("user", "Who?"),))
    assert first.ask(ASKED, chat) == {0: REPLY, 1: REPLY}
    new = replace(ASKED, prompt="When?")
    found = second.ask(chat, new, replace(ASKED, keep_for="q1"))
    assert found == {0: REPLY, 1: REPLY, 2: REPLY}
    assert found[0].stop == "\n"
    assert second.asked == [new]
    first.ask(new, chat)
    assert len(first.asked) == 2


@pytest.mark.parametrize(
    "change",
    [{"max_tokens": 9}, {"stop": ()}, {"one_line": True}, {"watch": ("a",)}, {"temperature": 0.5}],
    ids=str,
)
def test_whatever_decides_a_reply_tells_prompts_apart(
    pair: tuple[Process, Process], change: dict[str, object]
) -> None:
    first, second = pair
    other = replace(ASKED, **change)
    first.ask(ASKED, other)
    second.ask(other, ASKED)
    assert second.asked == ([other] if "watch" in change or "temperature" in change else [])


def test_half_a_line_of_one_at_work_is_left_for_later(
    pair: tuple[Process, Process], tmp_path: Path
) -> None:
    first, second = pair
    first.ask(ASKED)
    whole = (tmp_path / "1.jsonl").read_bytes()
    (tmp_path / "1.jsonl").write_bytes(whole[:-9])
    second.ask(replace(ASKED, prompt="When?"))
    (tmp_path / "1.jsonl").write_bytes(whole)
    second.ask(ASKED)
    assert [request.prompt for request in second.asked] == ["When?"]
