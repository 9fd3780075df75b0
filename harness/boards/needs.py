"""Needs of a method: what a model must offer before any work is begun."""

from __future__ import annotations

from typing import Protocol

from harness.errors import CapabilityError
from harness.llm.requests import Capability
from harness.method import Method


class Offers(Protocol):
    """What a method may need of a model."""

    name: str
    capabilities: frozenset[Capability]
    trained_for: frozenset[str]

    def has_token(self, text: str) -> bool:
        """Whether ``text`` is one token of the model's own."""


def check_needs(name: str, method: Method, llm: Offers) -> None:
    """Stop before any work if the model lacks what the method of this name needs."""
    missing = [f"the capability '{each}'" for each in sorted(method.needs_now - llm.capabilities)]
    fix = "choose a model that has it"
    tokens = [token for token in method.needs_tokens if not llm.has_token(token)]
    untrained = [f"the tokens {' '.join(tokens)}"] if tokens else []
    wanted = method.needs_training_for
    if wanted is not None and wanted not in llm.trained_for:
        untrained.append(f"training for '{wanted}' (trained_for in the model's entry)")
    if untrained and method.prompted_variant:
        fix = f"use the method '{method.prompted_variant}', which takes no fine-tuned model"
        fix += ", and a model that has the capability" if missing else ""
    if missing or untrained:
        raise CapabilityError(
            f"method '{name}' needs {' and '.join(missing + untrained)}, which "
            f"model '{llm.name}' lacks; {fix}"
        )
