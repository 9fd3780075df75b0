"""HippoRAG: a graph of triples that the model reads out of passages, walked from a question."""
