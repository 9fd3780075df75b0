"""A method for each of FlashRAG's pipelines, asked one question at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from harness.llm.requests import Reply
from harness.method import Lent, Method, MethodCard, MethodParams
from harness.prompts import Message, Rendered
from harness.records import Passage, Prediction, Query
from harness.retrieval.languages import TermParams
from harness.retrieval.prebuilt import RETRIEVER
from harness.runs.flashrag_package import require_flashrag
from harness.trace import note
from methods.flashrag.bridge import run_sync, wait_for
from methods.flashrag.catalogue import (
    DEFAULT,
    PIPELINES,
    Argument,
    check_arguments,
    check_pipeline,
)
from methods.flashrag.objects import Ask, PipelineGenerator, PipelineRetriever, fitted
from methods.flashrag.open import (
    LONGEST,
    MAX_TOKENS,
    TASK_DESCRIPTION,
    K,
    make_pipeline,
    pipeline_classes,
    settings,
)


class FlashRAG(Method):
    """A pipeline of FlashRAG as it is, with this harness's model and retriever in it."""

    card = MethodCard(
        title="FlashRAG pipeline",
        summary="Any of FlashRAG's pipelines that takes a plain generator, as FlashRAG wrote it.",
        paper="Jin et al., FlashRAG, WWW 2025, arXiv:2405.13576; each pipeline's own paper",
        source="RUC-NLPIR/FlashRAG, the installed flashrag-dev",
        deviations=(
            "Code and prompts are those of the installed FlashRAG, whose version is part of a "
            "run's identity; a fault of its pipeline is kept. Model, retrieval, seeds and scores "
            "are this harness's, and no GPU, folder or environment variable is touched.",
            "A pipeline is made anew for each question and runs over a data set of that one, "
            "without its golden answers; the harness batches the calls of many.",
            "A chat model is told by its prompt style; FlashRAG looks for 'chat' or 'instruct' in "
            "the name of its folder. A chat that a pipeline goes on with is the assistant's turn "
            "so far; IRCOTPipeline and SelfAskPipeline write plain text for any model, as with "
            "FlashRAG's Hugging Face generator.",
            f"Prompts of more than -p longest={LONGEST} tokens lose their middle, as in FlashRAG, "
            "to the character and up to that length; a chat loses the middle of its longest "
            "message. Servers that count no tokens get the whole.",
            "A reply keeps the stop string that ended it, as with FlashRAG's vLLM generator; its "
            "Hugging Face generator takes it off, so that pipelines that look for a closing tag "
            "never search. Where a server does not tell which string ended a reply, the first one "
            "is put there, as FlashRAG's generator for such servers does.",
            "Replies have up to -p max_tokens=32 tokens, FlashRAG's default, unless a pipeline "
            "says otherwise; those that reason (ReasoningPipeline and the like) need more.",
            "The answer is FlashRAG's prediction, mostly the whole reply; a completion model goes "
            "on after it (-p first_line=true is FlashRAG's basic_pred_parse).",
            "Ranked is the pipeline's last retrieval_result, else all that was found, in order. A "
            "passage was read if its whole text stood in a prompt.",
            "SequentialPipeline with -p run=naive_run retrieves nothing but asks with the prompt "
            "of documents, as FlashRAG does.",
            "IRCOTPipeline puts the worst passages first from its second step on, compares scores "
            "of different queries, and its passages grow without end.",
            "CoRAGPipeline always asks all its sub-queries, greedily; its task description is -p "
            "task_description, which FlashRAG leaves to the configuration.",
            "SimpleDeepSearcherPipeline's limit of 3,000 tokens of documents counts words.",
            "Not run: pipelines that need a GPU, raw outputs of vLLM, a trained judger or images, "
            "and ReaRAGPipeline, which executes what the model writes.",
        ),
    )
    variant_param = "pipeline"

    class Params(TermParams, MethodParams):
        """Parameters of a FlashRAG pipeline."""

        shots: int = Field(0, ge=0, le=0, description="none: FlashRAG's prompts hold their own")
        pipeline: str = Field(DEFAULT, description="the class in flashrag.pipeline")
        run: Literal["run", "naive_run"] = Field(
            "run", description="its method; SequentialPipeline's naive_run retrieves nothing"
        )
        arguments: dict[str, Argument] = Field(
            {}, description="of the pipeline's constructor, such as {max_iter: 3}"
        )
        retriever: str = Field("bm25", description=RETRIEVER)
        k: int = Field(K, ge=1, le=1000, description="passages of a search")
        max_tokens: int = Field(
            MAX_TOKENS, ge=1, description="longest reply, where the pipeline names no length"
        )
        longest: int = Field(LONGEST, ge=64, description="longest prompt, in tokens")
        first_line: bool = Field(False, description="the prediction's first line is the answer")
        task_description: str = Field(
            TASK_DESCRIPTION, description="CoRAGPipeline: what its prompts say of the task"
        )

        @field_validator("pipeline")
        @classmethod
        def _known(cls, name: str) -> str:
            check_pipeline(name)
            return name

        @field_validator("run")
        @classmethod
        def _offered(cls, run: str, info: ValidationInfo) -> str:
            if run == "naive_run" and info.data.get("pipeline") not in (DEFAULT, None):
                raise ValueError(f"a method of {DEFAULT} alone; leave it out")
            return run

        @field_validator("arguments")
        @classmethod
        def _taken(cls, given: dict[str, Argument], info: ValidationInfo) -> dict[str, Argument]:
            name = info.data.get("pipeline")
            if name is None:
                return given
            check_arguments(name, given)
            # What is the default makes no other run.
            return {key: value for key, value in given.items() if value != PIPELINES[name][key]}

    params: Params

    @property
    def retriever_name(self) -> str | None:
        """None for the run that retrieves nothing."""
        return None if self.params.run == "naive_run" else self.params.retriever

    @property
    def inputs(self) -> Mapping[str, str]:
        """FlashRAG's version: another may predict otherwise. ConfigError if it is not there."""
        return {"flashrag-dev": require_flashrag()}

    def open(self, lent: Lent) -> None:
        """Import FlashRAG before the first question, which takes seconds."""
        super().open(lent)
        pipeline_classes()

    async def answer(self, query: Query) -> Prediction:
        """Run the pipeline over this question alone."""
        desk = _Desk(self)
        output = await run_sync(partial(desk.run, query))
        answer = str(output["pred"])
        ranked = desk.ranked(output.get("retrieval_result"))
        return Prediction(
            answer.split("\n")[0].strip() if self.params.first_line else answer,
            ranked,
            read=desk.read(),
            raw=output.get("raw_pred"),
        )


