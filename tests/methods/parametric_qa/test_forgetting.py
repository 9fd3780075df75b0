"""What training a reader cost the model: the same questions and texts before and after."""

from __future__ import annotations

import csv
import json
import re
import shutil
from math import exp

import pytest
import torch

from harness import registry
from harness.boards.changing.before_after import perplexity_terms
from harness.boards.task_entry import TaskSource
from harness.cli import main as cli
from harness.data.corpus import Corpus
from harness.errors import InputError
from harness.escape import csv_text
from harness.metrics.answer import exact_match, token_f1
from harness.records import Passage
from methods.parametric_qa.evaluate import forgetting
from methods.parametric_qa.evaluate.forgetting import (
    AskedBothWays,
    Forgetting,
    ReadBothWays,
    held_out_passages,
)
from methods.parametric_qa.shared.parts import CONFIG_FILE
from methods.parametric_qa.train.training_data import TrainingTask, read_training_task
from tests.methods.parametric_qa.lab import load_tiny, quiet
from tests.methods.parametric_qa.small_tasks import FOUNDERS, YEARS, write_shared, write_task
from tests.tiny import build_tiny_model, save_tiny_adapter


@pytest.fixture(scope="module")
def llm(completion_model_dir):
    return load_tiny(completion_model_dir)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_task(tmp_path_factory.mktemp("tasks"))


@pytest.fixture
def task(files):
    registry.register("tasks", "small", files)
    return files


@pytest.fixture
def shared(llm, tmp_path):
    return write_shared(llm, tmp_path / "shared")


@pytest.fixture(scope="module")
def tuned(llm, completion_model_dir, tmp_path_factory):
    """Shared parts with an adapter; in its folder ``merged`` is the model that it makes."""
    folder = write_shared(llm, tmp_path_factory.mktemp("tuned") / "shared")
    save_tiny_adapter(completion_model_dir, folder / "adapter")
    llm.tokenizer.save_pretrained(folder / "adapter" / "merged")
    return folder


