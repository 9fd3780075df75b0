"""Changes of the model that a memory holds: an adapter, edits of weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.llm.edit import Edit

if TYPE_CHECKING:
    from harness.llm.requests import Capability


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
