"""Calls of methods to the model and the retriever: queued by kind, kept in a question's trace."""
