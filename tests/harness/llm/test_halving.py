"""Batches that do not fit in memory: smaller ones give the same answers, and so do later calls."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from harness.errors import MachineError, machine_failure
from harness.llm.halving import Limit, halving
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest, NextTokenRequest, ScoreRequest

TEXT = "Which of the two rivers is longer, the Nile or the Amazon?"
PROMPTS = [f"{TEXT[: 12 + 5 * n]} {n}" for n in range(9)]
GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
CPU = RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory")


@pytest.fixture
def llm(tiny_model_dir) -> LocalModel:
    return LocalModel(ModelConfig(name="tiny", path=str(tiny_model_dir)), str(tiny_model_dir))


class Narrow:
    """A model whose forward pass has room for so many rows; others raise an error."""

    def __init__(self, llm: LocalModel, most: int, error: Exception) -> None:
        self.most, self.error, self.tried = most, error, list[int]()
        self.hook = llm.model.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, _: Any, args: tuple[Any, ...], given: dict[str, Any]) -> None:
        rows = len(given.get("input_ids", args[0] if args else None))
        self.tried.append(rows)
        if rows > self.most:
            raise self.error


@pytest.fixture
def narrow(llm) -> Iterator[Narrow]:
    limit = Narrow(llm, 2, GPU)
    yield limit
    limit.hook.remove()


@pytest.mark.parametrize("error", [GPU, CPU, MemoryError()], ids=["GPU", "CPU", "Python"])
def test_replies_are_those_of_one_at_a_time_and_the_size_is_kept(llm, narrow, error):
    asked = [GenerateRequest(prompt, 4) for prompt in PROMPTS]
    alone = [dict(llm.generate([request]))[0] for request in asked]
    narrow.error = error
    narrow.tried.clear()
    found = dict(llm.generate(asked))
    assert [found[n] for n in range(9)] == alone
    assert [rows for rows in narrow.tried if rows > 2] == [9, 4]
    narrow.tried.clear()
    assert dict(llm.generate(asked)) == found
    assert max(narrow.tried) == 2


@pytest.mark.parametrize("kind", ["score", "next_token_probs"])
def test_scores_of_models_whose_batches_matter_go_in_halves(llm, narrow, kind):
    llm.runtime = replace(llm.runtime, exact=False)
    asked = {
        "score": [ScoreRequest(prompt, (" yes", " Paris")) for prompt in PROMPTS],
        "next_token_probs": [NextTokenRequest(prompt, (" yes", " Paris")) for prompt in PROMPTS],
    }[kind]
    narrow.most = 99
    wanted = dict(getattr(llm, kind)(asked))
    narrow.most = 2
    found = dict(getattr(llm, kind)(asked))
    for index, values in wanted.items():
        for name in ("logprobs", "probs"):
            if hasattr(values, name):
                assert getattr(found[index], name) == pytest.approx(getattr(values, name), abs=1e-5)
    assert max(narrow.tried) > 2
    narrow.tried.clear()
    list(getattr(llm, kind)(asked))
    assert max(narrow.tried) == 2


def test_a_row_that_does_not_fit_by_itself_says_what_to_do(llm, narrow):
    narrow.most = 0
    with pytest.raises(MachineError) as stopped:
        list(llm.generate([GenerateRequest(PROMPTS[0], 4)]))
    told = str(stopped.value)
    tokens = len(llm.encode(PROMPTS[0])) + 4
    assert told.startswith(f"model 'tiny': one row of {tokens} tokens does not fit in memory by")
    assert "OutOfMemoryError: CUDA out of memory" in told and "quantization: nf4" in told
    assert "\n" not in told and machine_failure(stopped.value) == told


def test_other_errors_are_not_taken_for_it(llm, narrow):
    narrow.error = RuntimeError("shape '[2, 3]' is invalid for input of size 5")
    with pytest.raises(RuntimeError, match="invalid for input"):
        list(llm.generate([GenerateRequest(prompt, 4) for prompt in PROMPTS]))


def test_a_size_holds_for_rows_as_long_and_for_longer_ones_of_its_kind():
    rows: dict[tuple[str, int], int] = {}
    Limit("generate", 100, "", rows).lower(4)
    assert Limit("generate", 127, "", rows).most == 4
    assert Limit("generate", 1000, "", rows).most == 4
    assert Limit("generate", 60, "", rows).most > 1000
    assert Limit("score", 100, "", rows).most > 1000
    Limit("generate", 1000, "", rows).lower(1)
    assert Limit("generate", 100, "", rows).most == 4


def test_parts_are_given_in_their_order():
    def run(batch: list[int]) -> list[int]:
        if len(batch) > 3:
            raise MemoryError
        return [10 * index for index in batch]

    assert halving(run, list(range(11))) == [10 * index for index in range(11)]
    assert halving(run, []) == []


# A process whose address space ends soon after what it has now: torch's allocator fails in earnest.
LIMITED = """
import re, resource, sys
from dataclasses import replace
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest

llm = LocalModel(ModelConfig(name="tiny", path=sys.argv[1]), sys.argv[1])
llm.runtime = replace(llm.runtime, batch_size=512, batch_tokens=10**9, held_tokens=10**9)
words = "Which of the two rivers is longer, the Nile or the Amazon? " * 16
asked = [GenerateRequest(f"{n} {words}", 3) for n in range(96)]
alone = [next(llm.generate([request]))[1] for request in asked]
now = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (now + 16 * 2**20,) * 2)
found = dict(llm.generate(asked))
assert [found[n] for n in range(96)] == alone
print(sorted(llm.runtime.fitted.values()))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_cpus_own_allocator_is_understood(tiny_model_dir):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tiny_model_dir)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() not in ("", "[]")
