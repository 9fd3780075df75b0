"""FlashRAG's own pipelines and ours on the same token work: questions a second, divided.

Run as ``python -m tests.benchmarks.flashrag [--questions N] [--pairs P] [--generator ours]``. Both
sides have the same weights, the same BM25 index over HotpotQA, k, number of steps, greedy decoding,
token limit and stop: a line's end for prompts to be completed, the model's own end in chats. Theirs
is FlashRAG's generator of transformers' models in its default batches of four; with ``--generator
ours`` its pipelines ask our model, so that pipelines alone differ. The two take turns in one
process, on one thread, and seconds are of a processor.

Sequential's and IRCoT's prompts are the same. CoRAG's are each side's own for the authors'
checkpoint, both chat messages without demonstrations; the default model stands in for the
checkpoint. FlashRAG's order of passages and IRCoT's lack of an own reader stay as they are. Calls
and tokens of both sides stand beside each ratio, and a second one divides tokens a second.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from time import process_time
from typing import Any

import torch
import transformers

from harness.boards.method_entry import load_method
from harness.data.card import Task
from harness.data.demonstrations import qa_prompts
from harness.data.task import TaskData, load_task
from harness.engine import Answered
from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.llm.open import open_model
from harness.method import Method
from harness.records import Question
from harness.registry import task_folder
from harness.retrieval.open import open_retriever
from tests.benchmarks.figures import Figure, report
from tests.benchmarks.flashrag_parts import (
    TOKENS,
    Counted,
    K,
    OurGenerator,
    TheirConfig,
    TheirGenerator,
    TheirPrompts,
    TheirRetriever,
)
from tests.harness.programs import open_with

STEPS, BATCH = 3, 4
AT_LEAST = {"sequential": 1.0, "ircot": 1.5, "corag": 1.5}
"""Target of each method."""
METHODS = {"sequential": "bm25", "ircot": "ircot", "corag": "corag-reworded"}

Asked = Sequence[Question]
Side = Callable[[Asked], list[str]]


def their_run(name: str, prompts: TheirPrompts, parts: dict[str, Any], asked: Asked) -> list[str]:
    """Answers of FlashRAG's pipeline of that name."""
    from flashrag.dataset import Dataset
    from flashrag.pipeline import CoRAGPipeline, IRCOTPipeline, SequentialPipeline

    config = TheirConfig(
        device="cpu", metrics=[], dataset_name="hotpotqa", task_desc="answer multi-hop questions"
    )
    rows = [{"id": q.id, "question": q.text, "golden_answers": []} for q in asked]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        dataset = Dataset(config, data=[dict(row, output={}) for row in rows])
        if name == "ircot":
            pipeline = IRCOTPipeline(config, prompts, max_iter=STEPS, **parts)
        elif name == "sequential":
            pipeline = SequentialPipeline(config, prompts, **parts)
        else:
            pipeline = CoRAGPipeline(config, STEPS, prompts, **parts)
        pipeline.run(dataset, do_eval=False)
    return list(dataset.pred)


def our_method(name: str) -> Method:
    """Our method, set like FlashRAG's pipeline."""
    cls = load_method(METHODS[name])
    settings: dict[str, Any] = {"k": K, "max_tokens": TOKENS}
    if name == "ircot":
        settings |= {"max_steps": STEPS, "reader": "none", "max_passages": K * STEPS}
    if name == "corag":
        settings |= {"final_k": K * STEPS, "max_path_length": STEPS, "retriever": "bm25"}
        settings |= dict.fromkeys(("sub_query_tokens", "sub_answer_tokens"), TOKENS)
    return cls(cls.Params.model_validate(settings))


def our_run(method: Method, data: TaskData, parts: dict[str, Any], asked: Asked) -> list[str]:
    """Answers of our method."""
    found: dict[str, Answered] = {}
    engine = open_with(
        method,
        parts["generator"].llm,
        parts["retriever"].retriever,
        data.corpus,
        prompts=qa_prompts(data, method.params.shots, 0),
    )
    engine.run([q.query for q in asked], lambda a: found.update({a.question_id: a}))
    errors = [a.prediction.error for a in found.values() if a.prediction.error]
    if errors:
        raise RuntimeError(errors[0])
    return [found[q.id].prediction.answer for q in asked]


@dataclass(frozen=True)
class Speed:
    """What a side did in a second of a processor, and what a question took."""

    questions: float
    tokens: float
    work: str


def measured(run: Side, asked: Asked, llm: Counted) -> Speed:
    """How fast a side was."""
    llm.reset()
    start = process_time()
    count = len(run(asked))
    seconds = process_time() - start
    work = (
        f"{llm.calls / count:.1f} calls, {llm.prompt_tokens / count:,.0f} + "
        f"{llm.completion_tokens / count:.0f} tokens"
    )
    return Speed(count / seconds, (llm.prompt_tokens + llm.completion_tokens) / seconds, work)


def compare(
    name: str, data: TaskData, parts: dict[str, Any], theirs: dict[str, Any], pairs: int
) -> Iterator[Figure]:
    """Both sides in turn, who begins alternating; the first question warms up."""
    llm, asked, method = parts["generator"].llm, data.questions, our_method(name)
    llm.prompt_style = "chat" if name == "corag" else llm.llm.prompt_style
    ircot = method.params if name == "ircot" else our_method("ircot").params
    shots = ircot.shots if name == "corag" else method.params.shots
    prompts = TheirPrompts(data, shots, llm, None if name == "sequential" else ircot)
    sides: list[Side] = [
        lambda asked: our_run(method, data, parts, asked),
        lambda asked: their_run(name, prompts, theirs, asked),
    ]
    for run in sides:
        measured(run, asked[:1], llm)
    found: list[tuple[Speed, Speed]] = []
    for pair in range(pairs):
        order = sides if pair % 2 == 0 else sides[::-1]
        mine, other = [measured(run, asked, llm) for run in order][:: 1 if pair % 2 == 0 else -1]
        found.append((mine, other))
    yield from figures(name, found)


def figures(name: str, pairs: Sequence[tuple[Speed, Speed]]) -> Iterator[Figure]:
    """Ours over FlashRAG's, by questions and by tokens."""
    mine, other = pairs[-1]
    against = f"FlashRAG's {name}"
    yield Figure(
        f"{name}, questions a second",
        against,
        tuple(ours.questions / theirs.questions for ours, theirs in pairs),
        "at least",
        AT_LEAST[name],
        f"a question: ours {mine.work}; FlashRAG's {other.work}",
    )
    tokens = tuple(ours.tokens / theirs.tokens for ours, theirs in pairs)
    yield Figure(f"{name}, tokens a second", against, tokens, "at least")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description="our methods against FlashRAG's pipelines")
    parser.add_argument("--questions", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--generator", choices=("theirs", "ours"), default="theirs")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    data = load_task(Task.from_folder(task_folder("hotpotqa")), limit=options.questions)
    llm = Counted(open_model(resolve_model(DEFAULT_MODEL)))
    retriever = TheirRetriever(open_retriever("bm25", data.corpus))
    ours = {"generator": OurGenerator(llm), "retriever": retriever}
    theirs = ours
    if options.generator == "theirs":
        theirs = {"generator": TheirGenerator(llm, BATCH), "retriever": retriever}
    print(f"{llm.name}, {len(data.questions)} HotpotQA questions, k={K}, {STEPS} steps, {TOKENS=}")
    report(
        figure
        for name in options.methods
        for figure in compare(name, data, ours, theirs, options.pairs)
    )


if __name__ == "__main__":
    main()
