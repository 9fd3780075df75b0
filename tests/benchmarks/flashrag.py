"""IRCoT and CoRAG: questions a second of ours divided by those of FlashRAG's own pipelines.

Run as ``python -m tests.benchmarks.flashrag [--questions N] [--pairs P]``. Both sides have the
same model (in the same batches, with the same shared prefixes), the same BM25 index over HotpotQA,
k, token limits and numbers of steps; they take turns in one process. IRCoT's prompts are the same,
too. CoRAG's are each side's own for the authors' checkpoint, both chat messages without
demonstrations; the default model stands in for the checkpoint. FlashRAG's stop at ".", its order of
passages and its lack of an own reader stay as they are. Where one side ends its chains earlier, the
ratios by calls and by prompt tokens tell how much of its lead is that.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import torch
import transformers

from harness.boards.method_entry import load_method
from harness.data.card import Task
from harness.data.demonstrations import qa_prompts
from harness.data.task import TaskData, load_task
from harness.engine import Answered
from harness.llm.base import LanguageModel
from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.llm.open import open_model
from harness.llm.requests import GenerateRequest, Reply
from harness.meters.hardware import set_torch_threads
from harness.method import Method
from harness.prompts import Message, Rendered
from harness.records import Passage, Query, Question
from harness.registry import task_folder
from harness.retrieval.base import Retriever
from harness.retrieval.open import open_retriever
from methods.ircot.prompts import thought_demonstrations, thought_prompt
from tests.harness.programs import open_with

TOKENS = 64
STEPS = 3
K = 3

Asked = Sequence[Question]
Side = Callable[[Asked], list[str]]


class Counted(LanguageModel):
    """A model that counts what it is asked for."""

    def __init__(self, llm: LanguageModel) -> None:
        self.llm, self.name = llm, llm.name
        self.prompt_style, self.window = llm.prompt_style, llm.window
        self.trained_for = frozenset({"corag"})
        self.reset()

    def reset(self) -> None:
        """Forget the counts."""
        self.calls = self.prompt_tokens = self.completion_tokens = self.batches = 0

    def count_tokens(self, prompt: Rendered) -> int | None:
        return self.llm.count_tokens(prompt)

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[tuple[int, Reply]]:
        self.batches += 1
        for index, reply in self.llm.generate(requests):
            self.calls += 1
            self.prompt_tokens += reply.prompt_tokens
            self.completion_tokens += reply.completion_tokens
            yield index, reply


@dataclass
class TheirGenerator:
    """What FlashRAG asks of a generator, over our model."""

    llm: LanguageModel

    def generate(
        self, prompts: list[Any], stop: Sequence[str] | None = None, **_: Any
    ) -> list[str]:
        if stop is None:
            stop = ("\n",) if self.llm.prompt_style == "completion" else ()
        found = dict(self.llm.generate([GenerateRequest(p, TOKENS, tuple(stop)) for p in prompts]))
        return [found[index].text for index in range(len(prompts))]


@dataclass
class TheirRetriever:
    """What FlashRAG asks of a retriever, over our BM25."""

    retriever: Retriever

    def batch_search(self, queries: list[str], return_score: bool = False) -> Any:
        found = self.retriever.search(queries, K)
        documents = [[{"id": p.id, "contents": p.contents} for p in row] for row in found]
        return (documents, [[p.score for p in row] for row in found]) if return_score else documents


class TheirPrompts:
    """FlashRAG's prompt template: our IRCoT prompt, and CoRAG's messages as they come."""

    def __init__(self, data: TaskData, shots: int, llm: LanguageModel, params: Any) -> None:
        examples = qa_prompts(data, shots, 0).examples
        self.shots = thought_demonstrations(
            examples, params.chain_shots, params.distractors, params.demo_words
        )
        self.style = llm.prompt_style

    def get_string(
        self,
        question: str = "",
        retrieval_result: Sequence[dict[str, str]] = (),
        previous_gen: str = "",
        messages: Sequence[dict[str, str]] | None = None,
    ) -> Rendered:
        if messages is None:
            passages = [_passage(document) for document in retrieval_result]
            said = [previous_gen.strip()] if previous_gen.strip() else []
            prompt = thought_prompt(Query("", question), self.shots, passages, said)
            return prompt.render(self.style)
        if self.style == "completion":
            return "\n\n".join(message["content"] for message in messages if message["content"])
        return tuple(Message(message["role"], message["content"]) for message in messages)


class TheirConfig(dict[str, Any]):
    """Absent keys are None, as in FlashRAG's own."""

    def __missing__(self, key: str) -> None:
        return None


