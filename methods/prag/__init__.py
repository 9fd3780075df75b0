"""Parametric RAG: a small LoRA for each passage, merged for those that BM25 selects."""
