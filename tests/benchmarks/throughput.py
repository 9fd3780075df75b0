"""Time of a method through the harness over that of ``model.generate`` on the same token work.

Run as ``python -m tests.benchmarks.throughput [--methods NAME ...] [--rounds R] [--threads T]``.
What a method asks the model is noted once: which prompts came together, and how many tokens each
reply has. Then three sides take turns: the method through the engine; the same with nothing read
once for several prompts; and ``model.generate``, given the same prompts in the same batches and
made to write as many tokens, with no engine, no retrieval, no stop and no record. It reads and
writes in one batch, the harness reads in smaller ones than it writes in, so both sizes are tried
and the faster one is the floor. Answers must be the same with and without sharing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from time import process_time
from unittest.mock import patch

import torch
import transformers

from harness.boards.method_entry import load_method
from harness.data.card import Task
from harness.data.demonstrations import qa_prompts
from harness.data.task import TaskData, load_task
from harness.engine import Answered
from harness.llm.batches import length_sorted_batches
from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.llm.local import LocalModel
from harness.llm.open import open_model
from harness.llm.prefix import NO_PREFIX
from harness.llm.requests import GenerateRequest, Reply
from harness.llm.scoring import pad_left
from harness.method import Method
from harness.registry import task_folder
from harness.retrieval.base import Retriever
from harness.retrieval.open import open_retriever
from tests.benchmarks.figures import Figure, divided, report, take_turns
from tests.harness.programs import open_with

AT_MOST, REUSE = 1.1, 1.5
BARE = "bare model.generate"
WORK: dict[str, tuple[str, int, dict[str, int]]] = {
    "no-retrieval": ("nq", 8, {}),
    "standard-rag": ("nq", 3, {}),
    "ircot": ("hotpotqa", 2, {"max_passages": 10, "max_steps": 4}),
}
"""Task, number of questions and parameters of each method, those of the standing board."""

Call = Sequence[tuple[list[int], int]]
"""What the model was given at once: prompts, token ids each, and the tokens of each reply."""


@dataclass(frozen=True)
class Batch:
    """Prompts, token ids each, that go through the model together, and tokens to be written."""

    prompts: list[list[int]]
    new: int


class Through:
    """A method over some questions, through the engine."""

    def __init__(self, method: Method, llm: LocalModel, data: TaskData) -> None:
        self.method, self.llm, self.data = method, llm, data
        self.prompts = qa_prompts(data, method.params.shots, seed=0)
        self.retriever: Retriever | None = None
        if name := getattr(method.params, "retriever", None):
            self.retriever = open_retriever(name, data.corpus)

    def answers(self) -> list[str]:
        """Answers in question order. Raises RuntimeError for a question that failed."""
        found: dict[str, Answered] = {}
        opened = open_with(
            self.method, self.llm, self.retriever, self.data.corpus, prompts=self.prompts
        )
        opened.run(
            [q.query for q in self.data.questions], lambda a: found.update({a.question_id: a})
        )
        if errors := [a.prediction.error for a in found.values() if a.prediction.error]:
            raise RuntimeError(errors[0])
        return [found[q.id].prediction.answer for q in self.data.questions]

    def calls(self) -> tuple[list[str], list[Call]]:
        """The answers, and what the model was given."""
        noted: list[Call] = []
        generate = self.llm.generate

        def noting(requests: Sequence[GenerateRequest]) -> Iterator[tuple[int, Reply]]:
            call: list[tuple[list[int], int]] = []
            noted.append(call)
            for index, reply in generate(requests):
                call.append((self.llm.encode(requests[index].prompt), reply.completion_tokens))
                yield index, reply

        with patch.object(self.llm, "generate", noting):
            return self.answers(), noted


def batched(llm: LocalModel, calls: Sequence[Call], tokens: int) -> list[Batch]:
    """The calls in length-sorted batches of at most so many padded tokens."""
    found = []
    for call in calls:
        prompts = [prompt for prompt, _ in call]
        size = llm.runtime.batch_size
        for rows in length_sorted_batches(range(len(call)), prompts, size, tokens):
            found.append(Batch([prompts[i] for i in rows], max(call[i][1] for i in rows)))
    return found


def bare(llm: LocalModel, batches: Sequence[Batch]) -> None:
    """Nothing but ``model.generate``."""
    pad: int = llm.tokenizer.pad_token_id
    for batch in batches:
        inputs, mask = pad_left(batch.prompts, pad, llm.device)
        with torch.inference_mode():
            llm.model.generate(
                input_ids=inputs,
                attention_mask=mask,
                max_new_tokens=batch.new,
                min_new_tokens=batch.new,
                do_sample=False,
                pad_token_id=pad,
            )


@contextmanager
def nothing_shared(llm: LocalModel) -> Iterator[None]:
    """While open, every prompt is read from its first token."""
    before = llm.runtime
    llm.runtime = replace(before, kept=None)
    try:
        with patch("harness.llm.decoding.read_shared", lambda *_: NO_PREFIX):
            yield
    finally:
        llm.runtime = before


def compare(name: str, llm: LocalModel, rounds: int) -> Iterator[Figure]:
    """Figures of a method. Raises RuntimeError if answers differ where nothing is shared."""
    task, questions, settings = WORK[name]
    data, cls = load_task(Task.from_folder(task_folder(task)), limit=questions), load_method(name)
    through = Through(cls(cls.Params.model_validate(settings)), llm, data)
    answers, calls = through.calls()

    def apart() -> None:
        with nothing_shared(llm):
            if through.answers() != answers:
                raise RuntimeError(f"{name}: answers differ where nothing is shared")

    floor = _faster(
        [
            partial(bare, llm, batched(llm, calls, tokens))
            for tokens in (llm.runtime.batch_tokens, llm.runtime.held_tokens)
        ]
    )
    seconds = take_turns({"harness": through.answers, "apart": apart, "bare": floor}, rounds)
    detail = f"{questions} questions of {task}, {_work(calls)}"
    shared = divided(seconds["harness"], seconds["bare"])
    alone = divided(seconds["apart"], seconds["bare"])
    yield Figure(f"{name}, time", BARE, shared, target=AT_MOST, detail=detail)
    yield Figure(f"{name} with nothing shared, time", BARE, alone, target=AT_MOST)
    if name == "ircot":
        reuse = divided(seconds["apart"], seconds["harness"])
        whole, less = "ircot with nothing shared, time", "ircot as it is"
        yield Figure(whole, less, reuse, "at least", REUSE, detail="the same answers")


def _work(calls: Sequence[Call]) -> str:
    prompts = sum(len(prompt) for call in calls for prompt, _ in call)
    new = sum(tokens for call in calls for _, tokens in call)
    return f"{sum(map(len, calls))} calls, {prompts:,} + {new:,} tokens"


def _faster(sides: Sequence[Callable[[], object]]) -> Callable[[], object]:
    def seconds(side: Callable[[], object]) -> float:
        start = process_time()
        side()
        return process_time() - start

    return min(sides, key=seconds)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description="methods against bare model.generate")
    parser.add_argument("--methods", nargs="+", default=list(WORK), choices=list(WORK))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(options.threads)
    llm = open_model(resolve_model(DEFAULT_MODEL))
    assert isinstance(llm, LocalModel)
    report(figure for name in options.methods for figure in compare(name, llm, options.rounds))


if __name__ == "__main__":
    main()
