"""Edits of weights: what stands in their place while they are open, and the exact way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import CapabilityError, InputError, RunFailedError
from harness.llm.changes import Changes
from harness.llm.edit import Added, LowRank
from harness.llm.edits import weights_digest
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest
from harness.testing.models import RuleModel
from tests.harness.llm.test_chosen_adapters import ASK, load, scored, texts
from tests.tiny import save_tiny_adapter

pytestmark = pytest.mark.numeric

DOWN = "model.layers.1.mlp.down_proj.weight"


@pytest.fixture(scope="module")
def tiny(tiny_model_dir) -> LocalModel:
    return load(tiny_model_dir)


def noise(llm: LocalModel, *shape: int):
    import torch

    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_a_low_rank_edit_is_added_and_taken_back_to_the_bit(tiny):
    before, plain = weights_digest(tiny.model), scored(tiny)
    out, inner = tiny.model.get_parameter(DOWN).shape
    edit = LowRank(noise(tiny, out, 2), noise(tiny, 2, inner))
    old = tiny.model.get_parameter(DOWN).data.clone()
    with tiny.edited({DOWN: edit}):
        new = tiny.model.get_parameter(DOWN).data
        assert (new - old - edit.left @ edit.right).abs().max() < 1e-5
        assert scored(tiny) != plain
    assert (weights_digest(tiny.model), scored(tiny)) == (before, plain)


def test_a_change_is_added_in_float32_whatever_it_is_kept_in_and_taken_back(tiny):
    before, plain = weights_digest(tiny.model), scored(tiny)
    old = tiny.model.get_parameter(DOWN).data.clone()
    change = noise(tiny, *old.shape).bfloat16()
    with tiny.edited({DOWN: Added(change)}):
        assert (tiny.model.get_parameter(DOWN).data == old + change.float()).all()
        assert scored(tiny) != plain
    assert (weights_digest(tiny.model), scored(tiny)) == (before, plain)
    with pytest.raises(InputError, match=f"an edit of '{DOWN}' has the shape"):
        with tiny.edited({DOWN: Added(change[1:])}):
            pass


def test_a_replacement_is_a_copy_and_a_failure_inside_leaves_nothing(tiny):
    before = weights_digest(tiny.model)
    given = noise(tiny, *tiny.model.get_parameter(DOWN).shape)
    kept = given.clone()
    with pytest.raises(ZeroDivisionError):
        with tiny.edited({DOWN: given}):
            tiny.model.get_parameter(DOWN).data.zero_()
            raise ZeroDivisionError
    assert (given == kept).all()
    assert weights_digest(tiny.model) == before


def test_a_module_stands_in_the_place_of_another(tiny):
    import torch

    class Nothing(torch.nn.Module):
        def forward(self, hidden):
            return torch.zeros_like(hidden)

    mlp, before, plain = tiny.model.model.layers[0].mlp, weights_digest(tiny.model), scored(tiny)
    with tiny.edited({"model.layers.0.mlp": Nothing()}):
        assert scored(tiny) != plain
    assert tiny.model.model.layers[0].mlp is mlp
    assert (weights_digest(tiny.model), scored(tiny)) == (before, plain)


def test_what_was_read_before_an_edit_does_not_serve_it(tiny):
    edit = {DOWN: noise(tiny, *tiny.model.get_parameter(DOWN).shape)}
    asked, longer = (GenerateRequest(p, 6, keep_for="q") for p in (ASK, ASK + " and then?"))
    with tiny.edited(edit):
        (expected,) = texts(tiny, [GenerateRequest(longer.prompt, 6)])
    texts(tiny, [asked])
    with tiny.edited(edit):
        assert texts(tiny, [longer]) == [expected]
    tiny.release("q")


def test_an_adapter_and_edits_of_one_memory_are_both_there(tiny, tiny_model_dir, tmp_path):
    folder = save_tiny_adapter(tiny_model_dir, tmp_path / "lora", target_modules=["q_proj"])
    before, plain = weights_digest(tiny.model), scored(tiny)
    edits = {DOWN: noise(tiny, *tiny.model.get_parameter(DOWN).shape)}
    found = []
    for changes in (Changes(folder), Changes(edits=edits), Changes(folder, edits)):
        with tiny.changed(changes):
            found.append(scored(tiny))
    assert len({plain, *found}) == 4
    assert (weights_digest(tiny.model), scored(tiny)) == (before, plain)
    assert Changes(folder, edits).needs == {"adapters", "weights"}


def test_a_write_into_the_held_weights_is_noticed(tiny_model_dir):
    llm = load(tiny_model_dir)
    held = llm.model.get_parameter(DOWN).data
    with pytest.raises(RunFailedError, match="not what they were before they were edited"):
        with llm.edited({DOWN: noise(llm, *held.shape)}):
            held[0, 0] += 1


def test_what_does_not_fit_is_refused_before_anything_changes(tiny):
    import torch

    before = weights_digest(tiny.model)
    shape = tiny.model.get_parameter(DOWN).shape
    nothing = torch.nn.Identity()
    for edits, told in [
        ({"lm_tail.weight": noise(tiny, 2, 2)}, "no parameter 'lm_tail.weight'"),
        ({"model.tail": nothing}, "no module 'model.tail'"),
        ({DOWN: noise(tiny, 2, 2)}, r"shape \[2, 2\], the parameter \[64, 128\]"),
        ({DOWN: torch.full(shape, float("nan"))}, "not finite"),
        ({DOWN: noise(tiny, *shape), "model.layers.1.mlp": nothing}, "which is replaced too"),
    ]:
        with pytest.raises(InputError, match=told):
            with tiny.edited(edits):
                pass
    assert weights_digest(tiny.model) == before


def test_shared_and_rounded_weights_are_refused(tiny_model_dir, tmp_path):
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(tiny_model_dir)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained(tmp_path / "tied")
    for file in Path(tiny_model_dir).glob("*token*"):
        (tmp_path / "tied" / file.name).write_bytes(file.read_bytes())
    tied = load(tmp_path / "tied")
    table = "model.embed_tokens.weight"
    with pytest.raises(InputError, match=r"is 'lm_head\.weight' too, so an edit would change both"):
        with tied.edited({table: tied.model.get_parameter(table).data + 1}):
            pass
    rounded = load(tiny_model_dir, quantization="nf4")
    assert "weights" not in rounded.capabilities
    for llm in (rounded, RuleModel()):
        with pytest.raises(CapabilityError, match="weights"):
            with llm.edited({DOWN: noise(tied, 64, 128)}):
                pass


def test_an_entry_tells_beforehand_what_its_model_withholds():
    from harness.boards.check import Expected

    plain, rounded = (
        Expected.of(ModelConfig(name="m", path="p", quantization=kind)) for kind in (None, "nf4")
    )
    assert plain.capabilities - rounded.capabilities == {"weights"}
