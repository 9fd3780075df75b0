"""The journal of a write: what it holds, what a kill may leave of it, what is asked again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import torch

from harness.data.corpus import Corpus
from harness.errors import UnansweredError
from harness.llm.requests import (
    GenerateRequest,
    NextTokenProbs,
    NextTokenRequest,
    Reply,
    ScoreRequest,
    Scores,
    TokenChoice,
)
from harness.prompts import SOFT, Message
from harness.records import Passage
from harness.writing.journal import Journal
from harness.writing.stored import key_of

CORPUS = Corpus.from_passages(Passage(f"d{n}", f"Title {n}", f"Text {n}.") for n in range(4))
CHAT = (Message("user", "half a pair: \ud83d"),)
WATCHED = (TokenChoice(" a", -0.1, {"b": 1e-300}),)
CALLS = [
    ("generate", GenerateRequest("Who?"), Reply("He.", 7, 2, first_token=3.5, stop="\n")),
    ("generate", GenerateRequest(CHAT), Reply("\ud83d", None, None, WATCHED, "so", True)),
    ("score", ScoreRequest("It is", (" a", " b")), Scores((-0.1, float("-inf")), (1, 2), 5)),
    ("next_token_probs", NextTokenRequest("It", (" is",)), NextTokenProbs({" is": 0.1 + 0.2}, 3)),
    ("search", ("text", 2), [Passage("d3", "Title 3", "Text 3.", 1 / 3), CORPUS.get("d1")]),
]


class Backend:
    """Answers from a list, and remembers what it was asked."""

    def __init__(self, calls=CALLS) -> None:
        self.results = {key_of(kind, request): result for kind, request, result in calls}
        self.asked: list[str] = []

    async def submit(self, kind, request):
        self.asked.append(kind)
        await asyncio.sleep(0)
        return self.results[key_of(kind, request)]


def ask(path: Path, backend: Backend, calls=CALLS) -> tuple[list, Journal]:
    """What the calls get in one session."""

    async def work():
        return await asyncio.gather(*(journal.submit(kind, asked) for kind, asked, _ in calls))

    with Journal(path, backend.submit, CORPUS) as journal:
        return asyncio.run(work()), journal


def test_what_was_answered_is_given_again_and_not_asked(tmp_path: Path) -> None:
    path, first, again = tmp_path / "calls.jsonl", Backend(), Backend([])
    found, journal = ask(path, first)
    assert found == [result for _, _, result in CALLS]
    assert [p.score for p in found[-1]] == [1 / 3, None]
    data = path.read_bytes()
    replayed, told = ask(path, again)
    assert replayed == found
    assert again.asked == []
    assert path.read_bytes() == data
    assert told.counts == journal.counts
    counts = journal.counts
    assert (counts.llm_calls, counts.retrievals) == (4, 1)
    assert (counts.prompt_tokens, counts.completion_tokens) == (None, None)  # one is not known


def test_tokens_are_added_where_all_are_known(tmp_path: Path) -> None:
    known = [CALLS[0], CALLS[2], CALLS[3]]
    _, journal = ask(tmp_path / "calls.jsonl", Backend(known), known)
    assert (journal.counts.prompt_tokens, journal.counts.completion_tokens) == (7 + 5 + 3, 2)


def test_cut_anywhere_it_asks_again_what_is_not_whole(tmp_path: Path) -> None:
    """A kill in the middle of a line, or a disk that lost the end of the file."""
    path = tmp_path / "calls.jsonl"
    found, _ = ask(path, Backend())
    data = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(data) if byte == ord("\n")]
    for cut in {0, *ends, *(end - 1 for end in ends), *range(3, len(data), 211)}:
        path.write_bytes(data[:cut])
        again = Backend()
        assert ask(path, again)[0] == found
        assert len(again.asked) == len(CALLS) - sum(end <= cut for end in ends)
        assert sorted(path.read_bytes().splitlines()) == sorted(data.splitlines())


def test_a_damaged_line_and_all_behind_it_are_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    found, _ = ask(path, Backend())
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"key"', b'"kex"')
    path.write_bytes(b"".join(lines))
    again = Backend()
    assert ask(path, again)[0] == found
    assert len(again.asked) == 3


def test_the_same_is_asked_once_also_at_once(tmp_path: Path) -> None:
    backend = Backend()
    found, journal = ask(tmp_path / "calls.jsonl", backend, [CALLS[0]] * 3)
    assert found == [CALLS[0][2]] * 3
    assert backend.asked == ["generate"]
    assert journal.counts.llm_calls == 1


def test_a_failure_is_no_reply(tmp_path: Path) -> None:
    class Failing(Backend):
        async def submit(self, kind, request):
            if not self.asked:
                self.asked.append(kind)
                raise UnansweredError("503")
            return await super().submit(kind, request)

    backend = Failing()

    async def work():
        calls = [journal.submit(*CALLS[0][:2]) for _ in range(2)]
        return await asyncio.gather(*calls, return_exceptions=True)

    with Journal(tmp_path / "calls.jsonl", backend.submit, CORPUS) as journal:
        failed, answered = asyncio.run(work())
    assert isinstance(failed, UnansweredError)
    assert answered == CALLS[0][2]


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "Whom?"}, {"max_tokens": 9}, {"stop": ("x",)}, {"temperature": 1.0},
        {"seed": 1}, {"watch": ("a",)}, {"one_line": True},
    ],
)  # fmt: skip
def test_another_request_has_another_key(changes) -> None:
    plain = {"prompt": "Who?", "temperature": 0.5}
    assert key_of("generate", GenerateRequest(**plain | changes)) != key_of(
        "generate", GenerateRequest(**plain)
    )


def test_a_key_is_of_the_vectors_and_not_of_the_question() -> None:
    def key(values, **changes) -> str:
        return key_of("generate", GenerateRequest(SOFT, soft_prompts=(values,), **changes))

    ones = torch.ones(2, 3, dtype=torch.bfloat16, requires_grad=True)
    assert key(ones) == key(ones.clone(), keep_for="q1")
    assert len({key(ones), key(2 * ones), key(ones[:1]), key(ones.float())}) == 4
