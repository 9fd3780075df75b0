"""Tasks of the harness as lm-eval's: documents, metrics and files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.fingerprint import sample_by_hash
from harness.registry import HOUSE, names
from harness.testing.models import RuleModel
from tests.harness.lab import CountingModel
from tests.harness.lm_eval_plugin.conftest import opened
from tests.harness.lm_eval_plugin.lab import Results, own, shipped

Evaluate = Callable[..., Results]
FILES = HOUSE / "tasks" / "lm_eval"


def says(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(RuleModel(lambda _: text, verbose=True), monkeypatch)


def test_the_first_documents_are_the_sample_of_a_run(toy: Path) -> None:
    from harness.lm_eval_plugin.tasks import MemoryTask

    task = MemoryTask(own(toy))
    ids = [doc["id"] for doc in task.eval_docs]
    assert ids == sample_by_hash([f"q{n}" for n in range(24)], 24, str)
    assert str(task.VERSION).startswith("2.")


def test_files_that_changed_are_read_again(toy: Path) -> None:
    from harness.lm_eval_plugin.settings import TaskFiles, parse_settings, task_data

    file, corpus = toy / "sample" / "questions.jsonl", toy / "sample" / "corpus.jsonl"
    given = parse_settings({"method": "bm25", "corpus": str(corpus)})
    assert len(given.data().corpus) == 30
    assert task_data(str(toy)) is task_data(str(toy), TaskFiles())
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    assert len(task_data(str(toy)).questions) == 23
    corpus.write_text("".join(corpus.read_text().splitlines(keepends=True)[:-1]))
    assert len(given.data().corpus) == 29


def test_f1_is_not_rounded_and_counts_the_best_answer(
    toy: Path, evaluate: Evaluate, llm: CountingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = toy / "sample" / "questions.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    # One answer in the first document, several in others: lm-eval looks at the first alone.
    for row in rows:
        row["golden_answers"] = ["Jupiter"] if row["id"] == "q0" else ["Mars", "the Jupiter moon"]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    says("the planet Jupiter", monkeypatch)
    results = evaluate(own(toy), "no-retrieval")
    by_id = {sample["doc"]["id"]: sample for sample in results.samples}
    assert by_id["q0"]["f1"] == pytest.approx(2 / 3)
    assert by_id["q1"]["f1"] == 0.5
    assert by_id["q0"]["em"] == 0.0
    assert by_id["q0"]["contains"] == 1.0
    assert results.values["f1"] == pytest.approx((2 / 3 + 23 * 0.5) / 24)


def test_what_retrieves_nothing_has_no_recall_and_no_nan(
    toy: Path, evaluate: Evaluate, llm: CountingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval import utils

    says("name3", monkeypatch)
    results = evaluate(own(toy), "no-retrieval", batch_size="auto")
    assert results.values.keys() == {"em", "f1", "contains", "rouge_l"}
    table = utils.make_table(results.everything)
    assert "recall" not in table
    assert "nan" not in table.lower()
    assert json.loads(json.dumps(results.values, allow_nan=False))


def test_a_question_for_which_nothing_was_found_counts_as_missed(
    toy: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    file = toy / "sample" / "questions.jsonl"
    file.write_text(file.read_text().replace("How is number 7 called?", "Unfindable?"))
    results = evaluate(own(toy), "bm25", batch_size="auto")
    (missed,) = [s for s in results.samples if s["doc"]["id"] == "q7"]
    assert missed["recall_at_5"] == 0.0
    assert len(results.samples) == 24


def test_a_filter_that_makes_plain_text_leaves_the_scores_of_the_answer(
    toy: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    from harness.lm_eval_plugin.tasks import MemoryTask

    class Stripped(MemoryTask):
        def __init__(self, config: Any) -> None:
            from lm_eval.filters import build_filter_ensemble

            super().__init__(config)
            chain = [["remove_whitespace", None], ["take_first", None]]
            self._filters = [build_filter_ensemble("none", chain)]

    whole = evaluate(own(toy), "bm25", limit=3)
    text = evaluate({**own(toy), "class": Stripped}, "bm25", limit=3)
    assert text.values.keys() == {"em", "f1", "contains", "rouge_l"}
    assert text.values == {name: whole.values[name] for name in text.values}


def test_predictions_alone_are_given_where_they_alone_are_asked(
    toy: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    results = evaluate(own(toy), limit=2, predict_only=True)
    assert len(results.answers) == 2
    assert results.values.keys() == {"bypass"}


def test_lm_eval_s_request_cache_holds_no_questions_of_ours(
    toy: Path,
    tmp_path: Path,
    evaluate: Evaluate,
    llm: CountingModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lm_eval.caching import cache

    monkeypatch.setattr(cache, "PATH", str(tmp_path / "requests"))
    evaluate(own(toy), limit=1, cache_requests=True)
    assert not (tmp_path / "requests").exists()


def test_other_models_of_lm_eval_are_asked_and_scored_too(
    toy: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    from lm_eval.api.model import LM

    class Constant(LM):  # type: ignore[misc]
        def loglikelihood(self, requests: Any) -> Any: ...
        def loglikelihood_rolling(self, requests: Any) -> Any: ...

        def generate_until(self, requests: Any) -> list[str]:
            self.prompts = [request.args[0] for request in requests]
            return ["name3"] * len(requests)

    model = Constant()
    results = evaluate(own(toy), model=model, num_fewshot=2)
    assert results.values["em"] == pytest.approx(1 / 24)
    assert all(prompt.count("Question:") == 3 for prompt in model.prompts)


def test_every_shipped_task_has_its_file_and_only_tasks_are_listed() -> None:
    shipped_names = {path.parent.name for path in (HOUSE / "tasks").glob("*/task.yaml")}
    assert {path.stem.removeprefix("memory_") for path in FILES.glob("*.yaml")} == shipped_names
    assert set(names("tasks")) == shipped_names


def test_a_task_s_file_brings_the_model_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.api.registry import get_model, model_registry
    from lm_eval.tasks._yaml_loader import load_yaml

    ours = [name for name in sys.modules if name.startswith("harness.lm_eval_plugin")]
    for name in ours:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(model_registry._objs, "memory", raising=False)
    config = load_yaml(FILES / "memory_nq.yaml", resolve_func=True)
    assert config["task"] == "memory_nq"
    assert config["class"].__name__ == "MemoryTask"
    assert get_model("memory").__name__ == "MemoryLM"


def test_the_entry_point_of_later_releases_names_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tomllib
    from importlib import reload
    from importlib.metadata import EntryPoint

    from lm_eval.api.registry import get_model, model_registry

    from harness.lm_eval_plugin import registration
    from harness.lm_eval_plugin.model import MemoryLM

    points = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]["entry-points"]
    value = points["lm_eval.models"]["memory"]
    monkeypatch.delitem(model_registry._objs, "memory", raising=False)
    # As a later release does; the tasks' files then bring the same model once more.
    model_registry.register("memory", target=EntryPoint("memory", value, "lm_eval.models"))
    reload(registration)
    assert get_model("memory") is MemoryLM


NQ_OPEN = [
    {"question": f"how is number {n} called", "answer": [f"name{n}", "another"]} for n in range(6)
]
TRIVIAQA = [
    {
        "question": f"How is number {n} called?",
        "question_id": f"tc_{n}",
        "answer": {"value": f"name{n}", "aliases": [f"Name{n}", "Another"]},
    }
    for n in range(6)
]


@pytest.mark.parametrize(("name", "rows"), [("nq_open", NQ_OPEN), ("triviaqa", TRIVIAQA)])
def test_lm_eval_s_own_tasks_run(
    name: str, rows: list[dict[str, Any]], toy: Path, tmp_path: Path,
    evaluate: Evaluate, llm: CountingModel, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    says("name3, of course.", monkeypatch)
    args = {"corpus": str(toy / "sample" / "corpus.jsonl"), "shots": 0}
    results = evaluate(shipped(name, rows, tmp_path), "bm25", args=args)
    # Its stops hold the comma, and its filter strips: what is left is the right answer once.
    assert [s["filtered_resps"] for s in results.samples] == [["name3"]] * 6
    assert results.values["exact_match"] == pytest.approx(1 / 6)