def their_run(name: str, prompts: TheirPrompts, parts: dict[str, Any], asked: Asked) -> list[str]:
    """Answers of FlashRAG's pipeline of that name."""
    from flashrag.dataset import Dataset
    from flashrag.pipeline import CoRAGPipeline, IRCOTPipeline

    config = TheirConfig(
        device="cpu", metrics=[], dataset_name="hotpotqa", task_desc="answer multi-hop questions"
    )
    rows = [{"id": q.id, "question": q.text, "golden_answers": []} for q in asked]
    with redirect_stdout(io.StringIO()):
        dataset = Dataset(config, data=[dict(row, output={}) for row in rows])
        if name == "ircot":
            pipeline = IRCOTPipeline(config, prompts, max_iter=STEPS, **parts)
        else:
            pipeline = CoRAGPipeline(config, STEPS, prompts, **parts)
        pipeline.run(dataset, do_eval=False)
    return list(dataset.pred)


def our_method(name: str) -> Method:
    """Our method, set like FlashRAG's pipeline."""
    cls = load_method("corag-reworded" if name == "corag" else name)
    if name == "ircot":
        settings = {"k": K, "max_steps": STEPS, "max_tokens": TOKENS, "reader": "none"}
        settings["max_passages"] = K * STEPS
    else:
        settings = {"k": K, "final_k": K * STEPS, "max_path_length": STEPS, "retriever": "bm25"}
        settings |= dict.fromkeys(("sub_query_tokens", "sub_answer_tokens", "max_tokens"), TOKENS)
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
    """What a side did in a second."""

    questions: float
    calls: float
    prompt_tokens: float


def measured(who: str, run: Side, asked: Asked, llm: Counted) -> Speed | None:
    """How fast a side was; None, and why, if it stopped."""
    llm.reset()
    start = perf_counter()
    try:
        count = len(run(asked))
    except Exception as error:
        print(f"  {who}: stopped with {type(error).__name__}: {error}", flush=True)
        return None
    seconds = perf_counter() - start
    print(
        f"  {who}: {count / seconds:.3f} questions/s; a question takes {llm.calls / count:.1f} "
        f"calls, {llm.prompt_tokens / count:.0f} prompt and {llm.completion_tokens / count:.0f} "
        f"new tokens; {llm.batches} batches",
        flush=True,
    )
    return Speed(count / seconds, llm.calls / seconds, llm.prompt_tokens / seconds)


def compare(name: str, data: TaskData, parts: dict[str, Any], pairs: int) -> None:
    """Both sides in turn, who begins alternating."""
    llm, asked, method = parts["generator"].llm, data.questions, our_method(name)
    llm.prompt_style = "chat" if name == "corag" else llm.llm.prompt_style
    params = method.params if name == "ircot" else our_method("ircot").params
    prompts = TheirPrompts(data, params.shots, llm, params)
    sides: list[tuple[str, Side]] = [
        ("ours", lambda asked: our_run(method, data, parts, asked)),
        ("FlashRAG", lambda asked: their_run(name, prompts, parts, asked)),
    ]
    print(f"{name}: warming up with one question")
    for who, run in sides:
        measured(who, run, asked[:1], llm)
    speeds: list[dict[str, Speed | None]] = []
    for pair in range(pairs):
        print(f"{name}, pair {pair + 1}")
        order = sides if pair % 2 == 0 else sides[::-1]
        speeds.append({who: measured(who, run, asked, llm) for who, run in order})
    for unit in ("questions", "calls", "prompt_tokens"):
        print(f"{name}: {unit} a second, ours / FlashRAG: {ratio(speeds, unit)}")


def ratio(speeds: Sequence[dict[str, Speed | None]], unit: str) -> str:
    """Median and range over the pairs that both sides finished."""
    ratios = [
        getattr(ours, unit) / getattr(theirs, unit)
        for pair in speeds
        if (ours := pair["ours"]) and (theirs := pair["FlashRAG"])
    ]
    if not ratios:
        return "none, since a side stopped in every pair"
    return f"median {median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}), n={len(ratios)}"


def _passage(document: dict[str, str]) -> Passage:
    title, _, text = document["contents"].partition("\n")
    return Passage(document["id"], title, text)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="our IRCoT and CoRAG against FlashRAG's")
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--methods", nargs="*", default=["ircot", "corag"])
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    set_torch_threads()
    data = load_task(Task.from_folder(task_folder("hotpotqa")), limit=options.questions)
    llm = Counted(open_model(resolve_model(DEFAULT_MODEL)))
    retriever = open_retriever("bm25", data.corpus)
    parts = {"generator": TheirGenerator(llm), "retriever": TheirRetriever(retriever)}
    print(
        f"{llm.name}, {len(data.questions)} HotpotQA questions, k={K}, {STEPS} steps, "
        f"{TOKENS} tokens, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    for name in options.methods:
        compare(name, data, parts, options.pairs)


if __name__ == "__main__":
    main()
