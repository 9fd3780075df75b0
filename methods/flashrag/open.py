"""FlashRAG's pipelines opened with a model and a retriever of the harness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError
from harness.llm.base import LanguageModel
from harness.llm.requests import GenerateRequest, Reply
from harness.runs.flashrag_package import require_flashrag
from methods.flashrag.bridge import untouched
from methods.flashrag.catalogue import Argument, check_arguments, check_pipeline
from methods.flashrag.objects import Ask, PipelineGenerator, PipelineRetriever, fitted

if TYPE_CHECKING:
    from harness.prompts import PromptStyle
    from harness.retrieval.base import Retriever

K = 5
MAX_TOKENS = 32
LONGEST = 2048
"""Tokens of a whole prompt, ``generator_max_input_len`` of FlashRAG's published table."""
TASK_DESCRIPTION = "Answer the question with a short phrase, a name, a date or yes/no."


class Settings(dict[str, Any]):
    """What pipelines read of FlashRAG's Config, which is None for what it does not hold.

    Unlike that, it makes no folder, seeds nothing and leaves CUDA_VISIBLE_DEVICES alone.
    """

    def __missing__(self, key: str) -> None:
        return None


def settings(style: PromptStyle, task_description: str = TASK_DESCRIPTION) -> Settings:
    """The settings of a pipeline that writes nothing to disk and needs no files of a model."""
    return Settings(
        prompt_style=style,
        task_desc=task_description,
        dataset_name="custom",
        framework="hf",
        device="cpu",
        generator_max_input_len=LONGEST,
        metrics=["em", "f1", "acc", "precision", "recall"],
        metric_setting={"retrieval_recall_topk": K},
        save_retrieval_cache=False,
        save_metric_score=False,
        save_intermediate_data=False,
        use_fid=False,
    )


def make_pipeline(
    name: str,
    config: Settings,
    retriever: PipelineRetriever,
    generator: PipelineGenerator,
    arguments: Mapping[str, Argument],
) -> Any:
    """A new pipeline of FlashRAG's with these objects in it."""
    cls = pipeline_classes()[name]
    from methods.flashrag.template import own_templates

    with own_templates():
        return cls(config, retriever=retriever, generator=generator, **arguments)


def open_pipeline(
    name: str,
    model: LanguageModel,
    retriever: Retriever,
    *,
    k: int = K,
    max_tokens: int = MAX_TOKENS,
    longest: int = LONGEST,
    task_description: str = TASK_DESCRIPTION,
    **arguments: Argument,
) -> Any:
    """FlashRAG's pipeline of this name, whose ``run(dataset)`` asks our model and retriever.

    ``arguments`` are the pipeline's own. Raises ConfigError for a pipeline or an argument that
    there is not, and unless FlashRAG is installed.
    """
    try:
        check_pipeline(name)
        check_arguments(name, arguments)
    except ValueError as error:
        raise ConfigError(f"pipeline '{name}': {error}") from error
    generator = as_generator(model, max_tokens=max_tokens, longest=longest)
    config = settings(model.prompt_style, task_description)
    return make_pipeline(name, config, as_retriever(retriever, k=k), generator, arguments)


def as_retriever(retriever: Retriever, *, k: int = K) -> PipelineRetriever:
    """A retriever of the harness as FlashRAG's pipelines call one; ``k`` by default."""
    return PipelineRetriever(retriever.search, k)


def as_generator(
    model: LanguageModel,
    *,
    max_tokens: int = MAX_TOKENS,
    longest: int = LONGEST,
    seed: int = 0,
) -> PipelineGenerator:
    """A model of the harness as FlashRAG's pipelines call one.

    ``max_tokens`` are written where a pipeline names no number; prompts of more than ``longest``
    tokens lose their middle; ``seed`` fixes what is sampled.
    """

    def ask(asks: Sequence[Ask]) -> list[Reply]:
        replies = dict(model.generate([_request(each, model, longest, seed) for each in asks]))
        return [replies[number] for number in range(len(asks))]

    return PipelineGenerator(ask, max_tokens)


def _request(ask: Ask, model: LanguageModel, longest: int, seed: int) -> GenerateRequest:
    prompt = fitted(ask.prompt, model, ask.max_tokens, longest)
    return GenerateRequest(prompt, ask.max_tokens, ask.stop, ask.temperature, seed)


@cache
def pipeline_classes() -> Mapping[str, Any]:
    """FlashRAG's pipelines, imported once. Raises ConfigError unless FlashRAG is installed."""
    require_flashrag()
    with untouched():
        try:
            import flashrag.pipeline
        except ImportError as error:
            raise ConfigError(
                f"FlashRAG cannot be imported: {error}; pip install 'lm-memory-harness[flashrag]'"
            ) from error
    classes: Mapping[str, Any] = vars(flashrag.pipeline)
    return classes
