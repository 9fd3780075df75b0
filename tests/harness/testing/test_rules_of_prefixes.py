"""The rule of key/value prompts: what is held of a text is what the model reads of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.prefix import Layer
from harness.method import Method, MethodCard
from harness.records import Prediction
from harness.testing import rules_of_prefixes as rules
from harness.testing.conformance_lab import Lab

HEAD = "Answer with a word.\n"


@pytest.fixture(scope="module")
def tiny(completion_model_dir) -> LocalModel:
    path = str(completion_model_dir)
    return LocalModel(ModelConfig(name="tiny", path=path), path)


class Held(Method):
    """Reads an instruction once."""

    card = MethodCard("Held", "Keeps what it read.")

    async def answer(self, query):
        prefix = self.changed(self.llm.model.read(HEAD))
        reply = await self.llm.generate(f"{HEAD}{query.text}", max_tokens=1, prefix=prefix)
        return Prediction(reply.first_line)

    def changed(self, prefix):
        return prefix


class Changed(Held):
    """Trains it, and says that it is still the text."""

    def changed(self, prefix):
        layers = tuple(Layer(1.1 * x.keys, x.values) for x in prefix.layers)
        return replace(prefix, layers=layers)


def test_what_was_read_keeps_the_rule_and_what_was_changed_breaks_it(tiny, tmp_path):
    for cls, broken in ((Held, False), (Changed, True)):
        folder = tmp_path / cls.__name__
        folder.mkdir()
        found = list(rules.as_read.check(Lab(cls, {}, tiny, (200, 600.0), folder)))
        assert bool(found) == broken
    assert "are not those of their text" in found[0][0]
