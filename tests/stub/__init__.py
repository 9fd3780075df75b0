"""The project's own OpenAI-compatible server on loopback, which misbehaves as it is told.

    with Stub(Words(lambda prompt: "Paris"), faults=Seeded(0, share=0.3)) as stub:
        open_model(resolve_model(f"openai:{stub.model}@{stub.url}"))

Behind it are scripted words or a tiny model (``minds``); single requests fail by a schedule
(``faults``); how it streams (``streams``), what it refuses, how it shapes replies and what it
offers are options (``server``).
"""

from tests.stub.faults import FAULTS, REFUSAL, Fault, Lasting, Once, Seeded
from tests.stub.minds import TinyMind, Words
from tests.stub.server import Asked, Stub
from tests.stub.streams import Streams

__all__ = [
    "FAULTS",
    "REFUSAL",
    "Asked",
    "Fault",
    "Lasting",
    "Once",
    "Seeded",
    "Streams",
    "Stub",
    "TinyMind",
    "Words",
]