@pytest.fixture
def call(completion_model_dir, task, monkeypatch, capsys):
    """Runs a command; gives exit status, output, errors."""

    def run(*arguments: object, command: str = "evaluate-forgetting"):
        words = [command, "--task", "small", "--model", f"path:{completion_model_dir}", *arguments]
        monkeypatch.setattr("sys.argv", ["memory-harness", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return stopped.value.code, printed.out, printed.err

    return run


SMALL = ("--limit", 4, "--passages", 5)


def measured(call, out, *arguments):
    """Runs the command into a folder; gives the table, its summary and both files of records."""
    code, table, errors = call(*SMALL, *arguments, "--out", out)
    assert code == 0, errors
    return table, *saved(out)


def saved(out):
    rows = []
    for name in ("questions", "passages"):
        with (out / f"{name}.csv").open() as file:
            rows.append(list(csv.DictReader(file)))
    return json.loads((out / "summary.json").read_text()), *rows


@pytest.fixture(scope="module")
def once(files, tuned, completion_model_dir, tmp_path_factory):
    """The folder into which the command measured the tuned reader."""
    out = tmp_path_factory.mktemp("once") / "out"
    words = ["evaluate-forgetting", "--task", "small", "--model", f"path:{completion_model_dir}",
             *SMALL, "--shared", tuned, "--seed", 2, "--out", out]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit, match="0"):
        patch.setattr(registry, "_plugins", {})
        registry.register("tasks", "small", files)
        patch.setattr("sys.argv", ["memory-harness", *map(str, words)])
        cli.main()
    return out


def naive_nats(model, tokenizer, text: str) -> tuple[int, float]:
    """One text alone, token after token, by the model's plain forward pass."""
    ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double()
    steps = [-logits[i].log_softmax(-1)[token].item() for i, token in enumerate(ids[1:])]
    return len(steps), sum(steps)


def test_perplexity_terms_are_those_of_each_text_alone(llm):
    passages = [Passage("a", "Hamlet", "a play."), Passage("b", "", "The Nile is a long river")]
    found = perplexity_terms(llm, passages, quiet(), "texts")
    for passage, text in zip(passages, ["Hamlet: a play.", passages[1].text], strict=True):
        tokens, nats = naive_nats(llm.model, llm.tokenizer, text)
        assert found[passage.id][0] == tokens
        assert found[passage.id][1] == pytest.approx(nats, rel=1e-5)


def test_an_adapter_of_zeros_forgets_nothing(call, tuned, tmp_path):
    from safetensors.torch import load_file, save_file

    shared = shutil.copytree(tuned, tmp_path / "shared")
    path = shared / "adapter" / "adapter_model.safetensors"
    weights = load_file(path)
    save_file({k: v * 0 if "lora_B" in k else v.clone() for k, v in weights.items()}, path)
    table, summary, questions, passages = measured(call, tmp_path / "out", "--shared", shared)
    assert not summary["facts"]["same_model"]
    assert all(row["answer_before"] == row["answer_after"] for row in questions)
    # The weights are the same, but lie elsewhere: some processors then give another last digit.
    for row in passages:
        assert float(row["nats_before"]) == pytest.approx(float(row["nats_after"]), rel=1e-5)
    for line in summary["summary"]:
        assert line["difference"] == pytest.approx(0, abs=line["before"] * 1e-5)
        assert line["low"] <= line["difference"] <= line["high"]
    assert table.count("+0.0 [-") == 4
    assert re.search(r"[+-]0\.00 \[[+-]0\.00, [+-]0\.00\]", table)


def test_an_adapter_changes_what_its_merged_model_changes(call, tuned, once, tmp_path):
    one, asked, read = saved(once)
    after = ("--seed", 2, "--after", f"path:{tuned / 'adapter' / 'merged'}")
    table, other, merged_asked, merged_read = measured(call, tmp_path / "two", *after)
    assert "After: the model" in table and other["facts"]["full"]
    for mine, theirs in zip(read, merged_read, strict=True):
        assert mine["nats_before"] == theirs["nats_before"] != mine["nats_after"]
        assert float(mine["nats_after"]) == pytest.approx(float(theirs["nats_after"]), rel=1e-4)
    assert [r["answer_after"] for r in asked] == [r["answer_after"] for r in merged_asked]
    assert any(row["answer_before"] != row["answer_after"] for row in asked)
    perplexities = [s["summary"][-1] for s in (one, other)]
    assert perplexities[0]["after"] == pytest.approx(perplexities[1]["after"], rel=1e-4)
    assert perplexities[0]["after"] != perplexities[0]["before"]


def test_questions_are_answered_as_the_methods_would(call, tuned, once, tmp_path):
    _, rows, _ = saved(once)
    runs = {
        "no-retrieval": ("answer_before", ()),
        "parametric-qa-closed-book": ("answer_after", ("-p", f"shared={tuned}")),
    }
    for method, (column, params) in runs.items():
        place = tmp_path / method
        code, _, errors = call(
            "--method", method, "--limit", 4, "--seed", 2, "--out", place,
            "--latency-queries", 0, *params, command="run",
        )  # fmt: skip
        assert code == 0, errors
        (path,) = place.rglob("predictions.jsonl")
        answers = {}
        for line in path.read_text().splitlines():
            row = json.loads(line)
            answers[row["question_id"]] = row["answer"]
        mine = {r["question_id"]: r[column] for r in rows if r["prompt"] == method}
        assert len(mine) == 4 and mine == {key: csv_text(v) for key, v in answers.items()}


def test_scores_are_those_of_the_answers_and_texts_are_held_out(task, tuned, completion_model_dir):
    model = f"path:{completion_model_dir}"
    options = forgetting.ForgettingOptions(
        tasks=("small",), limit=6, passages=5, shared=str(tuned), model=model
    )
    found = forgetting.evaluate_forgetting(options, quiet())
    golds = {f"q-{n}": gold for n, gold in enumerate([*FOUNDERS.values(), *YEARS.values()])}
    assert len(found.questions) == 2 * 6 and len(found.passages) == 5
    for row in found.questions:
        gold = (golds[row.question_id],)
        assert row.em_after == exact_match(row.answer_after, gold)
        assert row.f1_before == token_f1(row.answer_before, gold)
    free = read_training_task(TaskSource(name="small")).free
    assert not {row.passage_id for row in found.passages} & set(free)


def test_without_an_adapter_the_model_is_measured_once_and_the_table_says_so(
    call, shared, tmp_path, monkeypatch
):
    labels = []
    real = forgetting.perplexity_terms
    monkeypatch.setattr(
        forgetting, "perplexity_terms", lambda *args: labels.append(args[3]) or real(*args)
    )
    table, summary, *_ = measured(call, tmp_path / "out", "--shared", shared)
    assert labels == ["small, passages, before"]
    assert summary["facts"]["same_model"]
    assert "hold no adapter; it was measured once" in table


def test_the_table_holds_means_differences_and_intervals(call, monkeypatch, tmp_path):
    def asked(n, em, f1):
        return AskedBothWays("small", "no-retrieval", f"q{n}", "=who?", "a", "b", *em, *f1, "")

    questions = [asked(n, (1.0, 0.0) if n < 3 else (0.0, 0.0), (0.5, 0.25)) for n in range(4)]
    passages = [ReadBothWays("small", "a", 10, 20.0, 30.0), ReadBothWays("small", "b", 30, 60, 90)]
    facts = {
        "model": "m|x", "after": "parts", "same_model": False, "full": False, "seed": 0,
        "corpora": {"small": "ab" * 32}, "hardware": "1 x CPU", "threads": 1, "date": "2026-01-01",
    }  # fmt: skip
    given = Forgetting(facts, questions, passages)
    monkeypatch.setattr(forgetting, "evaluate_forgetting", lambda *_: given)
    table, summary, rows, _ = measured(call, tmp_path / "out")
    em, f1, perplexity = summary["summary"]
    assert (em["before"], em["after"], em["difference"], em["relative"]) == (0.75, 0, -0.75, -1)
    assert -1 <= em["low"] < -0.75 < em["high"]
    assert (f1["difference"], f1["relative"]) == (-0.25, -0.5)
    assert -1 <= f1["low"] < -0.25 < f1["high"]
    assert perplexity["before"] == pytest.approx(exp(2))
    assert perplexity["after"] == pytest.approx(exp(3))
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[-3:]]
    interval = f"[{100 * f1['low']:+.1f}, {100 * f1['high']:+.1f}]"
    assert lines[1] == ["small", "F1, prompt of no-retrieval", "4", "50.0", "25.0",
                        f"-25.0 {interval}", "-50.0 %"]  # fmt: skip
    assert lines[2][3:5] == ["7.39", "20.09"] and lines[2][6] == "+171.8 %"
    assert "m&#124;x" in table and "abababababab" in table
    assert "not comparable with published" in table
    assert rows[0]["question"] == "'=who?"


