"""Changing corpora: facts that change in documents, and what methods answer and forget then."""
