"""Rules of the model's weights: what a method changes it declares, and none of it stays behind."""

from __future__ import annotations

from typing import Any

from harness.llm.changes import Changes
from harness.testing.conformance_lab import Lab
from harness.testing.findings import Wrongs, rule
from harness.testing.observed import Case
from harness.testing.rules_of_answers import WHOLE
from harness.testing.rules_of_memory import has_memory, loads


def weights_of(llm: Any) -> str:
    """A hash of a model's weights; empty for one that shows none."""
    if not hasattr(llm, "runtime"):
        return ""
    from harness.llm.edits import weights_digest

    return weights_digest(llm.runtime.model)


def shows_weights(lab: Lab) -> bool:
    """Whether rules of weights apply."""
    return lab.weights != ""


@rule("what a memory changes lies in its folder", loads, applies=has_memory)
def inside(lab: Lab) -> Wrongs:
    """An adapter of another place would change, or be missing elsewhere."""
    changes: Any = lab.loaded(lab.memory).changes
    if not isinstance(changes, Changes):
        yield (
            f"changes is {changes!r:.80}",
            "return harness.llm.changes.Changes(adapter=…, edits=…)",
        )
    elif changes.adapter is not None and not changes.adapter.is_relative_to(lab.memory):
        yield (
            f"changes.adapter is {changes.adapter}",
            "save it below the folder of write(), and name it from the folder of load()",
        )


@rule("needs says what is changed of the model", inside, *WHOLE, applies=shows_weights)
def declared(lab: Lab) -> Wrongs:
    """Else a run with a model that takes no change stops after its memory was written."""
    method = lab.loaded(lab.memory)
    wanted = set(method.changes.needs)
    if any(request.adapters for kind, request in _of_model(lab, method)):
        wanted.add("adapters")
    for name in sorted(wanted - method.needs_now):
        yield (
            f"a model must offer '{name}'",
            f"declare needs = frozenset({{{name!r}}}), so that a model without it is refused "
            "before any work",
        )


@rule("afterwards the model's weights are bit for bit what they were", *WHOLE,
      applies=shows_weights)  # fmt: skip
def as_before(lab: Lab) -> Wrongs:
    """Whatever was written, loaded and answered: other methods use the same model."""
    if weights_of(lab.model) != lab.weights:
        yield (
            "write(), load() or answer() left them changed",
            "train a LoRA in harness.llm.adapters.in_training, declare edits in changes, and put "
            "back the tensors themselves (subtracting what was added rounds)",
        )


def _of_model(lab: Lab, method: Any) -> list[tuple[str, Any]]:
    asked = lab.requests(method, Case("what it asks for"))
    return [each for each in asked if each[0] != "search"]


RULES = (inside, declared, as_before)