def test_the_same_command_gives_the_same_figures(call, tuned, once, tmp_path):
    one = saved(once)
    _, *two = measured(call, tmp_path / "two", "--shared", tuned, "--seed", 2)
    assert one[0]["summary"] == two[0]["summary"] and list(one[1:]) == two[1:]


def test_what_was_measured_is_not_measured_again(call, tuned, once, tmp_path, monkeypatch):
    one, out = saved(once), shutil.copytree(once, tmp_path / "out")
    monkeypatch.setattr("harness.llm.local.LocalModel.generate", None)
    monkeypatch.setattr("harness.llm.local.LocalModel.score", None)
    _, *two = measured(call, out, "--shared", tuned, "--seed", 2)
    assert one[0]["summary"] == two[0]["summary"] and list(one[1:]) == two[1:]


def test_a_text_that_another_task_trained_on_is_not_held_out():
    passages = [Passage(f"p{n}", "", f"text {n}") for n in range(4)]
    task = TrainingTask("toy", Corpus.from_passages(passages), ("p0",), (), ())
    held = held_out_passages(task, frozenset({"text 1"}), 2)
    assert {passage.id for passage in held} == {"p2", "p3"}
    with pytest.raises(InputError, match="left out 2 passages of 'toy', not 3; ask for --passages"):
        held_out_passages(task, frozenset({"text 1"}), 3)


