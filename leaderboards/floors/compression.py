"""Compression of a corpus: each passage alone with a trained dictionary, and all of it at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.data.packed import xz_packed, zstd_packed
from leaderboards.floors import Floor

if TYPE_CHECKING:
    import zstandard

LEVEL = 19
DICTIONARY_BYTES = 112_640
"""What the program ``zstd --train`` makes without being told."""
_BETWEEN = b"\n\n"


class PassagePacker:
    """Packs passages one by one, so that each can be read alone.

    Frames hold no magic number, size or checksum: what a store would keep elsewhere, or not at all.
    Raises ValueError for texts that are too few or too alike to train a dictionary on.
    """

    def __init__(self, texts: Sequence[bytes]) -> None:
        import zstandard

        try:
            trained = zstandard.train_dictionary(DICTIONARY_BYTES, list(texts))
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error
        parameters = zstandard.ZstdCompressionParameters.from_level(
            LEVEL,
            format=zstandard.FORMAT_ZSTD1_MAGICLESS,
            write_content_size=False,
            write_checksum=False,
            write_dict_id=False,
        )
        trained.precompute_compress(compression_params=parameters)
        self.dictionary: zstandard.ZstdCompressionDict = trained
        self._pack = zstandard.ZstdCompressor(dict_data=trained, compression_params=parameters)
        self._unpack = zstandard.ZstdDecompressor(
            dict_data=trained, format=zstandard.FORMAT_ZSTD1_MAGICLESS
        )

    @property
    def dictionary_bytes(self) -> int:
        """The size of the dictionary, which is stored once."""
        return len(self.dictionary.as_bytes())

    def pack(self, text: bytes) -> bytes:
        """One passage, packed."""
        return self._pack.compress(text)

    def unpack(self, packed: bytes) -> bytes:
        """The passage again."""
        return self._unpack.decompressobj().decompress(packed)


def compression_floors(texts: Sequence[bytes]) -> list[Floor]:
    """What the texts, UTF-8, take as they are and packed in three ways.

    Without a dictionary where there is too little to train one on.
    """
    thousands = len(texts) / 1000
    found = [Floor("text", sum(map(len, texts)) / thousands)]
    try:
        packer = PassagePacker(texts)
    except ValueError:
        pass
    else:
        packed = sum(len(packer.pack(text)) for text in texts)
        name = "zstd, each passage"
        found.append(
            Floor(name, packed / thousands, "a trained dictionary apart", packer.dictionary_bytes)
        )
    no_access = "no passage can be read alone"
    whole, ways = _BETWEEN.join(texts), {"zstd": zstd_packed, "xz": xz_packed}
    return found + [
        Floor(f"{name}, all at once", len(way(whole)) / thousands, no_access)
        for name, way in ways.items()
    ]
