"""The GPU check goes all its ways on a CPU, and says that it was one."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import metadata
from unittest import mock

import pytest

from harness.registry import names
from tests.gpu import clock, memory, runs
from tests.gpu.check import main
from tests.gpu.generation import TOLERANCES, _compare
from tests.gpu.models import LLAMA_8B_PARAMETERS, Folders, llama_config, requests
from tests.gpu.report import Found, write_report


@pytest.fixture(scope="module")
def folders(tmp_path_factory, thinkers) -> Folders:
    """As the check builds them; the model that takes seconds to train is that of all tests."""
    with mock.patch("tests.gpu.models.build_tiny_thinkers", lambda _: thinkers):
        return Folders.build(tmp_path_factory.mktemp("models"))


KINDS = ["bm25", "parametric-qa", "self-rag"]
"""A method of every kind of model and parameters; all others run likewise (test_builtin)."""


@pytest.mark.slow
def test_every_check_passes_on_a_cpu(folders, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Folders, "build", lambda work: replace(folders, work=work))
    monkeypatch.setattr("tests.gpu.runs.names", lambda _: [*KINDS, "corag"])
    assert main(["--out", str(tmp_path), "--device", "cpu"]) == 0
    report = json.loads((tmp_path / "gpu-check.json").read_text())
    checks = report["checks"]
    assert all(check["passed"] for check in checks.values())
    assert all(check["n"] and check["model"] for check in checks.values())
    facts = checks["one run of each method"]["facts"]
    assert set(KINDS) <= set(facts) and set(KINDS) <= set(names("methods"))
    assert not checks["out of memory halves batches"]["facts"]["real_out_of_memory"]
    text = (tmp_path / "gpu-check.md").read_text()
    assert "**No GPU run:**" in text
    assert report["date"] in text and report["hardware"] in text
    assert "random weights: speed and memory only" in text
    assert capsys.readouterr().out.strip() == text.strip()


def test_flashrag_is_left_out_with_the_reason_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr(runs, "names", lambda _: ["flashrag", "corag"])
    version = metadata.version

    def without(name):
        if name.startswith("flashrag"):
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without)
    assert runs._left_out() == {
        "corag": "needs its authors' prompts, which a user gives",
        "flashrag": "FlashRAG not installed; pip install 'lm-memory-harness[flashrag]'",
    }


def test_a_model_that_answers_otherwise_is_seen(folders, monkeypatch):
    asked = requests(6, 10, 8)
    found = _compare("cpu", "float32", folders.random, asked)
    assert found["passed"] and found["replies_clear"] > 0
    monkeypatch.setitem(TOLERANCES, "float32", 1e-9)
    assert not _compare("cpu", "float32", folders.random, asked)["passed"]
    monkeypatch.setattr("tests.gpu.generation.replies", lambda llm, _: [id(llm)] * 6)
    monkeypatch.setitem(TOLERANCES, "float32", 1e-3)
    assert _compare("cpu", "float32", folders.random, asked)["clear_ones_that_differ"] > 0


def test_a_batch_that_is_never_refused_fails(folders, monkeypatch):
    assert memory.check_halving("cpu", folders).passed
    monkeypatch.setattr(memory, "MOST_ROWS", 100)
    assert not memory.check_halving("cpu", folders).passed


def test_a_meter_that_does_not_wait_fails(folders, monkeypatch):
    measure = clock.measure_closed_loop

    def hasty(*args, **options):
        latency, *rest = measure(*args, **options)
        return {**latency, "seconds": [second / 100 for second in latency["seconds"]]}, *rest

    assert clock.check_latency("cpu", folders).passed
    monkeypatch.setattr(clock, "measure_closed_loop", hasty)
    assert not clock.check_latency("cpu", folders).passed


def test_the_large_model_has_llamas_shape():
    import torch
    from transformers import LlamaForCausalLM

    with torch.device("meta"):
        model = LlamaForCausalLM(llama_config({}))
    assert model.num_parameters() == LLAMA_8B_PARAMETERS


def test_a_failed_check_and_a_gpu_are_reported_as_such(tmp_path):
    about = {"device": "cuda", "hardware": "one GPU", "date": "2026-01-01", "seconds": 1.0}
    about |= {"torch": "2", "transformers": "5", "commit": None}
    text = write_report(tmp_path, about, {"peak": Found(False, "none", 1, 0, {"error": "x"})})
    assert "| peak | FAILED | none | 1 | 0 |" in text
    assert "No GPU run" not in text


def test_what_is_missing_is_named(monkeypatch, capsys):
    monkeypatch.setattr("tests.gpu.check.NEEDED", {"no_such_module": "no-such-package"})
    assert main([]) == 2
    assert capsys.readouterr().err == "gpu-check: needs no-such-package; install them\n"
