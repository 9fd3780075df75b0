"""Compressor: passages that a retriever finds, read as the vectors that one pass wrote of them."""
