"""The shipped slice of NQ, a model that knows some answers, and FlashRAG without the harness."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

from harness.boards.method_entry import load_method, parse_params
from harness.data.card import Task
from harness.data.task import TaskData, load_task
from harness.engine import Answered, Engine
from harness.llm.requests import GenerateRequest, as_text
from harness.registry import task_folder
from harness.testing.models import RuleModel, WordRetriever, pick_words

# How pipelines that reason ask for a search and give an answer, by a text of their prompts.
_TAGGED = {
    "<|begin_of_query|>": ("<|begin_of_query|> {} <|end_of_query|>", "<answer> {} </answer>"),
    "<|begin_search_query|>": ("<|begin_search_query|> {} <|end_search_query|>", "\\boxed{{{}}}"),
    "<query>QUERY": ("<search>\n<query>{}</query>\n</search>", "<answer>{}</answer>"),
    "<search>": ("<search> {} </search>", "<answer> {} </answer>"),
}
# No prompt is cut, by either side.
NO_LIMIT = 1_000_000


def nq(questions: int = 6, documents: int = 60) -> TaskData:
    """Some of the shipped questions over a pool that holds their passages."""
    return load_task(Task.from_folder(task_folder("nq")), limit=questions, documents=documents)


class Knowing(RuleModel):
    """Answers every other question rightly, in the form that each pipeline looks for."""

    def __init__(self, data: TaskData, style: Any = "completion") -> None:
        super().__init__(self._rule, style=style)
        self._golds = {q.text: q.golden_answers[0] for q in data.questions[::2]}

    def _rule(self, request: GenerateRequest) -> str:
        prompt, word = as_text(request.prompt), pick_words(request)
        known = next((gold for text, gold in self._golds.items() if text in prompt), None)
        said = known or f"{word} (a) the {word}, (b) two"
        if "So the final answer is" in prompt:
            return f"Follow up: {word}\n" if word[0] < "h" else f"So the final answer is: {said}\n"
        if "adept at facilitating" in prompt:
            return f"So the answer is: {said}" if known else f"{said}. More"
        if "two correct candidates" in prompt:
            return f"(a) {said} (b) {word}"
        for mark, (query, answer) in _TAGGED.items():
            if mark in prompt:
                found = any(sign in prompt for sign in ("(1)Title", "Doc 1(Title"))
                return (answer if found else query).format(said if found else word)
        return said


def through_the_harness(data: TaskData, name: str, model: RuleModel, **params: Any) -> dict:
    """Answers by question id, of the method."""
    cls = load_method("flashrag")
    method = cls(parse_params(cls, f"flashrag:{name}", {"longest": NO_LIMIT, **params}))
    engine = Engine(model, WordRetriever(data.corpus), data.corpus)
    method.open(engine.lend())
    found: list[Answered] = []
    engine.run(method, [question.query for question in data.questions], found.append)
    return {answered.question_id: answered for answered in found}


def by_flashrag_alone(data: TaskData, name: str, model: RuleModel, folder: Path) -> Any:
    """FlashRAG's data set after its pipeline ran over all of it, with its own templates."""
    import flashrag.pipeline
    from flashrag.dataset import Dataset

    config = {
        "framework": "hf", "generator_model_path": str(folder), "is_reasoning": False,
        "generator_max_input_len": NO_LIMIT, "device": "cpu", "dataset_name": "nq",
        "metrics": ["em", "f1", "acc"], "save_dir": None, "save_metric_score": False,
        "save_intermediate_data": False, "save_retrieval_cache": False, "use_fid": False,
        "refiner_name": None, "metric_setting": {"retrieval_recall_topk": 5},
        "task_desc": "Answer the question with a short phrase, a name, a date or yes/no.",
    }  # fmt: skip
    rows = [
        {"id": q.id, "question": q.text, "golden_answers": list(q.golden_answers)}
        for q in data.questions
    ]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        pipeline = getattr(flashrag.pipeline, name)(
            config, retriever=_Retriever(data), generator=_Generator(model)
        )
        return pipeline.run(Dataset(config, data=rows), do_eval=False)


class _Retriever:
    """As FlashRAG's own are: documents of a corpus file, and scores."""

    def __init__(self, data: TaskData) -> None:
        self._words = WordRetriever(data.corpus)

    def batch_search(self, queries: list[str], num: int = 5, return_score: bool = False) -> Any:
        found = self._words.search(queries, num)
        documents = [[{"id": p.id, "contents": p.contents} for p in each] for each in found]
        scores = [[p.score for p in each] for each in found]
        return (documents, scores) if return_score else documents

    def search(self, query: str, num: int = 5, return_score: bool = False) -> Any:
        documents, scores = self.batch_search([query], num, True)
        return (documents[0], scores[0]) if return_score else documents[0]


class _Generator:
    """Like FlashRAG's for vLLM: what it stops at stays at the end."""

    def __init__(self, model: RuleModel) -> None:
        self._model = model

    def generate(self, prompts: Any, max_tokens: int = 32, stop: Any = (), **_: Any) -> list[str]:
        texts = [prompts] if isinstance(prompts, str) else prompts
        asked = [GenerateRequest(text, max_tokens, tuple(stop)) for text in texts]
        return [reply.text + str(reply.stop) for _, reply in self._model.generate(asked)]
