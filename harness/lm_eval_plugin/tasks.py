"""Tasks of the harness as lm-eval's: the same questions, gold, rules and scores.

Imported by lm-eval alone, by name or through the YAML files of ``tasks/lm_eval``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import datasets
from lm_eval.api.task import ConfigurableTask

import harness.lm_eval_plugin.registration  # noqa: F401  a task's file also brings the model
from harness.data.card import TaskCard
from harness.data.task import TaskData
from harness.errors import InputError
from harness.fingerprint import fingerprint, sample_by_hash
from harness.lm_eval_plugin.answer import Answer
from harness.lm_eval_plugin.settings import task_data
from harness.metrics import METRICS_VERSION, RECALL_AT, added_metrics, score_answer
from harness.records import Question
from harness.runs.scoring import Together

PREFIX = "memory_"
SOURCE = "memory_task"
"""Field of a document: its task, as the harness opens it."""
DATA = "memory_data"
"""Field of a document: fingerprint of its task's corpus and train questions."""
PREDICTION = "memory_prediction"
"""Field of a document in the file of samples: what the answer was made of."""
LATENCY = "latency_p50"
PROMPT = "Question: {{question}}\nAnswer:"
GENERATION: Mapping[str, Any] = {"until": ["\n"], "max_gen_toks": 32, "do_sample": False}
"""Of lm-eval's other models; a method makes its own prompt and decides how it generates."""


_FAILED = (
    "%s: %d of %d answers are cached ones of questions that failed, and count as wrong, the first "
    "with %s; name another --use_cache to have them asked again"
)
_log = logging.getLogger(__name__)


def prompt_of(question: str) -> str:
    """``PROMPT`` of a question."""
    return PROMPT.replace("{{question}}", question)


def p50(seconds: Sequence[float | None]) -> float:
    """Median of those that were timed."""
    return median(each for each in seconds if each is not None)


class MemoryTask(ConfigurableTask):  # type: ignore[misc]
    """A task of the harness, ``dataset_path`` in its config: a name or a folder with a task.yaml.

    Its documents stand in the order of the hashes of their ids, so that the first N are the sample
    of ``run --limit N``. Its version is the card's and, after the point, that of the metrics.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        name = str(config["task"])
        source = str(config.get("dataset_path") or name.removeprefix(PREFIX))
        self.data: TaskData = task_data(source)
        self._together, self._timed = Together.of([], retriever=False), False
        card = self.data.card
        version = f"{card.version}.{METRICS_VERSION}"
        given = {key: config[key] for key in ("task_alias",) if key in config}
        super().__init__(
            config={
                "task": name,
                "dataset_path": source,
                "test_split": "test",
                "fewshot_split": "train" if self.data.train else None,
                "doc_to_text": PROMPT,
                "doc_to_target": "golden_answers",
                "generation_kwargs": dict(GENERATION),
                "process_results": f"harness.metrics, version {METRICS_VERSION}",
                "metric_list": [_entry(metric) for metric in _metrics(card)],
                "metadata": {**(config.get("metadata") or {}), "version": version},
                **given,
            }
        )

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """The documents of the task's own files; nothing is downloaded or written."""
        questions = self.data.questions
        asked = sample_by_hash(questions, len(questions), lambda question: question.id)
        tag = data_tag(self.data)
        source = self.config.dataset_path
        splits = {"test": asked, **({"train": self.data.train} if self.data.train else {})}
        self.dataset = {
            split: datasets.Dataset.from_list([_document(q, source, tag) for q in rows])
            for split, rows in splits.items()
        }

    def build_all_requests(self, **options: Any) -> None:
        """As lm-eval does, without its cache, which knows a task's name and not its questions."""
        cache = {"cache_requests": False, "rewrite_requests_cache": False}
        super().build_all_requests(**{**options, **cache})

    def apply_filters(self) -> Any:
        """As lm-eval does; what all answers say together is seen first."""
        answers = list(self._answers())
        retriever = any(each.retriever for each in answers)
        self._together = Together.of([each.row for each in answers], retriever=retriever)
        failed = [error for each in answers if each.cached and (error := each.row["error"])]
        if failed:
            _log.warning(_FAILED, self.config.task, len(failed), len(answers), failed[0])
        self._timed = any(each.seconds is not None for each in answers)
        return super().apply_filters()

    def process_results(self, doc: dict[str, Any], results: Sequence[Any]) -> dict[str, Any]:
        """The scores of one answer; those that its method has not are left out.

        What was retrieved and done for it joins the document, which ``--log_samples`` writes.

        A text that is no method's answer, or that a filter made of one, has those of the answer.
        """
        if "bypass" in self._metric_fn_list:  # --predict_only
            return {"bypass": 0}
        answer, card = results[0], self.data.card
        if not isinstance(answer, Answer):
            added = added_metrics(card.metrics)
            gold, documents = doc["golden_answers"], doc["gold_doc_ids"]
            scores = score_answer(
                str(answer), None, gold, documents, ks=RECALL_AT, rules=card.rules, added=added
            )
            return _reported(scores, card)
        if answer.data != doc[DATA]:
            raise InputError(
                f"{self.config.task}: a cached answer is over another corpus or with other train "
                "questions; name another --use_cache"
            )
        # Beside the document, lm-eval writes of an answer its text and numbers alone.
        doc[PREDICTION] = {
            k: v for k, v in answer.row.items() if k not in ("question_id", "answer")
        }
        scores = self._together.score(answer.row, doc, card.rules, added_metrics(card.metrics))
        return _reported(scores, card) | ({LATENCY: answer.seconds} if self._timed else {})

    def _answers(self) -> Iterator[Answer]:
        for instance in self.instances:
            yield from (answer for answer in instance.resps if isinstance(answer, Answer))


def data_tag(data: TaskData) -> str:
    """What answers depend on of a task's own data, beside the question."""
    parts = data.corpus_fingerprint, data.train_fingerprint, data.train_metadata
    return fingerprint([*parts, data.card.version])[:16]


def _document(question: Question, source: str, tag: str) -> dict[str, Any]:
    return {
        "id": question.id,
        "question": question.text,
        "golden_answers": list(question.golden_answers),
        "gold_doc_ids": list(question.gold_doc_ids),
        SOURCE: source,
        DATA: tag,
    }


def _metrics(card: TaskCard) -> list[str]:
    """Names of the scores that are reported, as the harness has them."""
    recall = [f"recall@{k}" for k in RECALL_AT]
    all_gold = [f"all_gold@{k}" for k in RECALL_AT if card.gold == "all"]
    added = added_metrics(card.metrics)
    return ["em", "f1", "contains", *added, *recall, *all_gold, "recall_read", LATENCY]


def _reported(scores: Mapping[str, Any], card: TaskCard) -> dict[str, Any]:
    # A key that is left out has no row in lm-eval's table; None or NaN would spoil its mean.
    return {_spelt(name): scores[name] for name in _metrics(card) if scores.get(name) is not None}


def _entry(metric: str) -> dict[str, Any]:
    if metric == LATENCY:
        return {"metric": metric, "aggregation": p50, "higher_is_better": False}
    return {"metric": _spelt(metric), "aggregation": "mean", "higher_is_better": True}


def _spelt(metric: str) -> str:
    return metric.replace("@", "_at_")