class _Desk:
    """One question's pipeline, and what it asked for."""

    def __init__(self, method: FlashRAG) -> None:
        self._method = method
        self._found: dict[str, Passage] = {}
        self._shown: list[str] = []

    def run(self, query: Query) -> dict[str, Any]:
        """What the pipeline leaves of the question; its calls suspend the greenlet it runs in."""
        from flashrag.dataset import Dataset

        params = self._method.params
        config = settings(self._method.llm.model.prompt_style, params.task_description)
        pipeline = make_pipeline(
            params.pipeline,
            config,
            PipelineRetriever(self._search, params.k),
            PipelineGenerator(self._generate, params.max_tokens),
            params.arguments,
        )
        item = {"id": query.id, "question": query.text, "golden_answers": []}
        done = getattr(pipeline, params.run)(Dataset(config, data=[item]), do_eval=False)
        output: dict[str, Any] = done[0].output
        return output

    def ranked(self, documents: Sequence[Mapping[str, Any]] | None) -> list[Passage]:
        """The passages of FlashRAG's documents, else all that were found."""
        if documents is None:
            return list(self._found.values())
        return [self._found[document["id"]] for document in documents]

    def read(self) -> list[str]:
        """Ids of the passages whose whole text stood in a prompt."""
        return [
            passage.id
            for passage in self._found.values()
            if any((passage.text or passage.title) in text for text in self._shown)
        ]

    def _search(self, queries: Sequence[str], k: int) -> list[list[Passage]]:
        search = self._method.retriever.search
        found = wait_for(_together([partial(search, query, k) for query in queries]))
        for passages in found:
            for passage in passages:
                self._found.setdefault(passage.id, passage)
        return found

    def _generate(self, asks: Sequence[Ask]) -> list[Reply]:
        return wait_for(_together([partial(self._one, ask) for ask in asks]))

    async def _one(self, ask: Ask) -> Reply:
        llm = self._method.llm
        prompt = fitted(ask.prompt, llm.model, ask.max_tokens, self._method.params.longest)
        if prompt != ask.prompt:
            note("cut", characters=_length(ask.prompt) - _length(prompt))
        self._shown.append(prompt if isinstance(prompt, str) else _contents(prompt))
        return await llm.generate(
            prompt, max_tokens=ask.max_tokens, stop=ask.stop, temperature=ask.temperature
        )


async def _together(calls: Sequence[Any]) -> list[Any]:
    """What coroutine functions give, all of them at once."""
    return await asyncio.gather(*(call() for call in calls))


def _contents(messages: Sequence[Message]) -> str:
    return "\n".join(message.content for message in messages)


def _length(prompt: Rendered) -> int:
    return len(prompt if isinstance(prompt, str) else _contents(prompt))
