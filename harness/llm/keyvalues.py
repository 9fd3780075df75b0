"""Key/value prompts: what a model holds of a prompt's beginning, read once or trained, in a file.

Keys and values know their positions (a rotary model turns its keys by them), so they stand at the
beginning of a prompt and nowhere else, and they are of one model alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from harness.errors import ConfigError, InputError
from harness.files import atomic_file
from harness.llm.batches import common_prefix
from harness.llm.prefix import NO_PREFIX, Layer, Layers, SharedPrefix
from harness.llm.weights import digest, model_fingerprint

_HEADER = "key_values"


@dataclass(frozen=True, eq=False, slots=True)
class KeyValues:
    """Keys and values of every layer, [1, heads, length, size] each, that begin a prompt.

    The last positions are those of the tokens ``ids``, which were read: prompts begin with these
    tokens, and do not read them again. The positions before them, all where there are no ``ids``,
    are trained: prompts follow them.
    """

    layers: tuple[Layer, ...]
    model: str
    """Fingerprint of the model that they are of."""
    ids: tuple[int, ...] = ()
    text: str = ""
    """What the tokens say, as it stands in prompts."""
    _parts: dict[int, SharedPrefix] = field(init=False, default_factory=dict, repr=False)
    _digests: list[str] = field(init=False, default_factory=list, repr=False)

    @property
    def length(self) -> int:
        """Positions that they take of a window."""
        return int(self.layers[0].keys.shape[2])

    @property
    def trained(self) -> int:
        """Positions that are of no token of the prompt."""
        return self.length - len(self.ids)

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors."""
        return sum(part.nbytes for layer in self.layers for part in (layer.keys, layer.values))

    @property
    def identity(self) -> list[Any]:
        """What tells them from others, as JSON: what was read, or what was trained by its bytes."""
        if self.trained and not self._digests:
            parts = (part for layer in self.layers for part in (layer.keys, layer.values))
            self._digests.append(digest(*parts))
        return [self.model, list(self.ids), *self._digests]

    def shared(self, prompt: Sequence[int]) -> int:
        """Tokens of a prompt that are held, all but its last at most.

        Raises ConfigError for a prompt that begins with none of the tokens that were read.
        """
        if not self.ids:
            return 0
        most = len(self.ids)
        if len(prompt) > most and tuple(prompt[:most]) == self.ids:
            return most
        # A token that no prompt has: all but the last of its own may be held.
        held = common_prefix([list(prompt), [*self.ids, -1]])
        if not held:
            raise ConfigError(
                "a prompt does not begin with what its prefix was read of; give generate() the "
                "whole prompt, its beginning as it was given to read()"
            )
        return held

    def first(self, tokens: int) -> SharedPrefix:
        """All that is trained and the first ``tokens`` that were read; the same object each time.

        Rows after the same object share batches.
        """
        if tokens not in self._parts:
            length = self.trained + tokens
            layers = Layers(tuple(layer.first(length) for layer in self.layers))
            whole = SharedPrefix(self.ids[:tokens], layers, self.trained)
            self._parts[tokens] = whole if length else NO_PREFIX
        return self._parts[tokens]

    def without_text(self) -> KeyValues | None:
        """What is trained of them; None if nothing is."""
        if not self.ids or not self.trained:
            return None if self.ids else self
        layers = tuple(layer.first(self.trained) for layer in self.layers)
        return KeyValues(layers, self.model)

    def check(self, model: Any, name: str) -> None:
        """Raise ConfigError unless they fit the shape of a transformers model, called ``name``."""
        from harness.llm.kvcache import plain_layers

        keys, config = self.layers[0].keys, model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        have = len(self.layers), keys.shape[1], keys.dtype
        if have != (wanted := (plain_layers(model.config), heads, model.dtype)):
            raise ConfigError(
                f"keys and values of {_shape(*have)} do not fit '{name}', which has "
                f"{_shape(*wanted)}; read or train them with this model"
            )

    def save(self, path: Path) -> None:
        """Write them to a safetensors file: keys and values [heads, length, size] of each layer."""
        import torch
        from safetensors.torch import save

        tensors = {
            f"{place:03}.{name}": getattr(layer, name)[0].detach().cpu().contiguous()
            for place, layer in enumerate(self.layers)
            for name in ("keys", "values")
        }
        tensors["ids"] = torch.tensor(self.ids, dtype=torch.int32)
        # One entry: safetensors writes several in any order, and the same would be other bytes.
        told = json.dumps({"model": self.model, "text": self.text})
        with atomic_file(path) as file:
            file.write(save(tensors, metadata={_HEADER: told}))

    @classmethod
    def load(cls, path: Path, model: Any, name: str) -> Self:
        """Open what ``save`` wrote, on the device of a transformers model, called ``name``.

        Raises InputError for a file that is none, ConfigError for those of another model.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt", device=str(model.device)) as file:
                told = json.loads((file.metadata() or {})[_HEADER])
                stored = [key for key in sorted(file.keys()) if key.endswith(".keys")]
                layers = tuple(
                    Layer(
                        file.get_tensor(key)[None],
                        file.get_tensor(key.replace(".keys", ".values"))[None],
                    )
                    for key in stored
                )
                ids = tuple(file.get_tensor("ids").tolist())
                found = cls(layers, told["model"], ids, told["text"])
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: no key/value prompt ({error}); delete the memory's folder and run again"
            ) from error
        found.check(model, name)
        if found.model != model_fingerprint(model):
            raise ConfigError(
                f"{path}: keys and values of another model than '{name}' as it is now; "
                "read or train them with this model"
            )
        return found


def _shape(layers: int, heads: int, dtype: Any) -> str:
    return f"{layers} layers of {heads} heads in {str(dtype).removeprefix('torch.')}"
