"""Reading: a prompt, or what several prompts begin with alike, as keys and values to be kept."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import CapabilityError, ConfigError
from harness.llm.batches import common_prefix
from harness.llm.keyvalues import KeyValues
from harness.llm.prefix import NO_PREFIX
from harness.llm.requests import as_text
from harness.llm.runtime import Runtime
from harness.llm.text import common_beginning
from harness.llm.weights import model_fingerprint
from harness.prompts import SOFT, Rendered


def read(runtime: Runtime, prompts: Sequence[Rendered], after: KeyValues | None) -> KeyValues:
    """What a model holds once it has read one prompt, or what several prompts begin with alike.

    ``after`` stands before them; what it holds of their text is not read again. Raises ConfigError
    for prompts that begin with nothing alike, CapabilityError for a model that keeps more or less
    than the keys and values of every token (a sliding window, a recurrent state).
    """
    from harness.llm.kvcache import plain_layers

    if not plain_layers(runtime.model.config):
        raise CapabilityError(
            f"model '{runtime.name}' keeps more or less than keys and values of every token, so it "
            "takes no key/value prompt; give it the text"
        )
    # Up to the first soft prompt: its vectors may differ from prompt to prompt.
    encoded = [runtime.parts(prompt)[0] for prompt in prompts]
    ids = encoded[0] if len(encoded) == 1 else encoded[0][: common_prefix(encoded)]
    if not ids:
        raise ConfigError("prompts that begin with nothing alike have nothing to be read once")
    text = common_beginning([as_text(prompt).split(SOFT)[0] for prompt in prompts])
    return read_tokens(runtime, ids, text, after)


def read_tokens(
    runtime: Runtime, ids: Sequence[int], text: str, after: KeyValues | None
) -> KeyValues:
    """What a model holds of tokens that say ``text``, after what another prefix holds."""
    import torch

    from harness.llm.decoding import Decoder

    if after is not None:
        after.check(runtime.model, runtime.name)
    # The last token is always read, so that there is something to read.
    before = after.first(after.shared(ids)) if after is not None else NO_PREFIX
    rest = torch.tensor(ids[len(before.ids) :], device=runtime.device)
    with torch.no_grad():
        layers = tuple(Decoder(runtime, [rest], [before], 0).row_layers(0))
    return KeyValues(layers, model_fingerprint(runtime.model), tuple(ids), text)