def test_passages_that_the_record_of_training_names_are_left_out(
    call, shared, task, completion_model_dir, tmp_path, monkeypatch
):
    """Another task holds the same passages and trained on all that its one question leaves."""
    twin = shutil.copytree(task, tmp_path / "twin")
    (twin / "task.yaml").write_text("name: twin\ntitle: Twin\n")
    questions = twin / "sample" / "questions.jsonl"
    questions.write_text(questions.read_text().splitlines()[0] + "\n")
    registry.register("tasks", "twin", twin)
    assert call("--passages", 16, "--shared", shared)[0] == 0
    values = json.loads((shared / CONFIG_FILE).read_text())
    record = {"corpora": {"twin": read_training_task(TaskSource(name="twin")).corpus.fingerprint}}
    (shared / CONFIG_FILE).write_text(json.dumps({**values, "training": record}))
    code, _, errors = call("--passages", 16, "--shared", shared)
    # Of twelve passages of evaluated questions and four of validation, twin trained on eleven.
    assert code == 2
    assert "training left out 5 passages of 'small', not 16" in errors
    record = {"corpora": {"twin": "0" * 64}}
    (shared / CONFIG_FILE).write_text(json.dumps({**values, "training": record}))
    # Full fine-tuning leaves its model beside the record.
    model = shutil.copytree(completion_model_dir, shared / "model")
    for named in (("--shared", shared), ("--after", f"path:{model}")):
        code, _, errors = call("--passages", 5, *named)
        assert code == 2
        assert "training used another corpus of 'twin' than ships now" in errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "nqq"], "unknown task 'nqq'; did you mean 'nq'?"),
        (["--passages", 1000], "ask for --passages "),
        (["--limit", 0], "--limit 0: "),
        (["--after", "path:x", "--shared", "y"], "give one of them"),
        (["--after", "path:/nowhere"], "/nowhere is no transformers model folder"),
        (["--shared", "nowhere"], "no shared parts 'nowhere'"),
        ([], "the shared parts are for 'smollm2-135m-instruct'"),
        (["--model", "openai:x@http://localhost:1/v1"], "cannot read vectors"),
        (["--out", "/proc/none"], "cannot write there"),
    ],
)
def test_what_cannot_be_is_one_line(call, arguments, words):
    code, _, errors = call(*([] if "--passages" in arguments else ["--passages", 5]), *arguments)
    assert code == 2
    assert words in errors.splitlines()[-1] and errors.splitlines()[-1].startswith("error: ")


def test_a_model_of_another_vocabulary_is_refused_before_any_question(
    call, shared, tmp_path, monkeypatch
):
    monkeypatch.setattr(forgetting, "_measure", lambda *_: pytest.fail("asked"))
    other = build_tiny_model(tmp_path / "other")
    text = (other / "tokenizer.json").read_text()
    vocabulary = json.loads(text)["model"]["vocab"]
    last = max(vocabulary, key=vocabulary.get)
    values = json.loads(text)
    values["added_tokens"] += [
        {**values["added_tokens"][0], "id": len(vocabulary), "content": f"<{last}>"}
    ]
    (other / "tokenizer.json").write_text(json.dumps(values))
    code, _, errors = call(*SMALL, "--after", f"path:{other}")
    assert code == 2
    assert "another vocabulary" in errors.splitlines()[-1]


def test_as_one_of_all_methods_it_is_measured_alike(call, tuned, once, tmp_path):
    """Closed book as without --method; and its memory, which keeps what it holds as it grows."""
    _, alone, _ = saved(once)
    table, summary, asked, read = measured(
        call, tmp_path / "two", "--method", "parametric-qa", "--method", "no-retrieval",
        "--shared", tuned, "--seed", 2,
    )  # fmt: skip
    before = {r["question_id"]: r for r in alone if r["prompt"] == "no-retrieval"}
    closed = [row for row in asked if row["measure"] == "closed book"]
    assert len(closed) == 4 and {row["method"] for row in closed} == {"parametric-qa"}
    for row in closed:
        for name in ("answer_before", "answer_after", "em_before", "f1_after"):
            assert row[name] == before[row["question_id"]][name]
    assert 0 < len(read) <= 5 and all(r["nats_before"] != r["nats_after"] for r in read)
    old = [row for row in asked if row["measure"] == "old documents"]
    assert len(old) == 2 * 4
    assert summary["facts"]["undone_exactly"] == ["parametric-qa"]
    assert summary["facts"]["without_weights"] == ["no-retrieval"]
    assert "Weights: of parametric-qa compared before and after, every bit is what it was" in table
    lines = [line for line in table.splitlines() if "0 by construction" in line]
    assert len(lines) == 2 and "no-retrieval" in lines[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "bm25", "--after", "path:x"], "leave --method out"),
        (["-p", "k=2"], "-p: of which method?"),
        (["--method", "parametric-qa-gold"], "is shown gold"),
    ],
)
def test_what_cannot_be_of_a_method_is_one_line(call, arguments, words):
    code, _, errors = call(*arguments)
    assert code == 2 and words in errors.splitlines()[-1]
