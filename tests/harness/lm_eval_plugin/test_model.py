"""The model `memory`: what reaches a method, what is kept, and what stops an evaluation."""

from __future__ import annotations

import gc
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import pytest

from harness.data.trained_on import TrainedOn
from harness.errors import ConfigError, InputError, RunFailedError
from harness.lm_eval_plugin.answer import Answer, cut
from harness.method import Method, MethodCard
from harness.records import Prediction, Query, Question
from harness.registry import register_method
from tests.harness.lab import Ask, CountingModel, FailingServer, Remember
from tests.harness.lm_eval_plugin.conftest import opened
from tests.harness.lm_eval_plugin.lab import Results, own, task_folder

Evaluate = Callable[..., Results]
SECRET = "zxgold"


class LooksAround(Method):
    """Follows every reference from itself and its question, and answers what holds the gold."""

    card = MethodCard("Looks around", "Reads all that it can reach.")

    async def answer(self, query: Query) -> Prediction:
        seen, left, found = set(), [self, query], []
        while left:
            thing = left.pop()
            if id(thing) in seen or isinstance(
                thing, ModuleType | type | FunctionType | BuiltinFunctionType
            ):
                continue
            seen.add(id(thing))
            if isinstance(thing, str) and SECRET in thing:
                found.append(thing)
            left += gc.get_referents(thing)
        assert len(seen) > 100
        return Prediction(" ".join(found) or "nothing")


class Oracle(Ask):
    card = MethodCard("Oracle", "Knows the answer.", oracle=True)

    async def answer(self, query: Query) -> Prediction:
        return Prediction(self.gold[query.id].golden_answers[0])


class Fails(Method):
    card = MethodCard("Fails", "Fails for some.")

    async def answer(self, query: Query) -> Prediction:
        if query.text.startswith("How is number 1"):
            raise KeyError(query.text)
        return Prediction("name3")


@pytest.fixture(autouse=True)
def methods() -> None:
    register_method("looks-around", LooksAround)
    register_method("oracle", Oracle)
    register_method("fails", Fails)
    register_method("remember", Remember)


def secret_task(tmp_path: Path) -> dict[str, Any]:
    folder = task_folder(tmp_path / "secret")
    file = folder / "sample" / "questions.jsonl"
    file.write_text(file.read_text().replace('["name', f'["{SECRET}'))
    return own(folder)


def test_gold_answers_reach_no_method(
    tmp_path: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    task = secret_task(tmp_path)
    results = evaluate(task, "looks-around", limit=2, args={"shots": 2})
    assert set(results.answers.values()) == {"nothing"}
    assert all(SECRET in str(sample["target"]) for sample in results.samples)
    # What the test looks for can be found: an oracle holds it.
    assert SECRET in evaluate(task, "oracle", limit=1, args={"shots": 2}).samples[0]["resps"][0][0]


def test_an_oracle_has_the_gold_of_the_harness_own_tasks_alone(
    toy: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    assert evaluate(own(toy), "oracle", limit=3).values["em"] == 1.0
    with pytest.raises(ConfigError, match="method 'oracle' is shown the gold"):
        evaluate(foreign(toy), "oracle", args={"task": f"{toy}/"})
    assert llm.calls == 0


def foreign(toy: Path, **more: Any) -> dict[str, Any]:
    """A task of lm-eval's own making, with questions and one answer each."""
    return {
        "task": "theirs",
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"test": str(toy / "sample" / "questions.jsonl")},
            "cache_dir": str(toy / "datasets"),
        },
        "test_split": "test",
        "doc_to_text": "Q: {{question}}\nA:",
        "doc_to_target": "{{golden_answers[0]}}",
        "generation_kwargs": {"until": ["\n"]},
        **more,
    }


def test_a_foreign_task_needs_a_corpus_and_is_given_one(
    toy: Path, evaluate: Evaluate, llm: CountingModel, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match="brings no corpus; give one in --model_args, corpus="):
        evaluate(foreign(toy))
    corpus = str(toy / "sample" / "corpus.jsonl")
    results = evaluate(foreign(toy), "bm25", args={"corpus": corpus}, limit=2)
    assert "no train questions to show, so shots=0 in place of 4" in caplog.text
    assert results.values.keys() == {"exact_match"}
    assert "given the question alone" in caplog.text
    info = results.everything["config"]["memory_harness"]["tasks"]["theirs"]
    assert info["task"]["passages"] == 30


