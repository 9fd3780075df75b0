"""Tasks as data: questions, corpora, splits, and their cards."""
