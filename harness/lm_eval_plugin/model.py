"""Model ``memory`` of lm-eval: a method with a language model, a corpus and its parameters."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval.api.model import LM, CacheHook

import harness.lm_eval_plugin.registration  # noqa: F401
from harness.errors import ConfigError
from harness.llm.base import LanguageModel
from harness.lm_eval_plugin.answer import Answer, cut
from harness.lm_eval_plugin.asking import Asked, Taken, answer, plan
from harness.lm_eval_plugin.settings import parse_settings
from harness.lm_eval_plugin.tasks import DATA, GENERATION, SOURCE, prompt_of
from harness.runs.plan import RunPlan

_log = logging.getLogger(__name__)
_SCORED = (
    "the model 'memory' answers questions and gives no log-probabilities; ask tasks of the output "
    "type generate_until (memory_*, nq_open, triviaqa …), or a method's language model by its own "
    "name (--model hf …)"
)
_TEMPLATED = (
    "--apply_chat_template: a method's prompts are in the style of its language model, chat or "
    "completion, already; leave it out (llm={name: …, prompt_style: …} as JSON chooses a style)"
)
_PROMPTED = (
    "{task}: its prompts were changed (--num_fewshot, --system_instruction, --gen_kwargs); a "
    "method makes its own and decides how it generates; leave these out (shots=N in --model_args "
    "is the number of demonstrations)"
)
_UNREAD = (
    "%s: the method is given the question alone; the task's own prompt (description, few-shot "
    "examples, system instruction) is not read%s. What it answers is cut at the task's stops."
)
_GREEDY: Mapping[str, Any] = {"do_sample": False, "temperature": 0.0}


class MemoryLM(LM):  # type: ignore[misc]
    """A method as lm-eval asks it.

    ``--model_args``: ``method``; ``llm``, the language model (the default model); ``task`` or
    ``corpus`` and ``train``, where what is asked brings none; ``seed``; ``runs``, where memories
    lie; ``plugin``. All others are the method's parameters. ``batch_size`` is the number of
    questions that are asked at once; with 1 each is timed.
    """

    def __init__(
        self,
        batch_size: int | str | None = None,
        max_batch_size: int | str | None = None,
        device: str | None = None,
        **values: Any,
    ) -> None:
        super().__init__()
        self.settings = parse_settings(values, batch_size, max_batch_size, _there(device))
        # Here, so that what is wrong is said before lm-eval reads any task.
        self.fingerprint = self.settings.fingerprint()
        self._llm: LanguageModel | None = None
        self._runs: dict[str, RunPlan] = {}

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None
    ) -> MemoryLM:
        """As lm-eval's; names the model in the arguments."""
        given = {k: v for k, v in (additional_config or {}).items() if v is not None}
        model = cls(**arg_dict, **given)
        # lm-eval looks for this key to name the folder of the results, else it draws a name.
        arg_dict["model"] = model.settings.label
        return model

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """The method's answers, each with what its scores are made of."""
        wanted = [_key(request) for request in requests]
        groups = _grouped(requests, wanted)
        plans = {name: plan(self.settings, asked) for name, asked in groups.items()}
        found: dict[tuple[str, str], str] = {}
        by_key: dict[tuple[str, str], list[Any]] = {}
        for key, request in zip(wanted, requests, strict=True):
            by_key.setdefault(key, []).append(request)
        for name, planned in plans.items():
            self._runs[name] = planned

            def keep(question_id: str, taken: Taken, name: str = name, run: Any = planned) -> None:
                same = by_key[name, question_id]
                answered = _answer(same[0], taken, run)
                found[name, question_id] = answered
                for request in same:
                    self.cache_hook.add_partial("generate_until", request.args, answered)

            self._ask(planned, keep)
        return [found[key] for key in wanted]

    def _ask(self, planned: RunPlan, keep: Any) -> None:
        from rich.console import Console

        if self._llm is None:
            from harness.llm.open import open_model
            from harness.meters.hardware import set_torch_threads

            set_torch_threads()
            self._llm = open_model(planned.model, device=self.settings.device)
        answer(planned, self.settings, self._llm, Console(stderr=True), keep)

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Not of a method."""
        raise NotImplementedError(_SCORED)

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Not of a method."""
        raise NotImplementedError(_SCORED)

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Not of a method."""
        raise ConfigError(_TEMPLATED)

    def chat_template(self, chat_template: bool | str = False) -> str:
        """Not of a method."""
        raise ConfigError(_TEMPLATED)

    @property
    def tokenizer_name(self) -> str:
        """Not of a method; asked for with a chat template alone."""
        raise ConfigError(_TEMPLATED)

    def set_cache_hook(self, cache_hook: CacheHook) -> None:
        """Take lm-eval's cache, in a table of this method, model, corpus and seed alone.

        Its keys are questions: two methods in one table would answer each other's.
        """
        super().set_cache_hook(cache_hook)
        store = cache_hook.dbdict
        if store is not None:
            table = f"memory-{self.fingerprint}"
            type(store)(store.filename, tablename=table).close()  # makes the table
            store.tablename = table

    def get_model_info(self) -> dict[str, Any]:
        """What was measured, for the results' file: method, language model, corpora, versions."""
        from harness.runs.provenance import harness_version, package_versions

        plans = {name: planned.config for name, planned in self._runs.items()}
        any_plan = next(iter(plans.values()), None) or self.settings.plan_of_nothing().config
        llm = self._llm.provenance() if self._llm is not None else {}
        return {
            "model_name": self.settings.label,
            "memory_harness": {
                **harness_version(),
                "method": any_plan.method.written(),
                "llm": any_plan.model.written(),
                "llm_provenance": llm,
                "seed": any_plan.seed,
                "questions_at_once": self.settings.window,
                "fingerprint": self.fingerprint,
                "tasks": {
                    name: {"task": config.task.written(), "retriever": config.retriever}
                    for name, config in plans.items()
                },
                "packages": package_versions(),
            },
        }


