"""What parametric-qa-joint is trained on, and what it refuses."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest

from harness.boards.needs import check_needs
from harness.errors import CapabilityError, ConfigError, InputError, RunFailedError
from harness.llm.model_config import ModelConfig
from harness.records import Passage
from methods.parametric_qa.shared.bundle import Bundle, SelectorConfig
from methods.parametric_qa.shared.contextual import Size
from methods.parametric_qa.shared.parts import SharedParts
from methods.parametric_qa_joint.method import ParametricQAJoint
from methods.parametric_qa_joint.rows import material_of
from tests.methods.weights.lab import PASSAGES, load, written
from tests.methods.weights.test_parametric_qa_joint import method


@pytest.fixture(scope="module")
def tiny(completion_model_dir):
    return load(completion_model_dir)


def test_rows_are_asked_as_it_answers_and_recalled_whole(tiny):
    params = method(recalls=2).params
    found = material_of(tiny, PASSAGES, 4, params, 0)
    recalled = [row for row in found.rows if row.parts == found.rows[0].parts]
    assert [row.document for row in recalled] == [0, 0, 1, 1]
    text = tiny.tokenizer.decode(recalled[0].target, skip_special_tokens=True)
    assert PASSAGES[0].text in text
    asked = [row for row in found.rows if row not in recalled]
    assert len(asked) == 2 * params.questions
    assert all(row.length == 5 + sum(map(len, row.parts)) + len(row.target) for row in found.rows)
    replies = {tiny.tokenizer.decode(row.target) for row in asked if row.document == 0}
    assert " Mara Quint\n" in replies


def test_a_pool_of_which_nothing_can_be_asked_is_refused(tiny):
    void = Passage("void", "", "nothing here has a name")
    with pytest.raises(InputError, match="nothing to train on"):
        material_of(tiny, [void], 4, method(recalls=0).params, 0)
    assert material_of(tiny, [void], 4, method().params, 0).rows


def test_a_passage_beyond_the_window_is_named_before_a_step(tiny):
    with pytest.raises(InputError, match="'long'"):
        material_of(tiny, [Passage("long", "", "Paris " * 3000)], 4, method().params, 0)


def test_a_loss_that_is_not_finite_is_named(tiny, tmp_path):
    with pytest.raises(RunFailedError, match="lower learning_rate"):
        written(method(train="z+full", model_rate=1e30), tiny, tmp_path / "memory")
    # A frozen model may give a loss even then, but no bank takes such codes.
    with pytest.raises(InputError, match="with a lower learning rate"):
        written(method(train="z", learning_rate=1e30), tiny, tmp_path / "other")


def test_codes_that_are_tokens_and_rounded_weights_are_refused_before_loading():
    config = ModelConfig(name="smollm2-135m-instruct", path="x", prompt_style="completion")
    tokens = ParametricQAJoint(ParametricQAJoint.Params(shared="smollm2-135m-tokens"))
    with pytest.raises(ConfigError, match="tokens of the text, which no step changes; set 0"):
        tokens.check_entry(config)
    rounded = config.model_copy(update={"quantization": "nf4"})
    with pytest.raises(ConfigError, match="takes no second one"):
        ParametricQAJoint().check_entry(rounded)
    ParametricQAJoint(ParametricQAJoint.Params(train="z")).check_entry(rounded)


def test_codes_on_a_grid_are_refused_unless_they_stay(tiny):
    parts = SharedParts.from_model(tiny, 4, 8)
    bundle = replace(Bundle.untrained(parts, SelectorConfig()), size=Size(slots=4, z_dim=8, bits=4))
    with pytest.raises(ConfigError, match="lie on a grid within -1 and 1, which training"):
        method().check_bundle(bundle)
    method(steps=0).check_bundle(bundle)
    method().check_bundle(replace(bundle, size=None))


@pytest.mark.parametrize(
    ("way", "lacks"), [("z", None), ("z+lora", "'adapters'"), ("z+full", "'weights'")]
)
def test_what_a_model_must_take(way, lacks):
    class Offers:
        name, trained_for = "m", frozenset()
        capabilities = frozenset({"soft-prompts", "training"})

    refused = nullcontext() if lacks is None else pytest.raises(CapabilityError, match=lacks)
    with refused:
        check_needs("parametric-qa-joint", method(train=way), Offers())
