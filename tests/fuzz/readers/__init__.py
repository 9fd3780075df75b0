"""All readers by name, those of one area in one module."""

from __future__ import annotations

from tests.fuzz.readers import data, formats, indexes, runs, server, texts, weights
from tests.fuzz.rule import Reader

READERS: dict[str, Reader] = {
    reader.name: reader
    for module in (texts, data, formats, runs, indexes, weights, server)
    for reader in module.READERS
}
