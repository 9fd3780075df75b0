"""Rules of key/value prompts: what is held of a text is what the model reads of it."""

from __future__ import annotations

from typing import Any

from harness.llm.keyvalues import KeyValues
from harness.testing.conformance_lab import Lab
from harness.testing.findings import Wrongs, rule
from harness.testing.observed import Case
from harness.testing.rules_of_answers import WHOLE

CLOSE = 1e-3
"""By what numbers that are of the order of 1 may differ, of text that was read in other parts."""


def takes_prefixes(lab: Lab) -> bool:
    """Whether the model that the method is checked with takes key/value prompts."""
    return lab.model is not None and "key-value-prompts" in lab.model.capabilities


@rule("a prefix of text is what the model reads of it", *WHOLE, applies=takes_prefixes)
def as_read(lab: Lab) -> Wrongs:
    """Else answers with it would not be those to the text, which a server or a clock reads."""
    asked = lab.requests(lab.loaded(lab.memory), Case("what it asks for"))
    prefixes = {id(x.prefix): x.prefix for kind, x in asked if kind != "search" and x.prefix}
    model: Any = lab.model
    for prefix in prefixes.values():
        if prefix.ids and _farthest(prefix, model.read_again(prefix)) > CLOSE:
            yield (
                f"the keys and values of {len(prefix.ids):,} tokens are not those of their text",
                "make them by self.llm.model.read(), and leave out ids and text where they are "
                "trained",
            )


def _farthest(one: KeyValues, other: KeyValues) -> float:
    pairs = zip(one.layers, other.layers, strict=True)
    return max(
        float((x - y).abs().max())
        for mine, theirs in pairs
        for x, y in ((mine.keys, theirs.keys), (mine.values, theirs.values))
    )


RULES = (as_read,)
