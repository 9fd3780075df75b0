"""How much of the bare model's throughput is left when it is called through the harness.

Run as ``python -m tests.benchmarks.throughput [--questions N] [--pairs P]``. The engine answers NQ
questions without retrieval; a bare loop sends the same prompts to ``model.generate`` in the same
length-sorted batches with the same stop at the end of the line. The bare loop neither shares the
prompts' common prefix nor replays near-ties. The two take turns in one process.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import torch
import transformers
from transformers import StoppingCriteriaList

from harness.data.card import Task
from harness.data.demonstrations import qa_prompts
from harness.data.task import load_task
from harness.engine import Answered
from harness.llm.batches import common_prefix
from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.llm.hooks import StopAtStrings
from harness.llm.local import LocalModel
from harness.llm.open import open_model
from harness.llm.scoring import pad_left
from harness.meters.hardware import set_torch_threads
from harness.prompts import QAPrompts
from harness.records import Query
from harness.registry import task_folder
from methods.no_retrieval import NoRetrieval
from tests.harness.programs import open_with

TARGET = 0.9
SHOTS = 5


def through_engine(llm: LocalModel, prompts: QAPrompts, queries: Sequence[Query]) -> list[str]:
    """First lines of the answers, in question order."""
    answers: dict[str, str] = {}

    def keep(answered: Answered) -> None:
        answers[answered.question_id] = answered.prediction.answer

    open_with(NoRetrieval(), llm, prompts=prompts).run(queries, keep)
    return [answers[query.id] for query in queries]


class _AfterPrompt(StopAtStrings):
    """Stop strings in what follows the prompt: ``model.generate`` shows both."""

    def __init__(self, tokenizer: Any, stops: Sequence[Sequence[str]], start: int) -> None:
        super().__init__(tokenizer, stops)
        self.start = start

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        return self.ended(input_ids[:, self.start :])


def bare_loop(llm: LocalModel, prompts: QAPrompts, queries: Sequence[Query]) -> list[str]:
    """The same with nothing but the tokenizer and ``model.generate``."""
    tokenizer, pad = llm.tokenizer, llm.tokenizer.pad_token_id
    ids = [tokenizer(prompts.closed_book(q).render(llm.prompt_style))["input_ids"] for q in queries]
    answers = [""] * len(queries)
    shared = common_prefix(ids)
    for batch in llm.batches(range(len(ids)), [row[shared:] for row in ids]):
        inputs, mask = pad_left([ids[i] for i in batch], pad, llm.device)
        start = inputs.shape[1]
        stop = _AfterPrompt(tokenizer, [("\n",)] * len(batch), start)
        with torch.inference_mode():
            output = llm.model.generate(
                input_ids=inputs,
                attention_mask=mask,
                max_new_tokens=NoRetrieval.Params().max_tokens,
                do_sample=False,
                pad_token_id=pad,
                stopping_criteria=StoppingCriteriaList([stop]),
            )
        texts = tokenizer.batch_decode(output[:, start:], skip_special_tokens=True)
        for index, text in zip(batch, texts, strict=True):
            answers[index] = text.partition("\n")[0].strip()
    return answers


def timed(run: Callable[..., list[str]], *args: object) -> tuple[float, list[str]]:
    """Questions per second, and the answers."""
    start = perf_counter()
    answers = run(*args)
    return len(answers) / (perf_counter() - start), answers


def main() -> None:
    """Measure, print, and say whether the target is met."""
    parser = argparse.ArgumentParser(description="harness against bare model.generate")
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    set_torch_threads()
    data = load_task(Task.from_folder(task_folder("nq")), limit=options.questions)
    prompts = qa_prompts(data, SHOTS, seed=0)
    queries = [question.query for question in data.questions]
    llm = open_model(resolve_model(DEFAULT_MODEL))
    assert isinstance(llm, LocalModel)
    size, replays = llm.runtime.batch_size, llm.runtime.replays
    print(
        f"{llm.name}, {len(queries)} NQ questions, {SHOTS} shots, batches of {size}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, {llm.device}"
    )
    for run in (through_engine, bare_loop):
        run(llm, prompts, queries[:2])
    ratios = []
    for pair in range(1, options.pairs + 1):
        speed, answers = timed(through_engine, llm, prompts, queries)
        bare_speed, bare_answers = timed(bare_loop, llm, prompts, queries)
        ratios.append(speed / bare_speed)
        differ = sum(a != b for a, b in zip(answers, bare_answers, strict=True))
        print(
            f"pair {pair}: harness {speed:.2f} questions/s, bare {bare_speed:.2f}, "
            f"ratio {ratios[-1]:.2f}; {differ} answers differ, {replays.count} replays so far",
            flush=True,
        )
    verdict = "met" if median(ratios) >= TARGET else "MISSED"
    print(
        f"ratio: median {median(ratios):.2f}, min {min(ratios):.2f}, max {max(ratios):.2f}; "
        f"target {TARGET} {verdict}"
    )


if __name__ == "__main__":
    main()
