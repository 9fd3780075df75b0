"""The compressor: vectors of what a retriever finds, and the control that reads others'."""

from __future__ import annotations

import pytest

from harness.boards.method_entry import load_method, parse_params
from harness.errors import CapabilityError
from harness.files import folder_bytes
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.testing.conformance import check_method
from harness.testing.models import RuleModel, small_task
from methods.compressor.method import Compressor, CompressorShuffled
from tests.harness.programs import make_engine, queries, remember

UNTRAINED = {"shared": None, "slots": 4, "max_tokens": 4}
CORPUS = small_task().corpus


@pytest.fixture(scope="module")
def tiny(tiny_model_dir) -> LocalModel:
    folder = str(tiny_model_dir)
    return LocalModel(ModelConfig(name="tiny", path=folder, prompt_style="completion"), folder)


def written(tiny, cls=Compressor, **values):
    method = cls(cls.Params(**{**UNTRAINED, **values}))
    opened = make_engine(method, tiny)
    return method, opened, remember(method, CORPUS)


def answers(opened) -> dict:
    found = []
    opened.run(queries(3), found.append)
    return {answered.question_id: answered.prediction for answered in found}


@pytest.mark.parametrize("name", ["compressor", "compressor-shuffled"])
def test_conformance(tiny, name):
    check_method(load_method(name), UNTRAINED, model=tiny)


def test_vectors_of_what_was_found_are_read_and_no_text(tiny):
    _, opened, _ = written(tiny, k=2)
    for found in answers(opened).values():
        ids = [passage.id for passage in found.ranked]
        assert found.read_ids == ids[:2] and len(ids) == 5
        (prompt,) = [step.data["prompt"] for step in found.steps if step.kind == "generate"]
        assert prompt.startswith("[5 vectors]" * 2 + "Question: ")
        assert not any(passage.text in prompt for passage in CORPUS)


def test_the_control_finds_the_same_and_reads_others(tiny):
    _, one, _ = written(tiny, k=2)
    _, other, _ = written(tiny, CompressorShuffled, k=2)
    own, shuffled = answers(one), answers(other)
    for key, found in shuffled.items():
        assert found.ranked == own[key].ranked
        assert len(found.read_ids) == 2
        assert set(found.read_ids).isdisjoint(passage.id for passage in found.ranked)


def test_storage_counts_the_bank_on_disk_and_what_the_search_needs(tiny):
    method, _, folder = written(tiny)
    parts = method.storage().parts
    assert parts["memory vectors"] == folder_bytes(folder / "bank")
    assert parts["shared parameters"] > 0
    assert parts.items() >= method.retriever.storage().parts.items()


def test_a_server_is_refused():
    with pytest.raises(CapabilityError, match="soft-prompts"):
        make_engine(Compressor(parse_params(Compressor, "compressor", UNTRAINED)), RuleModel())