def test_what_the_task_s_own_prompt_says_changes_no_answer(
    toy: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    args = {"corpus": str(toy / "sample" / "corpus.jsonl"), "shots": 0}
    plain = evaluate(foreign(toy), "bm25", args=dict(args), limit=3)
    told = foreign(toy, description="The answer is name1.", doc_to_text="{{golden_answers}}")
    changed = evaluate(told, "bm25", args=dict(args), limit=3)
    assert [s["resps"] for s in plain.samples] == [s["resps"] for s in changed.samples]


def test_answers_of_a_foreign_task_end_where_it_says(
    toy: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    assert cut("Paris, France. Or", [".", ","]) == "Paris"
    assert cut("Paris", None) == cut("Paris", ["", "\n"]) == "Paris"
    args = {"task": f"{toy}/"}
    (whole,) = evaluate(foreign(toy), "no-retrieval", args=dict(args), limit=1).samples
    task = foreign(toy, generation_kwargs={"until": [" "]})
    (first,) = evaluate(task, "no-retrieval", args=dict(args), limit=1).samples
    assert len(whole["resps"][0][0].split()) > 1
    assert first["resps"][0][0] == whole["resps"][0][0].partition(" ")[0]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"num_fewshot": 2}, "--num_fewshot"),
        ({"system_instruction": "Be brief."}, "--system_instruction"),
        ({"gen_kwargs": {"temperature": 1.0}}, "--gen_kwargs"),
        ({"apply_chat_template": True}, "--apply_chat_template"),
    ],
)
def test_what_a_method_decides_is_refused_by_name(
    options: dict[str, Any], named: str, toy: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    with pytest.raises(ConfigError, match=named):
        evaluate(own(toy), limit=1, **options)
    assert llm.calls == 0


def test_log_probabilities_are_no_method_s(evaluate: Evaluate, llm: CountingModel) -> None:
    from harness.lm_eval_plugin.model import MemoryLM

    lm = MemoryLM(method="ask")
    for ask in (lm.loglikelihood, lm.loglikelihood_rolling):
        with pytest.raises(NotImplementedError, match="output type generate_until"):
            ask([])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "name a method, such as method=bm25"),
        ({"method": "bm52"}, "did you mean 'bm25'"),
        ({"method": "bm25", "kk": 3}, "method 'bm25' has no parameter 'kk'"),
        ({"method": "bm25", "k": 0}, "parameter 'k' = 0"),
        ({"method": "bm25", "pretrained": "gpt2"}, "name the model as llm="),
        ({"method": "bm25", "model": "gpt2"}, "name the model as llm="),
        ({"method": "bm25", "llm": "path:/nowhere"}, "/nowhere"),
        ({"method": "bm25", "seed": -1}, "seeds"),
        ({"method": "bm25", "batch_size": "many"}, "--batch_size many"),
    ],
)
def test_arguments_are_checked_before_anything_is_loaded(
    values: dict[str, Any], message: str
) -> None:
    from harness.lm_eval_plugin.model import MemoryLM

    with pytest.raises((ConfigError, InputError), match=message):
        MemoryLM(**values)


def test_a_long_name_still_names_a_folder() -> None:
    from harness.lm_eval_plugin.settings import parse_settings

    labels = []
    for end in ("a", "b"):
        llm = f"openai:{'x/' * 200}{end}@http://127.0.0.1:9/v1"
        labels.append(parse_settings({"method": "bm25", "k": 2, "llm": llm}).label)
        again = parse_settings({"method": "bm25", "k": 2, "llm": llm, "model": labels[-1]})
        assert again.label == labels[-1]
    assert labels[0] != labels[1]
    assert all(len(label) <= 120 and label.startswith("bm25,k=2,openai:x/x") for label in labels)


def test_parameters_are_read_as_the_command_line_reads_them() -> None:
    from harness.lm_eval_plugin.model import MemoryLM

    lm = MemoryLM.create_from_arg_string("method=bm25,k=3,language=de,k1=0.9,batch_size=auto:4")
    (entry,) = lm.settings.board.methods
    assert entry.params == {"k": 3, "language": "de", "k1": 0.9}
    assert lm.settings.window == 128


