"""Retrievers: BM25, dense, and the corpus they search."""
