"""The command that writes a few passages and says what their memories give back."""

from __future__ import annotations

import csv
import json
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from harness.cli import main as cli
from harness.data.card import Task
from harness.data.corpus import Corpus
from harness.data.task import load_task
from harness.registry import task_folder
from methods.parametric_qa.evaluate import evaluate_write
from methods.parametric_qa.shared.encoder import Encoder
from methods.parametric_qa.write.writing import WriteSettings
from tests.methods.parametric_qa.lab import load_tiny, make_parts, quiet


@pytest.fixture(scope="module")
def llm(completion_model_dir):
    return load_tiny(completion_model_dir)


@pytest.fixture
def command(completion_model_dir, monkeypatch, capsys):
    """Runs the command on short beginnings of NQ passages; gives exit status, output, errors."""

    def call(*arguments: object):
        words = [
            "evaluate-write",
            "--task",
            "nq",
            "--model",
            f"path:{completion_model_dir}",
            *arguments,
        ]
        fast = ["--passages", 3, "--steps", 3, "--max-tokens", 12]
        given = [word for i in range(0, 6, 2) if fast[i] not in words for word in fast[i : i + 2]]
        monkeypatch.setattr("sys.argv", ["memory-harness", *map(str, [*words, *given])])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return stopped.value.code, printed.out, printed.err

    return call


@pytest.fixture
def shared(llm, tmp_path) -> Path:
    """A folder of shared parts of 2 slots of 16 numbers."""
    parts = make_parts(llm, slots=2, z_dim=16)
    parts.save(tmp_path / "shared")
    return tmp_path / "shared"


def corpus() -> Corpus:
    return load_task(Task.from_folder(task_folder("nq"))).corpus


def test_a_table_with_its_origin_and_files_that_agree(command, tmp_path):
    out = tmp_path / "out"
    code, table, errors = command("--out", out, "--slots", 4)
    assert code == 0, errors
    summary = json.loads((out / "summary.json").read_text())
    figures = summary["summary"]
    shown = f"{figures['perplexity_with']:.2f} |"
    assert any("Perplexity with z" in line and shown in line for line in table.splitlines())
    assert "3 passages with the smallest SHA-256" in table and "4 slots of 64 numbers" in table
    assert corpus().fingerprint[:12] in table and summary["facts"]["date"] in table
    with (out / "documents.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == sorted(
        corpus().ids, key=lambda id_: sha256(id_.encode()).hexdigest()
    )[:3]
    assert [row["tokens"] for row in rows] == ["13"] * 3
    without = sum(float(row["nll_without"]) for row in rows)
    assert torch.tensor(without / 39).exp() == pytest.approx(figures["perplexity_without"])
    assert sorted(path.name for path in out.iterdir()) == ["documents.csv", "summary.json"]


def test_more_passages_contain_fewer():
    passages = corpus()
    ids = [[p.id for p in evaluate_write.choose(passages, n, "nq")] for n in (3, 9)]
    assert ids[1][:3] == ids[0]


def test_texts_that_a_spreadsheet_would_compute_are_quoted(command, tmp_path, monkeypatch):
    ids = "methods.parametric_qa.evaluate.reconstruction.greedy_tokens"
    monkeypatch.setattr(
        ids,
        lambda llm, m, most: (
            [llm.tokenizer("=1+1", add_special_tokens=False)["input_ids"]] * len(m)
        ),
    )
    assert command("--out", tmp_path)[0] == 0
    with (tmp_path / "documents.csv").open() as file:
        assert [row["greedy"] for row in csv.DictReader(file)] == ["'=1+1"] * 3


def test_shared_parts_decide_the_shape(command, shared):
    code, table, errors = command("--shared", shared)
    assert code == 0, errors
    assert "2 slots of 16 numbers" in table
    code, _, errors = command("--shared", shared, "--slots", 4)
    assert code == 2
    assert "these shared parts have slots = 2, not 4" in errors


def test_shared_parts_of_another_model_are_refused(command, shared):
    values = json.loads((shared / "shared.json").read_text())
    values["shape"]["model_fingerprint"] = "0" * 64
    (shared / "shared.json").write_text(json.dumps(values))
    code, _, errors = command("--shared", shared)
    assert code == 2
    assert "train shared parts for this one" in errors


@pytest.mark.parametrize("init", ["random", "spans", "encoder"])
def test_every_beginning_of_codes(command, llm, shared, tmp_path, init):
    Encoder.from_model(llm, make_parts(llm, slots=2, z_dim=16)).save(shared)
    arguments = ["--shared", shared, "--init", init, "--steps", 0]
    summaries = []
    for name in ("one", "two"):
        code, _, errors = command(*arguments, "--out", tmp_path / name)
        assert code == 0, errors
        summaries.append(json.loads((tmp_path / name / "summary.json").read_text()))
    assert summaries[0]["summary"] == summaries[1]["summary"]
    assert summaries[0]["facts"]["init"] == init


def test_without_an_encoder_there_are_no_codes_of_it(command, shared):
    for more in ([], ["--shared", shared]):
        code, _, errors = command("--init", "encoder", *more)
        assert code == 2
        assert "init 'encoder' needs shared parts that hold a trained encoder" in errors


def test_the_readers_adapter_is_used(command, llm, shared, tmp_path, completion_model_dir):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    code, _, _ = command("--shared", shared, "--out", tmp_path / "plain")
    assert code == 0
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    base = AutoModelForCausalLM.from_pretrained(completion_model_dir)
    get_peft_model(base, config).save_pretrained(shared / "adapter")
    code, _, errors = command("--shared", shared, "--out", tmp_path / "adapted")
    assert code == 0, errors
    plain, adapted = (
        json.loads((tmp_path / name / "summary.json").read_text())["summary"]["perplexity_without"]
        for name in ("plain", "adapted")
    )
    assert abs(plain - adapted) > 1e-3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--passages", 10**6], "holds 3,"),
        (["--init", "best"], "--init best: "),
        (["--steps", 1001], "--steps 1001: "),
        (["--model", "openai:x@http://localhost:1/v1"], "memories need a model that transformers"),
        (["--z-dim", 65], "z_dim = 65 is more than the width"),
        (["--out", "/proc/none"], "cannot write there"),
    ],
)
def test_what_cannot_be_is_one_line(command, arguments, words):
    code, _, errors = command(*arguments)
    assert code == 2
    assert words in errors.splitlines()[-1] and errors.splitlines()[-1].startswith("error: ")


@pytest.mark.model
@pytest.mark.slow
def test_real_passages_are_written_by_the_default_model():
    """Their first 6 tokens in 10 steps: seconds of one core."""
    options = evaluate_write.EvaluateOptions(
        task="nq", passages=2, max_tokens=6, settings=WriteSettings(steps=10)
    )
    summary = evaluate_write.evaluate_write(options, None, quiet()).summary
    assert summary["documents"] == 2
    assert summary["perplexity_with"] < 0.05 * summary["perplexity_without"]
    assert summary["own_memory_best"] == 1
