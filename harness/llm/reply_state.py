"""State of a local model as it decides replies: its files, its weights now, libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from harness.fingerprint import fingerprint
from harness.llm.edit import Added, Edit, LowRank
from harness.llm.identity import identity
from harness.llm.weights import digest, model_fingerprint

if TYPE_CHECKING:
    from harness.llm.model_config import ModelConfig
    from harness.llm.runtime import Runtime

_PACKAGES = ("torch", "transformers", "tokenizers", "peft")


def state_of(
    config: ModelConfig,
    runtime: Runtime,
    revision: str | None,
    changes: Sequence[Callable[[], str | None]],
) -> dict[str, Any] | None:
    """What decides replies beside a request, as JSON; None where their batch does, too.

    ``changes`` give hashes of what the weights are changed by now, or None where that has no hash.
    """
    hashes = [change() for change in changes] if runtime.exact else [None]
    if None in hashes:
        return None
    return {
        "model": {**identity(config), "revision": revision},
        "weights": model_fingerprint(runtime.model),
        "changes": hashes,
        "attention": runtime.model.config._attn_implementation,
        "packages": {name: version(name) for name in _PACKAGES},
    }


def edits_digest(edits: Mapping[str, Edit]) -> str | None:
    """A hash of edits of weights; None of a module, whose code decides replies as well."""
    from torch import nn

    found = {}
    for name, edit in edits.items():
        if isinstance(edit, nn.Module):
            return None
        if isinstance(edit, LowRank):
            found[name] = digest(edit.left, edit.right)
        else:
            found[name] = digest(edit.change if isinstance(edit, Added) else edit)
    kinds = {name: type(edit).__name__ for name, edit in edits.items()}
    return fingerprint([found, kinds])