def test_a_question_without_an_answer_of_the_server_is_no_wrong_answer(
    toy: Path,
    tmp_path: Path,
    evaluate: Evaluate,
    llm: CountingModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = FailingServer("number 7", times=1)
    opened(server, monkeypatch)
    cache = str(tmp_path / "answers")
    with pytest.raises(RunFailedError, match="1 of 24 questions were left unanswered.*503"):
        evaluate(own(toy), use_cache=cache)
    before = len(server.asked)
    assert len(evaluate(own(toy), use_cache=cache).answers) == 24
    assert len(server.asked) == before + 2  # two calls for the one that was left


def test_a_method_s_own_errors_are_wrong_answers_and_said(
    toy: Path,
    tmp_path: Path,
    evaluate: Evaluate,
    llm: CountingModel,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache = str(tmp_path / "answers")
    results = evaluate(own(toy), "fails", batch_size="auto", use_cache=cache)
    assert [a for a in results.answers.values() if not a] == [""] * 11  # 1 and 10 to 19
    assert "11 of 24 questions failed and count as wrong" in caplog.text
    assert results.values["em"] == pytest.approx(1 / 24)
    assert "cached" not in caplog.text
    again = evaluate(own(toy), "fails", use_cache=cache)
    assert "11 of 24 answers are cached ones of questions that failed" in caplog.text
    assert again.values == results.values


def test_an_interrupted_evaluation_goes_on_from_its_cache(
    toy: Path, tmp_path: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    whole = evaluate(own(toy)).answers
    assert llm.calls == 48

    def interrupt(_: object) -> None:
        if llm.calls == 48 + 21:
            raise KeyboardInterrupt

    llm.interfere = interrupt
    with pytest.raises(KeyboardInterrupt):
        evaluate(own(toy), use_cache=str(tmp_path / "c"), batch_size=1)
    llm.interfere, llm.calls = lambda _: None, 0
    assert evaluate(own(toy), use_cache=str(tmp_path / "c")).answers == whole
    assert llm.calls == 2 * (24 - 10)


def test_two_methods_do_not_answer_each_other_s_questions(
    toy: Path, tmp_path: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    cache = str(tmp_path / "answers")
    first = evaluate(own(toy), "bm25", use_cache=cache, limit=4, batch_size=1)
    variants: list[tuple[str, dict[str, Any]]] = [
        ("no-retrieval", {}),
        ("bm25", {"k": 2}),
        ("bm25", {"shots": 0}),
        ("bm25", {"seed": 1}),
        ("bm25", {"llm": {"name": "smollm2-135m-instruct", "prompt_style": "chat"}}),
        ("bm25", {"corpus": str(toy / "sample" / "corpus.jsonl")}),
    ]
    for method, args in variants:
        llm.calls = 0
        cached = evaluate(own(toy), method, args=dict(args), use_cache=cache, limit=4)
        assert llm.calls == 4, (method, args)
        if "corpus" not in args and "llm" not in args:
            alone = evaluate(own(toy), method, args=dict(args), limit=4)
            assert cached.answers == alone.answers != first.answers
    llm.calls = 0
    again = evaluate(own(toy), "bm25", use_cache=cache, limit=4, batch_size=1)
    assert llm.calls == 0
    assert again.answers == first.answers
    timed = {"latency_p50"}
    assert again.values == {k: v for k, v in first.values.items() if k not in timed}
    assert timed < first.values.keys()


def test_other_train_questions_alone_make_other_answers(
    toy: Path, tmp_path: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    file, cache = toy / "sample" / "train.jsonl", str(tmp_path / "answers")
    for shown in ("How", "Say how"):
        (tmp_path / f"{shown}.jsonl").write_text(file.read_text().replace("How", shown))
        args = {"train": str(tmp_path / f"{shown}.jsonl")}
        llm.calls = 0
        evaluate(own(toy), "bm25", args=args, use_cache=cache, limit=2)
        assert llm.calls == 2, shown


def test_questions_of_one_wording_share_a_cached_answer_and_are_scored_each(
    toy: Path, tmp_path: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    file, cache = toy / "sample" / "questions.jsonl", str(tmp_path / "answers")
    file.write_text(file.read_text().replace("number 7 called", "number 3 called"))
    first = evaluate(own(toy), "bm25", use_cache=cache, batch_size="auto")
    assert evaluate(own(toy), "bm25", use_cache=cache).values == first.values


def test_a_cached_answer_over_other_data_is_refused(
    tmp_path: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    first, second = task_folder(tmp_path / "a"), task_folder(tmp_path / "b")
    corpus = second / "sample" / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace("is called", "is named"))
    evaluate(own(first), "bm25", use_cache=str(tmp_path / "c"), limit=2)
    with pytest.raises(InputError, match="over another corpus"):
        evaluate(own(second), "bm25", use_cache=str(tmp_path / "c"), limit=2)


def test_one_question_at_a_time_is_timed_and_many_at_once_are_not(
    toy: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    llm.seconds = 0.01
    alone = evaluate(own(toy), batch_size=1, limit=4)
    assert 0.02 <= alone.values["latency_p50"] < 1
    # The first warmed up.
    assert [s["latency_p50"] is None for s in alone.samples] == [True, False, False, False]
    together = evaluate(own(toy), batch_size="auto", limit=4)
    assert together.answers == alone.answers
    assert "latency_p50" not in together.values


def test_a_question_that_is_repeated_is_asked_once(
    toy: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    args = {"task": f"{toy}/"}
    results = evaluate(foreign(toy, repeats=3), "no-retrieval", args=args, limit=2)
    assert [len(sample["resps"][0]) for sample in results.samples] == [3, 3]
    assert llm.calls == 2


def test_what_a_method_was_trained_on_is_not_asked(
    toy: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    class Trained(Ask):
        def trained_on(self) -> tuple[TrainedOn, ...]:
            learnt = Question("any", "how is number 3 called?", ())
            return (TrainedOn.of("its parts", [learnt]),)

    register_method("trained", Trained)
    for task, args in ((own(toy), {}), (foreign(toy), {"task": f"{toy}/"})):
        with pytest.raises(InputError, match="1 of 24 questions are among those that its parts"):
            evaluate(task, "trained", args=args)
    assert llm.calls == 0


def test_a_method_that_only_fails_stops_and_says_how_answers_are_kept(
    toy: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    def broken(_: object) -> None:
        raise ValueError("no such layer")

    llm.interfere = broken
    with pytest.raises(RunFailedError, match="16 questions in a row.*with --use_cache answers"):
        evaluate(own(toy))


def test_a_memory_is_written_once(
    toy: Path, tmp_path: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    Remember.writes = 0
    for _ in range(2):
        evaluate(own(toy), "remember", args={"runs": str(tmp_path / "runs")}, limit=2)
    assert Remember.writes == 1
    assert [*(tmp_path / "runs" / "toy").rglob("words.json")]


def test_the_results_say_what_was_measured_and_no_secret(
    toy: Path, evaluate: Evaluate, llm: CountingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hidden")
    args = {"llm": "openai:small@http://127.0.0.1:9/v1", "k": 2}
    results = evaluate(own(toy), "bm25", args=args, limit=1)
    config = results.everything["config"]
    said = config["memory_harness"]
    assert config["model_name"] == "bm25,k=2,openai:small@http://127.0.0.1:9/v1"
    assert said["method"]["params"]["k"] == 2
    assert said["tasks"]["memory_toy"]["retriever"]["kind"] == "bm25"
    assert said["tasks"]["memory_toy"]["task"]["corpus_fingerprint"]
    assert said["packages"]["lm-eval"]
    assert "sk-hidden" not in json.dumps(results.everything, default=str)


def test_an_answer_survives_a_cache_without_its_time() -> None:
    answer = Answer("Paris", {"retrieved_ids": ["d1"]}, "tag", True, 0.5)
    kept = pickle.loads(pickle.dumps(answer))
    assert kept == answer == "Paris"
    assert (kept.row, kept.data, kept.retriever, kept.seconds) == (answer.row, "tag", True, None)
    assert json.dumps([answer]) == '["Paris"]'
