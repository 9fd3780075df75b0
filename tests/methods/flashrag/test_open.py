"""Our model and retriever in FlashRAG's pipelines, which run over whole data sets."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import pytest

from harness.boards.method_entry import load_method, parse_params
from harness.engine import Engine
from harness.errors import ConfigError
from harness.llm.catalogue import resolve_model
from harness.llm.local import LocalModel
from harness.testing.models import RuleModel, WordRetriever, small_task
from methods.flashrag import as_generator, as_retriever, open_pipeline

pytest.importorskip("flashrag.pipeline")
DATA = small_task()
WORDS = WordRetriever(DATA.corpus)
ROWS = [
    {"id": q.id, "question": q.text, "golden_answers": list(q.golden_answers)}
    for q in DATA.questions[:4]
]


def run_quietly(pipeline, config):
    from flashrag.dataset import Dataset

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return pipeline.run(Dataset(config, data=ROWS), do_eval=True)


@pytest.fixture(scope="module")
def tiny(completion_model_dir: Path) -> LocalModel:
    config = resolve_model({"name": "tiny", "path": str(completion_model_dir)})
    return LocalModel(config, str(completion_model_dir))


@pytest.mark.parametrize("name", ["SequentialPipeline", "IRCOTPipeline", "SuRePipeline"])
def test_a_pipeline_over_a_data_set_answers_as_the_method_does(name: str, tiny) -> None:
    pipeline = open_pipeline(name, tiny, WORDS, k=2, max_tokens=8)
    done = run_quietly(pipeline, pipeline.config)
    cls = load_method("flashrag")
    method = cls(parse_params(cls, f"flashrag:{name}", {"k": 2, "max_tokens": 8}))
    engine, found = Engine(tiny, WORDS, DATA.corpus), {}
    method.open(engine.lend())
    asked = [question.query for question in DATA.questions[:4]]
    engine.run(method, asked, lambda each: found.update({each.question_id: each.prediction}))
    assert {item.id: item.pred for item in done} == {k: v.answer for k, v in found.items()}
    assert all({"em", "f1", "acc"} <= item.metric_score.keys() for item in done)


def test_our_objects_with_flashrags_own_templates_and_configuration(
    tiny, completion_model_dir: Path
) -> None:
    from flashrag.pipeline import IterativePipeline

    config = {
        "framework": "hf", "generator_model_path": str(completion_model_dir), "device": "cpu",
        "generator_max_input_len": 1024, "is_reasoning": False, "dataset_name": "small",
        "metrics": ["em"], "metric_setting": {}, "save_dir": None, "save_metric_score": False,
        "save_intermediate_data": False, "save_retrieval_cache": False,
    }  # fmt: skip
    pipeline = IterativePipeline(
        config,
        iter_num=2,
        retriever=as_retriever(WORDS, k=2),
        generator=as_generator(tiny, max_tokens=8),
    )
    done = run_quietly(pipeline, config)
    assert all(isinstance(answer, str) for answer in done.pred)
    assert [len(each) for each in done.retrieval_result] == [2, 2, 2, 2]


def test_a_pipeline_leaves_folders_and_the_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    pipeline = open_pipeline("SearchR1Pipeline", RuleModel(), WORDS, max_retrieval_num=2)
    run_quietly(pipeline, pipeline.config)
    assert dict(os.environ) == before
    assert list(tmp_path.iterdir()) == []


def test_templates_are_flashrags_own_again_once_a_pipeline_is_made() -> None:
    from flashrag.pipeline import pipeline
    from flashrag.prompt import PromptTemplate

    opened = open_pipeline("SequentialPipeline", RuleModel(), WORDS)
    assert pipeline.PromptTemplate is PromptTemplate
    assert type(opened.prompt_template) is not PromptTemplate


def test_documents_beyond_a_pipelines_own_limit_lose_their_middle() -> None:
    pipeline = open_pipeline("SimpleDeepSearcherPipeline", RuleModel(), WORDS)
    text = " ".join(map(str, range(5000)))
    with contextlib.redirect_stdout(io.StringIO()):
        kept = pipeline.truncate_prompt(text, 3000).split()
    assert kept == [*map(str, range(1480)), *map(str, range(3520, 5000))]


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("FLAREPipeline", {}, "pipeline 'FLAREPipeline': .* probability of every token"),
        ("IRCOTPipeline", {"max_iters": 3}, "did you mean 'max_iter'"),
    ],
)
def test_what_cannot_be_opened_is_refused(name: str, arguments: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        open_pipeline(name, RuleModel(), WORDS, **arguments)