def _there(device: str | None) -> str | None:
    """The device; None, which chooses one, for a GPU that is not there.

    lm-eval's own default is ``cuda:0``, and its models take the CPU without one.
    """
    import torch

    return None if str(device).startswith("cuda") and not torch.cuda.is_available() else device


def _key(request: Any) -> tuple[str, str]:
    """Task and question of a request; the same for one that lm-eval repeats."""
    if SOURCE in request.doc:
        return request.task_name, str(request.doc["id"])
    return request.task_name, f"{request.task_name}-{request.doc_id}"


def _grouped(requests: Sequence[Any], keys: Sequence[tuple[str, str]]) -> dict[str, Asked]:
    groups: dict[str, Asked] = {}
    questions: dict[str, dict[str, str]] = {}
    for (name, question_id), request in zip(keys, requests, strict=True):
        if name not in groups:
            questions[name] = {}
            groups[name] = Asked(name, request.doc.get(SOURCE), questions[name])
            if SOURCE not in request.doc:
                _warn(name, request.args[1])
        questions[name][question_id] = _question(name, request)
    return groups


def _question(name: str, request: Any) -> str:
    """The question itself, never what stands beside it in the document."""
    text = request.doc.get("question")
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(
            f"task '{name}': its documents have no text 'question' (they have "
            f"{', '.join(request.doc)}), which is what the model 'memory' asks; choose another task"
        )
    if SOURCE in request.doc:
        prompt, generation = request.args
        if prompt != prompt_of(text) or generation != GENERATION:
            raise ConfigError(_PROMPTED.format(task=name))
    return text


def _warn(name: str, generation: Mapping[str, Any]) -> None:
    unused = [
        key
        for key, value in generation.items()
        if key != "until" and (key not in _GREEDY or value != _GREEDY[key])
    ]
    of_these = f", nor are its {', '.join(unused)}" if unused else ""
    _log.warning(_UNREAD, name, of_these)


def _answer(request: Any, taken: Taken, planned: RunPlan) -> str:
    text = str(taken.row["answer"])
    if SOURCE not in request.doc:
        # A plain text: lm-eval makes golden answers of the type that it is given.
        return cut(text, request.args[1].get("until"))
    retriever = planned.method.retriever_name is not None
    return Answer(text, taken.row, request.doc[DATA], retriever, taken.seconds)
