"""Tuning: what of the model is trained beside codes, how that is stored, and what undoes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from harness.llm.adapters import in_training, save_adapter
from harness.llm.edit import Added
from methods.parametric_qa.shared.parts import save_tensors
from methods.parametric_qa.train.tuning import trainable

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from methods.parametric_qa_joint.params import JointParams

ADAPTER, WEIGHTS = "adapter", "weights.safetensors"
"""In a memory: the LoRA, and the changes of all weights."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """The model in training, its trainable weights by name, and what writes them into a folder."""

    model: Any
    weights: Mapping[str, nn.Parameter]
    save: Callable[[Path], None]


@contextmanager
def tuned(llm: LocalModel, params: JointParams, seed: int) -> Iterator[Tuned]:
    """The model with the weights of ``params.train`` trainable; afterwards it is what it was.

    It has the reader's adapter already, merged by the run: what is trained is a change of the
    tuned reader, nothing at first.
    """
    if params.train == "z":
        yield Tuned(llm.model, {}, lambda _: None)
    elif params.train == "z+lora":
        from peft import LoraConfig

        lora = LoraConfig(
            r=params.rank,
            lora_alpha=2 * params.rank,
            lora_dropout=0.0,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        with in_training(llm.model, lora, seed) as model:
            yield Tuned(
                model,
                trainable(model),
                lambda folder: save_adapter(model, folder / ADAPTER, llm.name),
            )
    else:
        with _all_in_training(llm.model) as (weights, save):
            yield Tuned(llm.model, weights, save)


@contextmanager
def _all_in_training(
    model: nn.Module,
) -> Iterator[tuple[dict[str, nn.Parameter], Callable[[Path], None]]]:
    """The weights that ``own_weights`` names, trainable and, as the whole model, in float32."""
    held = [(weight, weight.data) for weight in model.parameters()]
    weights = own_weights(model)
    before = {name: weight.data for name, weight in weights.items()}

    def save(folder: Path) -> None:
        """The changes, in bfloat16: rounding them costs less than rounding the weights would."""
        changes = {
            name: (weight.data - before[name].float()).bfloat16()
            for name, weight in weights.items()
        }
        save_tensors(folder / WEIGHTS, changes)

    try:
        for weight, data in held:
            weight.data = data.float()
        for weight in weights.values():
            # A copy: an optimizer writes into the tensor itself.
            weight.data = weight.data.clone()
            weight.requires_grad_(True)
        yield weights, save
    finally:
        for weight, data in held:
            weight.requires_grad_(False)
            weight.data, weight.grad = data, None


def own_weights(model: Any) -> dict[str, nn.Parameter]:
    """The weights that one layer alone uses, by name, without the input embeddings.

    Memories are selected by embeddings, and an edit of a weight that the head shares is refused.
    """
    everything = dict(model.named_parameters(remove_duplicate=False))
    uses = Counter(map(id, everything.values()))
    table = model.get_input_embeddings().weight
    return {name: w for name, w in everything.items() if uses[id(w)] == 1 and w is not table}


def changes_in(folder: Path) -> dict[str, Added]:
    """The changes of all weights that a memory holds, by name; none if only codes were trained."""
    from safetensors.torch import load_file

    path = folder / WEIGHTS
    return {name: Added(t) for name, t in load_file(path).items()} if path.exists() else {}
