"""FlashRAG's pipelines by name: those that can be run here with what arguments, and the others.

Of flashrag-dev 0.3.0.dev20260919, whose package a test compares with these tables; nothing of it is
imported to plan a run.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import did_you_mean

Argument = bool | int | float | str

DEFAULT = "SequentialPipeline"
MOST = 100
"""Rounds of any loop."""
_TAGS = {"begin_of_answer_token": "<answer>", "end_of_answer_token": "</answer>"}
_SEARCH = {"begin_of_query_token": "<search>", "end_of_query_token": "</search>"}

PIPELINES: dict[str, Mapping[str, Argument]] = {
    DEFAULT: {},
    "IterativePipeline": {"iter_num": 3},
    "SelfAskPipeline": {"max_iter": 5, "single_hop": True},
    "IRCOTPipeline": {"max_iter": 2},
    "SuRePipeline": {},
    "CoRAGPipeline": {"max_iter_num": 4},
    "ReasoningPipeline": {
        "max_retrieval_num": 5,
        "begin_of_query_token": "<|begin_of_query|>",
        "end_of_query_token": "<|end_of_query|>",
        "begin_of_documents_token": "<|begin_of_documents|>",
        "end_of_documents_token": "<|end_of_documents|>",
        **_TAGS,
    },
    "SimpleDeepSearcherPipeline": {
        "max_retrieval_num": 10,
        "begin_of_query_token": "<|begin_search_query|>",
        "end_of_query_token": "<|end_search_query|>",
        "begin_of_documents_token": "<|begin_search_result|>",
        "end_of_documents_token": "<|end_search_result|>",
    },
    "SearchR1Pipeline": {
        "max_retrieval_num": 5,
        **_SEARCH,
        "begin_of_documents_token": "<information>",
        "end_of_documents_token": "</information>",
        **_TAGS,
    },
    "AutoRefinePipeline": {
        "max_retrieval_num": 5,
        **_SEARCH,
        "begin_of_documents_token": "<documents>",
        "end_of_documents_token": "</documents>",
        **_TAGS,
    },
    "O2SearcherPipeline": {
        "max_retrieval_num": 5,
        "begin_of_query_token": "<query>",
        "end_of_query_token": "</query>",
        "begin_of_search_token": "<search>",
        "end_of_search_token": "</search>",
        "begin_of_documents_token": "<learnings>",
        "end_of_documents_token": "</learnings>",
        **_TAGS,
    },
}
"""Pipeline -> the arguments of its constructor that are no part of a run, with their defaults."""

_RAW = "reads token ids and log-probabilities in vLLM's own objects"
REFUSED: dict[str, str] = {
    "AdaptivePipeline": "needs a trained classifier on a GPU; use the method adaptive-rag",
    "ConditionalPipeline": (
        "needs a trained judger on a GPU, and fails on questions that are all judged alike, as a "
        "single one is; use the method adaptive-rag"
    ),
    "FLAREPipeline": (
        "needs the probability of every token that is written, and the tokenizer; no method here "
        "does the like"
    ),
    "RQRAGPipeline": f"{_RAW}, of a model trained for it; no method here does the like",
    "SelfRAGPipeline": f"{_RAW}; use the method self-rag",
    "REPLUGPipeline": (
        "cannot be imported with transformers 5, and mixes the probabilities of several prompts; "
        "no method here does the like"
    ),
    "ReaRAGPipeline": (
        "runs what the model writes as Python code (eval), which no benchmark should; no method "
        "here does the like"
    ),
    "MMSequentialPipeline": "is for images; use SequentialPipeline",
}
"""Pipeline -> why it cannot be run here, and what to use."""


def check_pipeline(name: str) -> None:
    """Raise ValueError, with a suggestion or the reason, unless the pipeline can be run here."""
    if name in REFUSED:
        raise ValueError(f"FlashRAG's {name} {REFUSED[name]}")
    if name not in PIPELINES:
        raise ValueError(f"no such pipeline{did_you_mean(name, list(PIPELINES))}")


def check_arguments(name: str, given: Mapping[str, Argument]) -> None:
    """Raise ValueError for what the pipeline's constructor does not take."""
    known = PIPELINES[name]
    for key, value in given.items():
        if key not in known:
            hint = did_you_mean(key, list(known)) if known else ": it has none"
            raise ValueError(f"{name} has no argument '{key}'{hint}")
        wanted = type(known[key])
        if type(value) is not wanted:
            raise ValueError(f"{name}'s '{key}' = {value!r} must be of type {wanted.__name__}")
        if wanted is int and not 1 <= int(value) <= MOST:
            raise ValueError(f"{name}'s '{key}' = {value!r} must be between 1 and {MOST}")
