"""The engine: records, contracts, batching, models, retrieval, metrics, meters and runs.

It knows no particular method, task or table; those are found by name through the registry. What a
plug-in's author or a notebook needs is here by name, loaded when first used: ``from harness import
Method, run_board``.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# The types of these names are in __init__.pyi.
_HOMES = {
    "BrokenRuleError": "harness.testing.findings",
    "ConfigError": "harness.errors",
    "Corpus": "harness.data.corpus",
    "HarnessError": "harness.errors",
    "Hit": "harness.records",
    "InputError": "harness.errors",
    "LanguageModel": "harness.llm.base",
    "Lent": "harness.method",
    "Method": "harness.method",
    "MethodCard": "harness.method",
    "MethodParams": "harness.method",
    "Passage": "harness.records",
    "Prediction": "harness.records",
    "Prompt": "harness.prompts",
    "QAPrompts": "harness.prompts",
    "Query": "harness.records",
    "Question": "harness.records",
    "Retriever": "harness.retrieval.base",
    "RuleModel": "harness.testing.models",
    "ScriptedModel": "harness.testing.models",
    "StorageReport": "harness.records",
    "WordRetriever": "harness.testing.models",
    "check_method": "harness.testing.conformance",
    "leaderboard": "harness.boards.from_python",
    "load_board": "harness.boards.from_python",
    "note": "harness.trace",
    "run_board": "harness.boards.from_python",
    "small_task": "harness.testing.models",
    "timed": "harness.trace",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
