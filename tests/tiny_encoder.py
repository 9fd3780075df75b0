"""A tiny BERT with random weights, as a folder that sentence-transformers and FlashRAG open."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

SETTINGS = "query_prefix=query: ,normalize=true"
"""Of the encoder, for ``faiss:FILE@FOLDER,SETTINGS``; FlashRAG calls it e5."""


def build_tiny_encoder(folder: Path, words: Iterable[str], seed: int = 0) -> Path:
    """Its vocabulary is the words and single letters."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    known = {*letters, "query", "passage", *(word.lower() for word in words)}
    pieces = [*special, *sorted(known), *(f"##{letter}" for letter in letters)]
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab={piece: i for i, piece in enumerate(pieces)})
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(pieces), hidden_size=48, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=48, max_position_embeddings=512,
    )  # fmt: skip
    torch.manual_seed(seed)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder
