"""FlashRAG both ways: its pipelines as a method here, our model and retriever in its pipelines."""

from methods.flashrag.open import as_generator, as_retriever, open_pipeline

__all__ = ["as_generator", "as_retriever", "open_pipeline"]
