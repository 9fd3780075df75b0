"""Changes of the model that a memory holds: an adapter, edits of weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import CapabilityError, ConfigError
from harness.llm.edit import Edit

if TYPE_CHECKING:
    from harness.llm.base import Capability, LanguageModel
    from harness.llm.keyvalues import KeyValues


@dataclass(frozen=True, slots=True)
class Changes:
    """What a memory changes of the model, while the run answers."""

    adapter: Path | None = None
    """Folder of a LoRA inside the memory, as peft writes it."""
    edits: Mapping[str, Edit] = field(default_factory=dict)
    """By the name of the parameter or module, as transformers names them."""

    @property
    def needs(self) -> frozenset[Capability]:
        """What a model must offer for it."""
        wanted: dict[Capability, bool] = {
            "adapters": self.adapter is not None,
            "weights": bool(self.edits),
        }
        return frozenset(name for name, is_wanted in wanted.items() if is_wanted)


NO_CHANGES = Changes()


@contextmanager
def changed(llm: LanguageModel, changes: Changes) -> Iterator[None]:
    """While open, the model as a memory changes it; afterwards it is what it was, bit by bit."""
    with llm.adapted(changes.adapter), llm.edited(changes.edits):
        yield


def chosen(
    llm: LanguageModel, adapters: Sequence[Path], prefix: KeyValues | None = None
) -> tuple[Path, ...]:
    """The adapters of a request, each once, in an order that does not depend on the one given.

    Raises CapabilityError for a model that takes none, ConfigError beside a prefix of text.
    """
    if adapters and "adapters" not in llm.capabilities:
        raise CapabilityError(
            f"model '{llm.name}' takes no adapters with a request; only a local transformers model "
            "without an adapter of its own does"
        )
    if adapters and prefix is not None and prefix.ids:
        raise ConfigError(
            "adapters and a prefix of text in one call: the text was read without the adapters, so "
            "the reply would not be that to the text; leave out one of them"
        )
    return tuple(sorted(set(adapters)))
