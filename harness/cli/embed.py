"""The command ``embed``: a corpus's passage vectors, kept beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import console


def embed(
    corpus: Annotated[Path, typer.Argument(help="Corpus, FlashRAG JSONL.")],
    encoder: Annotated[str, typer.Option(help="An encoder of the catalogue.")] = "dense",
) -> None:
    """Compute a corpus's passage vectors and keep them beside it, in vectors/."""
    from harness.data.corpus import Corpus
    from harness.meters.hardware import set_torch_threads
    from harness.progress import CallbackBar
    from harness.retrieval.dense import embedding_folder
    from harness.retrieval.embeddings import EmbeddingStore, embed_corpus, write_beside
    from harness.retrieval.encoders import open_encoder

    set_torch_threads()
    passages, model = Corpus.open(corpus), open_encoder(encoder)
    store = EmbeddingStore(embedding_folder(model))
    with CallbackBar(console(), f"{corpus}: {model.name}") as progress:
        embed_corpus(passages, model, store, progress)
    typer.echo(f"written to {write_beside(passages, model, store)}")
