"""The tables of pipelines against the installed FlashRAG."""

from __future__ import annotations

import inspect

import pytest

from harness.boards.method_entry import load_method, parse_params
from harness.errors import ConfigError
from methods.flashrag.catalogue import PIPELINES, REFUSED

OBJECTS = {"self", "config", "prompt_template", "retriever", "generator"}


def test_every_pipeline_of_flashrag_is_run_or_refused() -> None:
    pipelines = pytest.importorskip("flashrag.pipeline")
    bases = {"BasicPipeline", "BasicMultiModalPipeline"}
    theirs = {
        name
        for name, cls in vars(pipelines).items()
        if inspect.isclass(cls) and name.endswith("Pipeline")
    }
    assert theirs - bases == {*PIPELINES, *REFUSED}


@pytest.mark.parametrize("name", PIPELINES)
def test_arguments_are_those_of_the_constructor(name: str) -> None:
    cls = getattr(pytest.importorskip("flashrag.pipeline"), name)
    parameters = inspect.signature(cls.__init__).parameters
    theirs = {key: each.default for key, each in parameters.items() if key not in OBJECTS}
    # Two that one pipeline takes and does not use are None.
    assert {key: value for key, value in theirs.items() if value is not None} == PIPELINES[name]


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("ircotPipelin", {}, "no such pipeline; did you mean 'IRCOTPipeline'"),
        ("SelfRAGPipeline", {}, "vLLM's own objects; use the method self-rag"),
        ("ReaRAGPipeline", {}, "runs what the model writes as Python code"),
        ("IRCOTPipeline", {"max_iters": 2}, "no argument 'max_iters'; did you mean 'max_iter'"),
        ("IRCOTPipeline", {"max_iter": "2"}, "'max_iter' = '2' must be of type int"),
        ("IRCOTPipeline", {"max_iter": 0}, "'max_iter' = 0 must be between 1 and 100"),
        ("SelfAskPipeline", {"single_hop": 1}, "'single_hop' = 1 must be of type bool"),
        ("SuRePipeline", {"max_iter": 2}, "no argument 'max_iter': it has none"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_reason(name, values, told) -> None:
    cls = load_method("flashrag")
    with pytest.raises(ConfigError) as raised:
        parse_params(cls, f"flashrag:{name}", {"arguments": values})
    where = "arguments" if values else "pipeline"
    assert str(raised.value).startswith(f"method 'flashrag:{name}': parameter '{where}' = ")
    assert told in str(raised.value)


def test_naive_run_is_of_one_pipeline_and_retrieves_nothing() -> None:
    cls = load_method("flashrag")
    assert cls(parse_params(cls, "flashrag", {"run": "naive_run"})).retriever_name is None
    with pytest.raises(ConfigError, match="SequentialPipeline alone"):
        parse_params(cls, "flashrag:SuRePipeline", {"run": "naive_run"})


def test_an_argument_that_is_the_default_makes_no_other_run() -> None:
    cls = load_method("flashrag")
    given = parse_params(cls, "flashrag:IRCOTPipeline", {"arguments": {"max_iter": 2}})
    assert given == parse_params(cls, "flashrag:IRCOTPipeline", {})
