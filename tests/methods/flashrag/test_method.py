"""The method: FlashRAG's pipelines among the harness's own, call by call."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from harness.boards.method_entry import load_method, parse_params
from harness.data.corpus import Corpus
from harness.errors import UnansweredError
from harness.llm.requests import GenerateRequest
from harness.prompts import Message
from harness.records import Passage
from harness.testing.conformance import check_method
from harness.testing.models import RuleModel, ScriptedModel, WordRetriever, small_task
from tests.harness.programs import open_with, queries

pytest.importorskip("flashrag.pipeline")
CLS = load_method("flashrag")
# The default one is checked with all other methods (test_builtin.py).
LOOPS = ("IterativePipeline", "IRCOTPipeline", "O2SearcherPipeline")


def opened(name: str, model: RuleModel, corpus: Corpus | None = None, **params):
    method = CLS(parse_params(CLS, f"flashrag:{name}", params))
    corpus = corpus or small_task().corpus
    return method, open_with(method, model, WordRetriever(corpus), corpus)


def answer(name: str, model: RuleModel, corpus: Corpus | None = None, **params):
    found = []
    opened(name, model, corpus, **params)[1].run(queries(1), found.append)
    return found[0]


def test_flashrags_version_is_part_of_a_runs_identity() -> None:
    assert CLS().inputs == {"flashrag-dev": version("flashrag-dev")}


@pytest.mark.parametrize("name", LOOPS[:1])
def test_conformance(name: str) -> None:
    assert "answers depend on the question and the seed alone" in check_method(
        CLS, {"pipeline": name}
    )


@pytest.mark.parametrize(("name", "batches"), [("IRCOTPipeline", 2), ("CoRAGPipeline", 9)])
def test_questions_share_the_batches_of_every_step(name: str, batches: int) -> None:
    _, run = opened(name, RuleModel())
    run.run(queries(24), lambda _: None)
    generate = run.engine.channels["generate"]
    assert (generate.batches, generate.requests) == (batches, 24 * batches)


def test_an_error_in_a_pipeline_is_its_questions_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from flashrag.pipeline import SequentialPipeline

    search_alone = SequentialPipeline.run

    def run(self, dataset, **options):
        if dataset.id[0] == "q0001":
            raise KeyError("a fault of the pipeline")
        return search_alone(self, dataset, **options)

    monkeypatch.setattr(SequentialPipeline, "run", run)
    found = []
    opened("SequentialPipeline", RuleModel())[1].run(queries(3), found.append)
    errors = {each.question_id: each.prediction.error for each in found}
    assert errors == {"q0000": None, "q0001": "KeyError: 'a fault of the pipeline'", "q0002": None}


def test_a_failing_server_leaves_the_question_unanswered() -> None:
    def fail(request: GenerateRequest) -> str:
        raise UnansweredError("503 after 5 retries")

    found = answer("IRCOTPipeline", RuleModel(fail))
    assert found.unanswered == "UnansweredError: 503 after 5 retries"


def test_calls_passages_and_seconds_are_recorded_as_of_any_method() -> None:
    found = answer("IRCOTPipeline", RuleModel(lambda _: "The lighthouse is old"), k=2)
    kinds = [step.kind for step in found.prediction.steps]
    assert kinds == ["search", "generate", "search", "generate", "search"]
    usage = found.prediction.usage
    assert (usage.llm_calls, usage.retrievals) == (2, 3)
    assert usage.prompt_tokens > 500 and usage.completion_tokens == 8
    assert {"search", "generate"} <= found.seconds_by_kind.keys()
    assert found.prediction.ranked[0].score is not None


def test_a_passage_was_read_if_its_whole_text_stood_in_a_prompt() -> None:
    long = " ".join(f"lighthouse{n}" for n in range(400))
    corpus = Corpus.from_passages(
        [
            Passage("a", "Lighthouse", "built by Mara Quint"),
            Passage("b", "The lighthouse of Vell who built", long),
        ]
    )
    whole = answer("SequentialPipeline", RuleModel(), corpus).prediction
    assert (whole.ranked_ids, whole.read_ids) == (["b", "a"], ["b", "a"])
    cut = answer("SequentialPipeline", RuleModel(), corpus, longest=100).prediction
    assert (cut.ranked_ids, cut.read_ids) == (["b", "a"], ["a"])
    assert [step.kind for step in cut.steps] == ["search", "cut", "generate"]
    assert cut.steps[1].data["characters"] > 2000
    assert cut.usage.prompt_tokens <= 100


def test_nothing_is_retrieved_by_a_naive_run() -> None:
    method, run = opened("SequentialPipeline", RuleModel(), run="naive_run")
    found = []
    run.run(queries(1), found.append)
    assert (found[0].prediction.usage.retrievals, found[0].prediction.ranked) == (0, [])
    assert method.storage().parts == {}


@pytest.mark.parametrize("style", ["completion", "chat"])
def test_prompts_are_those_of_flashrags_own_template(
    style: str, tiny_model_dir: Path, tmp_path: Path
) -> None:
    from flashrag.prompt import PromptTemplate
    from transformers import AutoTokenizer

    # FlashRAG takes a model for a chat's by the name of its folder.
    name = "tiny-instruct" if style == "chat" else "tiny"
    folder = Path(shutil.copytree(tiny_model_dir, tmp_path / name))
    config = {
        "framework": "hf", "generator_model_path": str(folder), "is_reasoning": False,
        "generator_max_input_len": 100_000,
    }  # fmt: skip
    corpus = small_task().corpus
    model = ScriptedModel({"": "so"}, style=style)
    answer("SequentialPipeline", model, k=3)
    query = queries(1)[0].text
    found = WordRetriever(corpus).search([query], 3)[0]
    documents = [{"id": p.id, "contents": p.contents} for p in found]
    theirs = PromptTemplate(config).get_string(question=query, retrieval_result=documents)
    asked = model.requests[0].prompt
    if style == "chat":
        rows = [{"role": each.role, "content": each.content} for each in asked]
        tokenizer = AutoTokenizer.from_pretrained(folder)
        asked = tokenizer.apply_chat_template(rows, tokenize=False, add_generation_prompt=True)
    assert asked == theirs


def test_a_chat_that_reasons_goes_on_in_the_assistants_turn() -> None:
    replies = ["I search.\n<search> lighthouse </search>", "<answer> Mara Quint </answer>"]
    model = ScriptedModel(replies, style="chat")
    found = answer("SearchR1Pipeline", model, k=1).prediction
    assert found.answer == "Mara Quint"
    assert [message.role for message in model.requests[1].prompt] == ["user", "assistant"]
    begun = model.requests[1].prompt[1]
    assert isinstance(begun, Message)
    assert begun.content.startswith("I search.\n<search> lighthouse </search>\n\n<information>")
    assert found.read_ids == ["d0"]


def test_chains_of_thought_are_text_for_a_chat_model_too() -> None:
    model = ScriptedModel({"": "So the answer is: Mara."}, style="chat")
    assert answer("IRCOTPipeline", model).prediction.answer == "Mara."
    assert isinstance(model.requests[0].prompt, str)
